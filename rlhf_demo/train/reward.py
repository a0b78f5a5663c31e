"""Stage 1: fit a reward model to preference pairs. Read it from top to bottom.

The loop is TRL's RewardTrainer, which minimises the Bradley-Terry loss

    -log sigmoid(score of chosen - score of rejected)

which is averaged over the pairs of each ranking first, if people ranked (ranking_batches.py). Ours
are its data, its metrics rows, stop and resume, and what comes after it: the normalisation of the
scores inside the weights, and the held-out report. Pairs are tokenised here, because from texts
RewardTrainer would append EOS and silently drop long ones. A score is read at the last token of
plain `tokenizer(prompt + response)`, as in `models/reward_model.py`.

Sources: Ziegler et al. 2019 (https://arxiv.org/abs/1909.08593: scores with mean 0 and variance 1 on
the base's samples), Stiennon et al. 2020 (https://arxiv.org/abs/2009.01325).
"""

import logging
import math
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf_demo.config.dpo import DPOConfig
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.data.pairs import SHIPPED, Pairs, is_pairs_run, load_pairs, split_by_prompt
from rlhf_demo.errors import CheckpointError, DataError, TrainingDiverged
from rlhf_demo.evaluation.reliability import format_report, held_out_report, pair_loss, rightness
from rlhf_demo.files import replacing_folder, write_json
from rlhf_demo.models.adapters import save_network
from rlhf_demo.models.device import pick_device, pick_dtype
from rlhf_demo.models.loading import max_positions
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.reward_model import new_reward_model
from rlhf_demo.models.sampling import decode, generate
from rlhf_demo.models.token_text import special_id
from rlhf_demo.runs.reports import RewardReport
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.train.pair_scoring import (
    EncodedPairs,
    PairScorer,
    encode_pairs,
    encode_texts,
    normalise,
)
from rlhf_demo.train.ranking_batches import ROW_COLUMNS, collate, ranked_rows, ranking_trainer
from rlhf_demo.train.trl_training import Recorder, train_with_trl, trl_arguments

log = logging.getLogger(__name__)

EVALUATIONS = 3
"""Evaluations on the held-out pairs after the one at the start, evenly spaced to the last step."""

EVALUATION_PAIRS = 300
"""Held-out pairs of an evaluation, evenly spaced; the last evaluation takes all pairs."""

BASE_SAMPLES = 128
"""If the pairs are not the base's own texts, this many samples of it serve to normalise scores."""


def train_reward(config: RewardConfig, run: Run, *, resume: bool = False) -> None:
    """Train a reward model, and write everything it makes into the run's folder.

    Args:
        resume: continue exactly from the run's last checkpoint, or from the start if there is none.
            A finished run is left as it is.

    Raises:
        TrainingDiverged: a loss or gradient is no longer finite. The last checkpoint is kept.
        DemoError: the model or the data cannot be used.
    """
    if resume and run.status["status"] == Status.FINISHED:
        return
    with run.recording():
        # 1. Pairs to train on, and held-out pairs; no prompt is in both.
        train_pairs, held_out_pairs = load_both_sides(config)
        train_pairs = train_pairs.with_label_noise(config.label_noise, config.seed)
        run.check_stop()

        # 2. A new scoring head on the base; the seed decides its weights.
        torch.manual_seed(config.seed)
        device = pick_device(config.device)
        model, tokenizer = new_reward_model(config.model, lora_rank=config.lora_rank, device=device)
        dtype = pick_dtype(device, config.dtype)
        train = encode_pairs(train_pairs, tokenizer, max_positions(model))
        held_out = encode_pairs(held_out_pairs, tokenizer, max_positions(model))
        log.info(
            "%d pairs to train on, %d held out, %d texts cut, dropped rows: %s",
            len(train_pairs),
            len(held_out_pairs),
            train.cut + held_out.cut,
            train_pairs.dropped or "none",
        )

        # 3. Train.
        checkpoints = run.folder / "checkpoints"
        scorer = PairScorer(model, special_id(tokenizer, "pad"), dtype, run.check_stop)
        recorder = RewardRecorder(run, scorer, held_out)
        trainer = build_trainer(config, model, tokenizer, train, recorder, checkpoints, dtype)
        train_with_trl(trainer, recorder, checkpoints, resume=resume)

        # 4. Margins on the held-out pairs, in logits, the units of training.
        margins = recorder.held_out_margins or scorer.margins(held_out)

        # 5. Normalise the scores on samples of the base, where PPO starts.
        samples = samples_of_base(config, train_pairs, train, max_positions(model), run.check_stop)
        mean, std = normalise(model, scorer.scores(samples))
        report: RewardReport = {
            **held_out_report(held_out_pairs, margins, std),
            # Before the normalisation; the saved model gives (score - score_mean) / score_std.
            "score_mean": mean,
            "train_pairs": len(train_pairs),
            "dropped": train_pairs.dropped,
            "cut": train.cut + held_out.cut,
        }

        # 6. Save the model, and only then remove the checkpoints.
        save_model(model, tokenizer, run.model_folder)
        write_json(run.folder / "report.json", report)
        log.info("%s", format_report(report))
        shutil.rmtree(checkpoints, ignore_errors=True)


def summary(run: Run) -> str:
    """Return a finished run's report on the held-out pairs as text."""
    report = run.report()
    return "" if report is None else format_report(report)


# -- data ------------------------------------------------------------------------------------------


