"""The file that a training goes on from: what was written comes back, and nothing else does."""

import pytest
import torch

from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.errors import CheckpointError, ConfigError
from rlhf_demo.train.checkpoint import load_state, save_state

CPU = torch.device("cpu")
CONFIG = PPOConfig(seed=3)


def test_state_comes_back_with_the_options_it_belongs_to(tmp_path):
    save_state(tmp_path / "checkpoint.pt", CONFIG, {"step": 7, "weights": torch.tensor([1.0, 2.0])})
    state = load_state(tmp_path / "checkpoint.pt", CONFIG, CPU)
    assert state["step"] == 7 and state["weights"].tolist() == [1.0, 2.0]
    assert state["options"]["seed"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_state_of_other_options_is_refused(tmp_path):
    save_state(tmp_path / "checkpoint.pt", CONFIG, {"step": 7})
    with pytest.raises(ConfigError, match="belongs to a run with other options"):
        load_state(tmp_path / "checkpoint.pt", PPOConfig(seed=4), CPU)


def test_damaged_state_and_one_that_would_run_code_are_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_state(path, CONFIG, {"step": 7})
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_state(path, CONFIG, CPU)
    torch.save({"step": pytest.raises}, path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_state(path, CONFIG, CPU)


def test_parts_of_an_older_state_have_the_names_of_today(tmp_path):
    older = {"optimiser": 1, "optimisers": 2, "turn": 3, "place": 4}
    torch.save(older, tmp_path / "checkpoint.pt")  # the rater's once had no options either
    assert load_state(tmp_path / "checkpoint.pt", CONFIG, CPU) == {
        "optimizer": 1, "optimizers": 2, "epoch": 3, "batch_index": 4,
    }  # fmt: skip
