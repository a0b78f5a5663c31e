"""Find the folder of a model by its name.

A model has the same names everywhere: a shipped name (`gpt2-mini`), a run folder (its `model/`),
any folder in Hugging Face's format, or a Hub id (`gpt2`, `owner/name`). This module turns the name
into a local folder, downloading from the Hub if needed. It imports neither torch nor transformers,
so that a wrong name gets an answer at once.
"""

import hashlib
import os
import re
import shutil
import threading
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from rlhf_demo.errors import CheckpointError, DataError
from rlhf_demo.files import open_plain, read_json, short_name, write_text
from rlhf_demo.paths import CHECKPOINTS, typed_path

HUB_SECONDS = 1.5
"""How long the Hub may take to answer before it counts as unreachable. So a wrong name gets an
answer within 3 seconds, imports included, also on a busy machine."""

CONFIG, TOKENIZER = "config.json", "tokenizer.json"
ADAPTER, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
VALUE_HEAD = "value_head.safetensors"
TOKENIZER_FILES = (
    TOKENIZER, "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
    "vocab.json", "merges.txt", "vocab.txt",
)  # fmt: skip
"""Files of a tokenizer that loading opens (models/tokenizer.py)."""
WEIGHTS = re.compile(r"model-\d+-of-\d+\.safetensors", re.ASCII)
"""How transformers names the files of a model that it saves in several; else model.safetensors."""
MOST_PARTS = 200
"""Files of a model's weights: transformers starts a new one after 5 GB, other programs after 2."""
END_BYTES = 2**20
"""Bytes at each end of a file of weights that tell them from others."""
MOST_CONFIG = 1_000_000
"""Bytes of an adapter's configuration, which is read before its weights are fetched."""

HUB_ID = re.compile(r"(?!.*(--|\.\.|\.git$))(\b[\w.-]{1,96}\b/)?\b[\w.-]{1,96}\b", re.ASCII)
"""A possible name on the Hub, `gpt2` or `owner/name`; its client raises at any other name."""

WANTED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
"""Files of a Hub model to fetch: only safetensors, never pickled weights or code."""
MOST_OTHER_FILES = 50_000_000
"""Bytes of a Hub model's files besides its weights; a tokenizer takes up to 20 MB."""


def shipped_models() -> list[str]:
    """List the names of the models under checkpoints/."""
    if not CHECKPOINTS.is_dir():
        return []
    return sorted(folder.name for folder in CHECKPOINTS.iterdir() if is_model(folder))


def locate(name: str) -> Path:
    """Return the absolute local folder of the model called `name`.

    Raises:
        CheckpointError: there is no such model, the run has no model yet, or the Hub cannot be
            reached.
    """
    if not name.strip():
        raise CheckpointError(
            f"a model's name is empty: name one of {', '.join(shipped_models())}, a run or a folder"
        )
    if name in shipped_models():
        return CHECKPOINTS / name
    folder = typed_path(name)
    if os.path.isdir(folder):  # pathlib would raise for a name that is too long
        return _in_folder(folder.resolve())
    if folder.is_absolute() or not HUB_ID.fullmatch(name):
        raise CheckpointError(f"there is no folder {name}: check the path")
    return _on_hub(name)


def is_here(name: str) -> bool:
    """Say whether a model, and the base under an adapter, can be loaded without fetching them.

    Raises:
        CheckpointError: there is no such model.
    """
    is_folder = name in shipped_models() or os.path.isdir(typed_path(name))
    if not is_folder and not _is_cached(name):
        return False
    folder = locate(name)
    path = folder / ADAPTER
    if not path.is_file():
        return True
    base = _named_base(path)
    if os.path.isfile(CHECKPOINTS.parent / base / CONFIG):
        return True
    return os.path.isdir(typed_path(base)) or _is_cached(base)


def adapter_base(folder: Path) -> Path | None:
    """Return the folder of an adapter's base model, or None if `folder` holds full weights.

    A shipped adapter names its base relative to the repository, so it resolves from any working
    folder; an adapter in a run names an absolute folder or a Hub id.

    Raises:
        CheckpointError: the adapter names no base, or one that does not exist or is an adapter.
    """
    path = folder / ADAPTER
    if not path.is_file():
        return None
    base = _named_base(path)
    found = CHECKPOINTS.parent / base
    if not os.path.isfile(found / CONFIG):
        found = locate(base)
    if (found / ADAPTER).is_file():  # it may name itself
        raise CheckpointError(
            f"{short_name(folder)} is an adapter on an adapter: choose another model"
        )
    return found


def _named_base(path: Path) -> str:
    try:
        base = read_json(path, MOST_CONFIG)["base_model_name_or_path"]
    except (DataError, KeyError, TypeError):
        base = None
    if not isinstance(base, str):
        raise CheckpointError(f"{short_name(path)} names no base model: restore the file")
    named = Path(base)
    if named.is_absolute() and named.parent.name == CHECKPOINTS.name and not named.exists():
        return f"{CHECKPOINTS.name}/{named.name}"  # a shipped one, named before the move
    return base


