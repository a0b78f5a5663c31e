"""Rules for starting a run: check what the visitor named, then queue the run.

The page's tabs and the named endpoints (ui/api.py) start runs only by these functions. Ids are
those of the lists (choices.py).
"""

from typing import Any

from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.presets import PPO_PRESETS
from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.errors import ConfigError
from rlhf_demo.jobs.queue import Jobs
from rlhf_demo.server.choices import Choices
from rlhf_demo.server.settings import Settings

REWARD_OPTIONS = (
    "train_pairs", "epochs", "learning_rate", "batch_size", "lora_rank", "warmup_steps", "seed",
    "dtype",
)  # fmt: skip
PPO_OPTIONS = (
    "total_steps", "learning_rate", "kl_coef", "kl_target", "seed", "batch_size", "minibatch_size",
    "ppo_epochs", "max_new_tokens", "temperature", "lora_rank", "warmup_steps", "kl_budget",
    "missing_eos_penalty", "clip_range", "value_clip_range", "value_coef", "entropy_coef", "gamma",
    "gae_lambda", "max_grad_norm", "samples_every", "checkpoint_every", "dtype",
)  # fmt: skip
"""Options of each stage that a visitor may set: never a path or a device."""
MOST_PUBLIC = 64 * 128
"""Tokens of a rollout on a public page: batch size times longest response."""


class Submit:
    """Starts runs for visitors."""

    def __init__(self, settings: Settings, jobs: Jobs, choices: Choices) -> None:
        self.settings, self.jobs, self.choices = settings, jobs, choices

    def reward(
        self, model: str, data: str, title: str, options: dict[str, Any], secret: str, address: str
    ) -> str:
        """Queue the training of a reward model, and return the run's id.

        Args:
            model: id of the model that gets a scoring head.
            data: id of the preference pairs.
            title: what the run is called in the lists; if it is empty, one is made.
            options: of RewardConfig, by name.
            secret: whoever knows it may change the run.
            address: where the request comes from.

        Raises:
            DemoError: an id is in no list, an option is out of range, or the queue is full.
        """
        choices = self.choices
        config = RewardConfig(
            model=choices.policy(model), data=choices.pairs(data, secret), **options
        )
        # Votes are named by their question: "votes: Which is better English? (42 votes)".
        votes = {one: label for label, one in choices.votes_listed()}
        title = title or f"{model} on {votes.get(data, f'{data} pairs')}"
        return self.jobs.start("reward", config, title=title, secret=secret, address=address)

    def ppo(
        self,
        policy: str,
        reward: str,
        title: str,
        label: str,
        options: dict[str, Any],
        secret: str,
        address: str,
    ) -> str:
        """Queue a PPO training, and return the run's id.

        Args:
            policy: id of the model that learns.
            reward: id of what scores its texts.
            title: what the run is called in the lists; if it is empty, one is made.
            label: whose logit is the score, where the reward has several; may be empty.
            options: of PPOConfig, by name; a `judge` is an id of the list.
            secret: whoever knows it may change the run.
            address: where the request comes from.

        Raises:
            DemoError: an id is in no list, an option is out of range, or the queue is full.
        """
        choices = self.choices
        named: dict[str, Any] = {"policy": choices.policy(policy), "reward": choices.reward(reward)}
        if "judge" in options:
            named["judge"] = choices.judge(options["judge"])
        config = PPOConfig(**options | named, label=label or None)
        tokens = config.batch_size * config.max_new_tokens
        if self.settings.public and tokens > MOST_PUBLIC:
            raise ConfigError(
                f"batch size times longest response is {tokens:,} tokens: this page is public, "
                f"choose at most {MOST_PUBLIC:,}"
            )
        return self.jobs.start(
            "ppo", config, title=title or _title(policy, config), secret=secret, address=address
        )


def _title(policy: str, config: PPOConfig) -> str:
    values = config.to_dict()
    for preset in PPO_PRESETS.values():
        wanted = PPOConfig(**preset.options).to_dict()
        if all(values[name] == wanted[name] for name in PPO_OPTIONS if name != "seed"):
            return f"{policy}, {preset.label}"
    return f"{policy}, own settings"
