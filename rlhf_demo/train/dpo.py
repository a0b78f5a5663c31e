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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rlhf_demo.config.dpo import DPOConfig
from rlhf_demo.data.pairs import Pairs
from rlhf_demo.models.policy import Policy, load_policy
from rlhf_demo.models.sampling import prompt_tokens
from rlhf_demo.models.scorers import Scorer
from rlhf_demo.models.token_text import special_id
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.train.offline import (
    OfflineRecorder,
    encode_responses,
    policy_to_train,
    train_and_save,
)
from rlhf_demo.train.policy_measure import PolicyMeasure
from rlhf_demo.train.ppo import load_scorers
from rlhf_demo.train.reward import load_both_sides
from rlhf_demo.train.trl_training import Recorder, trl_arguments

log = logging.getLogger(__name__)


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

        # 2. The policy, and what measures it while it learns.
        policy, dtype = policy_to_train(config)
        measure = PolicyMeasure(config, run, policy, scorer, judge, dtype)

        # 3. TRL's trainer, with a frozen copy of the policy as the reference.
        recorder = DPORecorder(run, measure)
        texts = encode_for_dpo(config, policy, pairs)
        trainer = build_trainer(config, policy, texts, recorder, run.folder / "checkpoints", dtype)

        # 4. Train, save, and measure on held-out prompts.
        train_and_save(trainer, recorder, resume=resume)


@dataclass(frozen=True)
class PromptPairs:
    """Pairs as token ids, column by column, as DPOTrainer's collator takes them."""

    prompt_ids: list[list[int]]
    chosen_ids: list[list[int]]
    rejected_ids: list[list[int]]


def encode_for_dpo(config: DPOConfig, policy: Policy, pairs: Pairs) -> PromptPairs:
    """Tokenise pairs: prompt and response each by itself.

    Raises:
        DataError: the tokenizer knows nothing of a response.
    """
    longest, eos = config.max_new_tokens, special_id(policy.tokenizer, "eos")
    chosen = encode_responses(policy, pairs.chosen, longest)
    rejected = encode_responses(policy, pairs.rejected, longest)
    cut = sum(row[-1] != eos for row in chosen + rejected)
    log.info(
        "%d pairs to train on, %d texts cut, dropped rows: %s",
        len(pairs),
        cut,
        pairs.dropped or "none",
    )
    return PromptPairs(prompt_tokens(policy, pairs.prompts, longest)[0], chosen, rejected)


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
        args=TRLDPOConfig(
            **trl_arguments(config, checkpoints, dtype), beta=config.beta, disable_dropout=True
        ),
        train_dataset=Dataset.from_dict(vars(pairs)),
        processing_class=policy.tokenizer,
        callbacks=[recorder],
    )
    outputs = ("log_probs", "entropy", "mean_logits", "is_top1")  # as DPOTrainer asks for
    for model in (policy.lm, reference.lm):
        add_fused_lm_head(model, temperature=config.temperature, outputs=outputs)
    return trainer


class DPORecorder(OfflineRecorder):
    """Notes a step's loss and implicit rewards, and measures the policy at intervals."""

    kind = "dpo"

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
