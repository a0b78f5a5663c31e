"""Checks that the command line makes before the slow imports, to report mistakes at once."""

import os
from pathlib import Path

from rlhf_demo.config.options import Options
from rlhf_demo.data.hub_datasets import data_set_refusal
from rlhf_demo.errors import ConfigError, DataError
from rlhf_demo.hub.locate import HUB_ID, locate

NO_MODELS = ("new", "longer", "word-judge", "fluency-judge", "none", "auto")
"""Names that an option may have in place of a model's."""


def check_models(*names: str | None) -> None:
    """Find models by name before the slow imports, to report a wrong name at once."""
    for name in names:
        is_function = name is not None and ":" in name  # module:function is imported later
        if name is not None and name not in NO_MODELS and not is_function:
            locate(name)


def check_data(config: Options) -> None:
    """Ask the Hub for a data set before the slow imports; files are checked when they are read."""
    data = getattr(config, "data", None)
    if data is None or data == "shipped" or Path(data).exists() or Path(data).suffix:
        return
    if HUB_ID.fullmatch(data):
        refusal = data_set_refusal(data)
        if refusal:
            raise DataError(
                f"data {data!r} is not available: there is no such file, and {refusal}; "
                "check the name"
            )


def check_out(out: str | None) -> None:
    """Check that the output file can be written, before anything is computed."""
    if not out:
        return
    parent = Path(out).resolve().parent
    if Path(out).is_dir() or not parent.is_dir() or not os.access(parent, os.W_OK):
        raise ConfigError(f"--out is {out}: name a file in a folder that you can write to")
