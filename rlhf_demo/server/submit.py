"""Rules for starting a run: check what the visitor named, then queue the run.

The page's tabs and the named endpoints (ui/api.py) start runs only by these functions. Ids are
those of the lists (choices.py).
"""

from typing import Any

from rlhf_demo.config.options import Options, declarations
from rlhf_demo.config.overoptimise import OveroptimiseConfig
from rlhf_demo.config.policy_gradient import PolicyGradientConfig
from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.config.stages import STAGES, is_offline
from rlhf_demo.data.coarse_words import has_coarse_word
from rlhf_demo.data.pairs import PAIRS_FILE
from rlhf_demo.errors import ConfigError
from rlhf_demo.jobs.job import clean_title
from rlhf_demo.jobs.queue import Jobs
from rlhf_demo.paths import REPOSITORY
from rlhf_demo.server.choices import MOST_LABEL, Choices
from rlhf_demo.server.settings import Settings

REWARD_OPTIONS = (
    "train_pairs", "epochs", "learning_rate", "batch_size", "label_noise", "lora_rank",
    "warmup_steps", "seed", "dtype",
)  # fmt: skip
POLICY_OPTIONS = (
    "total_steps", "learning_rate", "kl_coef", "kl_target", "seed", "batch_size", "minibatch_size",
    "ppo_epochs", "max_new_tokens", "temperature", "lora_rank", "warmup_steps", "kl_budget",
    "missing_eos_penalty", "clip_range", "value_clip_range", "value_coef", "entropy_coef", "gamma",
    "gae_lambda", "max_grad_norm", "samples_every", "checkpoint_every", "dtype",
    "samples_per_prompt",
)  # fmt: skip
OFFLINE_OPTIONS = (
    "beta", "train_pairs", "train_texts", "epochs", "learning_rate", "seed", "batch_size",
    "max_new_tokens", "temperature", "lora_rank", "warmup_steps", "checkpoint_every", "dtype",
)  # fmt: skip
"""Options of each stage that a visitor may set: never a path or a device. PPO, RLOO and GRPO each
have some of POLICY_OPTIONS, and DPO and SFT some of OFFLINE_OPTIONS: see `policy_options`.
"""
OVEROPTIMISE_OPTIONS = (
    "train_pairs", "best_of", "best_of_prompts", "total_steps", "checkpoint_every", "seed", "dtype",
)  # fmt: skip
"""Options of an overoptimise run that a visitor may set."""
MOST_PUBLIC = 64 * 128
"""Tokens of a rollout on a public page: batch size times longest response."""
MOST_SAMPLED = 2**17
"""Tokens of best-of-N on a public page, as for a comparison (comparing.py)."""


