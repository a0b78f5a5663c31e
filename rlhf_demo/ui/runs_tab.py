"""The Runs tab: every run there is, what was asked of it, what came of it, and two compared.

Everybody may look at every run and download it. Changing one is its owner's; that is decided in
jobs.py, from the secret that each request carries.
"""

import hashlib
import hmac
import os
import zipfile
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from rlhf_demo.config import declarations
from rlhf_demo.errors import ConfigError, JobError
from rlhf_demo.files import read_json, replacing
from rlhf_demo.locate import CHECKPOINTS
from rlhf_demo.runs import Run, Status
from rlhf_demo.tails import Tails
from rlhf_demo.ui.board import BOARDS, Board
from rlhf_demo.ui.choices import has_model
from rlhf_demo.ui.commands import COMMANDS, repeat_command
from rlhf_demo.ui.parts import part
from rlhf_demo.ui.shared import Shared

LEAD = (
    "Every run of this page, anybody's: what was asked of it, what came of it, and the command "
    "that repeats it. Tick two of one kind to see their curves over each other."
)
CURVES = {
    "ppo": ("objective/score", "objective/kl"),
    "reward": ("heldout/loss", "heldout/accuracy"),
}
"""Kind of run -> the metrics that are drawn over each other."""
LISTED = ("id", "title", "kind", "status", "place", "step", "total_steps", "created_at", "example")
"""What the list shows of a row of the overview."""
KEPT_BACK = {"job.json", "lock", "stop", "stopping.json", "checkpoint.pt"}
"""Not downloaded: who owns the run, how it is being run, the state of an unfinished training."""
TEXTS = {".json", ".jsonl", ".log", ".md"}
"""Files that may name folders of this machine."""
MOST_ZIPPED = 300_000_000
"""Bytes of a run that can be downloaded: GPT-2 with LoRA is far below, all of its weights above."""


