"""Comparisons as records: saved under an id, and opened again without computing anything.

Nothing here knows of the page.
"""

import re
import secrets
import string
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict, TypeVar

from rlhf_demo.errors import ConfigError, DataError
from rlhf_demo.files import read_json, write_json
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.runs.reports import CompareReport
from rlhf_demo.server.payloads import DuelState

ID = re.compile(r"[a-z0-9]{8}")
EXAMPLE_PATH = CHECKPOINTS / "examples" / "duel.json"

MOST_TOKENS = 128
"""Tokens of the longest response on this page, so that other visitors do not wait long."""
MOST_RECORD = 2**24
"""Bytes of a saved comparison."""
MOST_CHARACTERS = 500
"""Characters of the longest prompt."""


class Saved(TypedDict):
    """A comparison as JSON."""

    settings: dict[str, Any]  # names of models and judges, prompt, sampling options
    id: NotRequired[str]  # of a saved record
    date: NotRequired[str]  # UTC: 2026-01-31T09:00:00Z
    example: NotRequired[bool]


class DuelRecord(Saved):
    """Two models continue one prompt, token by token."""

    kind: Literal["duel"]
    state: DuelState | None


class ManyRecord(Saved):
    """Two models answer many prompts."""

    kind: Literal["many"]
    report: NotRequired[CompareReport]
    done: NotRequired[int]  # prompts that both have answered, while it grows
    total: NotRequired[int]


Record = DuelRecord | ManyRecord
AnyRecord = TypeVar("AnyRecord", bound=Saved)


class Comparisons:
    """The folder of saved records; the oldest from the address with the most make room."""

    def __init__(self, folder: Path, most: int = 500) -> None:
        self.folder, self.most = folder, most
        self._lock = threading.Lock()
        self._came_from: dict[str, str] = {}  # address by record; in no file: private

    def keep(self, record: AnyRecord, address: str) -> AnyRecord:
        """Save a record, and return it with its new `id` and its `date` (UTC)."""
        name = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))
        kept = record.copy()
        kept["id"] = name
        kept["date"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with self._lock:
            write_json(self.folder / f"{name}.json", kept)
            self._came_from[name] = address
            self._make_room()
        return kept

    def _make_room(self) -> None:
        ours = [path for path in self.folder.glob("*.json") if ID.fullmatch(path.stem)]
        by_age = sorted(ours, key=lambda path: path.stat().st_mtime_ns)
        origins = {path: self._came_from.get(path.stem, "") for path in by_age}
        while len(origins) > self.most:
            [(fullest, _)] = Counter(origins.values()).most_common(1)
            oldest = next(path for path in origins if origins[path] == fullest)
            oldest.unlink()
            del origins[oldest]
        self._came_from = {path.stem: origin for path, origin in origins.items()}

    def open(self, name: str) -> Record:
        """Return a saved record.

        Raises:
            DataError: no record has that id, or an earlier version of this page wrote it.
        """
        path = self.folder / f"{name}.json"
        if not ID.fullmatch(name) or not path.is_file():
            raise DataError(
                f"there is no saved comparison {name[:40]!r} here: "
                "check the address, or compare again"
            )
        record = read_json(path, MOST_RECORD)
        if not _is_readable(record):
            raise DataError(
                f"the saved comparison {name} was made by an earlier version of this page, which "
                "measured other things: compare again"
            )
        return record


def _is_readable(record: Any) -> bool:
    try:
        if record["kind"] == "many":
            return "judges" in record["report"]
        return "log_ratio" in record["state"]["left"]
    except (KeyError, TypeError):  # another program wrote it
        return False


def check_prompt(prompt: str) -> None:
    """Check the prompt that both models continue.

    Raises:
        ConfigError: it is empty or too long.
    """
    if not prompt.strip():
        raise ConfigError("the prompt is empty: type how the text begins")
    if len(prompt) > MOST_CHARACTERS:
        raise ConfigError(
            f"the prompt has {len(prompt):,} characters: give at most {MOST_CHARACTERS}"
        )
