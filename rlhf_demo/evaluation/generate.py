"""Responses of one model to prompts, with scores if a reward is named."""

from typing import NotRequired, TypedDict

from rlhf_demo.config.evaluation import GenerateConfig
from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.models.device import pick_device, pick_dtype
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.sampling import decode, generate
from rlhf_demo.models.scorers import Scorer


class GeneratedRow(TypedDict):
    """A response to a prompt."""

    prompt: str
    response: str
    score: NotRequired[float]  # in the scorer's units


def generate_rows(config: GenerateConfig, scorer: Scorer | None) -> list[GeneratedRow]:
    """Return one row per response, with its score if there is a scorer."""
    device = pick_device(config.device)
    policy = load_policy(config.model, device=device)
    prompts = [
        prompt for prompt in load_prompts(config.prompts, "heldout") for _ in range(config.samples)
    ]
    responses = decode(
        policy,
        generate(
            policy,
            prompts,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            seed=config.seed,
            dtype=pick_dtype(device, config.dtype),
            progress="responses",
        ),
    )
    rows: list[GeneratedRow] = [
        {"prompt": p, "response": r} for p, r in zip(prompts, responses, strict=True)
    ]
    if scorer:
        for row, score in zip(rows, scorer(prompts, responses).tolist(), strict=True):
            row["score"] = round(score, 4)
    return rows
