"""A PPO trainer on a tiny model, and scorers that tell whose a score is."""

import zlib

import torch

from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.runs.run import Run
from rlhf_demo.train.ppo import PPOTrainer


def longer(prompts, responses):
    return torch.tensor([len(response) / 10 for response in responses])


def checksum_of(prompt, response):
    return zlib.crc32(f"{prompt}|{response}".encode()) % 1000 / 100


def checksum(prompts, responses):
    """A score that depends on both, so that it tells whose it is."""
    return torch.tensor([checksum_of(*both) for both in zip(prompts, responses)])


def trainer_maker(
    tiny_model_folder, prompts_file, tmp_path, trainer=PPOTrainer, options_of=PPOConfig
):
    """Make a trainer whose value head already says something, and whose samples are whole steps."""

    def make(scorer=longer, judge=None, **changes):
        options = {
            "policy": str(tiny_model_folder), "reward": "longer", "prompts": str(prompts_file),
            "total_steps": 6, "batch_size": 8, "minibatch_size": 4, "ppo_epochs": 2,
            "max_new_tokens": 8, "learning_rate": 1e-3, "warmup_steps": 1, "kl_budget": 1e6,
            "lora_rank": 0, "dtype": "float32", "samples_every": 1,
        }  # fmt: skip
        config = options_of(**options | changes)
        folder = tmp_path / f"run {len(list(tmp_path.iterdir()))}"
        kind = trainer.name.lower()
        made = trainer(config, Run.create(folder, kind, config.to_dict()), scorer, judge)
        if trainer.value_head:
            with torch.no_grad():
                made.policy.value_head.weight.normal_(generator=torch.Generator().manual_seed(0))
        return made

    return make
