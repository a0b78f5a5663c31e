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
from typing import Any, Literal, NotRequired, TypedDict, TypeVar, cast

from rlhf_demo.errors import ConfigError, DataError
from rlhf_demo.files import memory_of, read_json, write_json
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.runs.reports import CompareReport, figures
from rlhf_demo.server.payloads import DuelState

ID = re.compile(r"[a-z0-9]{8}")
EXAMPLE_PATH = CHECKPOINTS / "examples" / "duel.json"

MOST_TOKENS = 128
"""Tokens of the longest response on this page, so that other visitors do not wait long."""
MOST_RECORD = 2**22
"""Bytes of a saved comparison: the largest, of 131,072 tokens, has about one million."""
MOST_SETTINGS, DEEPEST_SETTING = 100_000, 4
"""Bytes of memory of a comparison's settings, and how deeply they may be nested."""
MOST_CHARACTERS = 500
"""Characters of the longest prompt."""


class Stamp(TypedDict):
    """Where a comparison comes from."""

    id: NotRequired[str]  # of a saved record
    date: NotRequired[str]  # UTC: 2026-01-31T09:00:00Z
    example: NotRequired[bool]


class Saved(Stamp):
    """A comparison as JSON."""

    settings: dict[str, Any]  # names of models and judges, prompt, sampling options


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
        try:
            return _known(read_json(path, MOST_RECORD))
        except (KeyError, TypeError):
            raise DataError(
                f"the saved comparison {name} was made by an earlier version of this page, which "
                "measured other things: compare again"
            ) from None


def _known(record: Any) -> Record:
    """Return what the page shows of a record; a copied archive may have brought any.

    Raises:
        KeyError, TypeError: it is none of this version.
    """
    settings = record["settings"]
    chosen = ["left", "right", "scorer", *(["chosen_by"] if "chosen_by" in settings else [])]
    named = all(type(settings[each]["id"]) is str for each in chosen)
    if not named or memory_of(settings, DEEPEST_SETTING) > MOST_SETTINGS:
        raise TypeError("its settings are odd")
    stamp = figures(record, Stamp)
    if record["kind"] == "many":
        report = figures(record["report"], CompareReport)
        report["judges"]  # KeyError: earlier reports had no judges
        return cast("ManyRecord", {**stamp, "settings": settings, "kind": "many", "report": report})
    state = figures(record["state"], DuelState)
    state["left"]["log_ratio"]  # KeyError: what was called `kl` was no KL
    return cast("DuelRecord", {**stamp, "settings": settings, "kind": "duel", "state": state})


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
