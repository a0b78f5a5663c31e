"""Two models answer the same prompts with the same random numbers, and are measured side by side.

Two judges decide which text is better: the one that was asked for, and one that shares no network
with it. If the judge that labelled the reward model's pairs prefers the policy, the policy has
learned that judge's taste. If the other judge prefers it too, the gain is more than a blind spot of
the network that the first judge and the policy share.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from rlhf_demo.config.evaluation import CompareConfig
from rlhf_demo.config.scorers import describe, second_judge
from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.evaluation.best_of_n import (
    BestOf,
    Candidates,
    expected_best,
    kl_bound,
    sample_candidates,
)
from rlhf_demo.evaluation.text_stats import (
    Reading,
    count_ngrams,
    count_wins,
    distinct_n,
    perplexity,
    read_with_base,
    standard_error,
)
from rlhf_demo.intervals import wilson_interval
from rlhf_demo.models.device import pick_device, pick_dtype
from rlhf_demo.models.policy import Policy, load_policy
from rlhf_demo.models.sampling import decode, generate
from rlhf_demo.models.scorers import Scorer, load_scorer
from rlhf_demo.runs.reports import (
    BestOfRow,
    CompareReport,
    Comparison,
    ModelFigures,
    NamedVerdict,
    Verdict,
)

Judges = dict[str, Scorer]
"""Name -> judge; the one that was asked for comes first."""


@dataclass(frozen=True)
class Contestant:
    """One side of a comparison: a model and the name it was asked for by.

    Attributes:
        best_of: how it chooses its answers; None if it writes one response to each prompt. Only
            the right side may choose.
    """

    name: str
    policy: Policy
    best_of: BestOf | None = None


@dataclass
class Answers:
    """One side's responses so far, and what was measured on them; one entry a prompt.

    Attributes:
        ids: token ids, with EOS if the response has one.
        texts: the same as text.
        scores: judge's name -> scores.
        kl: exact KL from the base, nats per response; of best-of-n, what its bound is the mean of.
            Empty if the base has another vocabulary.
        base_logprobs: of each token under the base, nats, at temperature 1; empty likewise.
        candidates: of best-of-n, what it chose from.
        candidate_scores: judge's name -> scores of each prompt's candidates.
    """

    contestant: Contestant
    ids: list[list[int]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    scores: dict[str, list[float]] = field(default_factory=dict)
    kl: list[float] = field(default_factory=list)
    base_logprobs: list[Tensor] = field(default_factory=list)
    candidates: list[Candidates] = field(default_factory=list)
    candidate_scores: dict[str, list[list[float]]] = field(default_factory=dict)

    def answer(
        self,
        prompts: list[str],
        base: Policy,
        judges: Judges,
        *,
        temperature: float,
        **sampling: Any,
    ) -> None:
        """Answer more prompts.

        Args:
            base: the reference of the KL, which is taken at the temperature.
            sampling: the other arguments of `generate`.
        """
        policy, best_of = self.contestant.policy, self.contestant.best_of
        if best_of:
            ids, texts = self._choose(prompts, best_of, judges, temperature=temperature, **sampling)
        else:
            ids = generate(policy, prompts, temperature=temperature, **sampling)
            texts = decode(policy, ids)
        for name, judge in judges.items():
            self.scores.setdefault(name, []).extend(judge(prompts, texts).tolist())
        if policy.tokenizer.get_vocab() == base.tokenizer.get_vocab():
            readings = read_with_base(policy, base, prompts, ids, temperature)
            self.kl += [_kl(reading, best_of) for reading in readings]
            self.base_logprobs += [reading.base_logprobs for reading in readings]
        self.ids += ids
        self.texts += texts

    def _choose(
        self, prompts: list[str], best_of: BestOf, judges: Judges, **sampling: Any
    ) -> tuple[list[list[int]], list[str]]:
        """Return the best response to each prompt, as ids and as text, and judge all of them."""
        found = sample_candidates(self.contestant.policy, prompts, best_of, **sampling)
        for name, judge in judges.items():
            self.candidate_scores.setdefault(name, []).extend(
                judge([prompt] * best_of.n, one.texts).tolist()
                for prompt, one in zip(prompts, found, strict=True)
            )
        self.candidates += found
        return [one.ids[one.best] for one in found], [one.texts[one.best] for one in found]


def _kl(reading: Reading, best_of: BestOf | None) -> float:
    """Return the exact KL of a response; of best-of-n, what its bound is the mean of; nats.

    The KL of best-of-n from the base is that from the model, at most kl_bound, plus the mean over
    the chosen responses of log p - log p_base. Exact sums over the vocabulary do not give the
    second part, because the chosen tokens are not distributed as the model's.
    """
    if best_of is None:
        return float(reading.kl.sum())
    return float(reading.log_ratio.sum()) + kl_bound(best_of.n)


def compare(
    left: Contestant,
    right: Contestant,
    base: Policy,
    prompts: list[str],
    judges: Judges,
    *,
    max_new_tokens: int,
    temperature: float,
    seed: int,
    dtype: torch.dtype = torch.float32,
) -> CompareReport:
    """Let both models respond, and return `report` with the settings."""
    sides = Answers(left), Answers(right)
    for side in sides:
        side.answer(
            prompts, base, judges,
            max_new_tokens=max_new_tokens, temperature=temperature, seed=seed,
            dtype=dtype, progress=side.contestant.name,
        )  # fmt: skip
    return {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "seed": seed,
        **report(prompts, *sides),
    }


def report(prompts: list[str], left: Answers, right: Answers) -> Comparison:
    """Measure both sides and let the judges decide."""
    counted = {
        f"distinct_{n}": min(count_ngrams(side.ids, n) for side in (left, right)) for n in (1, 2)
    }
    judged = [(left.scores[name], right.scores[name]) for name in left.scores]
    rows = zip(
        prompts,
        zip(left.texts, right.texts, strict=True),
        zip(*(zip(*scores, strict=True) for scores in judged), strict=True),
        strict=True,
    )
    compared: Comparison = {
        "prompts": len(prompts),
        "models": [figures(side, counted) for side in (left, right)],
        "counted": counted,
        "judges": [
            {"name": name, **verdict(*scores)}
            for name, scores in zip(left.scores, judged, strict=True)
        ],
        "rows": [
            {
                "prompt": prompt,
                "responses": list(texts),
                "scores": [[round(score, 4) for score in pair] for pair in scores],
            }
            for prompt, texts, scores in rows
        ],
    }
    if right.candidates:
        compared["by_n"] = by_n(left, right)
    return compared


def by_n(left: Answers, right: Answers) -> list[BestOfRow]:
    """Estimate the right side's wins with the best of 1, 2, 4, ... of its candidates, and of all.

    Every n is estimated from the same candidates, so neighbouring rates are not independent.
    """
    most = len(right.candidates[0].scores)
    sizes = [2**power for power in range(most.bit_length()) if 2**power < most] + [most]
    curves = [
        [
            expected_best(candidates.scores, [_win(score, against) for score in judged])
            for candidates, judged, against in zip(
                right.candidates, right.candidate_scores[name], left.scores[name], strict=True
            )
        ]
        for name in left.scores
    ]
    rows: list[BestOfRow] = []
    for n in sizes:
        wins = [sum(curve[n - 1] for curve in of_judge) for of_judge in curves]
        count = len(right.candidates)
        rows.append(
            {
                "n": n,
                "kl_bound": kl_bound(n),
                "win_rates": [won / count for won in wins],
                "intervals": [list(wilson_interval(won, count)) for won in wins],
            }
        )
    return rows


def _win(score: float, against: float) -> float:
    """Return 1 for a win, a half for a tie, 0 for a loss."""
    return ((score > against) + (score >= against)) / 2


def figures(side: Answers, counted: dict[str, int]) -> ModelFigures:
    """Measure one side; KL and perplexity only if the base has the same vocabulary.

    Args:
        counted: the numbers of n-grams that `distinct_1` and `distinct_2` count.
    """
    eos = side.contestant.policy.tokenizer.eos_token_id
    result: ModelFigures = {
        "name": side.contestant.name,
        "scores": [sum(scores) / len(scores) for scores in side.scores.values()],
        "length": sum(map(len, side.ids)) / len(side.ids),
        "eos_rate": sum(ids[-1] == eos for ids in side.ids) / len(side.ids),
        "distinct_1": distinct_n(side.ids, 1, counted["distinct_1"]),
        "distinct_2": distinct_n(side.ids, 2, counted["distinct_2"]),
        "different_responses": len(set(side.texts)),
    }
    if side.contestant.best_of:
        result["best_of"] = side.contestant.best_of.n
    if side.kl:
        kl = torch.tensor(side.kl)
        result["kl"] = float(kl.mean())
        result["perplexity"] = perplexity(side.base_logprobs)
        if len(kl) > 1:  # a single prompt says nothing about the spread
            result["kl_se"] = standard_error(kl)
    return result


def verdict(left: list[float], right: list[float]) -> Verdict:
    """Count the wins of right over left by one judge's scores.

    Args:
        left, right: the judge's scores of each side, prompt by prompt.
    """
    wins, ties, losses = count_wins(torch.tensor(right), torch.tensor(left))
    low, high = wilson_interval(wins + ties / 2, len(left))
    return {
        "wins": wins,
        "ties": ties,
        "losses": losses,
        "win_rate": (wins + ties / 2) / len(left),
        "win_rate_low": low,
        "win_rate_high": high,
    }


def compare_models(
    left: str, right: str, config: CompareConfig, judge: Scorer, chooser: Scorer | None = None
) -> CompareReport:
    """Load two models by name and compare them on up to `count` prompts of the split.

    Args:
        judge: the judge that config.rater names. The second judge is loaded here.
        chooser: the scorer that config.reward names, which chooses the right model's best
            responses; None if config.best_of is 1.
    """
    device = pick_device(config.device)
    dtype = pick_dtype(device, config.dtype)
    second = second_judge(config.rater)
    policies = {name: load_policy(name, device=device) for name in {left, right, config.base}}
    best_of = BestOf(config.best_of, chooser) if chooser else None
    compared = compare(
        Contestant(left, policies[left]),
        Contestant(best_of_name(right, config.best_of), policies[right], best_of),
        policies[config.base],
        load_prompts(config.prompts, config.split)[: config.count],
        {config.rater: judge, second: load_scorer(second, device=device, dtype=dtype)},
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        seed=config.seed,
        dtype=dtype,
    )
    if chooser:
        compared["chosen_by"] = config.reward
    return {"base": config.base, "split": config.split, **compared}


def best_of_name(name: str, n: int) -> str:
    """Return what a side is called that answers with the best of n responses of this model."""
    return f"{name} (best of {n})" if n > 1 else name


# -- as text ---------------------------------------------------------------------------------------

UNITS = {
    "kl": "KL to base, nats",
    "kl_se": "  its standard error",
    "length": "length, tokens",
    "eos_rate": "ended by itself",
    "distinct_1": "distinct-1",
    "distinct_2": "distinct-2",
    "perplexity": "perplexity under base",
}


def table(report: CompareReport) -> str:
    """Return a report as a text table, one column a model, and then each judge's verdict."""
    models, judges = report["models"], report["judges"]
    lines = [_line("", [model["name"][-22:] for model in models])]
    for index, judge in enumerate(judges):
        scores = [f"{model['scores'][index]:.2f}" for model in models]
        lines.append(_line(f"score, {judge['name'][-15:]}", scores))
    for key, label in UNITS.items():
        lines.append(_line(label, [_cell(model, key) for model in models]))
    tokens, bigrams = report["counted"].values()
    lines.append(
        f"distinct-1 and -2 count the first {tokens:,} tokens and {bigrams:,} bigrams of each model"
    )
    left, right = (model["name"] for model in models)
    wins = [_verdict(judge, left, right, report["prompts"]) for judge in judges]
    return "\n".join(lines + wins + _by_n_lines(report))


