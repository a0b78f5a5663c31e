"""Measure the saved models of runs for a frontier: wins against the base, and exact KL from it.

Every model answers the same prompts, and each response is compared with the same AGAINST responses
of the base. With equal seeds, two models also use the same random numbers. Models are measured a
chunk of prompts at a time, so that a page can do other work in between.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch

from rlhf_demo.config.evaluation import FrontierConfig
from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.errors import ShapeError
from rlhf_demo.evaluation.best_of_n import BestOf, expected_best, kl_bound
from rlhf_demo.evaluation.compare import Answers, Contestant, Judges
from rlhf_demo.evaluation.frontier import half_wins
from rlhf_demo.evaluation.frontier_runs import describe_run, models_of, reward_cost
from rlhf_demo.evaluation.labellers import SHIPPED_REWARD
from rlhf_demo.evaluation.text_stats import distinct_n, standard_error
from rlhf_demo.models.device import pick_device, pick_dtype
from rlhf_demo.models.policy import Policy, load_policy
from rlhf_demo.models.sampling import decode, generate
from rlhf_demo.models.scorers import load_scorer
from rlhf_demo.runs.frontier import (
    AGAINST,
    BEST_OF_N,
    DIGITS,
    Cost,
    FrontierPoint,
    FrontierRecord,
    FrontierRun,
)
from rlhf_demo.runs.run import Run, started_by_hand

CHUNK = 64
"""Prompts that a model answers at once, with the same random numbers for all models."""
BIGRAMS_EACH = 4
"""distinct-2 counts so many bigrams for each prompt. It falls as more are counted."""

Result = TypeVar("Result")
Steps = Generator[int, None, Result]
"""Yields the number of answered prompts chunk by chunk, and returns the result."""


@dataclass(frozen=True)
class Field:
    """What all models of a record are measured with.

    Attributes:
        base: the model whose responses they are compared with.
        judges: decide by their scores.
        record: prompts, sampling options, and the scores of the base's responses.
        dtype: of matrix products.
    """

    base: Policy
    judges: Judges
    record: FrontierRecord
    dtype: torch.dtype = torch.float32

    def chunks(self, size: int) -> Iterator[tuple[int, list[str]]]:
        """Yield the prompts chunk by chunk, numbered."""
        prompts = self.record["prompts"]
        for number, start in enumerate(range(0, len(prompts), size)):
            yield number, prompts[start : start + size]


def done(steps: Steps[Result]) -> Result:
    """Run a measurement to its end."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def open_field(config: FrontierConfig, record: FrontierRecord | None = None) -> Field:
    """Load base and judges for a record; without one, those of the options for a new record."""
    device = pick_device(config.device)
    dtype = pick_dtype(device, config.dtype)
    base = load_policy(record["base"] if record else config.base, device=device)
    judges = {
        name: load_scorer(name, device=device, dtype=dtype, allow_python=started_by_hand())
        for name in (record["judges"] if record else config.judges)
    }
    return Field(base, judges, record or new_record(config, base, judges, dtype), dtype)


def new_record(
    config: FrontierConfig, base: Policy, judges: Judges, dtype: torch.dtype
) -> FrontierRecord:
    """Let the base answer each prompt AGAINST times, and return a record without runs."""
    prompts = load_prompts(config.prompts, config.split)[: config.count]
    against: dict[str, list[list[float]]] = {name: [[] for _ in prompts] for name in judges}
    for number in range(AGAINST):
        ids = generate(
            base, prompts, max_new_tokens=config.max_new_tokens, temperature=config.temperature,
            seed=0, dtype=dtype, progress=f"{config.base} {number + 1} of {AGAINST}",
            purpose=f"against {number}",
        )  # fmt: skip
        texts = decode(base, ids)
        for name, judge in judges.items():
            for row, score in zip(against[name], judge(prompts, texts).tolist(), strict=True):
                row.append(round(score, 4))
    record: FrontierRecord = {
        "base": config.base,
        "prompts": prompts,
        "max_new_tokens": config.max_new_tokens,
        "temperature": config.temperature,
        "judges": list(judges),
        "against": against,
        "runs": [],
        "chosen_by": config.reward,
    }
    if config.reward == SHIPPED_REWARD:
        record["reward_model"] = reward_cost()
    return record


