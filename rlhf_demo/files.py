"""Plain files: written whole or not at all, read with errors that name the file.

Writers make a temporary file next to the target, then `os.replace` it. So a reader never sees half
a file, and a killed writer never leaves one under the target's name.
"""

import errno
import json
import math
import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeGuard

from rlhf_demo.errors import DataError, DemoError

Row = dict[str, Any]
"""A line of a JSONL file, as read: its keys and values are still to be checked."""

MOST_JSON = 2**20
"""Maximum bytes of a JSON file, unless its reader allows more. A copied run may have any file, and
the page polls some."""

FREE_BRACKETS, BYTES_PER_BRACKET = 1000, 8
"""Maximum lists and objects of a JSON file: so many, and one for each so many bytes; ours have one
in 65. Empty ones take 48 times as much memory as their text, and nobody is answered meanwhile."""

TEXT = re.compile(rb'"[^"]*"?')
"""A text in JSON that contains no escaped quotes."""

MOST_STRIPPED = 2**22
"""Maximum bytes of a JSON file whose texts are left out to count its lists: it takes 40 times as
much memory."""

MOST_DIGITS = 20
"""Maximum digits of a whole number: a 64-bit seed has 20. A longer number may not fit a float."""

LARGEST_FIGURE = 1e15
"""Of a number that the page computes with, so that sums and products stay finite."""

KEY_BYTES = 32

OLD = ".old"
"""Suffix of a folder that is about to be replaced."""

LEFTOVER = re.compile(r"\.(?P<name>model|[\w-]+\.(json|jsonl|pt))(?P<ending>\.old|\.[a-z0-9_]{8})")
"""Names of the temporary files below in a run folder (8 random characters are added)."""


