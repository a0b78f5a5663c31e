"""What the small files of a run must contain before the app uses them.

After a power cut, or after another version or a person has written them, they may contain anything.
After these checks, their values can be sorted, counted and used as process numbers.
"""

import unicodedata
from types import NoneType
from typing import Any, NotRequired, TypedDict

from rlhf_demo.config.options import declarations
from rlhf_demo.config.stages import STAGES
from rlhf_demo.errors import DataError
from rlhf_demo.files import is_record
from rlhf_demo.runs.run import Status

HIGHEST_PID = 2**31 - 1
"""The highest process number. 0 and below mean whole groups, and 1 is the system's init."""

MOST_TEXT = 4096
"""Characters of a text: the length of the longest path."""
CUT = {"title", "message"}
"""Texts that may be longer, because the page cuts them."""


class JobRecord(TypedDict, total=False):
    """Contents of job.json; empty for a run without that file, which the command line made."""

    title: str
    owner: str | None  # hash of the owner's secret
    queued_at: float  # seconds since 1970
    after: str | None  # id of a run that must finish first
    first: bool  # it is a class's
    visitor: bool
    most_minutes: float | None  # limits; None: there is none
    most_megabytes: float | None
    signature: str
    copied: bool  # it began elsewhere, and was resumed here
    ended: bool  # here
    ours: bool  # earlier versions signed these two, and their signatures must stay valid
    made: str
    experiment: str  # key of config/experiments.py, if it was started as one
    started_at: float  # seconds of the machine's monotonic clock
    handle: str | None  # of the process, in the executor
    started_pid: int  # the same in older versions
    oom_kills: int | None  # processes that the system had ended for lack of memory before


class StopRequest(TypedDict):
    """Contents of stopping.json."""

    asked_at: float  # seconds of the machine's monotonic clock
    message: str  # for the status
    handle: NotRequired[str | None]  # of the process that is to end, in the executor
    pid: NotRequired[int | None]  # the same in older versions
    again: NotRequired[bool]  # put the job back in the queue


NUMBER = int, float
WANTED = {
    "config.json": {"kind": (str,), "options": (dict,), "created_at": (str,)},
    "status.json": {"status": (str,), "updated_at": (str,)},
    "job.json": {
        "title": (str,), "owner": (str, NoneType), "queued_at": NUMBER, "after": (str, NoneType)
    },
    "stopping.json": {"asked_at": NUMBER, "message": (str,)},
}  # fmt: skip
"""File -> its required keys and their types."""
ALLOWED = {
    "message": (str,),
    "signature": (str,),
    "copied": (bool,),
    "ended": (bool,),
    "ours": (bool,),
    "made": (str,),
    "experiment": (str,),
    "started_pid": (int,),
    "handle": (str, NoneType),
    "pid": (int, NoneType),
    "first": (bool,),
    "visitor": (bool,),
    "again": (bool,),
    "most_minutes": (*NUMBER, NoneType),
    "most_megabytes": (*NUMBER, NoneType),
    "oom_kills": (int, NoneType),
}
"""Optional keys and their types."""
STARTED_AT = {"status.json": (str,), "job.json": NUMBER}
"""A date in the first file, a time of the machine's monotonic clock in the second."""


def check(name: str, record: Any) -> Any:
    """Return the record from a run's file of that name, if it is valid.

    Lists and objects in it, which the app does not use, are left out. The record is then a
    RunConfig, a RunStatus, a JobRecord or a StopRequest.

    Raises:
        DataError: it is not what the file must contain.
    """
    if not is_record(record):
        raise DataError(f"{name} holds no record")
    record = {key: value for key, value in record.items() if key == "options" or _is_plain(value)}
    for key, types in WANTED[name].items():
        if type(record.get(key)) not in types:
            raise DataError(f"{name} has no {key!r} of the right type")
    for key, types in (ALLOWED | {"started_at": STARTED_AT.get(name, ())}).items():
        if key in record and type(record[key]) not in types:
            raise DataError(f"{name} has a {key!r} of the wrong type")
    for key, value in record.items():
        if isinstance(value, str) and len(value) > MOST_TEXT and key not in CUT:
            raise DataError(f"{name} has a {key[:40]!r} of {len(value):,} characters")
    for key in ("pid", "started_pid"):
        if record.get(key) is not None and not 1 < record[key] <= HIGHEST_PID:
            raise DataError(
                f"{name} has {key!r} {str(record[key])[:20]}, which is not a process number"
            )
    if name == "status.json" and record["status"] not in list(Status):
        raise DataError(f"{name} says {record['status'][:40]!r}, which this version does not know")
    if name == "config.json":
        _check_options(record["kind"], record["options"])
        record["options"] = {k: v for k, v in record["options"].items() if _is_plain(v)}
    return record


def _check_options(kind: str, options: dict[str, Any]) -> None:
    # Types only: a run from a version with other ranges is valid too.
    if kind not in STAGES:
        raise DataError(f"config.json has the kind {kind[:40]!r}, which this version does not know")
    for declared, wanted, optional in declarations(STAGES[kind].config):
        value = options.get(declared.name, declared.default)
        if not _is_plain(value):  # no other check may meet lists inside lists
            raise DataError(f"config.json has a list or an object for {declared.name}")
        if not (type(value) is wanted or (wanted is float and type(value) is int)) and not (
            optional and value is None
        ):
            raise DataError(f"config.json has {str(value)[:40]!r} for {declared.name}")
        text = str(value)
        if len(text) > MOST_TEXT:
            raise DataError(f"config.json has a {declared.name} of {len(text):,} characters")
        # Control and format characters act on a terminal into which the command is pasted.
        if any(unicodedata.category(letter).startswith("C") for letter in text):
            raise DataError(f"config.json has unprintable characters in {declared.name}")


def _is_plain(value: Any) -> bool:
    return not isinstance(value, list | dict)
