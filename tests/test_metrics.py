"""The glossary explains what is logged: no key without a meaning, no meaning without a key."""

import json
import re
from pathlib import Path

import pytest

import rlhf_demo
from rlhf_demo.config.dpo import DPOConfig
from rlhf_demo.config.grpo import GRPOConfig
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.config.sft import SFTConfig
from rlhf_demo.config.stages import STAGES
from rlhf_demo.metrics import GLOSSARY
from rlhf_demo.models.scorers import length_scores
from rlhf_demo.runs.run import Run
from rlhf_demo.train.dpo import train_dpo
from rlhf_demo.train.grpo import train_grpo
from rlhf_demo.train.ppo import train_ppo
from rlhf_demo.train.reward import train_reward
from rlhf_demo.train.sft import train_sft

PACKAGE = Path(rlhf_demo.__file__).parent

STAGE_ZERO = {
    "base/loss", "base/tokens", "base/learning_rate", "base/gradient_norm",
    "base/held_out_loss", "base/held_out_perplexity",
    "base/held_out_plain_loss", "base/held_out_plain_perplexity",
    "rater/loss", "rater/accuracy", "rater/learning_rate", "time/tokens_per_second",
}  # fmt: skip
"""Keys of train-base and train-rater, which need text or reviews to run; see the test below."""


@pytest.fixture(scope="module")
def logged(tmp_path_factory, tiny_model_folder, prompts_file):
    """The keys that real runs of the main stages write."""
    folder = tmp_path_factory.mktemp("runs")
    options = {
        "policy": str(tiny_model_folder), "prompts": str(prompts_file), "total_steps": 1,
        "batch_size": 4, "minibatch_size": 4, "ppo_epochs": 1, "max_new_tokens": 4,
    }  # fmt: skip
    config = PPOConfig(reward="longer", dtype="float32", **options)
    ppo = Run.create(folder / "ppo", "ppo", config.to_dict())
    train_ppo(config, ppo, scorer=length_scores, judge=length_scores)
    config = GRPOConfig(reward="longer", dtype="float32", samples_per_prompt=2, **options)
    grpo = Run.create(folder / "grpo", "grpo", config.to_dict())
    train_grpo(config, grpo, scorer=length_scores)

    pairs = [
        {"prompt": f"Film {n} was", "chosen": " good" * (1 + n % 3), "rejected": " bad"}
        for n in range(12)
    ]
    data = folder / "pairs.jsonl"
    data.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    reward_config = RewardConfig(
        model=str(tiny_model_folder), data=str(data), train_pairs=8, batch_size=4, lora_rank=0,
        dtype="float32",
    )  # fmt: skip
    reward = Run.create(folder / "reward", "reward", reward_config.to_dict())
    train_reward(reward_config, reward)
    dpo_config = DPOConfig(
        policy=str(tiny_model_folder), data=str(data), prompts=str(prompts_file), train_pairs=8,
        batch_size=4, max_new_tokens=4, dtype="float32",
    )  # fmt: skip
    dpo = Run.create(folder / "dpo", "dpo", dpo_config.to_dict())
    train_dpo(dpo_config, dpo, scorer=length_scores, judge=length_scores)
    sft_config = SFTConfig(
        policy=str(tiny_model_folder), data=str(data), prompts=str(prompts_file), train_texts=8,
        batch_size=4, max_new_tokens=4, dtype="float32",
    )  # fmt: skip
    sft = Run.create(folder / "sft", "sft", sft_config.to_dict())
    train_sft(sft_config, sft, scorer=length_scores, judge=length_scores)
    runs = (ppo, grpo, reward, dpo, sft)
    return {key for run in runs for row in run.read("metrics") for key in row}


def test_glossary_explains_what_the_runs_log_and_nothing_else(logged):
    assert logged | STAGE_ZERO == set(GLOSSARY)


def test_stage_zero_keys_are_those_that_its_modules_write():
    written = set()
    for module in ("train/pretrain", "train/rater"):
        source = (PACKAGE / f"{module}.py").read_text(encoding="utf-8")
        written |= set(re.findall(r'"((?:base|rater|time)/\w+)"', source)) - {"base/held_out"}
        for name in re.findall(r'f"(base/held_out_\{kind\}\w+)"', source):
            written |= {name.replace("{kind}", kind) for kind in ("", "plain_")}
    assert written - {"time/step_seconds"} == STAGE_ZERO


def test_every_metric_has_label_unit_and_meaning():
    for key, metric in GLOSSARY.items():
        assert metric.label and metric.unit and metric.meaning, key
        assert not metric.meaning.endswith("."), key


def test_labels_differ_within_a_stage():
    for stage in {key.split("/")[0] for key in GLOSSARY}:
        labels = [metric.label for key, metric in GLOSSARY.items() if key.split("/")[0] == stage]
        assert len(labels) == len(set(labels)), stage


def test_names_follow_the_vocabulary():
    for key in GLOSSARY:
        assert re.fullmatch(r"step|[a-z]+/[a-z0-9_]+", key), key
        assert not key.startswith("val/")
        if key.startswith("time/"):
            assert key.endswith(("_seconds", "_per_second")), key


def test_list_of_runs_shows_metrics_that_there_are():
    headlines = {name for stage in STAGES.values() for name in stage.headline}
    assert headlines and headlines <= set(GLOSSARY)
