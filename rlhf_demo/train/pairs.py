"""Stage 1a: pairs of responses to one prompt, of which a simulated voter prefers one.

Pairs are unfiltered samples of the model; only ties (equal texts or equal scores) are drawn again.
A reward model trained on selected pairs would be tested on easier ones than PPO will show it.
"""

from collections.abc import Iterator
from itertools import count, islice

import torch
from tqdm import tqdm

from rlhf_demo.config.pairs import PairsConfig
from rlhf_demo.data.pairs import PairRow
from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.errors import DataError
from rlhf_demo.models.device import pick_device, pick_dtype
from rlhf_demo.models.policy import Policy, load_policy
from rlhf_demo.models.sampling import decode, generate, seeded
from rlhf_demo.models.scorers import Scorer, SimulatedVoter, scorer_of
from rlhf_demo.runs.run import Run, started_by_hand

PROMPTS_AT_ONCE = 128


def make_pairs(
    config: PairsConfig, run: Run, *, resume: bool = False, scorer: Scorer | None = None
) -> None:
    """Write the run's pairs.jsonl: prompt, chosen, rejected, margin and split.

    The margin is the score of the chosen response minus the score of the rejected one. It is
    negative if the voter's error flipped the preference.

    Args:
        resume: changes nothing; a run that was cut short makes the same pairs again.
        scorer: the voter prefers the response that it scores higher. Without it, the scorer is the
            one that the options name.

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
        voter = SimulatedVoter(scorer, error_rate=config.error_rate, seed=config.seed)
        prompts = split_prompts(config)
        for split, count in (("train", config.train_pairs), ("heldout", config.heldout_pairs)):
            if count:
                pairs = _labelled_pairs(config, run, policy, voter, split, prompts[split])
                rows = [
                    {**pair, "split": split}
                    for pair in tqdm(islice(pairs, count), f"{split} pairs", count)
                ]
                run.append("pairs", rows)


def summary(run: Run) -> str:
    """Return one line with the number of pairs of a run, and their file."""
    return f"{len(run.read('pairs'))} pairs in {run.folder / 'pairs.jsonl'}"


def split_prompts(config: PairsConfig) -> dict[str, list[str]]:
    """Return the prompts by split; if the source has no splits, a third is held out.

    Raises:
        DataError: the options ask for pairs of both splits and there are fewer than two prompts.
    """
    sides = {split: load_prompts(config.prompts, split) for split in ("train", "heldout")}
    if not set(sides["train"]) & set(sides["heldout"]):
        return sides
    prompts = sorted(set(sides["train"]) | set(sides["heldout"]))
    if not (config.train_pairs and config.heldout_pairs):
        return {"train": prompts, "heldout": prompts}
    if len(prompts) < 2:
        raise DataError(
            f"{config.prompts} holds {len(prompts)} prompt: give at least two, so that one can be "
            "held out, or set --heldout-pairs 0"
        )
    order = torch.randperm(len(prompts), generator=seeded(config.seed, "split", 0)).tolist()
    held_out = max(1, len(prompts) // 3)
    return {
        "train": [prompts[i] for i in order[held_out:]],
        "heldout": [prompts[i] for i in order[:held_out]],
    }


def _labelled_pairs(
    config: PairsConfig,
    run: Run,
    policy: Policy,
    voter: SimulatedVoter,
    split: str,
    prompts: list[str],
) -> Iterator[PairRow]:
    """Yield labelled pairs of one split without end; the prompts are reshuffled each epoch.

    Raises:
        DataError: in a whole epoch, the voter prefers neither response to any prompt.
    """
    for epoch in count():
        any_preference = False
        order = torch.randperm(
            len(prompts), generator=seeded(config.seed, f"{split} order", epoch)
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
                        seed=seeded(config.seed, f"{split} {side} {start}", epoch).initial_seed(),
                        dtype=pick_dtype(policy.lm.device, config.dtype),
                        on_token=run.check_stop,
                    ),
                )
                for side in ("left", "right")
            )
            preferences, margins = voter.prefer(batch, left, right)
            for prompt, a, b, preference, margin in zip(
                batch, left, right, preferences, margins, strict=True
            ):
                if a == b or preference == 0:
                    continue
                any_preference = True
                chosen, rejected = (a, b) if preference > 0 else (b, a)
                margin = round(float(margin) * int(preference), 4)
                yield {"prompt": prompt, "chosen": chosen, "rejected": rejected, "margin": margin}
        if not any_preference:
            raise DataError(
                f"the rater {config.rater!r} preferred neither response to any of "
                f"{len(prompts)} prompts: use other prompts or another --rater"
            )
