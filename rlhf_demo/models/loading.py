"""From a folder to a tokenizer or a network; what does not load is named in a sentence.

- **Padding.** Every tokenizer gets a pad token of its own, distinct from EOS. If EOS doubled as
  padding, it would be masked out of every loss and the policy would never learn to end. A tokenizer
  without one gives the job to the token of byte 0, which no text holds: no embedding has to be
  added, so files stay plain.
- **Weights.** Safetensors only, never pickled, in float32; adapters are merged into their base.
- **Strangers' files.** Code that comes with a model is never run. What a configuration asks for is
  compared with the weights that are there before anything is made of it.

Policies (policy.py) and reward models (reward_model.py) are made of what is loaded here. Source: Hu
et al. 2021 (LoRA).
"""

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.overrides import TorchFunctionMode
from transformers import (
    AutoConfig,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.activations import NewGELUActivation
from transformers.utils import logging as transformers_logging

from rlhf_demo.errors import CheckpointError, DataError
from rlhf_demo.files import read_json, short_name
from rlhf_demo.hub.locate import ADAPTER, MOST_CONFIG, adapter_base
from rlhf_demo.models.tokenizer_parts import MOST_TOKENS, PROBE, SHORT, check_parts

UNREADABLE = (
    OSError, ValueError, KeyError, RuntimeError, SafetensorError,
    TypeError, AttributeError, ArithmeticError,  # of odd values in a configuration
)  # fmt: skip

BYTE_0 = "\u0100"
"""How byte-level BPE (GPT-2's) writes the byte 0."""

PAD = "<|pad|>"

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
"""Any of these can make a tokenizer."""

LORA = {
    "task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision",
    "inference_mode", "r", "target_modules", "modules_to_save", "lora_alpha", "lora_dropout",
    "fan_in_fan_out", "bias", "use_rslora", "peft_type", "runtime_config",
}  # fmt: skip
"""What an adapter's configuration may say; all else must be as peft has it by itself."""

MOST_MADE_UP = 1.05
"""Weights that a model may have, for each one in its files: a new head comes on top of them."""

LONG_LISTS = re.compile(r'"\w*(layers?|labels)": [0-9]{5,}')
"""Configurations list their layers and labels as soon as they are made."""

MOST_CALLS = 200_000
"""Of torch, in which a network is made: 5 for each tensor, 1,000 for 12 layers."""

MOST_BUFFERS = 2**26
"""Bytes of buffers, such as masks, that a model may have beyond 4 for each weight in its files."""

# -- tokenizers ------------------------------------------------------------------------------------


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load a tokenizer and make sure that its pad token is a token of its own.

    An adapter that brings no tokenizer uses its base's.

    Raises:
        CheckpointError: the folder holds no tokenizer, or no token can serve as padding.
    """
    base = adapter_base(folder)
    if base is not None and not (folder / "tokenizer_config.json").is_file():
        folder = base
    # Without its files transformers would make up an empty tokenizer.
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise CheckpointError(
            f"{short_name(folder)} holds no usable tokenizer (no {TOKENIZER_FILES[0]}): add its "
            "files"
        )
    try:
        if (folder / TOKENIZER_FILES[0]).is_file():
            check_parts(folder / TOKENIZER_FILES[0])
            _check_names(folder / "tokenizer_config.json")
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        _try(tokenizer)
    except (*UNREADABLE, DataError) as error:
        raise CheckpointError(
            f"{short_name(folder)} holds no usable tokenizer ({_first_line(error, folder)}): "
            "add its files"
        ) from None
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id != tokenizer.eos_token_id:
        return tokenizer
    if BYTE_0 in tokenizer.get_vocab():
        return _rename_byte_0(tokenizer)
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id != tokenizer.eos_token_id:
        tokenizer.pad_token = tokenizer.unk_token
        return tokenizer
    raise CheckpointError(
        f"the tokenizer in {short_name(folder)} has no token that could serve as padding: give it "
        "a pad token"
    )


def _check_names(path: Path) -> None:
    """Refuse a configuration that has another file loaded in place of tokenizer.json.

    Raises:
        ValueError: it does, or it is not JSON.
    """
    # read_json refuses the longest text of 10^30 tokens, as transformers writes "without bound".
    if path.is_file() and "fast_tokenizer_files" in json.loads(path.read_text(encoding="utf-8")):
        raise ValueError(f"{path.name} names other files than tokenizer.json")


def _try(tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer that makes much of little, or gives up in the middle of a text.

    The first would fill the memory, the second end a thread.

    Raises:
        ValueError: it does.
    """
    count = _count_tokens(tokenizer, SHORT, special=True)
    if count > MOST_TOKENS:
        raise ValueError(f"it makes a text {len(SHORT)} characters long into {count} tokens")
    _count_tokens(tokenizer, PROBE, special=False)


def _count_tokens(tokenizer: PreTrainedTokenizerBase, text: str, *, special: bool) -> int:
    """Return how many tokens a text has, 0 where the tokenizer refuses it.

    Raises:
        ValueError: the tokenizer gives up in the middle of the text.
    """
    try:
        return len(tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"])
    except Exception:  # noqa: BLE001
        return 0  # as of a word that it does not know; whoever uses it hears of that
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of the library, and no Exception
            raise
        raise ValueError("it gives up in the middle of a text") from None


def _rename_byte_0(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Give the token of byte 0 the name PAD: its id and the vocabulary's size stay as they are."""
    spec = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = spec["model"]["vocab"]
    pad_id = vocabulary.pop(BYTE_0)
    vocabulary[PAD] = pad_id
    # No merge can still lead to or from the byte; texts hold it in no case.
    spec["model"]["merges"] = [
        merge for merge in spec["model"]["merges"] if not any(BYTE_0 in part for part in merge)
    ]
    backend = tokenizer.backend_tokenizer.from_str(json.dumps(spec))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=tokenizer.bos_token,
        eos_token=tokenizer.eos_token,
        unk_token=tokenizer.unk_token,
        pad_token=PAD,
        model_max_length=tokenizer.model_max_length,
    )


# -- networks and adapters -------------------------------------------------------------------------


def is_classifier(folder: Path) -> bool:
    """Say whether the model in `folder` scores texts instead of writing them."""
    adapter = folder / ADAPTER
    path = adapter if adapter.is_file() else folder / "config.json"
    spec = _read(path)
    if path == adapter:
        return spec.get("task_type") == "SEQ_CLS"
    return "ForSequenceClassification" in str(spec.get("architectures"))


def _read(path: Path) -> dict[str, Any]:
    """Read a model's configuration."""
    try:
        spec = read_json(path, MOST_CONFIG)
    except DataError as error:
        raise CheckpointError(str(error)) from None
    if not isinstance(spec, dict):
        raise CheckpointError(f"{short_name(path)} holds no configuration: restore it")
    return spec


def load_network(
    auto_class: Any, folder: Path, num_labels: int | None = None
) -> tuple[PreTrainedModel, bool]:
    """Load whole weights, or a base with its adapter merged in; in float32, safetensors only.

    Returns:
        The model and whether an adapter was merged.
    """
    base = adapter_base(folder)
    kwargs: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    if num_labels is not None:
        kwargs["num_labels"] = num_labels
    if base is not None and not (folder / "adapter_model.safetensors").is_file():
        raise CheckpointError(
            f"{short_name(folder)} cannot be loaded (it has no adapter_model.safetensors): choose "
            "another model"
        )
    if base is not None:
        _check_adapter(folder, base)
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # a new head is expected, not worth a warning
    try:
        with readable(base or folder):
            _check_size(auto_class, base or folder, kwargs)
            model, told = auto_class.from_pretrained(
                base or folder,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
                **kwargs,
            )
            if told["missing_keys"] and num_labels is None:  # else it is the new head
                raise ValueError(f"its files lack {min(told['missing_keys'])}")
    finally:
        transformers_logging.set_verbosity(verbosity)
    if base is not None:
        from peft import PeftModel  # noqa: PLC0415  (takes a second and is needed for adapters only)

        with readable(folder):
            _check_rank(model, folder)
            model = PeftModel.from_pretrained(
                model, folder, local_files_only=True
            ).merge_and_unload()
    return model, base is not None


def _check_adapter(folder: Path, base: Path) -> None:
    """Refuse an adapter that is more than plain LoRA.

    Names in its configuration may be regular expressions, which peft matches for as long as they
    ask for, and other kinds of adapter compute at length before a weight is loaded.

    Raises:
        CheckpointError: it is, or its base is an adapter too, which transformers would load.
    """
    from peft import LoraConfig  # noqa: PLC0415

    spec = _read(folder / ADAPTER)
    plain = LoraConfig().to_dict()
    odd = [key for key in plain if key not in LORA and spec.get(key, plain[key]) != plain[key]]
    for key in ("target_modules", "modules_to_save"):
        names = spec.get(key) or []
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            odd.append(key)
    if spec.get("peft_type") != "LORA" or odd:
        what = f"{odd[0]} is {str(spec[odd[0]])[:60]!r}" if odd else "its peft_type is another"
        raise CheckpointError(
            f"{short_name(folder)} is no plain LoRA adapter ({what}): choose another model"
        )
    if (base / ADAPTER).is_file():
        raise CheckpointError(
            f"{short_name(folder)} is an adapter on an adapter: choose another model"
        )


def _check_rank(model: PreTrainedModel, folder: Path) -> None:
    """Refuse an adapter whose matrices are fewer or of another rank than its configuration says.

    Raises:
        ValueError: they are; peft would make up all of them first.
    """
    spec = _read(folder / ADAPTER)
    found = _shapes(folder / "adapter_model.safetensors")
    ranks = [shape[0] for name, shape in found.items() if re.search(r"lora_(embedding_)?A", name)]
    ends = tuple(f".{name}" for name in spec.get("target_modules") or [])
    adapted = sum(f".{name}".endswith(ends) for name, _ in model.named_modules())
    if set(ranks) != {spec.get("r")} or adapted > len(ranks):
        raise ValueError("its configuration asks for more weights than its files hold")


def _shapes(path: Path) -> dict[str, list[int]]:
    """Return the shapes of a file's tensors, none of which is read."""
    with safe_open(path, "pt") as file:
        return {name: file.get_slice(name).get_shape() for name in file.keys()}


def _check_size(auto_class: Any, folder: Path, kwargs: dict[str, Any]) -> None:
    """Refuse a model whose configuration asks for more weights than its files hold.

    transformers makes up what is missing, however large.

    Raises:
        ValueError: it asks for more.
    """
    shapes = [shape for path in folder.glob("*.safetensors") for shape in _shapes(path).values()]
    if not shapes:
        return  # transformers says which file is missing
    if LONG_LISTS.search(json.dumps(_read(folder / "config.json"))):
        raise ValueError("its configuration asks for too many layers or labels")
    config = AutoConfig.from_pretrained(folder, **kwargs)
    layers = getattr(config.get_text_config(), "num_hidden_layers", None) or 0
    held, wanted, buffers = sum(map(math.prod, shapes)), 0, 0
    if layers <= len(shapes):
        with torch.device("meta"), _FewCalls():
            model = auto_class.from_config(config, trust_remote_code=False)
        wanted = sum(one.numel() for one in model.parameters())
        buffers = sum(one.nbytes for one in model.buffers())
    if layers > len(shapes) or wanted > MOST_MADE_UP * held or buffers > MOST_BUFFERS + 4 * held:
        raise ValueError("its configuration asks for more weights than its files hold")


class _FewCalls(TorchFunctionMode):
    """Ends the making of a network that goes on and on; counts this thread's calls of torch."""

    calls = 0

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.calls += 1
        if self.calls > MOST_CALLS:
            raise ValueError("its configuration asks for too large a network")
        return function(*args, **(kwargs or {}))


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what the libraries raise for missing, damaged or unfitting files into one sentence."""
    try:
        yield
    except UNREADABLE as error:
        raise CheckpointError(
            f"{short_name(path)} cannot be loaded ({_first_line(error, path)}): choose another "
            "model"
        ) from None


def add_adapter(
    model: PreTrainedModel, task_type: str, rank: int, folder: Path, whole: list[str] | None = None
) -> Any:
    """Put a new LoRA adapter around a model, which shares its weights.

    Args:
        model: what is adapted.
        task_type: CAUSAL_LM or SEQ_CLS, as peft names them.
        rank: of the adapter's matrices.
        folder: the model's own, which the adapter will name as its base.
        whole: names of modules that are trained and saved whole beside the adapter.
    """
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415

    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules="all-linear",
        modules_to_save=whole,
        task_type=task_type,
        # GPT-2 keeps its matrices transposed (Conv1D).
        fan_in_fan_out=model.config.model_type == "gpt2",
    )
    wrapped = get_peft_model(model, config)
    wrapped.peft_config["default"].base_model_name_or_path = str(folder.resolve())
    return wrapped


def _first_line(error: Exception, path: Path) -> str:
    said = str(error).strip().replace(str(path), short_name(path))
    return said.splitlines()[0] if said else type(error).__name__


SHARD_SIZE = "8MB"
"""Small enough for a plain push to a Space, which refuses files over 10 MB."""


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
