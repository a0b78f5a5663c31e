"""What programs can call: named endpoints, with the same rules as the page's buttons.

docs/api.md runs the whole loop with them. Ids are those of the page's lists (server/choices.py). A
run can be stopped with its secret (jobs/queue.py).
"""

import secrets
from collections.abc import Callable
from functools import wraps
from typing import Any

import gradio as gr
from gradio.events import api

from rlhf_demo.config.evaluation import BestOfOptions, DuelOptions
from rlhf_demo.config.stages import STAGES
from rlhf_demo.errors import ConfigError, DemoError
from rlhf_demo.evaluation.overoptimisation import record, study_of
from rlhf_demo.server.submit import OVEROPTIMISE_OPTIONS, REWARD_OPTIONS, policy_options
from rlhf_demo.ui.shared import Shared
from rlhf_demo.web.addresses import address_of

LINES = {"side_by_side": "model", "best_of_n": "best", "frontier": "many"}
"""Endpoints that wait in a queue of the page."""


def add_endpoints(shared: Shared) -> None:
    """Add the endpoints to the open Blocks; callers read their docstrings."""
    endpoints = Endpoints(shared)
    for endpoint in (
        endpoints.models, endpoints.runs, endpoints.start_reward, endpoints.start_ppo,
        endpoints.start_rloo, endpoints.start_grpo, endpoints.start_dpo, endpoints.start_sft,
        endpoints.start_overoptimise, endpoints.run_status, endpoints.stop_run,
        endpoints.side_by_side, endpoints.best_of_n, endpoints.frontier,
        endpoints.overoptimisation,
    ):  # fmt: skip
        line = LINES.get(endpoint.__name__)
        api(_in_words(endpoint), api_name=endpoint.__name__, concurrency_id=line)