def load_both_sides(config: RewardConfig | DPOConfig) -> tuple[Pairs, Pairs]:
    """Return the pairs to train on and the held-out pairs.

    Raises:
        DataError: the data cannot be read, cannot be split, or has a prompt in both of its splits.
    """
    if is_of_base(config):
        train, held_out = load_pairs(config.data, "train"), load_pairs(config.data, "heldout")
        if both := set(train.prompts) & set(held_out.prompts):
            raise DataError(
                f"{config.data} has the prompt {min(both)[:60]!r} in both splits, so it would not "
                "be held out: move all pairs of a prompt to one split"
            )
        dropped = dict(Counter(train.dropped) + Counter(held_out.dropped))
        train = train.select(range(min(config.train_pairs, len(train))))
        return replace(train, dropped=dropped), replace(held_out, dropped=dropped)
    pairs = load_pairs(config.data, config.split)
    return split_by_prompt(pairs, config.train_pairs, config.seed)


def is_of_base(config: RewardConfig | DPOConfig) -> bool:
    """Return whether the pairs are unfiltered samples of the base with a split in each row."""
    return config.split is None and (config.data == SHIPPED or is_pairs_run(config.data))


def samples_of_base(
    config: RewardConfig,
    pairs: Pairs,
    encoded: EncodedPairs,
    most_tokens: int,
    check_stop: Callable[[], None],
) -> list[list[int]]:
    """Return texts of the base as token ids: the pairs' own, or its responses to their prompts.

    An encoder cannot write, so its scores are normalised on the pairs' own texts.
    """
    own = encoded.chosen_ids + encoded.rejected_ids
    if is_of_base(config):
        return own
    try:
        base = load_policy(config.model, device=pick_device(config.device))
    except CheckpointError as error:
        log.warning("normalising the scores on the pairs' own texts, because %s", error)
        return own
    spaced = pairs.prompts[:: math.ceil(len(pairs) / BASE_SAMPLES)]
    prompts = list(islice(cycle(spaced), BASE_SAMPLES))  # few prompts get several responses each
    responses = generate(
        base,
        prompts,
        max_new_tokens=PPOConfig.max_new_tokens,
        temperature=PPOConfig.temperature,
        seed=config.seed,
        dtype=pick_dtype(base.lm.device, config.dtype),
        on_token=check_stop,
    )
    return encode_texts(prompts, decode(base, responses), base.tokenizer, most_tokens)[0]


# -- training --------------------------------------------------------------------------------------


def build_trainer(
    config: RewardConfig,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: EncodedPairs,
    recorder: Recorder,
    checkpoints: Path,
    dtype: torch.dtype,
) -> Any:
    """Set up TRL's RewardTrainer on pairs that are token ids already.

    A batch has `config.batch_size` rows: pairs, or rankings with all their pairs.
    """
    from datasets import Dataset  # noqa: PLC0415  (with trl: seconds and 470 MiB)
    from trl.trainer.reward_config import RewardConfig as TRLRewardConfig  # noqa: PLC0415
    from trl.trainer.reward_trainer import RewardTrainer  # noqa: PLC0415

    trainer_class, collator = RewardTrainer, None  # None: TRL's own, for pairs
    rows = Dataset.from_dict({"chosen_ids": train.chosen_ids, "rejected_ids": train.rejected_ids})
    if train.rankings:
        trainer_class = ranking_trainer()
        collator = partial(collate, pad_id=special_id(tokenizer, "pad"))
        ranked = ranked_rows(train)
        rows = Dataset.from_dict({name: [row[name] for row in ranked] for name in ROW_COLUMNS})
    return trainer_class(
        model=model,
        args=TRLRewardConfig(**trl_arguments(config, checkpoints, dtype), disable_dropout=True),
        train_dataset=rows,
        data_collator=collator,
        processing_class=tokenizer,
        callbacks=[recorder],
    )


class RewardRecorder(Recorder):
    """Notes a step's loss and accuracy, and evaluates the model on the held-out pairs."""

    kind, measurements = "reward", EVALUATIONS

    def __init__(self, run: Run, scorer: PairScorer, held_out: EncodedPairs) -> None:
        super().__init__(run)
        self.scorer, self.held_out = scorer, held_out
        self.held_out_margins: list[float] | None = None  # from the last evaluation

    def metrics(self, logs: dict[str, float]) -> dict[str, float]:
        """Return loss (nats per row), accuracy and margin (logits) of the step's pairs."""
        return {
            "reward/loss": logs["loss"],
            "reward/accuracy": logs["accuracy"],
            "reward/margin": logs["margin"],
        }

    def measure(self, step: int, *, last: bool) -> dict[str, float]:
        """Return loss (nats per pair) and accuracy on the held-out pairs."""
        pairs = self.held_out if last else self.held_out.evenly_spaced(EVALUATION_PAIRS)
        margins = self.scorer.margins(pairs)
        if last:
            self.held_out_margins = margins
        loss = sum(map(pair_loss, margins)) / len(margins)
        if not math.isfinite(loss):
            raise TrainingDiverged(step, "heldout/loss", loss)
        return {
            "heldout/loss": loss,
            "heldout/accuracy": sum(map(rightness, margins)) / len(margins),
        }


# -- the result ------------------------------------------------------------------------------------


def save_model(model: Any, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write plain transformers or peft files; an adapter includes the head and the last norm."""
    with replacing_folder(folder) as temporary:
        save_network(model, temporary)
        tokenizer.save_pretrained(temporary)