# -- a model ---------------------------------------------------------------------------------------


def measure_model(
    field: Field, policy: Policy, name: str, step: int, seed: int
) -> Steps[FrontierPoint]:
    """Measure one model.

    Args:
        name: of the model, for an error.
        step: of the run.
        seed: of the sampling.

    Raises:
        ShapeError: the model has other tokens than the base, so there is no KL between them.
    """
    if policy.tokenizer.get_vocab() != field.base.tokenizer.get_vocab():
        raise ShapeError(
            f"{name} has other tokens than {field.record['base']}, so there is no KL between them: "
            "give --base the model that it was trained from"
        )
    side = Answers(Contestant(name, policy))
    for number, prompts in field.chunks(CHUNK):
        _answer(field, side, prompts, seed, number)
        yield len(side.texts)
    against = field.record["against"]
    kl = torch.tensor(side.kl)
    return {
        "step": step,
        "kl": round(float(kl.mean()), 4),
        "kl_se": round(standard_error(kl), 4),
        "wins": {judge: half_wins(scores, against[judge]) for judge, scores in side.scores.items()},
        "distinct_2": round(distinct_n(side.ids, 2, BIGRAMS_EACH * len(side.ids)), 4),
    }


def _answer(field: Field, side: Answers, prompts: list[str], seed: int, number: int) -> None:
    """Answer one chunk of prompts; each chunk has random numbers of its own."""
    side.answer(
        prompts, field.base, field.judges, max_new_tokens=field.record["max_new_tokens"],
        temperature=field.record["temperature"], seed=1000 * seed + number, dtype=field.dtype,
    )  # fmt: skip


def chooser_of(config: FrontierConfig, field: Field) -> BestOf:
    """Load the scorer that chooses the best of N responses."""
    scorer = load_scorer(
        config.reward, device=field.base.lm.device, dtype=field.dtype,
        allow_python=started_by_hand(),
    )  # fmt: skip
    return BestOf(config.best_of, scorer)


def measure_best_of_n(field: Field, best_of: BestOf, seed: int) -> Steps[FrontierRun]:
    """Measure the best of 1, 2, 4, ... of the base's responses, all from the same `best_of.n`.

    Its KL is the upper bound. The wins of the best of n on a prompt are the mean over all choices
    of n responses, rounded to a half win.
    """
    side = Answers(Contestant(field.record["base"], field.base, best_of))
    for number, prompts in field.chunks(max(1, CHUNK // best_of.n)):
        _answer(field, side, prompts, seed, number)
        yield len(side.texts)
    sizes = [2**power for power in range(best_of.n.bit_length())]
    sizes = sizes if sizes[-1] == best_of.n else [*sizes, best_of.n]
    curves = {judge: _best_wins(field, side, judge) for judge in field.judges}
    points: list[FrontierPoint] = [
        {
            "step": n,
            "kl": kl_bound(n),
            "wins": {
                judge: "".join(DIGITS[round(curve[n - 1])] for curve in rows)
                for judge, rows in curves.items()
            },
        }
        for n in sizes
    ]
    nothing: Cost = {"generated": 0, "reward_calls": 0, "read": 0}
    return {
        "name": f"{BEST_OF_N}, seed {seed}",
        "arm": BEST_OF_N,
        "setting": "",
        "seed": seed,
        "cost": nothing,
        "points": points,
    }


def _best_wins(field: Field, side: Answers, judge: str) -> list[list[float]]:
    """Return on each prompt the expected half wins of the best of 1, 2, ... responses."""
    rows = zip(
        side.candidates, side.candidate_scores[judge], field.record["against"][judge], strict=True
    )
    return [
        expected_best(
            candidates.scores,
            [float(DIGITS.index(half_wins([score], [others]))) for score in judged],
        )
        for candidates, judged, others in rows
    ]


# -- a run -----------------------------------------------------------------------------------------


def measure_run(field: Field, run: Run) -> FrontierRun:
    """Measure a run's model at all its saved steps and after the last one.

    Raises:
        DemoError: the run is not finished, makes no policy, or its model cannot be used.
    """
    described = describe_run(run)
    for step, folder in models_of(run):
        policy = load_policy(str(folder), device=field.base.lm.device)
        measured = measure_model(field, policy, described["name"], step, described["seed"])
        described["points"].append(done(measured))
    return described
