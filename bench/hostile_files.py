"""Hostile files, one after the other, through the running page, while others watch its board.

    python -m bench.hostile_files [--only WORDS]

The files are those of tests/hostile_files.py. For each file, the table shows how long its answer
took, the peak memory of its reader (the kernel's VmHWM), the additional disk space that the page
used meanwhile, and the slowest answer of the board.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench.serving import PageProcess

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from tests.hostile_files import FILES

MEGABYTE = 10**6
AIMS = {"seconds": 10.0, "memory": 500.0, "disk": 100.0, "board": 500.0}
EVERY = 0.02
"""Seconds between two samples of memory, disk and board."""


class Watch:
    """Samples the page's memory, disk and board in threads while a file is read."""

    def __init__(self, page: PageProcess, strip: int) -> None:
        self.page, self.strip = page, strip
        self.memory = self.disk = self.board = 0.0
        self._before = self._disk()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=sample) for sample in (self._sample_sizes, self._sample_board)
        ]

    def __enter__(self) -> "Watch":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _sample_sizes(self) -> None:
        app = psutil.Process(self.page.pid)
        while not self._over.wait(EVERY):
            peaks = [_peak(child.pid) for child in app.children()]
            self.memory = max([self.memory, *peaks])
            self.disk = max(self.disk, self._disk() - self._before)

    def _sample_board(self) -> None:
        while not self._over.wait(EVERY):
            started = time.monotonic()
            self.page.post(self.strip, "strip_state", 0).raise_for_status()
            self.board = max(self.board, 1000 * (time.monotonic() - started))

    def _disk(self) -> float:
        """Return the megabytes of the page's own folders."""
        total = 0
        for folder, _, names in os.walk(self.page.runs.parent):
            for name in names:
                with suppress(OSError):  # removed a moment ago
                    total += os.stat(os.path.join(folder, name)).st_size
        return total / MEGABYTE


def _peak(pid: int) -> float:
    """Return the peak memory of a reader in megabytes; 0 for any other process.

    Before it becomes a reader, a child is a copy of the app and shares the app's memory.
    """
    try:
        if b"rlhf_demo.server.reading" not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return 0.0
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    peaks = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(peaks[0]) * 1024 / MEGABYTE if peaks else 0.0


def upload(page: PageProcess, handler: int, visitor: str, name: str, data: bytes) -> str:
    """Upload a file as the page does, from an address; return its answer in a few words."""
    api, options = (
        f"{page.url}/gradio_api",
        {"timeout": 60, "headers": {"X-Forwarded-For": visitor}},
    )
    sent = httpx.post(f"{api}/upload", files={"files": (name, data)}, **options)
    if sent.status_code != httpx.codes.OK:
        return f"refused on arrival ({sent.status_code})"
    file = {"path": sent.json()[0], "orig_name": name, "meta": {"_type": "gradio.FileData"}}
    answer = httpx.post(
        f"{api}/run/predict",
        json={"fn_index": handler, "data": [file, visitor], "session_hash": "a-program"},
        **options,
    ).json()
    if "data" not in answer:
        return str(answer.get("error"))
    preview: dict[str, Any] = answer["data"][1]
    return preview.get("error") or f"read, {preview['count']} pairs"


def main() -> int:
    """Upload every file and print a table; return 1 if an aim was missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="files whose title has these words")
    only = parser.parse_args().only
    worst = dict.fromkeys(AIMS, 0.0)
    print("| file | s | MB | disk | board, ms | answer |\n|---|---|---|---|---|---|")
    limits = {"RLHF_DEMO_PUBLIC": "1", "RLHF_DEMO_PROXIES": "1"}
    with (
        tempfile.TemporaryDirectory() as folder,
        PageProcess(Path(folder) / "runs", **limits) as page,
    ):
        handlers = httpx.get(f"{page.url}/config", timeout=30).json()["dependencies"]
        [handler] = [row["id"] for row in handlers if row["api_name"] == "take_upload"]
        [strip] = page.components()["strip_state"]
        for number, (title, file) in enumerate(FILES.items()):
            if only not in title:
                continue
            data = file.make()
            with Watch(page, strip) as watch:
                started = time.monotonic()
                answer = upload(page, handler, f"10.0.0.{number}", file.name, data)
                seconds = time.monotonic() - started
            seen = {
                "seconds": seconds, "memory": watch.memory, "disk": watch.disk,
                "board": watch.board,
            }  # fmt: skip
            print(
                f"| {title} | {seconds:.1f} | {watch.memory:.0f} | {watch.disk:.0f} "
                f"| {watch.board:.0f} | {answer[:90]} |",
                flush=True,
            )
            worst = {name: max(worst[name], seen[name]) for name in AIMS}
    load = psutil.getloadavg()[0]
    print(f"\nworst (load average {load:.1f}), with its aim:")
    for name, aim in AIMS.items():
        print(f"{name:8} {worst[name]:6.1f} {aim:6.0f}")
    return int(any(worst[name] > aim for name, aim in AIMS.items()))


if __name__ == "__main__":
    sys.exit(main())
