"""What DPO and SFT share: both train a policy on given texts, with a trainer of TRL.

The texts are tokenised as the policy would write them. The policy is measured while it learns, in
the units of PPO's board (policy_measure.py).
"""

import shutil
from typing import Any

import torch

from rlhf_demo.config.offline import OfflineConfig
from rlhf_demo.errors import DataError
from rlhf_demo.models.device import pick_device, pick_dtype
from rlhf_demo.models.policy import Policy, load_policy
from rlhf_demo.models.token_text import special_id
from rlhf_demo.runs.run import Run, StopRequested
from rlhf_demo.train.policy_measure import PolicyMeasure
from rlhf_demo.train.trl_training import Recorder, train_with_trl


def policy_to_train(config: OfflineConfig) -> tuple[Policy, torch.dtype]:
    """Load the policy, with a new adapter if the options ask for one, and say the dtype to use."""
    torch.manual_seed(config.seed)
    device = pick_device(config.device)
    policy = load_policy(
        config.policy,
        device=device,
        for_training=True,
        lora_rank=config.lora_rank,
        value_head=False,
    )
    return policy, pick_dtype(device, config.dtype)


class OfflineRecorder(Recorder):
    """Notes a step's loss, and measures the policy at intervals."""

    measurements = 10

    def __init__(self, run: Run, policy_measure: PolicyMeasure) -> None:
        super().__init__(run)
        self.policy_measure = policy_measure

    def measure(self, step: int, *, last: bool) -> dict[str, float]:
        """Return score, KL and more of responses that the policy writes now."""
        return self.policy_measure.row(step)


def train_and_save(trainer: Any, recorder: OfflineRecorder, *, resume: bool) -> None:
    """Train, save the model, measure it on held-out prompts, and only then drop the checkpoints.

    Args:
        trainer: of TRL.
        recorder: one of the trainer's callbacks.
        resume: continue exactly from the run's last checkpoint, or from the start if there is none.

    Raises:
        StopRequested: the run was asked to stop; its state and its model are saved.
        TrainingDiverged: a loss, gradient or score is no longer finite. The last checkpoint is
            kept.
    """
    run, measure = recorder.run, recorder.policy_measure
    checkpoints = run.folder / "checkpoints"
    try:
        train_with_trl(trainer, recorder, checkpoints, resume=resume)
    except StopRequested:
        measure.policy.save(run.model_folder)  # a stopped run has a model that can be compared
        raise
    measure.policy.save(run.model_folder)
    measure.write_report(run.folder / "report.json")
    shutil.rmtree(checkpoints, ignore_errors=True)


def encode_responses(policy: Policy, texts: list[str], longest: int) -> list[list[int]]:
    """Tokenise responses as the policy would write them.

    A response shorter than `longest` tokens ends with EOS, a longer one is cut. It gets no EOS,
    since nobody knows how it goes on.

    Raises:
        DataError: the tokenizer knows nothing of a response.
    """
    tokenizer = policy.tokenizer
    eos = special_id(tokenizer, "eos")
    rows = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    if not all(rows):
        raise DataError(
            "the tokenizer turns a text to learn from into no token at all: remove texts that it "
            "does not know"
        )
    return [row[:longest] if len(row) >= longest else _ended(row, eos) for row in rows]


def _ended(row: list[int], eos: int) -> list[int]:
    """Append EOS, unless the text has it: a chat template may have written it."""
    return row if row[-1] == eos else [*row, eos]
