"""Write and read repositories of the Hugging Face Hub: models, data sets and Spaces.

What the Hub's client raises becomes one sentence here. The sentence never contains the token. The
token comes from the variable HF_TOKEN, or from the file in which `hf auth login` stores it.
"""

import glob
import re
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

from rlhf_demo.errors import ConfigError, DemoError, HubError
from rlhf_demo.hub.locate import HUB_ID

T = TypeVar("T")

Api = Any
"""`huggingface_hub.HfApi`, which is imported late and whose answers have no full types."""

ANSWER_SECONDS = 3.0
"""How long the Hub may take to say whose token it is. With the import of its client, a wrong
address gets its sentence within 5 seconds."""

PATIENCE_SECONDS = 20.0
"""How long the Hub may be silent in the middle of any other request; its client would wait for
ever."""

KINDS = {"model": "models", "dataset": "datasets", "space": "spaces"}
"""Kind of repository -> its part of an address."""

SECRET = re.compile(r"hf_\w+|Bearer \S+")
"""What a token looks like in an error of the client."""

REASONS = {
    401: "the Hub does not accept the token in HF_TOKEN: make a new one, with write access",
    402: "the Hub asks for a paid plan",
    403: "the token in HF_TOKEN may not write there: check the owner's name and the token's rights",
    404: "the Hub has none of that name, or it is private",
    429: "the Hub says that there were too many requests: try again later",
}
"""Status of the Hub's answer -> its meaning."""

_client = threading.Lock()
_patient = False


def check_name(name: str) -> str:
    """Return a repository's name if it can be one.

    Raises:
        ConfigError: it is not OWNER/NAME.
    """
    if not (HUB_ID.fullmatch(name) and "/" in name):
        raise ConfigError(f"{name[:100]!r} is not a repository's name: give OWNER/NAME")
    return name


def open_hub() -> Api:
    """Return the Hub's client, after the Hub has accepted the token.

    Raises:
        ConfigError: there is no token.
        HubError: the Hub does not accept it, or does not answer within ANSWER_SECONDS.
    """
    from huggingface_hub import constants, get_token  # noqa: PLC0415

    token = get_token()
    if not token:
        raise ConfigError(
            "there is no token for the Hub: set HF_TOKEN to one with write access, from "
            "https://huggingface.co/settings/tokens"
        )
    if constants.HF_HUB_OFFLINE:
        raise ConfigError("HF_HUB_OFFLINE forbids asking the Hub: unset it")
    api = client(token)
    with explained("the Hub cannot be used"):
        _within(ANSWER_SECONDS, lambda: api.whoami(token=token))
    return api


def client(token: str | None = None) -> Api:
    """Return the Hub's client; from then on, no request of this process waits for ever."""
    global _patient
    import httpx2  # noqa: PLC0415  (under huggingface_hub)
    from huggingface_hub import HfApi, get_session, set_client_factory  # noqa: PLC0415
    from huggingface_hub.utils import disable_progress_bars, logging  # noqa: PLC0415

    with _client:
        if not _patient:
            hooks = get_session().event_hooks
            set_client_factory(
                lambda: httpx2.Client(
                    event_hooks=hooks, follow_redirects=True, timeout=PATIENCE_SECONDS
                )
            )
            disable_progress_bars()
            logging.set_verbosity_error()  # it would announce each of its retries
            _patient = True
    return HfApi(token=token)


def create(api: Api, name: str, kind: str, *, private: bool = False, sdk: str | None = None) -> str:
    """Create a repository if there is none of that name; return its address.

    Args:
        kind: a key of KINDS.
        sdk: of a Space: gradio, docker or static.

    Raises:
        HubError: the Hub refuses.
    """
    with explained(f"the {kind} {name} cannot be created"):
        return str(
            api.create_repo(name, repo_type=kind, private=private, exist_ok=True, space_sdk=sdk)
        )


def upload(
    api: Api, name: str, kind: str, folder: Path, message: str, replaces: Sequence[str] = ()
) -> str:
    """Write a folder's files into a repository in one commit; return the commit's number.

    Args:
        kind: a key of KINDS.
        message: of the commit.
        replaces: patterns of files that are removed if the folder does not have them.

    Raises:
        HubError: the Hub refuses or fails; then nothing has changed.
    """
    files = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }
    with explained(f"the {kind} {name} cannot be written"):
        there: list[str] = api.list_repo_files(name, repo_type=kind) if replaces else []
    old = {
        path
        for path in there
        if path not in files and any(fnmatch(path, pattern) for pattern in replaces)
    }
    return commit(api, name, kind, message, files, sorted(old))