def write_text(path: Path, text: str) -> None:
    """Write the file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all; NaN and infinities are refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def open_plain(path: Path) -> IO[bytes]:
    """Open a file for reading. Refuse a pipe or a device, because reading it might never end.

    Raises:
        OSError: there is no such file, or it is not a regular file.
    """
    # Without O_NONBLOCK, opening a pipe waits until another process writes to it.
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return file


def leads_elsewhere(path: Path) -> bool:
    """Say whether the path leads to a file that is not only its own.

    That is so for a symbolic link, and for a file with a second name (a hard link). To write there
    would change the other file, and to publish it would publish the other file.
    """
    try:
        facts = path.lstat()
    except OSError:  # usually: another process has just removed it
        return False
    second_name = stat.S_ISREG(facts.st_mode) and facts.st_nlink > 1
    return stat.S_ISLNK(facts.st_mode) or second_name


def own_folder(path: Path) -> Path:
    """Return one of the page's own folders; a link in its place goes.

    An archive that was unpacked beside the runs may have brought it. The page removes old files
    from its folders, and would remove what lies where the link leads.
    """
    if path.is_symlink():
        path.unlink()
    return path


def short_name(path: Path) -> str:
    """Return a file's name and its folder's, for messages; the full path stays private.

    A model from the Hub has its Hub id.
    """
    hub = [part for part in path.parts if part.startswith("models--")]
    return hub[0][8:].replace("--", "/") if hub else str(Path(*path.parts[-2:]))


PATH = re.compile(r"(?<![\w.:/~-])/(?:[\w.@+~-]+/)+[\w.@+~-]+")
"""A full path of at least two parts; no part of an address of the web, or of a relative path."""


def without_paths(text: str) -> str:
    """Return a text with each full path in it cut to its last two names, as by `short_name`."""
    return PATH.sub(lambda found: short_name(Path(found[0])), text)


def is_record(value: Any) -> TypeGuard[dict[str, Any]]:
    """Say whether a value out of JSON is an object: its keys are always texts."""
    return isinstance(value, dict)


def folders_under(top: Path) -> Iterator[Path]:
    """Yield a folder and all folders under it, each after the one that it lies in; none of a link.

    `os.walk` and `shutil.rmtree` call themselves for each level, and fail at a thousand.
    """
    found = [] if top.is_symlink() else [top]
    while found:
        yield (folder := found.pop())
        with os.scandir(folder) as entries:
            found += [Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False)]


def read_json(path: Path, most: int = MOST_JSON) -> Any:
    """Read a JSON file of at most `most` bytes.

    Raises:
        DataError: the file is not JSON, or is too large.
    """
    with open_plain(path) as file:
        content = file.read(most + 1)
    try:
        if len(content) > most:
            raise ValueError(f"it has more than {most / 1e6:.0f} MB")
        allowed = FREE_BRACKETS + len(content) // BYTES_PER_BRACKET
        if (brackets := _brackets(content, allowed)) > allowed:
            raise ValueError(f"it has {brackets:,} lists and objects")
        return parse_json(content)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{short_name(path)} is not valid JSON ({error}): restore or delete it"
        ) from None


def _brackets(content: bytes, allowed: int) -> int:
    """Count the lists and objects of a JSON text, or all its brackets if these are not too many."""
    found = content.count(b"[") + content.count(b"{")
    if found > allowed and len(content) <= MOST_STRIPPED:  # texts in it may hold brackets
        content = TEXT.sub(b"", content.replace(rb"\\", b"").replace(rb"\"", b""))
        found = content.count(b"[") + content.count(b"{")
    return found


def read_jsonl(path: Path) -> list[Row]:
    """Read the rows of a JSONL file; skip an unfinished last line.

    Raises:
        DataError: a line before the last is not JSON.
        OSError: there is no such file, or it is not a regular file.
    """
    # Bytes, because an unfinished line may end inside a character.
    with open_plain(path) as file:
        lines = file.read().split(b"\n")
    # Text after the last newline is empty or an unfinished line.
    return parse_lines(path, lines[:-1])


def parse_lines(path: Path, lines: list[bytes], first: int = 1) -> list[Row]:
    """Parse whole lines of a JSONL file; `first` is the number of the first of them.

    Raises:
        DataError: a line is not JSON.
    """
    rows: list[Any] = []
    for number, line in enumerate(lines, start=first):
        try:
            rows.append(parse_json(line))
        except (ValueError, RecursionError):
            raise DataError(
                f"{short_name(path)} line {number} is not valid JSON: restore or delete the file"
            ) from None
    return rows


def parse_json(content: bytes) -> Any:
    """Parse JSON, and refuse values that this program could not compute with or write again.

    Raises:
        ValueError: it is not JSON in UTF-8, or contains half a character, NaN, an infinity, or a
            whole number of more than MOST_DIGITS digits.
        RecursionError: it is nested too deeply.
    """
    text = content.decode()
    value = json.loads(text, parse_constant=_number, parse_float=_number, parse_int=_whole)
    if "\\u" in text:  # only an escape can contain half a character
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is not a finite number")
    return number


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a number has {len(text)} digits")
    return int(text)


def is_figure(value: Any) -> TypeGuard[float]:
    """Say whether a value out of JSON is a number that the page can compute with."""
    return type(value) in (int, float) and abs(value) < LARGEST_FIGURE


def figure_or_none(value: Any) -> float | None:
    """Return a value out of JSON if it is such a number, else None."""
    return value if is_figure(value) else None


def memory_of(value: Any, deepest: int) -> float:
    """Return how many bytes a value out of JSON takes; infinitely many if it is nested deeper."""
    size = sys.getsizeof(value)
    if type(value) not in (list, dict):
        return size
    if not deepest:
        return math.inf
    inside: Iterable[Any] = value.values() if is_record(value) else value
    keys = sum(map(sys.getsizeof, value)) if is_record(value) else 0
    return size + keys + sum(memory_of(each, deepest - 1) for each in inside)


def is_unicode(text: str) -> bool:
    """Say whether a text can be encoded: JSON may contain half a character, a lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(text: str) -> str:
    """Replace characters that a terminal would obey, or could not show, with question marks."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def kept_key(path: Path) -> bytes:
    """Read a random key that only its owner may read; create it if there is none.

    Raises:
        DataError: it cannot be read or created.
    """
    try:
        if not path.is_file() or path.stat().st_size != KEY_BYTES:
            with replacing(path) as temporary:
                temporary.chmod(0o600)
                temporary.write_bytes(secrets.token_bytes(KEY_BYTES))
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"the key {short_name(path)} cannot be read or created ({error.strerror}): remove "
            "the file or folder of that name"
        ) from None


@contextmanager
def _written(path: Path) -> Generator[None]:
    """Raise OSError for every failure to write a file.

    On a full disk, torch raises RuntimeError and safetensors raises an error of its own.
    """
    try:
        yield
    except (OSError, DemoError):
        raise
    except Exception as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise OSError(errno.EIO, f"cannot be written ({line})", str(path)) from error


def _temporary(path: Path) -> Path:
    """Return a temporary name. Unlike `tempfile`, files made under it get the umask's rights."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Yield a temporary path next to `path`; on success, it replaces `path` in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    temporary.touch(exist_ok=False)
    try:
        with _written(path):
            yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Generator[Path]:
    """Yield a temporary folder next to `path`; on success, it replaces `path`.

    Not every system can exchange folders in one step. A process that is killed between the two
    renames leaves the old folder under another name, and `Run.recording` puts it back.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    temporary.mkdir()
    try:
        with _written(path):
            yield temporary
        mode = temporary.stat().st_mode & 0o777  # as the umask says
        for inside in temporary.rglob("*"):  # safetensors makes files that only the owner can read
            inside.chmod(mode if inside.is_dir() else mode & 0o666)
        old = path.with_name(f".{path.name}{OLD}")
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            os.replace(path, old)
        os.replace(temporary, path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
