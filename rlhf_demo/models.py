"""Models as the loop needs them: a policy with a value head, and reward models that score texts.

What is decided here and nowhere else:

- **Where a score is read.** At the last token of plain `tokenizer(text)`, nothing added; text is
  prompt + response.
- **Number format.** Weights stay float32; matrix products run in bfloat16 where that is fast.
- **Files.** Whole models as `transformers` writes them, adapters as `peft` writes them, the value
  head apart.

Sources: Ziegler et al. 2019 (value head on the policy's trunk), Hu et al. 2021 (LoRA).
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.activations import NewGELUActivation
from transformers.utils import logging as transformers_logging

from rlhf_demo.errors import CheckpointError, ConfigError
from rlhf_demo.files import replacing_folder
from rlhf_demo.loading import add_adapter, is_classifier, load_network, load_tokenizer, readable
from rlhf_demo.locate import adapter_base, locate
from rlhf_demo.prefixes import reads_left_to_right, scores_everywhere, whole_rows
from rlhf_demo.word_guard import WordGuard

SHARD_SIZE = "8MB"
"""Small enough for a plain push to a Space, which refuses files over 10 MB."""

transformers_logging.disable_progress_bar()


# -- device and number format ----------------------------------------------------------------------


def pick_device(device: str) -> torch.device:
    """Return the device to compute on; `auto` takes a GPU where there is one.

    Raises:
        ConfigError: cuda is asked for and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "--device is 'cuda': this machine shows no GPU to torch, use --device cpu"
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def pick_dtype(device: torch.device, dtype: str) -> torch.dtype:
    """Return the number format of matrix products; `auto` asks the device.

    bfloat16 is four times as fast as float32 on a CPU with AVX512-BF16 or AMX and slower than it on
    one without.
    """
    if dtype != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[dtype]
    if device.type == "cuda":
        return (
            torch.bfloat16
            if torch.cuda.is_bf16_supported(including_emulation=False)
            else torch.float32
        )
    capabilities = torch.cpu.get_capabilities()
    fast = capabilities.get("avx512_bf16", False) or capabilities.get("amx_bf16", False)
    return torch.bfloat16 if fast else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager:
    """Run matrix products in `dtype` inside this context; float32 changes nothing."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype=dtype)


# -- the policy ------------------------------------------------------------------------------------


class Policy(nn.Module):
    """A causal language model, its tokenizer, and a value head on its trunk.

    With LoRA the reference is this same network with the adapter switched off; without, `reference`
    holds a frozen copy. Dropout is off: the network is in eval mode for good.
    """

    def __init__(
        self, lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path
    ) -> None:
        super().__init__()
        self.lm = lm.eval()
        self.tokenizer = tokenizer
        self.folder = folder
        self.adapter: Any = None  # a peft model around `lm`, sharing its weights
        self.reference: Policy | None = None
        self.guard: WordGuard | None = None  # rules tokens out wherever logits are read
        self.has_value_head = False  # a trained one, from a file
        self.value_head = nn.Linear(lm.get_output_embeddings().in_features, 1, device=lm.device)
        # Zero at the start: the first advantages are then those of the rewards alone.
        nn.init.zeros_(self.value_head.weight)
        nn.init.zeros_(self.value_head.bias)

    def hidden(self, sequence_ids: Tensor, attention_mask: Tensor, **cache: Any) -> Any:
        """Run the trunk.

        Args:
            sequence_ids: [batch, time] token ids; masked places may hold any id of the vocabulary.
            attention_mask: [batch, past + time], True = real token.
            cache: `past_key_values` and `use_cache`, handed on.

        Returns:
            The trunk's output; `.last_hidden_state` is [batch, time, width].
        """
        # Positions count real tokens only, so padding on the left changes nothing.
        positions = (attention_mask.long().cumsum(-1) - 1).clamp_min(0)[:, -sequence_ids.shape[1] :]
        return self.lm.base_model(
            input_ids=sequence_ids,
            attention_mask=attention_mask.long(),
            position_ids=positions,
            **cache,
        )

    def logits(self, hidden: Tensor) -> Tensor:
        """Map the trunk's output [..., width] to logits [..., vocabulary]."""
        return self.lm.get_output_embeddings()(hidden)

    def values(self, hidden: Tensor) -> Tensor:
        """Map the trunk's output [..., width] to values [...], reward units, in float32."""
        with torch.autocast(hidden.device.type, enabled=False):
            return self.value_head(hidden.float()).squeeze(-1)

    def keep_words_clean(self) -> None:
        """Let this policy and its reference neither sample nor score coarse words from now on."""
        self.guard = WordGuard(self.tokenizer, self.lm.device)
        if self.reference is not None:
            self.reference.guard = self.guard

    @contextmanager
    def as_reference(self) -> Iterator["Policy"]:
        """Yield the frozen network that training started from."""
        if self.adapter is None:
            if self.reference is None:
                raise CheckpointError(
                    "this policy keeps no reference: load it with for_training=True"
                )
            yield self.reference
        else:
            with self.adapter.disable_adapter():
                yield self

    def save(self, folder: Path) -> None:
        """Write plain transformers or peft files, the tokenizer and value_head.safetensors."""
        with replacing_folder(folder) as temporary:
            (self.adapter or self.lm).save_pretrained(temporary, max_shard_size=SHARD_SIZE)
            self.tokenizer.save_pretrained(temporary)
            head = {
                name: tensor.contiguous() for name, tensor in self.value_head.state_dict().items()
            }
            save_file(head, temporary / "value_head.safetensors")


