"""Supervised fine-tuning: the policy learns to write given texts. Read it from top to bottom.

It is the first stage of Ouyang et al. 2022: people write the better text themselves, and the policy
imitates it. The loop is TRL's SFTTrainer, which minimises the mean over the tokens of a batch of

    -log p(token | prompt, tokens before it)

over the tokens of the demonstrations, never over those of their prompts. Kept of PPO: the policy.
Dropped: everything that judges a text. SFT knows what good texts look like but not what is wrong
with others, so it learns nothing from a pair's rejected side. PPO can start from its model, which
then is also PPO's reference.

Ours are the token ids, the temperature, the held-out loss, the metrics rows, stop and resume. Token
ids and temperature are those of DPO (see dpo.py): a text that was cut gets no EOS, and the loss is
of the probabilities with which the policy will be sampled.

Source: Ouyang et al. 2022, section 3.5 (https://arxiv.org/abs/2203.02155).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rlhf_demo.config.sft import SFTConfig
from rlhf_demo.data.demonstrations import (
    Demonstrations,
    Message,
    load_demonstrations,
    split_demonstrations,
)
from rlhf_demo.data.pairs import SHIPPED, is_pairs_run
from rlhf_demo.errors import DataError
from rlhf_demo.models.policy import Policy
from rlhf_demo.models.reading import pad_responses, read_at_once, token_outputs
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
from rlhf_demo.train.policy_measure import MEASURED, PolicyMeasure
from rlhf_demo.train.ppo import load_scorers
from rlhf_demo.train.trl_training import Recorder, trl_arguments

log = logging.getLogger(__name__)

IGNORED = -100
"""The label of a token that the loss leaves out (torch's cross entropy has the same)."""


def train_sft(
    config: SFTConfig,
    run: Run,
    *,
    resume: bool = False,
    scorer: Scorer | None = None,
    judge: Scorer | None = None,
) -> None:
    """Train a policy on demonstrations, and write everything it makes into the run's folder.

    Args:
        resume: continue exactly from the run's last checkpoint, or from the start if there is none.
            A finished run is left as it is.
        scorer: scores the responses of the measurements. Without it, scorer and judge are those
            that the options name.
        judge: scores them too.

    Raises:
        TrainingDiverged: a loss, gradient or score is no longer finite. The last checkpoint is
            kept.
        DemoError: the policy, the texts or the prompts cannot be used.
    """
    if resume and run.status["status"] == Status.FINISHED:
        return
    if scorer is None:
        scorer, judge = load_scorers(config)
    with run.recording():
        # 1. The policy, and the texts, for which its tokenizer may have a chat template.
        policy, dtype = policy_to_train(config)
        texts, held_out = demonstrations_of(config, policy)
        run.check_stop()

        # 2. What measures the policy while it learns.
        measure = PolicyMeasure(config, run, policy, scorer, judge, dtype)

        # 3. TRL's trainer.
        recorder = SFTRecorder(run, measure, held_out)
        tokens = encode_for_sft(config, policy, texts)
        trainer = build_trainer(config, policy, tokens, recorder, run.folder / "checkpoints", dtype)

        # 4. Train, save, and measure on held-out prompts.
        train_and_save(trainer, recorder, resume=resume)


# -- data ------------------------------------------------------------------------------------------


def demonstrations_of(config: SFTConfig, policy: Policy) -> tuple[Demonstrations, Demonstrations]:
    """Return the demonstrations to train on and the held-out ones.

    Raises:
        DataError: they cannot be read or split, or the tokenizer has no chat template for them.
    """
    render = chat_renderer(policy, config.policy)
    if config.split is None and (config.data == SHIPPED or is_pairs_run(config.data)):
        texts = load_demonstrations(config.data, "train", render)
        held_out = load_demonstrations(config.data, "heldout", render)
        return texts.select(range(min(config.train_texts, len(texts)))), held_out
    texts = load_demonstrations(config.data, config.split, render)
    return split_demonstrations(texts, config.train_texts, config.seed)


def chat_renderer(policy: Policy, name: str) -> Callable[[list[Message], bool], str]:
    """Return what turns messages into the text that the model was taught to expect."""

    def render(messages: list[Message], answer_follows: bool) -> str:
        if policy.tokenizer.chat_template is None:
            raise DataError(
                f"the tokenizer of {name} has no chat template: give rows with prompt and "
                "completion, or choose a model that was trained on conversations"
            )
        try:
            text = policy.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=answer_follows
            )
        except Exception as error:  # noqa: BLE001  (a template is a program from elsewhere)
            raise DataError(
                f"the chat template of {name} refuses a conversation ({str(error)[:200]}): change "
                "the conversation, or choose another model"
            ) from None
        return str(text)

    return render


