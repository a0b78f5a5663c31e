"""Compare two models piece by piece, so that other requests can compute in between.

comparisons.py keeps the results. Import this module when a comparison begins: it imports torch.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

import torch

from rlhf_demo.config.evaluation import BestOfOptions, DuelOptions
from rlhf_demo.errors import ConfigError
from rlhf_demo.evaluation.best_of_n import (
    BestOf,
    Candidates,
    expected_best,
    kl_bound,
    ranking,
    sample_candidates,
)
from rlhf_demo.evaluation.compare import Answers, Contestant, Judges, best_of_name, report
from rlhf_demo.evaluation.duel import DuelState, duel
from rlhf_demo.models.loading import rows_at_once
from rlhf_demo.models.policy import Policy, load_policy
from rlhf_demo.models.sampling import encode_prompts
from rlhf_demo.models.scorers import load_scorer
from rlhf_demo.runs.reports import CompareReport
from rlhf_demo.server.choices import Choices
from rlhf_demo.server.comparisons import (
    MOST_TOKENS,
    Comparisons,
    DuelRecord,
    ManyRecord,
    check_prompt,
)
from rlhf_demo.server.compute_lock import ComputeLock, Priority
from rlhf_demo.server.judges import REWARD_UNIT, Named, NamedScorer, judges, unit
from rlhf_demo.server.model_cache import ModelCache
from rlhf_demo.server.payloads import BestOfSettings, BestOfState

FRAME_SECONDS = 1 / 15
"""Seconds between two views of a growing text: as fast as anyone reads."""
CHUNK = 32
"""Prompts that are answered at once; other requests can compute between two chunks."""
BEST_OF_AT_ONCE = 8
"""Responses of best-of-n that are sampled at once, so that other requests can compute in between,
and the page sees them arrive."""
MOST_SAMPLED = 2**17
"""Most tokens that best-of-n samples for many prompts, twice as many as any other comparison: 64
prompts, 64 responses to each, 32 tokens a response."""
MOST_SAMPLED_IN_PUBLIC = 2**15
"""The same on a public page, where others wait: 16 responses to each."""
EXAMPLE_PROMPT = "I watched this with my sister and"


class Who(TypedDict):
    """Who is compared: names that people see, never a folder."""

    left: Named
    right: Named
    scorer: NamedScorer
    base: str


class Comparing:
    """Compares models by the ids of the lists, and keeps finished comparisons."""

    def __init__(
        self,
        choices: Choices,
        model_cache: ModelCache,
        compute_lock: ComputeLock,
        kept: Comparisons,
        most_sampled: int,
    ) -> None:
        self.choices, self.model_cache = choices, model_cache
        self.compute_lock, self.kept = compute_lock, kept
        self.most_sampled = most_sampled

    def load(self, left: str, right: str, scorer: str) -> None:
        """Load the models that a comparison needs."""
        self._models(left, right)
        self.model_cache.scorer(scorer)

    def one_prompt(
        self, left: str, right: str, scorer: str, prompt: str, options: DuelOptions, address: str
    ) -> Iterator[DuelRecord]:
        """Let two models continue one prompt; yield the record as it grows.

        Args:
            left, right, scorer: ids of the lists.
            prompt: the beginning of the text.
            options: sampling options of both models.
            address: the address of the request.

        Raises:
            DemoError: an id is in no list, the prompt is empty or too long, or an option is beyond
                what a page may ask for.
        """
        check_prompt(prompt)
        check_options(options)
        settings = {**self._who(left, right, scorer), "prompt": prompt, **options.to_dict()}
        yield {"kind": "duel", "settings": settings, "state": None}
        first, second, base = self._models(left, right)
        judge = self.model_cache.scorer(self.choices.reward(scorer))
        settings = settings | {"same_tokens": same_tokens(first.policy, second.policy)}
        steps = duel(first.policy, second.policy, base.policy, prompt, options, scorer=judge)
        for state in frames(steps, self.compute_lock):
            record: DuelRecord = {"kind": "duel", "settings": settings, "state": state.to_dict()}
            yield self.kept.keep(record, address) if state.finished else record

    def many_prompts(
        self,
        left: str,
        right: str,
        judge: str,
        chooser: str,
        prompts: list[str],
        options: BestOfOptions,
        address: str,
        *,
        own: bool,
    ) -> Iterator[ManyRecord]:
        """Let two models answer many prompts; yield the record as it grows.

        Args:
            left, right, judge: ids of the lists.
            chooser: id of the scorer that chooses the right model's responses, if it writes several
                to a prompt.
            prompts: what both answer.
            options: sampling options of both models, and the right one's number of responses.
            address: the address of the request.
            own: whether the visitor wrote the prompts.

        Raises:
            DemoError: an id is in no list, or an option is beyond what a page may ask for.
        """
        check_options(options)
        check_sampled(len(prompts), options, self.most_sampled)
        who = self._who(left, right, judge)
        settings: dict[str, Any] = {**who, "own": own}
        chosen_by = chooser if options.best_of > 1 else None
        if chosen_by:
            name = best_of_name(who["right"]["name"], options.best_of)
            settings |= {
                "right": {**who["right"], "name": name},
                "chosen_by": self._scorer(chosen_by),
                "best_of": options.best_of,
            }
        described = judges(
            self.choices, left, right, judge, who["scorer"]["name"], chosen_by=chosen_by
        )
        record: ManyRecord = {"kind": "many", "settings": {**settings, "judges": described}}
        yield {**record, "done": 0, "total": len(prompts)}
        first, second, base = self._models(left, right)
        if chosen_by:
            scorer = self.model_cache.scorer(self.choices.reward(chosen_by))
            second = replace(second, best_of=BestOf(options.best_of, scorer))
        names = {row["id"]: self.choices.reward(row["id"]) for row in described}
        scorers = {name: self.model_cache.scorer(means) for name, means in names.items()}
        many = ManyPrompts(first, second, base.policy, scorers, prompts, options)
        for done in many.steps(self.compute_lock):
            yield {**record, "done": done, "total": len(prompts)}
        yield self.kept.keep({**record, "report": many.report()}, address)

    def best_of_n(
        self, model: str, scorer: str, prompt: str, options: BestOfOptions
    ) -> Iterator[BestOfState]:
        """Let a model write several responses to a prompt; yield the state as they arrive.

        Args:
            model, scorer: ids of the lists.
            prompt: the beginning of the text.
            options: sampling options, and the number of responses.

        Raises:
            DemoError: an id is in no list, the prompt is empty or too long, or an option is beyond
                what a page may ask for.
        """
        check_prompt(prompt)
        check_options(options)
        settings: BestOfSettings = {
            "model": self._named(model),
            "scorer": self._scorer(scorer),
            "prompt": prompt,
            "best_of": options.best_of,
            "max_new_tokens": options.max_new_tokens,
            "temperature": options.temperature,
            "seed": options.seed,
        }
        writer, chooser = self.choices.policy(model), self.choices.reward(scorer)
        found = Candidates([], [], [])
        yield best_of_state(settings, found)
        policy, judge = self.model_cache.policy(writer), self.model_cache.scorer(chooser)
        for number, start in enumerate(range(0, options.best_of, BEST_OF_AT_ONCE)):
            count = min(BEST_OF_AT_ONCE, options.best_of - start)
            with self.compute_lock.hold(Priority.VISITORS):
                (more,) = sample_candidates(
                    policy, [prompt], BestOf(count, judge),
                    max_new_tokens=options.max_new_tokens, temperature=options.temperature,
                    seed=options.seed * 1000 + number,
                )  # fmt: skip
            found = Candidates(
                found.ids + more.ids, found.texts + more.texts, found.scores + more.scores
            )
            yield best_of_state(settings, found)

    def _who(self, left: str, right: str, scorer: str) -> Who:
        """Return the names of models and scorer that people see, never a folder."""
        return {
            "left": self._named(left),
            "right": self._named(right),
            "scorer": self._scorer(scorer),
            "base": Path(self._base(left, right)).name,
        }

    def _named(self, chosen: str) -> Named:
        """Return an id of the lists with its name for people."""
        choices = self.choices
        labels = {listed: label for label, listed in (*choices.contestants(), *choices.rewards())}
        label = labels.get(chosen, str(chosen))
        return {"id": chosen, "name": chosen if label.startswith(f"{chosen}:") else label}

    def _scorer(self, chosen: str) -> NamedScorer:
        """Return a scorer's id with its name and unit."""
        return {**self._named(chosen), "unit": unit(self.choices, chosen)}

    def _models(self, left: str, right: str) -> tuple[Contestant, Contestant, Contestant]:
        """Load the two models and the base, shared with all other users of the cache."""
        base = self._base(left, right)
        return (
            Contestant(left, self.model_cache.policy(self.choices.policy(left))),
            Contestant(right, self.model_cache.policy(self.choices.policy(right))),
            Contestant(base, self.model_cache.policy(base)),
        )

    def _base(self, left: str, right: str) -> str:
        """Return the model that KL is measured against: the base of a PPO model, else the left one.

        Raises:
            DemoError: an id is in no list.
        """
        known = [self.choices.policy(left), self.choices.policy(right)]
        bases = (self.choices.base_of(right), self.choices.base_of(left))
        return next((base for base in bases if base is not None), known[0])