def load_policy(
    name: str, *, device: torch.device, for_training: bool = False, lora_rank: int = 0
) -> Policy:
    """Load a causal language model by name; adapters are merged into their base.

    Args:
        name: shipped name, run folder, path or Hub id.
        for_training: keep a reference beside it (or under it, with LoRA) and make its weights
            trainable.
        lora_rank: rank of a new LoRA adapter to train; 0 trains all weights.

    Raises:
        CheckpointError: the model cannot be found or is no causal language model.
    """
    folder = locate(name)
    if is_classifier(folder):
        raise CheckpointError(f"{name} scores texts and cannot write any: choose a language model")
    lm, merged = load_network(AutoModelForCausalLM, folder)
    speed_up(lm.to(device))
    policy = Policy(lm, load_tokenizer(folder), folder)
    head = folder / "value_head.safetensors"
    if head.is_file():
        with readable(head):
            policy.value_head.load_state_dict(load_file(head))
        policy.has_value_head = True
    _check_head(policy)
    if not for_training:
        return policy.requires_grad_(False)
    if lora_rank and merged:
        raise ConfigError(
            f"--lora-rank is {lora_rank}: {name} is itself an adapter, "
            "train all its weights (--lora-rank 0)"
        )
    if lora_rank:
        policy.adapter = add_adapter(lm, "CAUSAL_LM", lora_rank, folder)
    else:
        policy.reference = load_policy(name, device=device)
    return policy


def _check_head(policy: Policy) -> None:
    """Make sure that trunk and output embeddings give the model's own logits.

    Some families scale or cap their logits in between; training them as if they did not would be
    silently wrong.

    Raises:
        CheckpointError: they differ.
    """
    ids = torch.arange(2, 6, device=policy.lm.device)[None]
    mask = torch.ones_like(ids, dtype=torch.bool)
    with torch.no_grad():
        ours = policy.logits(policy.hidden(ids, mask).last_hidden_state)
        if not torch.allclose(ours, policy.lm(input_ids=ids).logits, atol=1e-3, rtol=1e-3):
            raise CheckpointError(
                f"{policy.folder}: models of type {policy.lm.config.model_type!r} change their "
                "logits after the output layer, which this trainer does not follow; "
                "choose a model like gpt2, llama or qwen2"
            )


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
        # RoBERTa's tokenizer knows that two of the model's positions are never used.
        self.most_tokens = min(max_positions(model), tokenizer.model_max_length)
        tokenizer.truncation_side = "left"
        self.reads_left_to_right = reads_left_to_right(self.model)

    def __call__(self, prompts: list[str], responses: list[str]) -> Tensor:
        """Score responses to prompts: float32 [batch] on the CPU, reward units."""
        return self.score_texts(
            [prompt + response for prompt, response in zip(prompts, responses, strict=True)]
        )

    def score_texts(self, texts: list[str], batch_size: int = 64) -> Tensor:
        """Score whole texts; one too long for the model loses its beginning."""
        return self.score_ids([self.encode(text) for text in texts], batch_size)

    @torch.no_grad()
    def score_ids(self, ids: list[list[int]], batch_size: int) -> Tensor:
        """Score rows of token ids, each read at its last token: float32 [rows] on the CPU.

        A row that is the beginning of another one is not read by itself where the model reads from
        left to right: its score stands on the other one's way.
        """
        wholes = whole_rows(ids) if self.reads_left_to_right else list(range(len(ids)))
        read = sorted(set(wholes), key=lambda row: len(ids[row]))
        at_each_token: dict[int, list[float]] = {}
        for start in range(0, len(read), batch_size):
            chosen = read[start : start + batch_size]
            scores = self._read([ids[row] for row in chosen])
            at_each_token |= zip(chosen, scores.tolist(), strict=True)
        return torch.tensor(
            [at_each_token[whole][len(row) - 1] for row, whole in zip(ids, wholes, strict=True)]
        )

    def _read(self, ids: list[list[int]]) -> Tensor:
        """Return scores [rows, time]; of an encoder, each row's one score at all of its tokens."""
        batch = self.tokenizer.pad({"input_ids": ids}, padding_side="right", return_tensors="pt")
        batch = batch.to(self.model.device)
        with autocast(self.model.device, self.dtype):
            if self.reads_left_to_right:
                return scores_everywhere(self.model, batch, self.label).float()
            scores = self.model(**batch).logits[:, self.label]
            return scores.float()[:, None].expand(batch["input_ids"].shape)

    def encode(self, text: str) -> list[int]:
        """Return the ids of plain `tokenizer(text)`, cut at the left to the model's positions.

        An empty text of a tokenizer that adds nothing becomes one EOS, since a score needs a token
        to stand at.
        """
        ids = self.tokenizer(text, truncation=False, verbose=False)["input_ids"]
        if len(ids) > self.most_tokens and self.tokenizer.cls_token_id is not None:
            # An encoder's head reads [CLS], which stands first: its tokenizer cuts behind it.
            ids = self.tokenizer(text, truncation=True, max_length=self.most_tokens)["input_ids"]
        return ids[-self.most_tokens :] or [self.tokenizer.eos_token_id]


