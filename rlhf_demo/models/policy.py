"""The policy: a causal language model with a value head, and its frozen reference.

Weights stay in float32; matrix products run in bfloat16 where that is fast (device.py). Whole
models are saved as `transformers` writes them and adapters as `peft` writes them; the value head
has a file of its own.

Sources: Ziegler et al. 2019 (value head on the policy's trunk), Hu et al. 2021 (LoRA).
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from rlhf_demo.errors import CheckpointError
from rlhf_demo.files import replacing_folder, short_name
from rlhf_demo.hub.locate import VALUE_HEAD, locate
from rlhf_demo.models.adapters import add_adapter, save_network
from rlhf_demo.models.loading import (
    is_classifier,
    load_network,
    readable,
    speed_up,
)
from rlhf_demo.models.tokenizer import load_tokenizer_for
from rlhf_demo.models.word_guard import WordGuard

transformers_logging.disable_progress_bar()


# -- the policy ------------------------------------------------------------------------------------


class Policy(nn.Module):
    """A causal language model, its tokenizer, and a value head on its trunk.

    With LoRA, the reference is this same network with the adapter switched off. Without, the
    reference is a frozen copy. The network always stays in eval mode, so there is no dropout.
    """

    def __init__(
        self, lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path
    ) -> None:
        super().__init__()
        self.lm = lm.eval()
        self.tokenizer = tokenizer
        self.folder = folder
        self.adapter: Any = None  # a peft model around `lm`, which shares its weights
        self.reference: Policy | None = None
        self.guard: WordGuard | None = None  # rules out tokens wherever logits are read
        self.value_head: nn.Linear | None = None  # PPO's baseline; other methods need none

    def add_value_head(self) -> nn.Linear:
        """Give the policy a value head that predicts 0 everywhere.

        The first advantages then come from the rewards alone.
        """
        head = nn.Linear(self.output_layer.in_features, 1, device=self.lm.device)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        self.value_head = head
        return head

    @property
    def output_layer(self) -> nn.Linear:
        """The layer from the trunk's output to logits."""
        layer = self.lm.get_output_embeddings()
        assert isinstance(layer, nn.Linear)  # as every causal language model has
        return layer

    def hidden(self, sequence_ids: Tensor, attention_mask: Tensor, **cache: Any) -> Any:
        """Run the trunk.

        Args:
            sequence_ids: [batch, time] token ids; where masked, any id of the vocabulary.
            attention_mask: [batch, past + time], True = real token.
            cache: `past_key_values` and `use_cache`, as transformers takes them.

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
        return self.output_layer(hidden)

    def values(self, hidden: Tensor) -> Tensor | None:
        """Map the trunk's output [..., width] to values [...], reward units, float32.

        Returns None if there is no value head.
        """
        if self.value_head is None:
            return None
        with torch.autocast(hidden.device.type, enabled=False):
            return self.value_head(hidden.float()).squeeze(-1)

    def keep_words_clean(self) -> None:
        """Rule out coarse words, from now on, in this policy and in its reference."""
        self.guard = WordGuard(self.tokenizer, self.lm.device)
        if self.reference is not None:
            self.reference.guard = self.guard

    @contextmanager
    def as_reference(self) -> Generator["Policy"]:
        """Yield the frozen network that training started from.

        Raises:
            CheckpointError: the policy was loaded without a reference.
        """
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
        """Write plain transformers or peft files, the tokenizer, and the value head if any."""
        with replacing_folder(folder) as temporary:
            save_network(self.adapter or self.lm, temporary)
            self.tokenizer.save_pretrained(temporary)
            if self.value_head is not None:
                head = self.value_head.state_dict()
                head = {name: tensor.contiguous() for name, tensor in head.items()}
                save_file(head, temporary / VALUE_HEAD)


def load_policy(
    name: str,
    *,
    device: torch.device,
    for_training: bool = False,
    lora_rank: int = 0,
    value_head: bool | None = None,
) -> Policy:
    """Load a causal language model by name; a saved adapter is merged into its base.

    Args:
        name: shipped name, run folder, path or Hub id.
        for_training: make the weights trainable, and keep a reference (with LoRA, the network under
            the adapter; else a frozen copy).
        lora_rank: rank of a new LoRA adapter to train; 0 trains all weights.
        value_head: True adds a new value head if the folder holds none; False leaves out the one
            that it holds; None takes the folder as it is.

    Raises:
        CheckpointError: the model cannot be found, cannot be loaded, or is not a causal language
            model.
        ConfigError: a new adapter is asked for on a model that is an adapter of other matrices.
    """
    folder = locate(name)
    if is_classifier(folder):
        raise CheckpointError(f"{name} scores texts and cannot write them: choose a language model")
    lm = load_network(AutoModelForCausalLM, folder)
    speed_up(lm.to(device))  # pyright: ignore[reportArgumentType]  (wrapped without types)
    policy = Policy(lm, load_tokenizer_for(lm, folder), folder)
    weights = folder / VALUE_HEAD
    if value_head or (value_head is None and weights.is_file()):
        head = policy.add_value_head()
        if weights.is_file():
            with readable(weights):
                head.load_state_dict(load_file(weights))
    _check_head(policy)
    if not for_training:
        return policy.requires_grad_(False)
    if lora_rank:
        policy.adapter = add_adapter(lm, "CAUSAL_LM", lora_rank, folder)
    else:
        policy.reference = load_policy(name, device=device)
    return policy


def _check_head(policy: Policy) -> None:
    """Make sure that the trunk and the output embeddings together give the model's own logits.

    Some families scale or cap their logits in between. Training them as if they did not would be
    silently wrong.

    Raises:
        CheckpointError: the logits differ, or are not finite.
    """
    ids = torch.arange(2, 6, device=policy.lm.device)[None]
    mask = torch.ones_like(ids, dtype=torch.bool)
    with torch.no_grad():
        ours = policy.logits(policy.hidden(ids, mask).last_hidden_state)
        theirs = policy.lm(input_ids=ids).logits
        if not theirs.isfinite().all():
            raise CheckpointError(
                f"{short_name(policy.folder)} gives logits that are not finite numbers: restore "
                "or delete the model"
            )
        if not torch.allclose(ours, theirs, atol=1e-3, rtol=1e-3):
            raise CheckpointError(
                f"{short_name(policy.folder)}: models of type {policy.lm.config.model_type!r} "
                "change their logits after the output layer, which this trainer does not follow; "
                "choose a model like gpt2, llama or qwen2"
            )
