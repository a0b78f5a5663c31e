"""Stage 2 by DPO, which learns from the pairs themselves. Read it from top to bottom.

PPO needs a reward model, which stands in for the people who chose. DPO turns the choice into a loss
of the policy itself. The loop is TRL's DPOTrainer, which minimises (Rafailov et al. 2023, eq. 7)

    -log sigmoid(beta * (log p(chosen) / p_ref(chosen) - log p(rejected) / p_ref(rejected)))

Kept of PPO: the policy, the reference, and a coefficient (beta) that prices the distance between
them. Dropped: the reward model, the value head, the sampling, and the clip. Nothing is sampled to
learn from, so the run samples only to show how the policy develops (policy_measure.py).

Ours are the token ids, the temperature, the metrics rows, stop and resume. Two details differ from
TRL's defaults:

- **Temperature.** The pairs were sampled with their logits divided by a temperature, and so will
  the policy be. The loss uses the same probabilities; TRL's has temperature 1.
- **End of text.** A response that reached the greatest length gets no EOS, since nobody knows how
  it goes on. TRL appends EOS to every text.

Source: Rafailov et al. 2023, "Direct Preference Optimization" (https://arxiv.org/abs/2305.18290).
"""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rlhf_demo.config.dpo import DPOConfig
from rlhf_demo.data.pairs import Pairs
from rlhf_demo.errors import DataError
from rlhf_demo.models.device import pick_device, pick_dtype
from rlhf_demo.models.loading import max_positions
from rlhf_demo.models.policy import Policy, load_policy
from rlhf_demo.models.scorers import Scorer
from rlhf_demo.models.token_text import special_id
from rlhf_demo.runs.run import Run, Status, StopRequested
from rlhf_demo.train.policy_measure import PolicyMeasure
from rlhf_demo.train.ppo import load_scorers
from rlhf_demo.train.reward import load_both_sides
from rlhf_demo.train.trl_training import Recorder, train_with_trl, trl_arguments

log = logging.getLogger(__name__)

MEASUREMENTS = 10
"""Measurements of the policy after the one at the start, evenly spaced to the last step."""


def train_dpo(
    config: DPOConfig,
    run: Run,
    *,
    resume: bool = False,
    scorer: Scorer | None = None,
    judge: Scorer | None = None,
) -> None:
    """Train a policy by DPO, and write everything it makes into the run's folder.

    Args:
        resume: continue exactly from the run's last checkpoint, or from the start if there is none.
            A finished run is left as it is.
        scorer: scores the responses of the measurements. Without it, scorer and judge are those
            that the options name.
        judge: scores them too.

    Raises:
        TrainingDiverged: a loss, gradient or score is no longer finite. The last checkpoint is
            kept.
        DemoError: the policy, the pairs or the prompts cannot be used.
    """
    if resume and run.status["status"] == Status.FINISHED:
        return
    if scorer is None:
        scorer, judge = load_scorers(config)
    with run.recording():
        # 1. Pairs to train on; the held-out pairs are kept out, as in train-reward.
        pairs, _ = load_both_sides(config)
        run.check_stop()

        # 2. The policy, and a frozen copy of it as the reference.
        torch.manual_seed(config.seed)
        device = pick_device(config.device)
        dtype = pick_dtype(device, config.dtype)
        policy = load_policy(
            config.policy,
            device=device,
            for_training=True,
            lora_rank=config.lora_rank,
            value_head=False,
        )
        measure = PolicyMeasure(config, run, policy, scorer, judge, dtype)

        # 3. Train.
        checkpoints = run.folder / "checkpoints"
        recorder = DPORecorder(run, measure)
        trainer = build_trainer(
            config, policy, encode_for_dpo(config, policy, pairs), recorder, checkpoints, dtype
        )
        try:
            train_with_trl(trainer, recorder, checkpoints, resume=resume)
        except StopRequested:
            policy.save(run.model_folder)  # a stopped run has a model that can be compared
            raise

        # 4. Save the model, measure it on held-out prompts, and only then drop the checkpoints.
        policy.save(run.model_folder)
        measure.write_report(run.folder / "report.json")
        shutil.rmtree(checkpoints, ignore_errors=True)


@dataclass(frozen=True)
class PromptPairs:
    """Pairs as token ids, column by column, as DPOTrainer's collator takes them."""

    prompt_ids: list[list[int]]
    chosen_ids: list[list[int]]
    rejected_ids: list[list[int]]


