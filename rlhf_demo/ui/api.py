"""What programs may call: seven named endpoints, with the same rules as the page's own buttons.

docs/api.md runs the whole loop with them. Ids mean what they mean in the page's lists
(server/choices.py); who may stop a run is decided by its secret (jobs/queue.py).
"""

import secrets
from collections.abc import Callable
from functools import wraps
from typing import Any

import gradio as gr

from rlhf_demo.config.evaluation import DuelOptions
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.presets import PPO_PRESETS
from rlhf_demo.errors import ConfigError, DemoError
from rlhf_demo.server.submit import PPO_OPTIONS, REWARD_OPTIONS
from rlhf_demo.ui.shared import Shared
from rlhf_demo.web.addresses import address_of


def add_endpoints(shared: Shared) -> None:
    """Add the endpoints to the Blocks that is open; their docstrings are what callers read."""
    endpoints = Endpoints(shared)
    for endpoint in (
        endpoints.models, endpoints.runs, endpoints.start_reward, endpoints.start_ppo,
        endpoints.run_status, endpoints.stop_run, endpoints.side_by_side,
    ):  # fmt: skip
        gr.api(_told(endpoint), api_name=endpoint.__name__)


def _told(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let an endpoint answer with an error of one sentence where it raises a DemoError."""

    @wraps(function)
    def answer(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except DemoError as error:
            raise gr.Error(str(error), print_exception=False) from None

    return answer


class Endpoints:
    """The endpoints over one app's stores."""

    def __init__(self, shared: Shared) -> None:
        self.shared, self.jobs, self.choices = shared, shared.jobs, shared.choices

    def models(self) -> dict:
        """List what can be trained, what can score and what there is to learn from.

        Returns:
            Lists of ids under `policies` (models that write), `rewards` (what scores) and `data`
            (preference pairs).
        """
        lists = {
            "policies": self.choices.contestants(),
            "rewards": self.choices.rewards(),
            "data": self.choices.data(),
        }
        return {name: [one for _, one in choices] for name, choices in lists.items()}

    def runs(self) -> list[dict]:
        """List all runs, newest first, then the shipped examples.

        Returns:
            Of each run `id`, `title`, `kind`, `status`, `message`, `place` in the queue, `step`,
            `total_steps`, `created_at`, `ended_at`, `example`, `seconds_left`, and its newest
            `figures`.
        """
        return self.jobs.overview()

    def start_reward(
        self,
        http: gr.Request,
        model: str = "gpt2-mini",
        data: str = "shipped",
        options: dict | None = None,
        title: str = "",
        secret: str = "",
    ) -> dict:
        """Put the training of a reward model in the queue.

        Args:
            model: Id of the model that gets a scoring head.
            data: Id of the preference pairs.
            options: Settings that are not the defaults, e.g. {"train_pairs": 200}.
            title: What the run is called in the lists.
            secret: Any words; who knows them can stop the run. Made up where none is given.

        Returns:
            `run`, the id of the run, and its `secret`.
        """
        secret = _secret(secret)
        chosen = _options(options, REWARD_OPTIONS)
        run = self.shared.submit.reward(model, data, str(title), chosen, secret, address_of(http))
        return {"run": run, "secret": secret}

    def start_ppo(
        self,
        http: gr.Request,
        policy: str = "",
        reward: str = "reward-mini",
        preset: str = "quick",
        options: dict | None = None,
        title: str = "",
        secret: str = "",
    ) -> dict:
        """Put a PPO training in the queue.

        Args:
            policy: Id of the model that learns; empty: the preset's.
            reward: Id of what scores its texts; of a run only when that has finished.
            preset: Named settings: quick, thorough, no-kl, high-kl, high-learning-rate or gpt2.
            options: Settings that differ from the preset's, e.g. {"total_steps": 10}.
            title: What the run is called in the lists.
            secret: Any words; who knows them can stop the run. Made up where none is given.

        Returns:
            `run`, the id of the run, and its `secret`.
        """
        if str(preset) not in PPO_PRESETS:
            names = ", ".join(PPO_PRESETS)
            raise ConfigError(f"there is no preset {str(preset)[:60]!r}: choose one of {names}")
        secret = _secret(secret)
        values = PPO_PRESETS[preset].options | _options(options, (*PPO_OPTIONS, "label", "judge"))
        usual = values.pop("policy", PPOConfig().policy)
        label = values.pop("label", "")
        run = self.shared.submit.ppo(
            policy or usual, reward, str(title), label, values, secret, address_of(http)
        )
        return {"run": run, "secret": secret}

    def run_status(self, run: str, since: int = -1) -> dict:
        """Say how a run stands, with its metrics after a step.

        Args:
            run: Id of the run.
            since: Last step whose metrics are known already; -1 for none.

        Returns:
            What `/runs` says of it, and `metrics`: one row for each step after `since`.
        """
        if not isinstance(since, int | float):
            raise ConfigError(f"since is {since!r}: give the number of a step, -1 for all")
        folder = self.jobs.find(str(run)).folder
        row = next((one for one in self.jobs.overview() if one["id"] == run), None)
        if row is None:
            raise ConfigError(f"run {run} is only just beginning: ask again")
        rows = self.jobs.tails.rows(folder / "metrics.jsonl")
        return row | {"metrics": [one for one in rows if one["step"] > since]}

    def stop_run(self, run: str, secret: str) -> dict:
        """Take a run out of the queue, or ask it to save and end.

        Args:
            run: Id of the run.
            secret: What its start returned, or the instructor's token (see docs/api.md).

        Returns:
            `run`. It saves its state first; `/run_status` says when it has stopped.
        """
        self.jobs.stop(str(run), str(secret))
        return {"run": run}

    def side_by_side(
        self,
        http: gr.Request,
        left: str,
        right: str,
        prompt: str,
        reward: str = "reward-mini",
        max_new_tokens: int = 32,
        temperature: float = 0.7,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> dict:
        """Let two models answer one prompt with the same random numbers.

        Args:
            left: Id of a model that writes.
            right: Id of another, or of the same.
            prompt: What both write on from.
            reward: Id of what scores both texts.
            max_new_tokens: Longest answer, in tokens.
            temperature: Logits / temperature is sampled.
            top_k: Draw from so many likeliest tokens; 0 = all.
            top_p: Draw from the fewest likeliest tokens with this probability; 1 = all.
            seed: Seed of the random numbers that both share.

        Returns:
            `left` and `right`: `text`, `score`, and for each token `token`, `logprob`, `kl` (exact,
            nats, from the base, before the token), `log_ratio` (`logprob` less the base's),
            `value`, and `score_if_ended` (the score had the text ended there). `parting`: index of
            the first token that differs, null if none does. `compare`: the id under which the page
            shows the same, at `/?compare=ID`.
        """
        options = DuelOptions(
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
        )
        *_, record = self.shared.comparing.one_prompt(
            str(left), str(right), str(reward), str(prompt), options, address_of(http)
        )
        answer = record["state"] | {"compare": record["id"]}
        for side in ("left", "right"):
            answer[side] = answer[side] | {"text": "".join(answer[side]["token"])}
        return answer


def _secret(given: str) -> str:
    return str(given or secrets.token_hex(16))


def _options(given: dict | None, allowed: tuple[str, ...]) -> dict[str, Any]:
    """Let through what the page's form could have set; never a path or a device.

    Raises:
        ConfigError: an option is unknown here.
    """
    if not isinstance(given or {}, dict):
        raise ConfigError(f"options is {str(given)[:60]!r}: give names and values")
    unknown = sorted(set(given or {}) - set(allowed))
    if unknown:
        names = ", ".join(sorted(allowed))
        raise ConfigError(f"unknown option {unknown[0][:60]!r}: choose from {names}")
    return dict(given or {})
