"""Files of pairs that visitors uploaded: each is read once in a separate process, and copied.

Each upload has its own folder, with the copy that trainings read and a summary. On a page with
limits, only the visitor who uploaded a file can see and use it.
"""

import hashlib
import math
import re
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import NotRequired, TypedDict

from rlhf_demo.data.rows import kind_of
from rlhf_demo.errors import DataError
from rlhf_demo.files import replacing_folder, short_name, write_json
from rlhf_demo.jobs.bounds import PUBLIC
from rlhf_demo.jobs.disk import shortage
from rlhf_demo.jobs.queue import Jobs
from rlhf_demo.rate_limit import RateLimit
from rlhf_demo.runs.reports import read_figures
from rlhf_demo.runs.run import Status
from rlhf_demo.server.compute_lock import Busy
from rlhf_demo.server.reading import FileSummary, read_apart

UPLOADS = "uploads"
"""Subfolder of the folder of runs."""
ROWS, ABOUT = "rows.jsonl", "about.json"
ID = re.compile("upload-[0-9a-f]{12}")

LARGEST = 20_000_000
"""Most bytes of a file."""
MOST, MOST_EACH = 100, 10
"""Most uploads of all visitors and, on a page with limits, of one visitor."""
MOST_LISTED, MOST_ABOUT = 2 * MOST, 2**17
"""Folders that are looked at, and most bytes of the record in each; an archive may bring others.
Ours have under 20,000."""
MOST_BYTES, BYTES_NEARBY = 1_000_000_000, 300_000_000
"""Most bytes of the copies on a page with limits: of all visitors, and of one address."""
SAFE_SECONDS = 3600
"""How long an upload of a page with limits is safe from those of others that keep as much."""
FROM_ADDRESS = (40, 1 / 60)
"""Files that are read for one address: this many at once, for a class, then this many a second. So
one address needs more than SAFE_SECONDS to fill the space of all."""

LONGEST_NAME = 60
"""Characters of a file's name that are kept."""
AT_ONCE = 2
"""Files that are read at the same time; only one for each address."""
WAIT_SECONDS = 0.8
"""How long a file waits for a slot."""
RETRY_SECONDS = 15.0
"""How long an address that got no slot goes before addresses whose files were read more recently.
Otherwise, an address that asks without pause would get every slot as soon as it is free."""


class Upload(TypedDict):
    """Contents of about.json, the record of an upload."""

    owner: str  # hash of the visitor's secret
    at: float  # seconds since 1970
    summary: FileSummary
    name: NotRequired[str]  # of the file


