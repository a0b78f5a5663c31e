"""Data sets of the Hub: check quickly whether one is available, fetch it, and read its rows.

`datasets` is used only to learn which files a split has. It would unpack them to disk without
limits, so the files are read like local files (data/rows.py).
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
"""Files to fetch: the formats that we read, and README.md, which may name the files of a split."""
MOST_README = 1_000_000
"""Bytes of README.md, which is parsed as a whole."""


def data_set_refusal(name: str) -> str | None:
    """Return why a Hub data set is unavailable, even from the cache, or None if it is available.

    Does not import `datasets`, which takes seconds, so a wrong name gets an answer within 3 s.
    """
    return None if is_cached(name) else hub_refusal(name, "dataset")


def is_cached(name: str) -> bool:
    """Say whether the cache of the Hub's client has files of this data set."""
    from huggingface_hub import constants  # noqa: PLC0415

    return Path(constants.HF_HUB_CACHE, f"datasets--{name.replace('/', '--')}").is_dir()


def fetch_hub_data(name: str) -> Path:
    """Return the folder of a Hub data set; from the cache if the Hub does not answer.

    Raises:
        DataError: it is unavailable.
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
    except Exception as error:  # noqa: BLE001  (errors of the connection share no class)
        raise _unreadable(name, error) from None
    return Path(folder)


def hub_rows(name: str, split: str, columns: Collection[str]) -> Iterator[Row]:
    """Yield the rows of one split of a Hub data set, after fetching it if needed.

    Args:
        name: id of the data set.
        split: a split that its file names or its README.md declare.
        columns: see `rows.file_rows`.

    Raises:
        DataError: it is unavailable or unreadable, has no such split, or is larger than OWN.
    """
    number, left = 0, OWN.bytes
    for file in _files_of(name, fetch_hub_data(name), split):
        for _, row in file_rows(file, columns, OWN):
            number += 1
            if is_record(row):
                left -= sum(len(value) for value in row.values() if isinstance(value, str))
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
    datasets.utils.logging.set_verbosity(logging.CRITICAL)  # our errors say what it would print
    try:
        files = datasets.load_dataset_builder(str(folder)).config.data_files or {}
    except (OSError, ValueError, DatasetsError) as error:
        raise _unreadable(name, error) from None
    if split not in files:
        names = ", ".join(map(str, files))
        raise DataError(f"{name} has no split {split!r}: choose one of {names}")
    paths = [Path(os.path.abspath(file)) for file in files[split]]
    if any(not path.is_relative_to(folder) for path in paths):  # README.md may name any file
        raise DataError(f"{name} names files that are not its own: choose another data set")
    return paths


def _unreadable(name: str, error: Exception) -> DataError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return DataError(f"{name} cannot be read ({reason}): check its name, split and format")
