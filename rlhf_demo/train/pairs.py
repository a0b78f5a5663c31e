"""Stage 1a: two responses to one prompt, and a rater who prefers one of them.

Pairs are unfiltered samples of the model, except that ties (equal texts or equal scores) are drawn
again: a reward model trained on picked pairs would be tested on easier ones than PPO will show it.
"""

from collections.abc import Iterator
from itertools import count, islice

import torch
from tqdm import tqdm

from rlhf_demo.config.pairs import PairsConfig
from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.errors import DataError
from rlhf_demo.models.device import pick_device, pick_dtype
from rlhf_demo.models.policy import Policy, load_policy
from rlhf_demo.models.sampling import decode, generate, seeded
from rlhf_demo.models.scorers import Rater, Scorer, scorer_of
from rlhf_demo.runs.run import Run, started_by_hand

PROMPTS_AT_ONCE = 128


def make_pairs(
    config: PairsConfig, run: Run, *, resume: bool = False, scorer: Scorer | None = None
) -> None:
    """Write the run's pairs.jsonl: prompt, chosen, rejected, margin and split.

    The margin is the rater's score of the chosen response less that of the rejected one; it is
    negative where the rater's error turned the preference round.

    Args:
        resume: changes nothing; a run that was cut short makes the same pairs anew.
        scorer: what the rater prefers by; loaded as the options name it where it is not given.

    Raises:
        DemoError: the model or the prompts cannot be used.
    """
    if scorer is None:
        scorer = scorer_of(
            config.rater,
            device=config.device,
            dtype=config.dtype,
            label=config.label,
            allow_python=started_by_hand(),
        )
    with run.recording():
        (run.folder / "pairs.jsonl").unlink(missing_ok=True)
        policy = load_policy(config.model, device=pick_device(config.device))
        rater = Rater(scorer, error_rate=config.error_rate, seed=config.seed)
        prompts = split_prompts(config)
        for split, wanted in (("train", config.train_pairs), ("heldout", config.heldout_pairs)):
            if wanted:
                pairs = _judged_pairs(config, run, policy, rater, split, prompts[split])
                rows = [
                    {**pair, "split": split}
                    for pair in tqdm(islice(pairs, wanted), f"{split} pairs", wanted)
                ]
                run.append("pairs", rows)


def summary(run: Run) -> str:
    """Say how many pairs a run has written, and where."""
    return f"{len(run.read('pairs'))} pairs in {run.folder / 'pairs.jsonl'}"


def split_prompts(config: PairsConfig) -> dict[str, list[str]]:
    """Return the prompts of both splits; where the source tells none, a third is held out.

    Raises:
        DataError: both splits are wanted and there is but one prompt.
    """
    sides = {split: load_prompts(config.prompts, split) for split in ("train", "heldout")}
    if not set(sides["train"]) & set(sides["heldout"]):
        return sides
    prompts = sorted(set(sides["train"]) | set(sides["heldout"]))
    if not (config.train_pairs and config.heldout_pairs):
        return {"train": prompts, "heldout": prompts}
    if len(prompts) < 2:
        raise DataError(
            f"{config.prompts} holds {len(prompts)} prompt: give two or more, so that one can be "
            "held out, or set --heldout-pairs 0"
        )
    order = torch.randperm(len(prompts), generator=seeded(config.seed, "split", 0)).tolist()
    held_out = max(1, len(prompts) // 3)
    return {
        "train": [prompts[i] for i in order[held_out:]],
        "heldout": [prompts[i] for i in order[:held_out]],
    }


def _judged_pairs(
    config: PairsConfig, run: Run, policy: Policy, rater: Rater, split: str, prompts: list[str]
) -> Iterator[dict[str, str | float]]:
    """Yield judged pairs of one split without end: all prompts in random order, then in another.

    Raises:
        DataError: the rater prefers neither response to any of the prompts.
    """
    for lap in count():
        found = False
        order = torch.randperm(
            len(prompts), generator=seeded(config.seed, f"{split} order", lap)
        ).tolist()
        for start in range(0, len(order), PROMPTS_AT_ONCE):
            batch = [prompts[i] for i in order[start : start + PROMPTS_AT_ONCE]]
            left, right = (
                decode(
                    policy,
                    generate(
                        policy,
                        batch,
                        max_new_tokens=config.max_new_tokens,
                        temperature=config.temperature,
                        seed=seeded(config.seed, f"{split} {side} {start}", lap).initial_seed(),
                        dtype=pick_dtype(policy.lm.device, config.dtype),
                        on_token=run.check_stop,
                    ),
                )
                for side in ("left", "right")
            )
            preferences, margins = rater.prefer(batch, left, right)
            for prompt, a, b, preference, margin in zip(
                batch, left, right, preferences, margins, strict=True
            ):
                if a == b or preference == 0:
                    continue
                found = True
                chosen, rejected = (a, b) if preference > 0 else (b, a)
                margin = round(float(margin) * int(preference), 4)
                yield {"prompt": prompt, "chosen": chosen, "rejected": rejected, "margin": margin}
        if not found:
            raise DataError(
                f"the rater {config.rater!r} preferred neither response to any of "
                f"{len(prompts)} prompts: give it other prompts, or choose another rater"
            )