class Uploads:
    """The uploads under one folder."""

    def __init__(
        self, folder: Path, jobs: Jobs, *, public: bool, clock: Callable[[], float] = time.time
    ) -> None:
        """Look at a folder.

        Args:
            folder: their folder; it need not exist yet.
            jobs: the runs that may use them.
            public: the limits are on.
            clock: seconds since 1970.
        """
        self.folder, self.jobs, self.public, self.clock = folder, jobs, public, clock
        self._limit = RateLimit(*FROM_ADDRESS, clock)
        self._read_for: set[str] = set()
        self._last_read: dict[str, float] = {}  # by address
        self._turned_away: dict[str, float] = {}
        self._came_from: dict[str, str] = {}  # address by upload; in no file: private
        self._records: dict[str, tuple[int, Upload]] = {}  # with the time of change of each
        self._freed = threading.Condition()
        for unfinished in folder.glob(".upload-*"):  # by an app that was killed
            shutil.rmtree(unfinished, ignore_errors=True)

    # -- reading -----------------------------------------------------------------------------------

    def listed(self, secret: str) -> list[str]:
        """Return the ids of the uploads of this secret; of all, on a page without limits."""
        return sorted(upload for upload, about in self._all() if self._is_theirs(about, secret))

    def label(self, upload: str) -> str:
        """Name a listed upload in a list: by its file, if that is known."""
        about = self._about(upload)
        name = about.get("name") if about else None
        return f"{name} ({upload})" if isinstance(name, str) else upload

    def rows(self, upload: str, secret: str) -> Path | None:
        """Return the copy of an upload, None if `listed` does not name it."""
        return self.folder / upload / ROWS if self.summary(upload, secret) else None

    def summary(self, upload: str, secret: str) -> FileSummary | None:
        """Return what `uploads.summary` said of an upload, None if `listed` does not name it."""
        about = self._about(upload) if ID.fullmatch(upload) else None
        return about["summary"] if about and self._is_theirs(about, secret) else None

    def _all(self) -> list[tuple[str, Upload]]:
        names = sorted(folder.name for folder in self.folder.glob("upload-*"))[:MOST_LISTED]
        return [(name, about) for name in names if (about := self._about(name))]

    def _about(self, upload: str) -> Upload | None:
        """Return the record of an upload, or None if it is missing or incomplete."""
        path = self.folder / upload / ABOUT
        try:
            changed = path.stat().st_ctime_ns
            known = self._records.get(upload)
            if known is None or known[0] != changed:
                if len(self._records) > 2 * MOST_LISTED:
                    self._records.clear()
                known = self._records[upload] = changed, self._read_about(path)
        except (OSError, DataError):
            return None
        return known[1]

    @staticmethod
    def _read_about(path: Path) -> Upload:
        about: Upload = read_figures(path, Upload, MOST_ABOUT)
        if not {"owner", "at", "summary"} <= about.keys():
            raise DataError(f"{short_name(path)} is incomplete: upload the file again")
        return about

    def _is_theirs(self, about: Upload, secret: str) -> bool:
        return not self.public or (bool(secret) and about["owner"] == _hash(secret))

    # -- keeping -----------------------------------------------------------------------------------

    def keep(self, path: str, secret: str, address: str) -> str:
        """Read a file that a visitor sent, keep what it holds, and return its id.

        Args:
            path: the received file.
            secret: the visitor's.
            address: the address of the request.

        Raises:
            DataError: the file is too large, of a kind that is not read, or cannot be used.
            DemoError: too many come at once, or there is no room.
        """
        source = Path(path)
        if not kind_of(source.name):
            raise DataError(f"{source.name} cannot be read: upload a JSONL, CSV or Parquet file")
        owner = _hash(secret)
        upload = f"upload-{_hash(owner + digest(source))[:12]}"
        if self._about(upload):
            return upload
        if self.public and (short := shortage(self.folder, PUBLIC)):
            raise DataError(short)
        with self.reading(address), replacing_folder(self.folder / upload) as folder:
            summary = read_apart("pairs", source, folder / ROWS, public=self.public)
            self._make_room(owner, address, (folder / ROWS).stat().st_size)
            name = source.name[-LONGEST_NAME:]
            about: Upload = {
                "owner": owner, "at": self.clock(), "summary": summary, "name": name,
            }  # fmt: skip
            write_json(folder / ABOUT, about)
            self._read_about(folder / ABOUT)  # what cannot be read would be counted nowhere
        with self._freed:
            present = {name: of for name, of in self._came_from.items() if self._about(name)}
            self._came_from = present | {upload: address}
        return upload

    @contextmanager
    def reading(self, address: str) -> Generator[None]:
        """Hold one of the slots for reading files.

        Raises:
            Busy: no slot was free in time.
            Refused: too many files come from this address.
        """
        with self._freed:
            if not self._freed.wait_for(lambda: self._has_slot(address), WAIT_SECONDS):
                self._turned_away[address] = self.clock()
                raise Busy
            if self.public:
                self._limit.require(address, "files come from this address")
            self._turned_away.pop(address, None)
            self._read_for.add(address)
        try:
            yield
        finally:
            with self._freed:
                self._read_for.remove(address)
                self._last_read[address] = self.clock()
                self._freed.notify_all()

    def _has_slot(self, address: str) -> bool:
        """Say whether a slot is free for which no other address has a better claim."""
        now = self.clock()
        self._turned_away = _since(now - RETRY_SECONDS, self._turned_away)
        self._last_read = _since(now - SAFE_SECONDS, self._last_read)
        own = self._last_read.get(address, 0.0)
        waiting = self._turned_away.keys() - self._read_for
        before = [other for other in waiting if self._last_read.get(other, 0.0) < own]
        return address not in self._read_for and len(self._read_for) + len(before) < AT_ONCE

    def _make_room(self, owner: str, address: str, size: int) -> None:
        """Remove uploads beyond the limits, except those that a queued or running run reads.

        Args:
            owner: owner of the new upload.
            address: its address. Of this address, the largest go first: it may be a class's.
            size: bytes of its copy.

        Raises:
            DataError: no upload may be removed.
        """
        kept = dict(sorted(self._all(), key=lambda upload: upload[1]["at"]))
        before, room = self.clock(), math.inf
        if self.public:
            own = [name for name in kept if kept[name]["owner"] == owner]
            full = f"you have {len(own)} files here, and runs need all of them"
            self._shrink(own, own, MOST_EACH, math.inf, full)
            near = [name for name in kept if self._came_from.get(name) == address]
            near.sort(key=self._bytes, reverse=True)
            full = f"files from your address fill their limit of {BYTES_NEARBY // 10**6} MB"
            self._shrink(near, near, math.inf, BYTES_NEARBY - size, full)
            before, room = before - SAFE_SECONDS, MOST_BYTES - size
        old = [name for name in kept if kept[name]["at"] <= before]
        if self.public:
            old += self._of_fuller_addresses(kept, address, size)
        full = f"this page keeps {len(kept)} files, which is its limit"
        self._shrink(kept, old, MOST, room, full)

    def _of_fuller_addresses(self, kept: Iterable[str], address: str, size: int) -> list[str]:
        """Return uploads of addresses that would keep more than this address, the fullest first."""
        share = MOST_BYTES // MOST  # added to the bytes of each upload
        own: dict[str, list[str]] = defaultdict(list)
        total: dict[str, int] = defaultdict(int)
        total[address] = size + share
        for upload in kept:
            if of := self._came_from.get(upload):
                own[of].append(upload)
                total[of] += self._bytes(upload) + share
        fuller = [of for of in total if total[of] > total[address]]
        fuller.sort(key=lambda of: total[of], reverse=True)
        return [upload for of in fuller for upload in own[of]]

    def _shrink(
        self, kept: Iterable[str], removable: Iterable[str], most: float, room: float, full: str
    ) -> None:
        """Remove uploads in the given order, until fewer than `most` are kept, in `room` bytes."""
        needed = self._needed()
        going = [name for name in removable if name not in needed]
        sizes = {name: self._bytes(name) for name in kept if (self.folder / name).is_dir()}
        while len(sizes) >= most or sum(sizes.values()) > room:
            if not going:
                raise DataError(f"{full}: try again later")
            shutil.rmtree(self.folder / going[0], ignore_errors=True)
            sizes.pop(going.pop(0), None)

    def _bytes(self, upload: str) -> int:
        try:
            return (self.folder / upload / ROWS).stat().st_size
        except OSError:  # removed a moment ago
            return 0

    def _needed(self) -> set[str]:
        """Return the names of the folders of data that queued or running runs read."""
        busy = Status.QUEUED, Status.RUNNING
        runs = [row["id"] for row in self.jobs.overview() if row["status"] in busy]
        return {Path(str(self.jobs.options(run).get("data"))).parent.name for run in runs}


def digest(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        DataError: it is too large.
    """
    if path.stat().st_size > LARGEST:
        raise DataError(f"{path.name} is larger than {LARGEST // 10**6} MB: upload a smaller file")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _since(moment: float, times: dict[str, float]) -> dict[str, float]:
    return {key: at for key, at in times.items() if at > moment}
