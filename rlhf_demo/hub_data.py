"""Data sets of the Hub: find out quickly whether one can be had, and read it or what is cached."""

import logging
import os
from pathlib import Path
from typing import Any

from rlhf_demo.errors import DataError
from rlhf_demo.locate import hub_refusal


def data_set_refusal(name: str) -> str | None:
    """Return why a Hub data set cannot be had, not even from the cache, or None where it can.

    Imports no `datasets`, which takes seconds, so a wrong name is answered within 3 seconds.
    """
    return None if is_cached(name) else hub_refusal(name, "dataset")


def is_cached(name: str) -> bool:
    """Say whether `datasets` keeps a folder of this data set."""
    from huggingface_hub import constants  # noqa: PLC0415

    cache = Path(os.environ.get("HF_DATASETS_CACHE") or Path(constants.HF_HOME, "datasets"))
    wanted = _folded(name.replace("/", "___"))
    return cache.is_dir() and any(_folded(folder.name) == wanted for folder in cache.iterdir())


def _folded(name: str) -> str:
    """Forget what `datasets` changes in a name: CamelCase becomes snake_case in its folders."""
    return name.lower().replace("_", "")


def load_hub_data(name: str, split: str) -> Any:
    """Return one split of a Hub data set; from the cache alone where the Hub does not answer.

    Raises:
        DataError: it cannot be had, or has no such split.
    """
    refusal = hub_refusal(name, "dataset")
    if refusal is not None and not is_cached(name):
        raise DataError(f"data set {name!r} cannot be had: {refusal}; name a file")
    return _load(name, split, offline=refusal is not None)


def _load(name: str, split: str, *, offline: bool) -> Any:
    import datasets  # noqa: PLC0415  (takes seconds)

    datasets.utils.logging.set_verbosity(logging.CRITICAL)  # what it would print is said here
    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or offline
    try:
        return datasets.load_dataset(name, split=split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{name} cannot be read ({reason}): check its name, split and format"
        ) from None
    finally:
        datasets.config.HF_HUB_OFFLINE = before
