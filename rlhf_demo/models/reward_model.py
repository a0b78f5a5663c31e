"""Reward models: a sequence classifier whose logit for one label is the score of a text.

The text is prompt + response. Its score is read at the last token of plain `tokenizer(text)`, to
which nothing is added.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from rlhf_demo.errors import CheckpointError, ConfigError
from rlhf_demo.hub.locate import adapter_base, locate
from rlhf_demo.models.adapters import add_adapter
from rlhf_demo.models.device import autocast
from rlhf_demo.models.loading import (
    is_classifier,
    load_network,
    max_positions,
    rows_at_once,
    speed_up,
)
from rlhf_demo.models.pauses import pause
from rlhf_demo.models.prefixes import reads_left_to_right, scores_everywhere, whole_rows
from rlhf_demo.models.token_text import special_id
from rlhf_demo.models.tokenizer import load_tokenizer_for

FEW_LETTERS, MARGIN = 2_000, 16
"""Letters of the first try to fill a model's positions from the end of a text; and tokens more than
those positions, so that where the text was cut changes no token that is read."""

# -- models that score -----------------------------------------------------------------------------


class RewardModel:
    """A sequence classifier whose logit for one label is the score of a text."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        label: int,
        dtype: torch.dtype,
    ) -> None:
        self.model, self.tokenizer, self.label, self.dtype = model.eval(), tokenizer, label, dtype
        # RoBERTa never uses two of its positions, which only its tokenizer knows.
        self.most_tokens = min(max_positions(model), tokenizer.model_max_length)
        tokenizer.truncation_side = "left"
        self.reads_left_to_right = reads_left_to_right(self.model)

    def __call__(self, prompts: list[str], responses: list[str]) -> Tensor:
        """Score responses to prompts: float32 [batch] on the CPU, reward units."""
        return self.score_texts(
            [prompt + response for prompt, response in zip(prompts, responses, strict=True)]
        )

    def score_texts(self, texts: list[str], batch_size: int = 64) -> Tensor:
        """Score whole texts: float32 [texts]. A text too long for the model loses its beginning."""
        return self.score_ids([self.encode(text) for text in texts], batch_size)

    @torch.no_grad()
    def score_ids(self, ids: list[list[int]], batch_size: int) -> Tensor:
        """Score rows of token ids, each at its last token: float32 [rows] on the CPU.

        If the model reads from left to right, a row that is a prefix of another is not read by
        itself: reading the longer row gives its score too.
        """
        wholes = whole_rows(ids) if self.reads_left_to_right else list(range(len(ids)))
        read = sorted(set(wholes), key=lambda row: len(ids[row]))
        at_each_token: dict[int, list[float]] = {}
        while read:
            pause()
            width = len(ids[read[min(batch_size, len(read)) - 1]])
            count = min(batch_size, rows_at_once(self.model, width))
            chosen, read = read[:count], read[count:]
            scores = self._read([ids[row] for row in chosen])
            at_each_token |= zip(chosen, scores.tolist(), strict=True)
        return torch.tensor(
            [at_each_token[whole][len(row) - 1] for row, whole in zip(ids, wholes, strict=True)]
        )

    def _read(self, ids: list[list[int]]) -> Tensor:
        """Return scores [rows, time]; an encoder has one score a row, repeated at all tokens."""
        batch = self.tokenizer.pad({"input_ids": ids}, padding_side="right", return_tensors="pt")
        batch = batch.to(self.model.device)
        with autocast(self.model.device, self.dtype):
            if self.reads_left_to_right:
                return scores_everywhere(self.model, batch, self.label).float()
            scores = self.model(**batch).logits[:, self.label]
            return scores.float()[:, None].expand(batch["input_ids"].shape)

    def encode(self, text: str) -> list[int]:
        """Return the ids of plain `tokenizer(text)`, cut at the left to the model's positions.

        An empty text, where the tokenizer adds no special token, becomes one EOS, because a score
        needs a token to be read at.
        """
        text = self._end_of(text)
        ids = self.tokenizer(text, truncation=False, verbose=False)["input_ids"]
        if len(ids) > self.most_tokens and not self.reads_left_to_right:
            # An encoder's score is read at [CLS], the first token, which its tokenizer keeps.
            ids = self.tokenizer(text, truncation=True, max_length=self.most_tokens)["input_ids"]
        return ids[-self.most_tokens :] or [special_id(self.tokenizer, "eos")]

    def _end_of(self, text: str) -> str:
        """Return the end of a text that fills the model's positions.

        A stranger's tokenizer may make a thousand tokens of a letter, and a stranger's model may
        write 100,000 letters.
        """
        length = FEW_LETTERS
        while length < len(text):
            end = text[-length:]
            if len(self.tokenizer(end, verbose=False)["input_ids"]) > self.most_tokens + MARGIN:
                return end
            length *= 2
        return text


def load_reward_model(
    name: str, *, device: torch.device, label: str | None = None, dtype: torch.dtype = torch.float32
) -> RewardModel:
    """Load a reward model or any text classifier by name.

    Args:
        label: the label whose logit is the score; None if the classifier has only one.

    Raises:
        CheckpointError: the model cannot be found or has no classification head.
        ConfigError: the label is unknown, or missing where there are several.
    """
    folder = locate(name)
    if not is_classifier(folder):
        raise CheckpointError(
            f"{name} has no classification head, so it cannot score texts: choose a reward model"
        )
    base = adapter_base(folder)
    new_head = base is not None and not is_classifier(base)  # the adapter brings the head's weights
    model = load_network(
        AutoModelForSequenceClassification, folder, num_labels=1 if new_head else None
    )
    tokenizer = load_tokenizer_for(model, folder)
    model.config.pad_token_id = tokenizer.pad_token_id
    model.config.use_cache = False  # a text is read once; 4,096 tokens may take gigabytes
    model.to(device)  # pyright: ignore[reportArgumentType]  (wrapped without types)
    return RewardModel(
        speed_up(model).requires_grad_(False),
        tokenizer,
        _label_index(model, name, label),
        dtype,
    )


def _label_index(model: PreTrainedModel, name: str, label: str | None) -> int:
    labels = [text for _, text in sorted((model.config.id2label or {}).items())]
    if label is None and len(labels) == 1:
        return 0
    if label is not None and label in labels:
        return labels.index(label)
    raise ConfigError(f"--label is {label!r}: choose one of {name}'s labels, {', '.join(labels)}")


def new_reward_model(
    name: str, *, lora_rank: int, device: torch.device
) -> tuple[Any, PreTrainedTokenizerBase]:
    """Put a new scoring head on a base model, ready for RewardTrainer.

    Returns:
        The model and its tokenizer. With lora_rank above 0 it is a peft model, whose adapter also
        holds the head and the last norm, because normalising the scores changes those two.

    Raises:
        CheckpointError: the base cannot be found or loaded.
        ConfigError: an adapter is asked for on a model that is an adapter of other matrices.
    """
    folder = locate(name)
    model = load_network(AutoModelForSequenceClassification, folder, num_labels=1)
    tokenizer = load_tokenizer_for(model, folder)
    model.config.pad_token_id = tokenizer.pad_token_id
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    if lora_rank:
        model = add_adapter(model, "SEQ_CLS", lora_rank, folder, ["score", last_norm_name(model)])
    return model.to(device), tokenizer  # pyright: ignore[reportArgumentType]  (wrapped without types)


def last_norm_name(model: nn.Module) -> str:
    """Return the name of the trunk's last normalisation layer, e.g. `transformer.ln_f`."""
    names = [
        name for name, module in model.named_modules() if "norm" in type(module).__name__.lower()
    ]
    return names[-1]