def hub_id(folder: Path) -> str | None:
    """Return the Hub id of a model in the cache of the Hub's client; None for any other folder."""
    for part in folder.parts:
        if part.startswith("models--"):
            return part.removeprefix("models--").replace("--", "/")
    return None


def adapter_rank(name: str) -> int:
    """Return the rank of the adapter called `name`; 0 if the model is none, or is not here."""
    if name not in shipped_models() and not os.path.isdir(typed_path(name)):
        return 0
    try:
        rank: Any = read_json(locate(name) / ADAPTER, MOST_CONFIG)["r"]
    except (CheckpointError, DataError, OSError, KeyError, TypeError):
        return 0
    return rank if type(rank) is int else 0


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold a model's weights; none of an adapter, and no others beside them.

    A pipe is no file: opening one would stop all threads for ever.

    Raises:
        CheckpointError: there are more than MOST_PARTS.
    """
    whole = folder / "model.safetensors"
    parts = sorted(path for path in folder.iterdir() if WEIGHTS.fullmatch(path.name))
    if len(parts) > MOST_PARTS:
        raise CheckpointError(
            f"{short_name(folder)} holds more than {MOST_PARTS} files of weights: choose another "
            "model"
        )
    return [path for path in ([whole] if whole.exists() else parts) if path.is_file()]


def fingerprint(folder: Path) -> str:
    """Return eight letters that tell a model's weights from those before and after more training.

    Training changes every tensor, so both ends of the first and of the last file are enough: a
    copied run may have many files, of any size.

    Args:
        folder: as `locate` returns it.

    Raises:
        CheckpointError: the folder holds too many files of weights.
        OSError: a file cannot be read.
    """
    found, adapter = hashlib.sha256(), folder / ADAPTER_WEIGHTS
    files = [adapter] if adapter.is_file() else weight_files(folder)
    for path in dict.fromkeys([*files[:1], *files[-1:]]):
        with open_plain(path) as file:
            size = file.seek(0, os.SEEK_END)
            for start in (0, max(0, size - END_BYTES)):
                file.seek(start)
                found.update(file.read(END_BYTES))
    return found.hexdigest()[:8]


def is_model(folder: Path) -> bool:
    """Say whether a folder holds a model or an adapter; an unreadable folder does not."""
    return os.path.isfile(folder / ADAPTER) or os.path.isfile(folder / CONFIG)


def _in_folder(folder: Path) -> Path:
    if (folder / "status.json").is_file():  # a run folder
        if is_model(folder / "model"):
            return folder / "model"
        raise CheckpointError(
            f"the run {folder} has no model yet: wait for it to finish, or resume it"
        )
    if is_model(folder):
        return folder
    raise CheckpointError(
        f"{folder} holds no model (no config.json or adapter_config.json): check the path"
    )


def _on_hub(name: str) -> Path:
    # One of its options has no full type.
    from huggingface_hub import (  # noqa: PLC0415
        snapshot_download,  # pyright: ignore[reportUnknownVariableType]
    )

    cached = _is_cached(name)
    commit = None if cached else check_room(name)
    folder = Path(
        snapshot_download(
            name,
            revision=commit,
            allow_patterns=WANTED,
            ignore_patterns=["*/*"],
            local_files_only=cached,
        )
    )
    if commit is not None:  # the client notes the newest only where it was asked for "main"
        with suppress(OSError):  # a cache that others own: the Hub is asked again next time
            write_text(folder.parent.parent / "refs" / "main", commit)
    if not list(folder.glob("*.safetensors")):
        raise CheckpointError(
            f"{name} has no safetensors weights, and nothing else is loaded: choose another model"
        )
    return folder


def _is_cached(name: str) -> bool:
    """Say whether the cache of the Hub's client has a model."""
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415

    if not HUB_ID.fullmatch(name):
        return False
    # Not the adapter's configuration: `hub_megabytes` fetches it before the weights.
    files = [try_to_load_from_cache(name, file) for file in (CONFIG, ADAPTER_WEIGHTS)]
    return any(isinstance(file, str) for file in files)


def check_room(name: str, commit: str | None = None) -> str:
    """Check the size of a Hub model before fetching it, because a run may name any model.

    Args:
        name: id of the model.
        commit: whose files are measured; None: the newest.

    Returns:
        The commit that was measured. Fetch this one: its owner may have made another since.

    Raises:
        CheckpointError: it is unavailable, or too large for the disk or the memory.
    """
    import psutil  # noqa: PLC0415
    from huggingface_hub import constants  # noqa: PLC0415

    commit, megabytes = _measured(name, "model", commit)
    cache = Path(constants.HF_HUB_CACHE).absolute()
    cache = next(folder for folder in (cache, *cache.parents) if folder.exists())
    disk = shutil.disk_usage(cache).free / 1e6
    memory = psutil.virtual_memory().available / 1e6
    if megabytes * 1.2 > disk or megabytes * 2 > memory:  # float32 is twice as large as bfloat16
        raise CheckpointError(
            f"{name} is a download of {megabytes:,.0f} MB: this machine has {disk:,.0f} MB of disk "
            f"and {memory:,.0f} MB of memory free; choose a smaller model"
        )
    return commit