def policy_options(kind: str) -> tuple[str, ...]:
    """Return the names of the options that a visitor may set of a stage that trains a policy."""
    declared = {option.name for option, *_ in declarations(STAGES[kind].config)}
    names = OFFLINE_OPTIONS if is_offline(kind) else POLICY_OPTIONS
    return tuple(name for name in names if name in declared)


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
            secret: allows its holder to change the run.
            address: where the request comes from.

        Raises:
            DemoError: an id is in no list, an option is out of range, or the queue is full.
        """
        choices = self.choices
        path = choices.pairs(data, secret)
        options = fitting(options, RewardConfig(), path)
        config = RewardConfig(model=choices.policy(model), data=path, **options)
        title = self.checked_title(title or f"{model} on {self._called(data)}")
        return self.jobs.start("reward", config, title=title, secret=secret, address=address)

    def policy(
        self,
        kind: str,
        policy: str,
        reward: str,
        title: str,
        label: str,
        options: dict[str, Any],
        secret: str,
        address: str,
    ) -> str:
        """Queue a training by PPO, RLOO or GRPO, and return the run's id.

        Args:
            kind: `ppo`, `rloo` or `grpo`.
            policy: id of the model that learns.
            reward: id of what scores its texts.
            title: what the run is called in the lists; if it is empty, one is made.
            label: whose logit is the score, where the reward has several; may be empty.
            options: of the stage's config, by name; a `judge` is an id of the list.
            secret: allows its holder to change the run.
            address: where the request comes from.

        Raises:
            DemoError: an id is in no list, an option is out of range, or the queue is full.
        """
        named = self._named(policy, reward, label, options)
        config = STAGES[kind].config(**options | named)
        assert isinstance(config, PolicyGradientConfig)
        tokens = config.batch_size * config.max_new_tokens
        if self.settings.public and tokens > MOST_PUBLIC:
            raise ConfigError(
                f"batch size times max new tokens is {tokens:,} tokens: choose at most "
                f"{MOST_PUBLIC:,}, because this page is public"
            )
        title = self.checked_title(title or _title(kind, policy, config))
        return self.jobs.start(kind, config, title=title, secret=secret, address=address)

    def offline(
        self,
        kind: str,
        policy: str,
        data: str,
        reward: str,
        title: str,
        label: str,
        options: dict[str, Any],
        secret: str,
        address: str,
    ) -> str:
        """Queue a training by DPO or SFT, and return the run's id.

        Args:
            kind: `dpo` or `sft`.
            policy: id of the model that learns.
            data: id of the pairs or texts that it learns from.
            reward: id of what scores its texts, to show how it develops.
            title: what the run is called in the lists; if it is empty, one is made.
            label: whose logit is the score, where the reward has several; may be empty.
            options: of the stage's config, by name; a `judge` is an id of the list.
            secret: allows its holder to change the run.
            address: where the request comes from.

        Raises:
            DemoError: an id is in no list, an option is out of range, or the queue is full.
        """
        named = self._named(policy, reward, label, options)
        listed = self.choices.demonstrations_listed(secret) if kind == "sft" else []
        written = {chosen: label for label, chosen in listed}
        if data in written:
            path, called = self.choices.demonstrations(data, secret), written[data]
        else:
            path, called = self.choices.pairs(data, secret), self._called(data)
        stage = STAGES[kind]
        options = fitting(options, stage.config(), path)
        config = stage.config(**options | named | {"data": path})
        title = self.checked_title(title or f"{policy} by {STAGES[kind].title} on {called}")
        return self.jobs.start(kind, config, title=title, secret=secret, address=address)

    def overoptimise(self, title: str, options: dict[str, Any], secret: str, address: str) -> str:
        """Queue a run that maximises a reward model's score too far, and return its id.

        Args:
            title: what the run is called in the lists; if it is empty, one is made.
            options: of OveroptimiseConfig, by name.
            secret: allows its holder to change the run.
            address: where the request comes from.

        Raises:
            DemoError: an option is out of range, or the queue is full.
        """
        config = OveroptimiseConfig(**options)
        tokens = config.best_of * config.best_of_prompts * config.ppo.max_new_tokens
        if self.settings.public and tokens > MOST_SAMPLED:
            raise ConfigError(
                f"best of {config.best_of} on {config.best_of_prompts} prompts is up to {tokens:,} "
                f"tokens: choose at most {MOST_SAMPLED:,}, because this page is public"
            )
        usual = f"{config.policy} pushed too far, {config.train_pairs:,} pairs"
        title = self.checked_title(title or usual)
        return self.jobs.start("overoptimise", config, title=title, secret=secret, address=address)

    def checked_title(self, title: str) -> str:
        """Return a title that may stand in the list that everyone sees.

        Raises:
            ConfigError: strangers use the page, and the title contains a rude word.
        """
        shown = clean_title(str(title))  # cutting it may leave a rude word of a longer one
        if self.settings.public and has_coarse_word(shown):
            raise ConfigError("the title contains a rude word: choose another")
        return shown

    def _named(
        self, policy: str, reward: str, label: str, options: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the options that name models, from their ids in the lists."""
        if len(str(label)) > MOST_LABEL:
            raise ConfigError(
                f"the label has {len(str(label)):,} characters: give at most {MOST_LABEL}"
            )
        choices = self.choices
        if label:
            choices.check_label(reward, label)  # a failed run would show it to everyone
        judge = {"judge": choices.judge(options["judge"])} if "judge" in options else {}
        return {
            "policy": choices.policy(policy),
            "reward": choices.reward(reward),
            "label": label or None,
            **judge,
        }

    def _called(self, data: str) -> str:
        """Name pairs; votes by their question: "votes: Which is better English? (42 votes)"."""
        votes = {listed: label for label, listed in self.choices.votes_listed()}
        return votes.get(data, f"{data} pairs")


def fitting(options: dict[str, Any], usual: Options, path: str) -> dict[str, Any]:
    """Return the options with no more rows to train on than a file of ours holds.

    The limit on steps counts the rows that were asked for.
    """
    file = REPOSITORY / path
    if file.is_dir():  # of votes, or of a make-pairs run
        file /= PAIRS_FILE
    if file.suffix != ".jsonl" or not file.is_file():
        return options
    name = "train_texts" if "train_texts" in usual.to_dict() else "train_pairs"
    asked = options.get(name, usual.to_dict()[name])
    with file.open("rb") as rows:
        held = sum(1 for _ in rows)
    return options | {name: min(asked, max(held, 1))} if type(asked) is int else options


def _title(kind: str, policy: str, config: PolicyGradientConfig) -> str:
    stage, values = STAGES[kind], config.to_dict()
    start = policy if kind == "ppo" else f"{policy} by {stage.title}"
    for preset in stage.presets.values():
        wanted = stage.config(**preset.options).to_dict()
        if all(values[name] == wanted[name] for name in policy_options(kind) if name != "seed"):
            return f"{start}, {preset.label}"
    return f"{start}, own settings"