class RunsTab:
    """The tab's two parts and their server functions."""

    def __init__(self, shared: Shared) -> None:
        self.shared, self.jobs = shared, shared.jobs
        self.tails = Tails()

    def build(self, demo: gr.Blocks) -> None:
        """Lay the tab out inside the Blocks that is open."""
        gr.HTML(f'<p class="rl-lead">{LEAD}</p>', elem_classes="rl-plain")
        board = Board(self.jobs)
        self.part = part(
            "runs",
            [
                self.runs_state, self.run_curves, self.delete_run, self.zip_run,
                self.check_password, board.stop_job, board.resume_job,
            ],
            value={"password": self.shared.settings.password is not None},
        )  # fmt: skip

    # -- looking -----------------------------------------------------------------------------------

    def runs_state(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return all runs, newest first, and everything about the one that is picked.

        Args:
            request: `run` picked (empty: none), `secret`.
        """
        rows = self.jobs.overview()
        picked = str(request.get("run") or "")
        row = next((one for one in rows if one["id"] == picked), None)
        return {
            "runs": [
                {name: one[name] for name in LISTED} | {"figures": final_figures(one)}
                for one in rows
            ],
            "picked": row and self._details(row, str(request.get("secret") or "")),
        }

    def run_curves(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the curves of some runs, to draw them over each other."""
        return {"runs": [self._curves(str(run_id)) for run_id in list(request["runs"])[:2]]}

    def _details(self, row: dict[str, Any], secret: str) -> dict[str, Any]:
        run = self.jobs.find(row["id"])
        config = run.config
        return {
            "id": row["id"],
            "title": row["title"],
            "kind": row["kind"],
            "status": row["status"],
            "message": row["message"],
            "example": row["example"],
            "mine": self.jobs.may_change(row["id"], secret),
            "has_board": row["kind"] in BOARDS,
            "has_model": has_model(run),
            "result": _result(run, row),
            "settings": changed_settings(config, self.shared.settings.runs),
            "command": repeat_command(config),
            "log": self.jobs.log_tail(row["id"]) if row["status"] == Status.FAILED else "",
        }

    def _curves(self, run_id: str) -> dict[str, Any]:
        run = self.jobs.find(run_id)
        kind = run.config["kind"]
        rows = self.tails.rows(run.folder / "metrics.jsonl")
        return {
            "id": run_id,
            "curves": {
                key: [[row["step"], row[key]] for row in rows if row.get(key) is not None]
                for key in CURVES.get(kind, ())
            },
        }

    # -- changing ----------------------------------------------------------------------------------

    def delete_run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Remove a run and all that it made; only its owner may."""
        self.jobs.delete(str(request["run"]), str(request["secret"]))
        return {"deleted": True}

    def check_password(self, request: dict[str, Any]) -> dict[str, Any]:
        """Say whether this is the instructor's password.

        Raises:
            ConfigError: it is not, or this page has none.
        """
        password, given = self.shared.settings.password, str(request["password"])
        if password is None:
            raise ConfigError(
                "this page has no instructor's password: its owner can set RLHF_DEMO_PASSWORD"
            )
        if not hmac.compare_digest(given.encode(), password.encode()):
            raise ConfigError("this is not the instructor's password: check it and try again")
        return {"right": True}

    # -- downloading -------------------------------------------------------------------------------

    def zip_run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make a zip of a run where the page may serve files from, and return its path.

        Raises:
            JobError: there is no such run, it is too large, or it changed meanwhile.
        """
        run = self.jobs.find(str(request["run"]))
        target = zip_folder(run, self.shared.settings.runs)
        self.part.temp_files.add(str(target))  # so that Gradio removes it when it is a day old
        return {"path": str(target), "bytes": target.stat().st_size}


def final_figures(row: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the newest figures of a run: what is measured, its value, its colour."""
    figures, kind = row["figures"], row["kind"]
    if kind == "ppo" and "objective/score" in figures:
        score, kl = figures["objective/score"], figures["objective/kl"]
        return [
            ("score", _minus(f"{score:+.2f}"), "score"),
            ("KL", _minus(f"{kl:.1f}") + " nats", "kl"),
        ]
    if kind == "reward" and "heldout/accuracy" in figures:
        return [("held-out accuracy", f"{100 * figures['heldout/accuracy']:.0f}%", "score")]
    return []


def _result(run: Run, row: dict[str, Any]) -> str:
    """Say in a sentence what a finished reward model is worth, with interval and yardstick."""
    path = run.folder / "report.json"
    if row["kind"] != "reward" or not path.is_file():
        return ""
    report = read_json(path)
    low, high = 100 * report["accuracy_low"], 100 * report["accuracy_high"]
    return (
        f"{100 * report['accuracy']:.0f}% [{low:.0f}, {high:.0f}] of {report['pairs']:,} held-out "
        f"pairs right; choosing the longer text gets {100 * report['baseline_longer']:.0f}%, "
        "a coin 50%."
    )


def changed_settings(config: dict[str, Any], runs: Path) -> list[dict[str, str]]:
    """Return the options of a run that are not the defaults: name, value, default, meaning."""
    options = config["options"]
    return [
        {
            "name": declared.name.replace("_", " "),
            "value": _without_folder(options[declared.name], runs),
            "default": str(declared.default),
            "meaning": declared.metadata["help"],
        }
        for declared, _, _ in declarations(COMMANDS[config["kind"]][1])
        if options.get(declared.name, declared.default) != declared.default
    ]


def _without_folder(value: Any, runs: Path) -> str:
    """Name a run by its id where an option names its folder."""
    home, runs = CHECKPOINTS.parent, runs.resolve()
    if isinstance(value, str) and (home / value).is_relative_to(runs):
        return str((home / value).relative_to(runs))
    return str(value)


def zip_folder(run: Run, runs: Path) -> Path:
    """Pack a run's folder for its download, once for each state it is in.

    Folders of this machine, which saved models and logs name, are left out of the texts, so that
    `runs/` and `checkpoints/` lie beside whatever unpacks it.

    Raises:
        JobError: the run is too large, or changed while it was read.
    """
    run_id = run.folder.name
    try:
        files = _files(run.folder)
        size = sum(path.stat().st_size for path in files)
        if size > MOST_ZIPPED:
            raise JobError(
                f"{run_id} has {size / 1e6:,.0f} MB, more than the {MOST_ZIPPED // 10**6} MB that "
                "are sent: copy its folder on the machine that runs this page"
            )
        state = [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files]
        digest = hashlib.sha256(repr(state).encode()).hexdigest()[:32]
        target = Path(get_upload_folder()).resolve() / digest / f"{run_id}.zip"
        if not target.is_file():
            with replacing(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
                for path in files:
                    name = f"{run_id}/{path.relative_to(run.folder).as_posix()}"
                    archive.writestr(name, _content(path, runs), _method(path))
    except FileNotFoundError:
        raise JobError(f"{run_id} changed while it was packed: try again in a moment") from None
    return target


def _files(folder: Path) -> list[Path]:
    """List what is sent: whole files of the run itself; no links, no half-written ones."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not path.is_symlink()
        and not any(name.startswith(".") for name in path.relative_to(folder).parts)
        and not (path.parent == folder and path.name in KEPT_BACK)
    )


def _content(path: Path, runs: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix not in TEXTS:
        return content
    libraries = Path(gr.__file__).parents[1]
    for place, instead in ((runs.resolve(), b"runs/"), (CHECKPOINTS.parent, b""), (libraries, b"")):
        content = content.replace(os.fsencode(place) + b"/", instead)
    return content


def _method(path: Path) -> int:
    # Weights hardly shrink, and trying takes a second for each 30 MB.
    return zipfile.ZIP_STORED if path.suffix == ".safetensors" else zipfile.ZIP_DEFLATED


def _minus(text: str) -> str:
    return text.replace("-", "\u2212")