def commit(
    api: Api,
    name: str,
    kind: str,
    message: str,
    files: Mapping[str, Path],
    remove: Sequence[str] = (),
    copies: Mapping[str, str] | None = None,
    turn: AbstractContextManager[Any] | None = None,
) -> str:
    """Change a repository in one commit; return the commit's number.

    `upload_folder` of the Hub's client would make several of a large folder.

    Args:
        kind: a key of KINDS.
        message: of the commit.
        files: path in the repository -> file here.
        remove: paths to remove; one that ends in a slash is a folder.
        copies: new path in the repository -> path of a file that is in it.
        turn: held for the commit itself, after the large files have been sent.

    Raises:
        HubError: the Hub refuses or fails; then nothing has changed.
    """
    from huggingface_hub import (  # noqa: PLC0415
        CommitOperationAdd,
        CommitOperationCopy,
        CommitOperationDelete,
    )

    changes: list[Any] = [CommitOperationCopy(old, new) for new, old in (copies or {}).items()]
    changes += [CommitOperationDelete(path) for path in remove]
    with explained(f"the {kind} {name} cannot be written"):
        additions = [CommitOperationAdd(path, file) for path, file in files.items()]
        api.preupload_lfs_files(name, additions, repo_type=kind, free_memory=False)
        changes += additions
        with turn or nullcontext():
            made = api.create_commit(name, changes, commit_message=message, repo_type=kind)
            return str(made.oid)


def exists(api: Api, name: str) -> bool:
    """Say whether the Hub has a model or a data set of a name.

    Raises:
        HubError: the Hub fails.
    """
    with explained(f"the Hub cannot be asked for {name}"):
        return HUB_ID.fullmatch(name) is not None and any(
            api.repo_exists(name, repo_type=kind) for kind in ("model", "dataset")
        )


def is_private(api: Api, name: str, kind: str) -> bool:
    """Say whether only its owner can read a repository.

    Raises:
        HubError: the Hub does not have it, or fails.
    """
    with explained(f"the {kind} {name} cannot be read"):
        return bool(api.repo_info(name, repo_type=kind, timeout=PATIENCE_SECONDS).private)


def forget_history(api: Api, name: str, kind: str) -> None:
    """Keep only the newest state of a repository.

    Raises:
        HubError: the Hub refuses or fails.
    """
    with explained(f"the history of the {kind} {name} cannot be shortened"):
        api.super_squash_history(name, repo_type=kind)


def newest(api: Api, name: str, kind: str) -> tuple[str, dict[str, int]]:
    """Return the newest commit of a repository, and the size of each of its files in bytes.

    Raises:
        HubError: the Hub does not have it, or does not answer within ANSWER_SECONDS.
    """
    with explained(f"the {kind} {name} cannot be read"):
        info: Any = _within(
            ANSWER_SECONDS, lambda: api.repo_info(name, repo_type=kind, files_metadata=True)
        )
        files: list[Any] = info.siblings or []
        return str(info.sha), {file.rfilename: file.size or 0 for file in files}


def download(
    api: Api, name: str, kind: str, commit: str, files: Sequence[str], folder: Path
) -> None:
    """Fetch files of a repository into a folder.

    Args:
        commit: from `newest`, so that what arrives has the sizes that were checked.

    Raises:
        HubError: the Hub refuses or fails.
    """
    import shutil  # noqa: PLC0415

    # One of its options has no full type.
    from huggingface_hub import (  # noqa: PLC0415
        snapshot_download,  # pyright: ignore[reportUnknownVariableType]
    )

    with explained(f"the {kind} {name} cannot be read"):
        snapshot_download(
            name,
            repo_type=kind,
            revision=commit,
            local_dir=folder,
            allow_patterns=[glob.escape(file) for file in files],  # a file may be called `*`
            token=api.token,
        )
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the client's notes on what it fetched
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        raise HubError(f"the {kind} {name} cannot be read: {missing[0]} did not arrive")


@contextmanager
def explained(what: str) -> Generator[None]:
    """Turn whatever the Hub's client raises into one sentence.

    Args:
        what: the sentence's beginning, such as "the model a/b cannot be read".

    Raises:
        HubError: the block raised an error that is not ours.
    """
    try:
        yield
    except DemoError:
        raise
    except Exception as error:  # noqa: BLE001  (its client raises those of several libraries)
        raise HubError(f"{what}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    import httpx2  # noqa: PLC0415
    from huggingface_hub import constants  # noqa: PLC0415
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    causes: list[BaseException | None] = [error, error.__cause__, error.__context__]
    address = f"{constants.ENDPOINT} (HF_ENDPOINT)"
    for cause in causes:
        if isinstance(cause, HfHubHTTPError):
            status = cause.response.status_code
            failed = f"the Hub at {address} fails (status {status}): try again later"
            return REASONS.get(status) or (failed if status >= 500 else _first_line(cause))
        if isinstance(cause, httpx2.TransportError | TimeoutError):
            return f"{address} does not answer: check the address and the network"
        if isinstance(cause, ValueError) and "JSON" in f"{type(cause).__name__} {cause}":
            return f"{address} answers, but not as the Hub does: check the address"
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return SECRET.sub("(token)", text.splitlines()[0])


def _within(seconds: float, ask: Callable[[], T]) -> T:
    """Return what a function returns, if that takes no longer; a name server can block for ever.

    Raises:
        TimeoutError: it takes longer.
        Exception: whatever the function raises.
    """
    answers: list[T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            answers.append(ask())
        except Exception as error:  # noqa: BLE001  (raised again below)
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise TimeoutError
    return answers[0]