def hub_refusal(name: str, kind: str) -> str | None:
    """Ask the Hub for a `model` or `dataset`; return why it is unavailable, or None if it is not.

    Takes at most HUB_SECONDS. It uses a thread, because a name server that does not answer can
    block its caller for any time.
    """
    from huggingface_hub import HfApi, constants  # noqa: PLC0415
    from huggingface_hub.errors import RepositoryNotFoundError  # noqa: PLC0415

    if constants.HF_HUB_OFFLINE:
        return "it is not in the local cache and HF_HUB_OFFLINE forbids asking the Hub"
    answer: list[Exception | None] = []

    def ask() -> None:
        try:
            HfApi().repo_info(name, repo_type=kind, timeout=HUB_SECONDS)
            answer.append(None)
        except Exception as error:  # noqa: BLE001  (the caller turns any error into words)
            answer.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_SECONDS)
    if answer == [None]:
        return None
    if answer and isinstance(answer[0], RepositoryNotFoundError):
        return f"the Hub has no {kind} of that name, or it is private"
    return "it is not in the local cache and the Hub cannot be reached"


def hub_megabytes(name: str, kind: str) -> float:
    """Ask the Hub for the size in MB of the files that we would fetch of a `model` or `dataset`.

    An adapter's base counts too.

    Raises:
        CheckpointError: the Hub does not have it, cannot be reached, or names no size; the files
            besides the weights are too large; or the base is neither on the Hub nor shipped, or is
            itself an adapter.
    """
    return _measured(name, kind)[1]


def _measured(name: str, kind: str, commit: str | None = None) -> tuple[str, float]:
    """Return the commit that was measured, and its megabytes; see `hub_megabytes`."""
    commit, files = _hub_files(name, kind, commit)
    size = _size(name, kind, files)
    base = None
    if kind == "model" and ADAPTER in files:
        base = _hub_base(name, commit, files[ADAPTER])
    if base is not None:
        _, below = _hub_files(base, kind)
        if ADAPTER in below:
            raise CheckpointError(f"{name} is an adapter on an adapter: choose another model")
        size += _size(base, kind, below)
    return commit, size / 1e6


def _hub_files(name: str, kind: str, commit: str | None = None) -> tuple[str, dict[str, int]]:
    """Return a commit, by default the newest, and the size of each of its files in bytes."""
    from huggingface_hub import HfApi  # noqa: PLC0415
    from huggingface_hub.hf_api import RepoSibling  # noqa: PLC0415

    refusal = hub_refusal(name, kind)
    if refusal is not None:
        if kind == "model":
            raise CheckpointError(_unknown(name, refusal))
        raise CheckpointError(f"data set {name!r}: {refusal}; check the name, or use a file")
    info = HfApi().repo_info(
        name, repo_type=kind, revision=commit, files_metadata=True, timeout=5.0
    )
    files: list[RepoSibling] = getattr(info, "siblings", None) or []  # a model's or a data set's
    return str(info.sha), {file.rfilename: file.size or 0 for file in files}


def _size(name: str, kind: str, files: dict[str, int]) -> int:
    """Return the bytes of all files of a data set, or of the files of a model to fetch."""
    ending = ".safetensors" if kind == "model" else ""
    if kind == "model":
        files = {
            file: size
            for file, size in files.items()
            if "/" not in file and any(fnmatch(file, pattern) for pattern in WANTED)
        }
    size = sum(files.values())
    weights = sum(bytes_ for file, bytes_ in files.items() if file.endswith(ending))
    if not weights:
        raise CheckpointError(f"{name} has no {ending or 'known'} files: choose another {kind}")
    if size - weights > MOST_OTHER_FILES:
        raise CheckpointError(
            f"{name} has {(size - weights) / 1e6:,.0f} MB of files besides its weights: choose "
            "another model"
        )
    return size


def _hub_base(name: str, commit: str, config_bytes: int) -> str | None:
    """Return the Hub id of the base of an adapter on the Hub; None if the base is shipped."""
    # An option of this function has no full type.
    from huggingface_hub import (  # noqa: PLC0415
        hf_hub_download,  # pyright: ignore[reportUnknownVariableType]
    )

    if config_bytes > MOST_CONFIG:
        raise CheckpointError(f"{name}: {ADAPTER} has {config_bytes:,} bytes: choose another model")
    try:
        base = _named_base(Path(hf_hub_download(name, ADAPTER, revision=commit)))
    except OSError as error:  # all errors of the Hub's client are
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{name} cannot be checked ({reason}): try again later") from None
    if base in shipped_models() or base.removeprefix("checkpoints/") in shipped_models():
        return None
    # The name of a folder here would be taken as a path.
    if not HUB_ID.fullmatch(base) or Path(base).exists() or (CHECKPOINTS.parent / base).exists():
        raise CheckpointError(f"{name} is an adapter on {base[:80]!r}, which is not on the Hub")
    return base


def _unknown(name: str, why: str) -> str:
    return (
        f"model {name!r} is not available: {why}; name a shipped model "
        f"({', '.join(shipped_models())}), a run folder or a model's folder"
    )