def load_reward_model(
    name: str, *, device: torch.device, label: str | None = None, dtype: torch.dtype = torch.float32
) -> RewardModel:
    """Load a reward model or any text classifier by name.

    Args:
        label: which label's logit is the score; may be left out where there is only one.

    Raises:
        CheckpointError: the model cannot be found or has no classification head.
        ConfigError: the label is needed and missing, or unknown.
    """
    folder = locate(name)
    if not is_classifier(folder):
        raise CheckpointError(
            f"{name} has no classification head, so it cannot score texts: choose a reward model"
        )
    base = adapter_base(folder)
    new_head = base is not None and not is_classifier(base)  # the adapter brings the head's weights
    model, _ = load_network(
        AutoModelForSequenceClassification, folder, num_labels=1 if new_head else None
    )
    tokenizer = load_tokenizer(folder)
    model.config.pad_token_id = tokenizer.pad_token_id
    return RewardModel(
        speed_up(model.to(device)).requires_grad_(False),
        tokenizer,
        _label_index(model, name, label),
        dtype,
    )


def _label_index(model: PreTrainedModel, name: str, label: str | None) -> int:
    labels = [model.config.id2label[index] for index in range(model.config.num_labels)]
    if label is None and len(labels) == 1:
        return 0
    if label is not None and label in labels:
        return labels.index(label)
    raise ConfigError(
        f"--label is {label!r}: {name} has the labels {', '.join(labels)}, choose one"
    )


def new_reward_model(
    name: str, *, lora_rank: int, device: torch.device
) -> tuple[Any, PreTrainedTokenizerBase]:
    """Put a fresh scoring head on a base model, ready for RewardTrainer.

    Returns:
        The model (a peft model where lora_rank > 0, whose adapter also holds the head and the last
        norm, because normalising the scores changes those two) and its tokenizer.
    """
    folder = locate(name)
    tokenizer = load_tokenizer(folder)
    model, merged = load_network(AutoModelForSequenceClassification, folder, num_labels=1)
    model.config.pad_token_id = tokenizer.pad_token_id
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    if lora_rank and merged:
        raise ConfigError(
            f"--lora-rank is {lora_rank}: {name} is itself an adapter, "
            "train all its weights (--lora-rank 0)"
        )
    if lora_rank:
        model = add_adapter(model, "SEQ_CLS", lora_rank, folder, ["score", last_norm_name(model)])
    return model.to(device), tokenizer


def speed_up(model: PreTrainedModel) -> PreTrainedModel:
    """Choose the faster of equal ways to compute, in place.

    GPT-2's activation is torch's own tanh GELU, in one kernel instead of eight. On a CPU, for texts
    of some dozen tokens, plain matrix products beat the fused attention kernel by a factor of 5.
    """
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, nn.GELU(approximate="tanh"))
    if model.device.type == "cpu":
        model.set_attn_implementation("eager")
    return model


def max_positions(model: PreTrainedModel) -> int:
    """Return how many tokens the model can take at once."""
    return int(getattr(model.config, "max_position_embeddings", None) or 1024)


def last_norm_name(model: nn.Module) -> str:
    """Return the name of the trunk's last normalisation layer, e.g. `transformer.ln_f`."""
    names = [
        name for name, module in model.named_modules() if "norm" in type(module).__name__.lower()
    ]
    return names[-1]
