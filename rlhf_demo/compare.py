"""Two models answer the same prompts with the same random numbers; measured side by side."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rlhf_demo.config import CompareConfig
from rlhf_demo.evaluate import count_wins, distinct_n, mean_kl, perplexity, response_logprobs
from rlhf_demo.intervals import wilson_interval
from rlhf_demo.models import Policy, load_policy, pick_device, pick_dtype
from rlhf_demo.preferences import load_prompts
from rlhf_demo.raters import Scorer
from rlhf_demo.sampling import decode, generate


@dataclass(frozen=True)
class Contestant:
    """One side of a comparison: a model under the name it was asked for."""

    name: str
    policy: Policy


def compare(
    left: Contestant,
    right: Contestant,
    base: Policy,
    prompts: list[str],
    scorer: Scorer,
    *,
    max_new_tokens: int,
    temperature: float,
    seed: int,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Any]:
    """Let both models respond and report.

    KL is counted against `base` at the sampling temperature; perplexity is the base's, at
    temperature 1.

    Returns:
        JSON-ready: `models` (two dicts of figures), `win_rate` of right against left with a 95%
        interval (a tie counts half), and `rows` (prompt, both responses, both scores).
    """
    sides = []
    for contestant in (left, right):
        ids = generate(
            contestant.policy,
            prompts,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=seed,
            dtype=dtype,
            progress=contestant.name,
        )
        texts = decode(contestant.policy, ids)
        sides.append((contestant, ids, texts, scorer(prompts, texts)))
    return {
        "models": [figures(side, base, prompts, temperature) for side in sides],
        "seed": seed,
        "temperature": temperature,
        "max_new_tokens": max_new_tokens,
        **verdict(prompts, *((texts, scores) for _, _, texts, scores in sides)),
    }


def verdict(
    prompts: list[str], left: tuple[list[str], Tensor], right: tuple[list[str], Tensor]
) -> dict[str, Any]:
    """Count wins of right against left, and list the answers.

    Args:
        prompts: what both answered.
        left, right: responses and their scores, float32 [prompts].

    Returns:
        JSON-ready: `prompts` (how many), `wins`, `ties`, `losses`, `win_rate` with a 95% interval
        (a tie counts half), and `rows`.
    """
    (left_texts, left_scores), (right_texts, right_scores) = left, right
    wins, ties, losses = count_wins(right_scores, left_scores)
    low, high = wilson_interval(wins + ties / 2, len(prompts))
    rows = zip(
        prompts, left_texts, right_texts, left_scores.tolist(), right_scores.tolist(), strict=True
    )
    return {
        "prompts": len(prompts),
        "wins": wins,
        "ties": ties,
        "losses": losses,
        "win_rate": (wins + ties / 2) / len(prompts),
        "win_rate_low": low,
        "win_rate_high": high,
        "rows": [
            {"prompt": prompt, "responses": [a, b], "scores": [round(x, 4), round(y, 4)]}
            for prompt, a, b, x, y in rows
        ],
    }


def compare_models(left: str, right: str, config: CompareConfig, scorer: Scorer) -> dict[str, Any]:
    """Load two models by name, compare them on `count` held-out prompts, and name the rater."""
    device = pick_device(config.device)
    policies = {name: load_policy(name, device=device) for name in {left, right, config.base}}
    report = compare(
        Contestant(left, policies[left]),
        Contestant(right, policies[right]),
        policies[config.base],
        load_prompts(config.prompts, "heldout")[: config.count],
        scorer,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        seed=config.seed,
        dtype=pick_dtype(device, config.dtype),
    )
    return {"base": config.base, "rater": config.rater, **report}


def figures(side: tuple, base: Policy, prompts: list[str], temperature: float) -> dict[str, Any]:
    """Measure one side: score, length, diversity; KL, perplexity where it has the base's tokens."""
    contestant, ids, texts, scores = side
    result = {
        "name": contestant.name,
        "score": float(scores.mean()),
        "length": sum(map(len, ids)) / len(ids),
        "eos_rate": sum(row[-1] == contestant.policy.tokenizer.eos_token_id for row in ids)
        / len(ids),
        "distinct_1": distinct_n(ids, 1),
        "distinct_2": distinct_n(ids, 2),
        "different_responses": len(set(texts)),
    }
    if contestant.policy.tokenizer.get_vocab() == base.tokenizer.get_vocab():
        ours = response_logprobs(contestant.policy, prompts, ids, temperature)
        theirs = response_logprobs(base, prompts, ids, temperature)
        result["kl"] = mean_kl(ours, theirs)
        result["perplexity"] = perplexity(response_logprobs(base, prompts, ids, 1.0))
    return result


def table(report: dict[str, Any]) -> str:
    """Lay a report's figures out as text, one column a model."""
    names = [model["name"] for model in report["models"]]
    lines = [f"{'':22}" + "".join(f"{name[-22:]:>24}" for name in names)]
    units = {
        "score": "score",
        "kl": "KL to base, nats",
        "length": "length, tokens",
        "eos_rate": "ended by itself",
        "distinct_1": "distinct-1",
        "distinct_2": "distinct-2",
        "perplexity": "perplexity under base",
    }
    for key, label in units.items():
        cells = [f"{model[key]:.2f}" if key in model else "-" for model in report["models"]]
        lines.append(f"{label:22}" + "".join(f"{cell:>24}" for cell in cells))
    rate, low, high = (100 * report[key] for key in ("win_rate", "win_rate_low", "win_rate_high"))
    lines.append(
        f"{names[1]} wins {rate:.0f}% [{low:.0f}, {high:.0f}] of {report['prompts']} prompts "
        f"against {names[0]}: {report['wins']} won, {report['ties']} tied (half a win each), "
        f"{report['losses']} lost"
    )
    return "\n".join(lines)


def side_by_side(report: dict[str, Any], count: int) -> str:
    """Show the first `count` prompts with both responses and scores."""
    names = [model["name"] for model in report["models"]]
    width = max(map(len, names))
    blocks = []
    for row in report["rows"][:count]:
        lines = [row["prompt"]]
        for name, response, score in zip(names, row["responses"], row["scores"], strict=True):
            lines.append(f"  {name:>{width}} {score:+6.2f} |{response}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)
