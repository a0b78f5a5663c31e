"""Data sets of the Hub: find out quickly whether one can be had, fetch it, and read its rows.

Of `datasets` only the part is used that tells which files a split has. It would unpack them to disk
without bounds, so the files are read as one's own are (data/rows.py).
"""

import logging
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from rlhf_demo.data.rows import OWN, Row, file_rows
from rlhf_demo.errors import DataError
from rlhf_demo.files import is_record
from rlhf_demo.hub.locate import hub_refusal

WANTED = [
    *(f"*.{kind}{packed}" for kind in ("jsonl", "json", "csv") for packed in ("", ".gz")),
    "*.parquet",
    "README.md",
]
"""What is fetched: the formats that are read; README.md may say which files a split has."""
MOST_README = 1_000_000
"""Bytes; it is parsed as a whole."""


def data_set_refusal(name: str) -> str | None:
    """Return why a Hub data set cannot be had, not even from the cache, or None where it can.

    Imports no `datasets`, which takes seconds, so a wrong name is answered within 3 seconds.
    """
    return None if is_cached(name) else hub_refusal(name, "dataset")


def is_cached(name: str) -> bool:
    """Say whether the Hub's client keeps files of this data set."""
    from huggingface_hub import constants  # noqa: PLC0415

    return Path(constants.HF_HUB_CACHE, f"datasets--{name.replace('/', '--')}").is_dir()


def fetch_hub_data(name: str) -> Path:
    """Return the folder of a Hub data set; from the cache alone where the Hub does not answer.

    Raises:
        DataError: it cannot be had.
    """
    # One of its options has no full type.
    from huggingface_hub import (  # noqa: PLC0415
        snapshot_download,  # pyright: ignore[reportUnknownVariableType]
    )

    refusal = hub_refusal(name, "dataset")
    if refusal is not None and not is_cached(name):
        raise DataError(f"data set {name!r} is not available: {refusal}; name a file")
    try:
        folder = snapshot_download(
            name,
            repo_type="dataset",
            allow_patterns=WANTED,
            ignore_patterns=["dataset_infos.json"],  # no data, and `datasets` would parse it
            local_files_only=refusal is not None,
        )
    except Exception as error:  # noqa: BLE001  (those of the connection have no class in common)
        raise _unreadable(name, error) from None
    return Path(folder)


def hub_rows(name: str, split: str, columns: Collection[str]) -> Iterator[Row]:
    """Yield the rows of one split of a Hub data set, fetched where it is not.

    Args:
        name: its id.
        split: of its own, as its file names or its README.md tell.
        columns: see `data_rows.file_rows`.

    Raises:
        DataError: it cannot be had or read, has no such split, or is larger than OWN.
    """
    number, left = 0, OWN.bytes
    for file in _files_of(name, fetch_hub_data(name), split):
        for _, row in file_rows(file, columns, OWN):
            number += 1
            if is_record(row):
                left -= sum(len(one) for one in row.values() if isinstance(one, str))
            if number > OWN.rows or left < 0:
                raise DataError(
                    f"{name} has over {OWN.rows:,} rows or {OWN.bytes // 10**6} MB of text: "
                    "choose a smaller data set"
                )
            yield number, row


def _files_of(name: str, folder: Path, split: str) -> list[Path]:
    import datasets  # noqa: PLC0415  (takes seconds)
    from datasets.exceptions import DatasetsError  # noqa: PLC0415

    readme = folder / "README.md"
    if readme.is_file() and readme.stat().st_size > MOST_README:
        raise DataError(f"{name} has a README.md of over 1 MB: choose another data set")
    datasets.utils.logging.set_verbosity(logging.CRITICAL)  # what it would print is said here
    try:
        files = datasets.load_dataset_builder(str(folder)).config.data_files or {}
    except (OSError, ValueError, DatasetsError) as error:
        raise _unreadable(name, error) from None
    if split not in files:
        there = ", ".join(map(str, files))
        raise DataError(f"{name} has no split {split!r}: choose one of {there}")
    paths = [Path(os.path.abspath(file)) for file in files[split]]
    if any(not path.is_relative_to(folder) for path in paths):  # README.md may name any
        raise DataError(f"{name} names files that are not its own: choose another data set")
    return paths


def _unreadable(name: str, error: Exception) -> DataError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return DataError(f"{name} cannot be read ({reason}): check its name, split and format")