def check_options(options: DuelOptions) -> None:
    """Check what a page may ask for.

    Raises:
        ConfigError: the response may be longer than that.
    """
    if options.max_new_tokens > MOST_TOKENS:
        raise ConfigError(
            f"max new tokens is {options.max_new_tokens}: on this page give at most {MOST_TOKENS}"
        )


def check_sampled(prompts: int, options: BestOfOptions, most: int) -> None:
    """Check that best-of-n samples at most so many tokens for many prompts.

    Raises:
        ConfigError: it is more than a page may ask for.
    """
    tokens = prompts * options.best_of * options.max_new_tokens
    if options.best_of > 1 and tokens > most:
        raise ConfigError(
            f"{prompts} prompts, {options.best_of} responses to each and {options.max_new_tokens} "
            f"tokens a response are {tokens:,} tokens: on this page ask for at most "
            f"{most:,}, with fewer prompts, fewer responses or shorter ones"
        )


def best_of_state(settings: BestOfSettings, found: Candidates) -> BestOfState:
    """Return what the page shows of the responses so far."""
    ranked, count = ranking(found.scores), len(found.scores)
    return {
        "settings": settings,
        "responses": [
            {"text": text, "score": score}
            for text, score in zip(found.texts, found.scores, strict=True)
        ],
        "best": ranked[0] if ranked else None,
        "median": ranked[count // 2] if ranked else None,
        "worst": ranked[-1] if ranked else None,
        "kl_bound": kl_bound(settings["best_of"]),
        "expected": expected_best(found.scores),
        "finished": count == settings["best_of"],
    }


def frames(steps: Iterator[DuelState], compute_lock: ComputeLock) -> Iterator[DuelState]:
    """Run a duel one frame at a time; other requests can compute between two frames.

    Args:
        steps: the duel.
        compute_lock: held while a model computes.
    """
    state = None
    while state is None or not state.finished:
        with compute_lock.hold(Priority.VISITORS):
            end = time.monotonic() + FRAME_SECONDS
            state = next(steps)
            while not state.finished and time.monotonic() < end:
                state = next(steps)
        yield state


def same_tokens(left: Policy, right: Policy) -> bool:
    """Say whether two models share their tokens; if not, equal random numbers mean nothing."""
    return left.tokenizer.get_vocab() == right.tokenizer.get_vocab()


def example_record() -> DuelRecord:
    """Let the shipped base and PPO model write to one prompt, as the page does."""
    cpu = torch.device("cpu")
    left, right = "gpt2-mini", "gpt2-mini-ppo"
    base, ppo = (load_policy(name, device=cpu) for name in (left, right))
    scorer, options = load_scorer("reward-mini", device=cpu), DuelOptions()
    *_, state = duel(base, ppo, base, EXAMPLE_PROMPT, options, scorer=scorer)
    return {
        "kind": "duel",
        "example": True,
        "settings": {
            "left": {"id": left, "name": left},
            "right": {"id": right, "name": right},
            "scorer": {"id": "reward-mini", "name": "reward-mini", "unit": REWARD_UNIT},
            "base": left,
            "prompt": EXAMPLE_PROMPT,
            "same_tokens": True,
            **options.to_dict(),
        },
        "state": state.to_dict(),
    }


@dataclass
class ManyPrompts:
    """Two models answer many prompts, chunk by chunk, with the same random numbers.

    Attributes:
        base: the model that KL and perplexity are measured against.
        judges: the scorers; for each of them the higher score wins.
        options: sampling options of both models; top-k and top-p are not used here.
    """

    left: Contestant
    right: Contestant
    base: Policy
    judges: Judges
    prompts: list[str]
    options: DuelOptions

    def __post_init__(self) -> None:
        self.sides = Answers(self.left), Answers(self.right)

    def steps(self, compute_lock: ComputeLock) -> Iterator[int]:
        """Answer chunk after chunk, and yield how many prompts both have answered."""
        size = self._chunk_size()
        for number, start in enumerate(range(0, len(self.prompts), size)):
            prompts = self.prompts[start : start + size]
            # Each chunk draws its own numbers; otherwise, prompts would share their luck.
            seed = self.options.seed * 1000 + number
            for side in self.sides:
                with compute_lock.hold(Priority.VISITORS):
                    side.answer(
                        prompts, self.base, self.judges,
                        max_new_tokens=self.options.max_new_tokens,
                        temperature=self.options.temperature, seed=seed,
                    )  # fmt: skip
            yield start + len(prompts)

    def _chunk_size(self) -> int:
        """Return how many prompts both models answer at once.

        They are fewer where the prompts are long, or where each gets several responses.
        """
        best_of = self.right.best_of
        sizes = [CHUNK]
        for side in self.sides:
            policy, tokens = side.contestant.policy, self.options.max_new_tokens
            ids, *_ = encode_prompts(policy, self.prompts, tokens)
            sizes.append(rows_at_once(policy.lm, ids.shape[1] + tokens))
        return max(1, min(sizes) // (best_of.n if best_of else 1))

    def report(self) -> CompareReport:
        """Return what `compare.compare` reports, over all chunks."""
        return {
            "max_new_tokens": self.options.max_new_tokens,
            "temperature": self.options.temperature,
            "seed": self.options.seed,
            **report(self.prompts, *self.sides),
        }
