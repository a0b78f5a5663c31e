"""The file from which a stopped or killed training resumes, written whole or not at all."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from rlhf_demo.config.options import Options
from rlhf_demo.errors import CheckpointError, ConfigError
from rlhf_demo.files import replacing

RENAMED = {
    "optimiser": "optimizer", "optimisers": "optimizers", "turn": "epoch", "place": "batch_index"
}  # fmt: skip
"""Name in older checkpoints -> name today."""


def save_state(path: Path, config: Options, state: dict[str, Any]) -> None:
    """Write the state of a training together with its options."""
    with replacing(path) as temporary:
        torch.save({"options": asdict(config), **state}, temporary)


def load_state(path: Path, config: Options, device: torch.device) -> dict[str, Any]:
    """Return the state that save_state wrote.

    Raises:
        CheckpointError: the file is damaged.
        ConfigError: the state belongs to a run with other options.
    """
    try:
        saved: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # noqa: BLE001  (torch raises half a dozen kinds for a damaged file)
        name = type(error).__name__
        raise CheckpointError(
            f"{path} cannot be read ({name}): start the run again without --resume"
        ) from None
    state = {RENAMED.get(name, name): value for name, value in saved.items()}
    # Older checkpoints of train-rater have no options.
    if config.from_dict(state.get("options", asdict(config))) != config:
        raise ConfigError(
            f"{path} belongs to a run with other options: resume it with the options it has"
        )
    return state
