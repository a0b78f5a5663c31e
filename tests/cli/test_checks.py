"""What is looked at before the slow imports."""

import shutil

import pytest
import torch

from rlhf_demo.cli.checks import NO_MODELS, check_models, check_out, check_same_models
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.scorers import RULES
from rlhf_demo.errors import CheckpointError, ConfigError, DataError
from rlhf_demo.files import read_json
from rlhf_demo.models.policy import load_policy
from rlhf_demo.runs.run import Run


def test_rules_are_not_looked_for_among_the_models():
    assert set(RULES) <= set(NO_MODELS)


def test_model_is_looked_for_and_a_function_or_no_name_is_not():
    check_models(None, "none", "auto", "no.module:function", "gpt2-mini")
    with pytest.raises(CheckpointError, match="there is no folder /no/model"):
        check_models("gpt2-mini", "/no/model")


def test_run_resumes_only_with_the_models_it_began_with(tmp_path, tiny_model_folder):
    """A base that was resumed in the meantime changed the run's score from 0.3 to 10."""
    base = tmp_path / "base"
    shutil.copytree(tiny_model_folder, base)
    config = PPOConfig(policy=str(base), reward="reward-mini", judge="none")
    run = Run.create(tmp_path / "run", "ppo", config.to_dict())
    check_same_models(run, config)
    assert set(read_json(run.folder / "models.json")) == {"policy", "reward"}
    check_same_models(run, config)
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(ConfigError, match=r"base has changed since run began .* start a new run"):
        check_same_models(run, config)
    (run.folder / "models.json").write_text("[1]")
    with pytest.raises(DataError, match=r"models\.json in run is damaged: delete it"):
        check_same_models(run, config)
    run.discard_unused()
    assert not run.folder.exists()


def test_base_under_an_adapter_must_be_the_same_too(tmp_path, tiny_model_folder):
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    shutil.copytree(tiny_model_folder, base)
    load_policy(
        str(base), device=torch.device("cpu"), for_training=True, lora_rank=2, value_head=False
    ).save(adapter)
    config = PPOConfig(policy=str(adapter), reward="longer", judge="none")
    run = Run.create(tmp_path / "run", "ppo", config.to_dict())
    check_same_models(run, config)
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(ConfigError, match="adapter has changed"):
        check_same_models(run, config)


def test_file_to_write_must_lie_in_a_folder_that_is_there(tmp_path):
    check_out(None)
    check_out(str(tmp_path / "new.json"))
    for wrong in (tmp_path, tmp_path / "gone" / "new.json"):
        with pytest.raises(ConfigError, match="name a file in a folder that you can write to"):
            check_out(str(wrong))
    assert not list(tmp_path.iterdir())
