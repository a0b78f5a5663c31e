"""Plain files: written whole or not at all, read with errors that name the file.

Writers make a temporary file beside the target, then `os.replace` it, so a reader never sees half a
file and a kill never leaves one under the target's name.
"""

import errno
import json
import math
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from rlhf_demo.errors import DataError, DemoError

MOST_JSON = 2**24
"""Bytes of a JSON file that is read whole; the largest here, a comparison, has far fewer."""

MOST_DIGITS = 20
"""Of a whole number, as a seed of 64 bits has. With more it may not even fit a float."""

KEY_BYTES = 32

OLD = ".old"
"""Ending of a folder that is about to be replaced."""

LEFTOVER = re.compile(r"\.(?P<name>model|[\w-]+\.(json|jsonl|pt))(?P<ending>\.old|\.[a-z0-9_]{8})")
"""What the temporary files below are called in a run folder (8 characters are added)."""


def write_text(path: Path, text: str) -> None:
    """Write the file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all; NaN and infinities are refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def open_plain(path: Path) -> IO[bytes]:
    """Open a file to read. A pipe or a device is refused: reading it might never end.

    Raises:
        OSError: there is none, or it is no plain file.
    """
    # A pipe that nobody writes to would keep even the opening waiting.
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no plain file", str(path))
    return file


def leads_elsewhere(path: Path) -> bool:
    """Say whether it is a link, or a log or lock, which are written in place, of two names."""
    try:
        found = path.lstat()
    except OSError:  # most of all: it has gone meanwhile
        return False
    in_place = path.name == "lock" or path.suffix in (".log", ".jsonl")
    return stat.S_ISLNK(found.st_mode) or (in_place and found.st_nlink > 1)


def short_name(path: Path) -> str:
    """Name a file for people, by itself and its folder: where it lies is this machine's business.

    A model of the Hub goes by the name that it has there.
    """
    hub = [part for part in path.parts if part.startswith("models--")]
    return hub[0][8:].replace("--", "/") if hub else str(Path(*path.parts[-2:]))


def read_json(path: Path, most: int = MOST_JSON) -> Any:
    """Read a JSON file of at most so many bytes.

    Raises:
        DataError: the file is not JSON, or too large.
    """
    with open_plain(path) as file:
        held = file.read(most + 1)
    try:
        if len(held) > most:
            raise ValueError(f"it has more than {most / 1e6:.0f} MB")
        return parse_json(held)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{short_name(path)} is not valid JSON ({error}): restore or delete it"
        ) from None


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read rows; an unfinished last line is skipped.

    Raises:
        DataError: a line before the last is not JSON.
    """
    # Bytes, because an unfinished line may end inside a character.
    lines = path.read_bytes().split(b"\n")
    # What follows the last newline is unfinished or empty.
    return parse_lines(path, lines[:-1])


def parse_lines(path: Path, lines: list[bytes], first: int = 1) -> list[dict[str, Any]]:
    """Parse whole lines of a JSONL file, the first of them being number `first` in it.

    Raises:
        DataError: a line is not JSON.
    """
    rows = []
    for number, line in enumerate(lines, start=first):
        try:
            rows.append(parse_json(line))
        except (ValueError, RecursionError):
            raise DataError(
                f"{short_name(path)} line {number} is not valid JSON: restore or delete the file"
            ) from None
    return rows


def parse_json(held: bytes) -> Any:
    """Parse JSON that can be written again and reckoned with, as what this program writes can.

    Raises:
        ValueError: it is not JSON in UTF-8, or holds half a character or a number beyond all
            measure: NaN, an infinity, a whole number of more than 64 bits.
        RecursionError: it is nested too deeply.
    """
    text = held.decode()
    value = json.loads(text, parse_constant=_number, parse_float=_number, parse_int=_whole)
    if "\\u" in text:  # no half of a character gets in but by its number
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is no finite number")
    return number


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a number has {len(text)} digits")
    return int(text)


def is_unicode(text: str) -> bool:
    """Say whether a text can be written: JSON may hold half a character, a lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(text: str) -> str:
    """Put a ? for each character that would act on a terminal, or could not be written to it."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def kept_key(path: Path) -> bytes:
    """Read a random key that nobody else may read; it is made where there is none.

    Raises:
        DataError: it can be neither read nor made.
    """
    try:
        if not path.is_file() or path.stat().st_size != KEY_BYTES:
            with replacing(path) as temporary:
                temporary.chmod(0o600)
                temporary.write_bytes(secrets.token_bytes(KEY_BYTES))
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"the key {short_name(path)} can be neither read nor made ({error.strerror}): remove "
            "what lies there"
        ) from None


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Say in one way, as OSError does, that a file cannot be written.

    On a full disk torch raises a RuntimeError, and safetensors one of its own.
    """
    try:
        yield
    except (OSError, DemoError):
        raise
    except Exception as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise OSError(errno.EIO, f"cannot be written ({line})", str(path)) from error


def _temporary(path: Path) -> Path:
    """Name what is written first. It is made as the umask says, which a temp file never is."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes `path`'s place in one step."""
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
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it takes `path`'s place.

    Folders cannot be exchanged in one step everywhere: a kill between two renames leaves the old
    one under another name, and `Run.recording` puts it back.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    temporary.mkdir()
    try:
        with _written(path):
            yield temporary
        mode = temporary.stat().st_mode & 0o777  # what the umask leaves
        for inside in temporary.rglob("*"):  # safetensors lets nobody else read what it writes
            inside.chmod(mode if inside.is_dir() else mode & 0o666)
        old = path.with_name(f".{path.name}{OLD}")
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            os.replace(path, old)
        os.replace(temporary, path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
