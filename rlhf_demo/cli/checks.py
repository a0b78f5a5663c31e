"""Checks that the command line makes before the slow imports, to report mistakes at once."""

import os
from pathlib import Path
from typing import TypeGuard

from rlhf_demo.config.options import Options
from rlhf_demo.data.hub_datasets import data_set_refusal
from rlhf_demo.errors import ConfigError, DataError
from rlhf_demo.files import is_record, read_json, write_json
from rlhf_demo.hub.locate import HUB_ID, adapter_base, fingerprint, locate
from rlhf_demo.runs.run import BEGAN_WITH, Run

MODELS = ("model", "policy", "reward", "rater", "judge")
"""Options that name a model."""

NO_MODELS = ("new", "longer", "word-judge", "fluency-judge", "none", "auto")
"""Names that an option may have in place of a model's."""


def check_models(*names: str | None) -> None:
    """Find models by name before the slow imports, to report a wrong name at once."""
    for name in names:
        if _is_a_model(name):
            locate(name)


def _is_a_model(name: str | None) -> TypeGuard[str]:
    return name is not None and name not in NO_MODELS and ":" not in name  # module:function


def check_same_models(run: Run, config: Options) -> None:
    """Note the models that a run begins with, and resume it only with the same.

    A run that was stopped has a model, and another run may begin with it. If the first one is
    resumed, its model changes.

    Raises:
        ConfigError: a model has changed since the run began.
        DataError: the file that names them is damaged.
    """
    named = {name: getattr(config, name, None) for name in MODELS}
    models = {name: _weights(model) for name, model in named.items() if _is_a_model(model)}
    path = run.folder / BEGAN_WITH
    if not path.is_file():
        write_json(path, models)
        return
    began_with = read_json(path)
    if not is_record(began_with):
        raise DataError(f"{BEGAN_WITH} in {run.folder.name} is damaged: delete it")
    for name, weights in models.items():
        if began_with.get(name) != weights:
            raise ConfigError(
                f"{named[name]} has changed since {run.folder.name} began with it: start a new run"
            )


def _weights(name: str) -> str:
    """Return what tells a model's weights, and those of the base under an adapter, from others."""
    folder = locate(name)
    base = adapter_base(folder)
    return fingerprint(folder) + (fingerprint(base) if base else "")


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