def _in_words(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let an endpoint that raises a DemoError answer with its sentence."""

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
        """List the models that can be trained, the scorers, and the data to learn from.

        Returns:
            Lists of ids: `policies` (models that write), `rewards` (scorers), `data`
            (preference pairs) and `demonstrations` (texts that people wrote).
        """
        lists = {
            "policies": self.choices.contestants(),
            "rewards": self.choices.rewards(),
            "data": self.choices.data(),
            "demonstrations": self.choices.demonstrations_listed(),
        }
        return {name: [listed for _, listed in choices] for name, choices in lists.items()}

    def runs(self) -> list[dict]:
        """List all runs, newest first, then the shipped examples.

        Returns:
            For each run: `id`, `title`, `kind`, `status`, `message`, `place` in the queue, `step`,
            `total_steps`, `created_at`, `ended_at`, `example`, `seconds_left`, and the newest
            `figures`.
        """
        return [dict(row) for row in self.jobs.overview()]

    def start_reward(
        self,
        http: gr.Request,
        model: str = "gpt2-mini",
        data: str = "shipped",
        options: dict | None = None,
        title: str = "",
        secret: str = "",
    ) -> dict:
        """Queue a run that trains a reward model.

        Args:
            model: Id of the model that gets a scoring head.
            data: Id of the preference pairs.
            options: Settings that differ from the defaults, e.g. {"train_pairs": 200}.
            title: The run's name in the lists.
            secret: Any text; it allows stopping the run. Without one, the page makes one up.

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
        reward: str = "",
        preset: str = "quick",
        options: dict | None = None,
        title: str = "",
        secret: str = "",
    ) -> dict:
        """Queue a PPO run.

        Args:
            policy: Id of the model that learns; empty for the preset's.
            reward: Id of the scorer of its texts; empty for the preset's.
            preset: Named settings: quick, thorough, no-kl, high-kl, high-learning-rate, less-harsh
                or gpt2.
            options: Settings that differ from the preset's, e.g. {"total_steps": 10}.
            title: The run's name in the lists.
            secret: Any text; it allows stopping the run. Without one, the page makes one up.

        Returns:
            `run`, the id of the run, and its `secret`.
        """
        return self._start("ppo", http, policy, reward, preset, options, title, secret)

    def start_rloo(
        self,
        http: gr.Request,
        policy: str = "",
        reward: str = "",
        preset: str = "quick",
        options: dict | None = None,
        title: str = "",
        secret: str = "",
    ) -> dict:
        """Queue an RLOO run: PPO without a value head.

        Args:
            policy: As for `/start_ppo`.
            reward: As for `/start_ppo`.
            preset: As for `/start_ppo`.
            options: Settings that differ from the preset's, e.g. {"samples_per_prompt": 8}.
            title: The run's name in the lists.
            secret: Any text; it allows stopping the run. Without one, the page makes one up.

        Returns:
            `run`, the id of the run, and its `secret`.
        """
        return self._start("rloo", http, policy, reward, preset, options, title, secret)

    def start_grpo(
        self,
        http: gr.Request,
        policy: str = "",
        reward: str = "",
        preset: str = "quick",
        options: dict | None = None,
        title: str = "",
        secret: str = "",
    ) -> dict:
        """Queue a GRPO run: no value head, and the KL in the loss.

        Args:
            policy: As for `/start_ppo`.
            reward: As for `/start_ppo`.
            preset: As for `/start_ppo`.
            options: Settings that differ from the preset's, e.g. {"samples_per_prompt": 8}.
            title: The run's name in the lists.
            secret: Any text; it allows stopping the run. Without one, the page makes one up.

        Returns:
            `run`, the id of the run, and its `secret`.
        """
        return self._start("grpo", http, policy, reward, preset, options, title, secret)

    def start_dpo(
        self,
        http: gr.Request,
        policy: str = "gpt2-mini",
        data: str = "shipped",
        reward: str = "reward-mini",
        options: dict | None = None,
        title: str = "",
        secret: str = "",
    ) -> dict:
        """Queue a DPO run: it learns from the pairs themselves, without a reward model.

        Args:
            policy: Id of the model that learns.
            data: Id of the preference pairs.
            reward: Id of the scorer of its texts, which only shows how the policy develops.
            options: Settings that differ from the defaults, e.g. {"beta": 0.1}.
            title: The run's name in the lists.
            secret: Any text; it allows stopping the run. Without one, the page makes one up.

        Returns:
            `run`, the id of the run, and its `secret`.
        """
        return self._start_offline("dpo", http, policy, data, reward, options, title, secret)

    def start_sft(
        self,
        http: gr.Request,
        policy: str = "gpt2-mini",
        data: str = "shipped",
        reward: str = "reward-mini",
        options: dict | None = None,
        title: str = "",
        secret: str = "",
    ) -> dict:
        """Queue supervised fine-tuning: the policy learns to write demonstrations.

        Args:
            policy: Id of the model that learns.
            data: Id of the demonstrations, or of preference pairs, whose preferred texts they are.
            reward: As for `/start_dpo`.
            options: Settings that differ from the defaults, e.g. {"epochs": 3}.
            title: The run's name in the lists.
            secret: Any text; it allows stopping the run. Without one, the page makes one up.

        Returns:
            `run`, the id of the run, and its `secret`.
        """
        return self._start_offline("sft", http, policy, data, reward, options, title, secret)

    def start_overoptimise(
        self, http: gr.Request, options: dict | None = None, title: str = "", secret: str = ""
    ) -> dict:
        """Queue a run that pushes a reward too far: a reward model, best-of-N, PPO without penalty.

        Args:
            options: Settings that differ from the defaults, e.g. {"train_pairs": 400}.
            title: The run's name in the lists.
            secret: Any text; it allows stopping the run. Without one, the page makes one up.

        Returns:
            `run`, the id of the run, and its `secret`.
        """
        secret = _secret(secret)
        chosen = _options(options, OVEROPTIMISE_OPTIONS)
        run = self.shared.submit.overoptimise(str(title), chosen, secret, address_of(http))
        return {"run": run, "secret": secret}

    def _start_offline(
        self,
        kind: str,
        http: gr.Request,
        policy: str,
        data: str,
        reward: str,
        options: dict | None,
        title: str,
        secret: str,
    ) -> dict:
        secret = _secret(secret)
        values = _options(options, (*policy_options(kind), "label", "judge"))
        label = values.pop("label", "")
        run = self.shared.submit.offline(
            kind, policy, data, reward, str(title), label, values, secret, address_of(http)
        )
        return {"run": run, "secret": secret}

    def _start(
        self,
        kind: str,
        http: gr.Request,
        policy: str,
        reward: str,
        preset: str,
        options: dict | None,
        title: str,
        secret: str,
    ) -> dict:
        presets = STAGES[kind].presets
        if str(preset) not in presets:
            names = ", ".join(presets)
            raise ConfigError(f"there is no preset {str(preset)[:60]!r}: choose one of {names}")
        secret = _secret(secret)
        allowed = (*policy_options(kind), "label", "judge")
        given = _options(options, allowed)
        changes = presets[preset].options | given
        if reward and "label" not in given:
            changes.pop("label", None)  # the preset's label belongs to the preset's reward
        values = STAGES[kind].config().to_dict() | changes
        run = self.shared.submit.policy(
            kind,
            policy or values["policy"],
            reward or values["reward"],
            str(title),
            changes.get("label") or "",
            {name: changes[name] for name in changes if name not in ("policy", "reward", "label")},
            secret,
            address_of(http),
        )
        return {"run": run, "secret": secret}

    def run_status(self, run: str, since: int = -1) -> dict:
        """Return a run's state, and its metrics after a given step.

        Args:
            run: Id of the run.
            since: Last step whose metrics you have; -1 for none.

        Returns:
            Its row of `/runs`, and `metrics`: one row for each step after `since`.
        """
        if not isinstance(since, int | float):
            raise ConfigError(f"since is {since!r}: give the number of a step, -1 for all")
        folder = self.jobs.find(str(run)).folder
        row = next((row for row in self.jobs.overview() if row["id"] == run), None)
        if row is None:
            raise ConfigError(f"run {run} has only just been started: ask again")
        metrics = self.jobs.tails.rows(folder / "metrics.jsonl")
        return row | {"metrics": [figures for figures in metrics if figures["step"] > since]}

    def stop_run(self, run: str, secret: str) -> dict:
        """Take a run out of the queue, or ask it to save and stop.

        Args:
            run: Id of the run.
            secret: What its start returned, or the instructor's token (see docs/api.md).

        Returns:
            `run`. The run saves its state first; `/run_status` says when it has stopped.
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
        """Let two models continue one prompt with the same random numbers.

        Args:
            left: Id of a model that writes.
            right: Id of another one, or of the same.
            prompt: The beginning of both texts.
            reward: Id of the scorer of both texts.
            max_new_tokens: Longest answer, in tokens.
            temperature: Divides the logits before sampling.
            top_k: Draw only from this many of the most likely tokens; 0 = all.
            top_p: Draw only from the most likely tokens that together have this probability; 1 =
                all.
            seed: Seed of the random numbers that both share.

        Returns:
            `left` and `right`: `text`, `score`, and for each token `token`, `logprob`, `kl` (exact,
            nats, from the base, before the token), `log_ratio` (`logprob` minus the base's),
            `value`, and `score_if_ended` (the score if the text ended there). `parting`: index of
            the first token that differs, null if none does. `compare`: the id of this comparison;
            the page shows it at `/?compare=ID`.
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
        state: Any = record["state"]
        answer = state | {"compare": record.get("id")}
        for side in ("left", "right"):
            answer[side] = answer[side] | {"text": "".join(answer[side]["token"])}
        return answer

    def best_of_n(
        self,
        model: str,
        prompt: str,
        best_of: int = 16,
        reward: str = "reward-mini",
        max_new_tokens: int = 32,
        temperature: float = 0.7,
        seed: int = 0,
    ) -> dict:
        """Let a model write several responses to a prompt, and choose the one with the best score.

        Args:
            model: Id of a model that writes.
            prompt: The beginning of all texts.
            best_of: How many responses it writes, 1 to 64.
            reward: Id of the scorer that chooses.
            max_new_tokens: Longest response, in tokens.
            temperature: Divides the logits before sampling.
            seed: Seed of the random numbers.

        Returns:
            `responses`, each with its `text` and `score`; the places of the `best`, `median` and
            `worst` one; `kl_bound` (nats: best-of-n is at most so far from the model); `expected`
            (mean score of the best of 1, 2, ... responses, estimated from all of them).
        """
        options = BestOfOptions(
            best_of=best_of, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed
        )
        *_, state = self.shared.comparing.best_of_n(str(model), str(reward), str(prompt), options)
        return {
            name: value for name, value in state.items() if name not in ("settings", "finished")
        }

    def frontier(self, run: str = "", judge: str = "fluency-judge") -> dict:
        """Compare the methods at equal KL by the shipped record, and a finished run with them.

        It waits, also without a run, until measurements and comparisons on many prompts that were
        requested before are done.

        Args:
            run: Id of a finished run of PPO, RLOO, GRPO, DPO or SFT, which is measured first; empty
                for none.
            judge: Judge that decides which response wins: fluency-judge, star-rater or word-judge.

        Returns:
            `marks` (`kl` in nats, and the share of wins `mean` with its 95% interval `low` to
            `high`, of each setting at each saved step, over its seeds), `levels` (the methods at
            equal KL, each with a `sentence` that says which of them tie), `notes` (which methods
            are not compared, and which have one seed), `own` (the run, with a `sentence`) and
            `costs`.
        """
        judges = self.shared.frontier.record()["judges"]
        if str(judge) not in judges:
            raise ConfigError(f"judge is {str(judge)[:60]!r}: choose one of {', '.join(judges)}")
        if run:
            for _ in self.shared.frontier.measure(str(run)):
                pass
        state = self.shared.frontier.state(run)
        [view] = [view for view in state["judges"] if view["judge"] == judge]
        return {**view, "costs": state["costs"]}

    def overoptimisation(self, run: str = "") -> list[dict]:
        """Return the curves of a run that pushes a reward too far, or the shipped ones.

        Args:
            run: Id of the run; empty for the shipped curves, one entry for each number of pairs.

        Returns:
            For each: `pairs`, `seeds`, the proxy's `accuracy`, the `judge`, some `texts` out of
            `batch_size` a step, and for `ppo` and `best_of_n` the `points` and the `line` of
            `proxy` and `judge`, as square root of KL and gain in standard deviations of the base's
            scores, and what they show in `words`.
        """
        studies = [study_of(self.jobs.find(str(run)), self.jobs.tails.rows)] if run else record()
        return [dict(study) for study in studies]


def _secret(given: str) -> str:
    return str(given or secrets.token_hex(16))


def _options(given: dict | None, allowed: tuple[str, ...]) -> dict[str, Any]:
    """Return the options if the page's form can set them all; paths and devices are refused.

    Raises:
        ConfigError: an option is not allowed.
    """
    if not isinstance(given or {}, dict):
        raise ConfigError(f"options is {str(given)[:60]!r}: give names and values")
    unknown = sorted(set(given or {}) - set(allowed))
    if unknown:
        names = ", ".join(sorted(allowed))
        raise ConfigError(f"unknown option {unknown[0][:60]!r}: choose from {names}")
    return dict(given or {})