@dataclass(frozen=True)
class LabelledTokens:
    """Texts as token ids, and the tokens to learn, as SFTTrainer's collator takes them."""

    input_ids: list[list[int]]
    labels: list[list[int]]  # IGNORED for a prompt's tokens


def encode_for_sft(
    config: SFTConfig, policy: Policy, demonstrations: Demonstrations
) -> LabelledTokens:
    """Tokenise demonstrations: prompt and response each by itself.

    Raises:
        DataError: the tokenizer knows nothing of a response.
    """
    longest, eos = config.max_new_tokens, special_id(policy.tokenizer, "eos")
    prompts = prompt_tokens(policy, demonstrations.prompts, longest)[0]
    responses = encode_responses(policy, demonstrations.completions, longest)
    log.info(
        "%d texts to train on, %d cut, %d empty ones left out",
        len(demonstrations),
        sum(row[-1] != eos for row in responses),
        demonstrations.dropped,
    )
    rows = list(zip(prompts, responses, strict=True))
    return LabelledTokens(
        [prompt + response for prompt, response in rows],
        [[IGNORED] * len(prompt) + response for prompt, response in rows],
    )


# -- training --------------------------------------------------------------------------------------


def build_trainer(
    config: SFTConfig,
    policy: Policy,
    tokens: LabelledTokens,
    recorder: Recorder,
    checkpoints: Path,
    dtype: torch.dtype,
) -> Any:
    """Set up TRL's SFTTrainer on texts that are token ids already, at the policy's temperature."""
    from datasets import Dataset  # noqa: PLC0415  (with trl: seconds and 470 MiB)
    from trl.trainer.sft_config import SFTConfig as TRLSFTConfig  # noqa: PLC0415
    from trl.trainer.sft_trainer import SFTTrainer  # noqa: PLC0415
    from trl.trainer.utils import (  # noqa: PLC0415
        add_fused_lm_head,
        disable_dropout_in_model,
    )

    disable_dropout_in_model(policy.lm)  # SFTConfig lacks the option that TRL's others have
    trainer = SFTTrainer(
        model=policy.adapter or policy.lm,
        args=TRLSFTConfig(
            **trl_arguments(config, checkpoints, dtype),
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        train_dataset=Dataset.from_dict(vars(tokens)),
        processing_class=policy.tokenizer,
        callbacks=[recorder],
    )
    outputs = ("log_probs", "entropy", "is_top1")  # as SFTTrainer asks for
    add_fused_lm_head(policy.lm, temperature=config.temperature, outputs=outputs)
    return trainer


class SFTRecorder(OfflineRecorder):
    """Notes a step's loss; at intervals, measures the policy and its loss on held-out texts.

    Args:
        held_out: demonstrations that are not trained on; the first MEASURED are read.
    """

    kind = "sft"

    def __init__(self, run: Run, measure: PolicyMeasure, held_out: Demonstrations) -> None:
        super().__init__(run, measure)
        self.held_out = held_out.select(range(min(MEASURED, len(held_out))))

    def metrics(self, logs: dict[str, float]) -> dict[str, float]:
        """Return what SFT knows of the step's texts."""
        return {
            "sft/loss": logs["loss"],
            "sft/accuracy": logs["mean_token_accuracy"],
            "policy/gradient_norm": logs["grad_norm"],
        }

    def measure(self, step: int, *, last: bool) -> dict[str, float]:
        """Return the held-out loss, and score, KL and more of what the policy writes now."""
        options = self.policy_measure.options
        loss = token_loss(
            self.policy_measure.policy, self.held_out, options.max_new_tokens, options.temperature
        )
        return {"sft/heldout_loss": loss} | super().measure(step, last=last)


@torch.no_grad()
def token_loss(
    policy: Policy, demonstrations: Demonstrations, longest: int, temperature: float
) -> float:
    """Return the mean of -log p over all tokens of the demonstrations, nats per token."""
    responses = encode_responses(policy, demonstrations.completions, longest)
    total, count = 0.0, 0
    at_once = read_at_once(policy, demonstrations.prompts, longest)
    for start in range(0, len(responses), at_once):
        part = slice(start, start + at_once)
        rows = pad_responses(policy, demonstrations.prompts[part], responses[part])
        total -= float(token_outputs(policy, *rows, temperature).logprobs.sum())
        count += int(rows[2].sum())
    return total / count