def _cell(model: ModelFigures, key: str) -> str:
    value = model.get(key)
    if value is None:
        return "-"
    at_most = "<= " if key == "kl" and "best_of" in model else ""
    return f"{at_most}{value:.2f}"


def _by_n_lines(report: CompareReport) -> list[str]:
    """Return the wins of the best of n for growing n, as lines of the table."""
    if "by_n" not in report:
        return []
    names = [judge["name"] for judge in report["judges"]]
    lines = [_line("best of", ["KL added, at most", *(f"wins, {name[-15:]}" for name in names)])]
    for row in report["by_n"]:
        wins = [
            f"{100 * rate:.0f}% [{100 * low:.0f}, {100 * high:.0f}]"
            for rate, (low, high) in zip(row["win_rates"], row["intervals"], strict=True)
        ]
        lines.append(_line(str(row["n"]), [f"{row['kl_bound']:.2f}", *wins]))
    return ["", *lines]


def _line(label: str, cells: list[str]) -> str:
    return f"{label:22}" + "".join(f"{cell:>24}" for cell in cells)


def _verdict(judge: NamedVerdict, left: str, right: str, prompts: int) -> str:
    rate, low, high = (100 * judge[key] for key in ("win_rate", "win_rate_low", "win_rate_high"))
    return (
        f"{right} wins {rate:.0f}% [{low:.0f}, {high:.0f}] of {prompts} prompts against {left} "
        f"by {judge['name']}: {judge['wins']} won, {judge['ties']} tied (half a win each), "
        f"{judge['losses']} lost\n    ({describe(judge['name'])})"
    )


def side_by_side(report: CompareReport, count: int) -> str:
    """Return the first `count` prompts with both responses and the first judge's scores."""
    if not count:
        return ""
    names = [model["name"] for model in report["models"]]
    width = max(map(len, names))
    blocks = [f"Responses, each with its score by {report['judges'][0]['name']}:"]
    for row in report["rows"][:count]:
        lines = [row["prompt"]]
        for name, response, score in zip(names, row["responses"], row["scores"][0], strict=True):
            lines.append(f"  {name:>{width}} {score:+6.2f} |{response}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)