def encode_for_dpo(config: DPOConfig, policy: Policy, pairs: Pairs) -> PromptPairs:
    """Tokenise pairs as the policy would write them: prompt and response each by itself.

    A response shorter than max_new_tokens ends with EOS, a longer one is cut. A prompt that leaves
    too little room loses its beginning.

    Raises:
        DataError: the tokenizer knows nothing of a response.
    """
    tokenizer, longest = policy.tokenizer, config.max_new_tokens
    eos = special_id(tokenizer, "eos")
    start = special_id(tokenizer, "eos" if tokenizer.bos_token_id is None else "bos")
    room = max_positions(policy.lm) - longest

    def ended(texts: list[str]) -> list[list[int]]:
        rows = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        if not all(rows):
            raise DataError(
                "the tokenizer turns a text of a pair into no token at all: remove texts that it "
                "does not know"
            )
        return [row[:longest] if len(row) >= longest else [*row, eos] for row in rows]

    chosen, rejected = ended(pairs.chosen), ended(pairs.rejected)
    cut = sum(row[-1] != eos for row in chosen + rejected)
    log.info(
        "%d pairs to train on, %d texts cut, dropped rows: %s",
        len(pairs),
        cut,
        pairs.dropped or "none",
    )
    prompts = tokenizer(pairs.prompts, verbose=False)["input_ids"]
    return PromptPairs([(ids or [start])[-room:] for ids in prompts], chosen, rejected)


def build_trainer(
    config: DPOConfig,
    policy: Policy,
    pairs: PromptPairs,
    recorder: Recorder,
    checkpoints: Path,
    dtype: torch.dtype,
) -> Any:
    """Set up TRL's DPOTrainer on pairs that are token ids already, at the policy's temperature.

    The reference is a frozen copy also where the policy has an adapter that could be switched off:
    TRL would copy the adapter instead, and save both.
    """
    from datasets import Dataset  # noqa: PLC0415  (with trl: seconds and 470 MiB)
    from trl.trainer.dpo_config import DPOConfig as TRLDPOConfig  # noqa: PLC0415
    from trl.trainer.dpo_trainer import DPOTrainer  # noqa: PLC0415
    from trl.trainer.utils import add_fused_lm_head  # noqa: PLC0415

    class TokenDPOTrainer(DPOTrainer):
        def _prepare_dataset(
            self, dataset: Any, processing_class: Any, args: Any, dataset_name: str
        ) -> Any:
            return dataset  # TRL would tokenise texts, and append EOS to each

    reference = policy.reference or load_policy(config.policy, device=policy.lm.device)
    trainer = TokenDPOTrainer(
        model=policy.adapter or policy.lm,
        ref_model=reference.lm,
        args=TRLDPOConfig(**trl_arguments(config, checkpoints, dtype), beta=config.beta),
        train_dataset=Dataset.from_dict(vars(pairs)),
        processing_class=policy.tokenizer,
        callbacks=[recorder],
    )
    outputs = ("log_probs", "entropy", "mean_logits", "is_top1")  # as DPOTrainer asks for
    for model in (policy.lm, reference.lm):
        add_fused_lm_head(model, temperature=config.temperature, outputs=outputs)
    return trainer


class DPORecorder(Recorder):
    """Notes a step's loss and implicit rewards, and measures the policy at intervals."""

    kind, measurements = "dpo", MEASUREMENTS

    def __init__(self, run: Run, policy_measure: PolicyMeasure) -> None:
        super().__init__(run)
        self.policy_measure = policy_measure

    def metrics(self, logs: dict[str, float]) -> dict[str, float]:
        """Return what DPO knows of the step's pairs.

        A text's implicit reward is beta * log p(text) / p_ref(text), nats times beta.
        """
        return {
            "dpo/loss": logs["loss"],
            "dpo/accuracy": logs["rewards/accuracies"],
            "dpo/margin": logs["rewards/margins"],
            "dpo/chosen": logs["rewards/chosen"],
            "dpo/rejected": logs["rewards/rejected"],
            "policy/gradient_norm": logs["grad_norm"],
        }

    def measure(self, step: int, *, last: bool) -> dict[str, float]:
        """Return score, KL and more of responses that the policy writes now."""
        return self.policy_measure.row(step)
