"""Push a finished run to the Hub as a model repository, and pull it from there as a run.

The repository's top is a model that plain transformers or peft load, with its card (runs/card.py).
Its folder `run` holds the run's record: settings, curves and report. It holds no sampled texts and
no pairs, which may be people's, and no path of this machine.

A pulled run lies in the folder of runs, so the page lists its model by the run's id. It is a
stranger's: it is checked here as an upload is, and the page tries it once more in a separate
process before it loads it.
"""

import shutil
import tempfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from rlhf_demo.config.stages import STAGES
from rlhf_demo.errors import CheckpointError, DataError, HubError, JobError
from rlhf_demo.files import (
    is_record,
    read_json,
    replacing_folder,
    short_name,
    write_json,
    write_text,
)
from rlhf_demo.hub import repositories
from rlhf_demo.hub.locate import (
    ADAPTER,
    WEIGHTS,
    adapter_base,
    check_room,
    hub_id,
    is_model,
    shipped_models,
)
from rlhf_demo.jobs.job import clean_title, is_run_id
from rlhf_demo.jobs.shapes import check
from rlhf_demo.paths import CHECKPOINTS, REPOSITORY, typed_path
from rlhf_demo.runs.card import Subject, card, without_folders
from rlhf_demo.runs.run import Run, RunConfig, Status
from rlhf_demo.runs.tail import MOST_BYTES, all_rows
from rlhf_demo.server.model_trial import try_model

RECORD = "run"
"""Folder of a repository with the run's record."""
RECORD_FILES = {
    "config.json": 10**6, "status.json": 10**6, "job.json": 10**6, "report.json": 10**6,
    "reward_scale.json": 10**6, "metrics.jsonl": MOST_BYTES,
}  # fmt: skip
"""Its files, and the bytes that each may have."""
TEXTS = "most_wrong"
"""Key of a report with pairs of texts, which may be people's."""
DEEPEST = 20
"""Runs that began with each other's models, at most, in the search for the base of all."""
CARD = "README.md"


# -- push ------------------------------------------------------------------------------------------


def push_run(
    folder: Path, repository: str, *, private: bool = False, with_base: bool = False
) -> str:
    """Push a finished run's model; return the repository's address.

    Args:
        folder: the run's.
        repository: OWNER/NAME; it is created if there is none.
        private: of a new repository.
        with_base: publish the weights of the model that the run trained an adapter on, if that is
            one of this machine.

    Raises:
        DemoError: the name is none, the run has no model or is not finished, its base would be
            published unasked, or the Hub refuses.
    """
    repositories.check_name(repository)
    run = _finished(folder)
    if not with_base:
        _check_base(run)
    api = repositories.open_hub()
    with tempfile.TemporaryDirectory(prefix="rlhf-demo-") as made:
        write_repository(api, run, repository, Path(made))
        address = repositories.create(api, repository, "model", private=private)
        replaces = ["*.safetensors", "*.json", "*.txt", f"{RECORD}/*"]
        message = f"Push the run {run.folder.name}"
        repositories.upload(api, repository, "model", Path(made), message, replaces)
    return address


def _finished(folder: Path) -> Run:
    """Return a run that has finished with a model.

    Raises:
        JobError: it is none, or holds a link, behind which any file of this machine may be.
    """
    run = Run(folder)
    run.refuse_links()
    config, status = run.config, run.status["status"]
    if status != Status.FINISHED:
        raise JobError(f"{folder.name} is {status}: only a finished run can be pushed")
    if config["kind"] not in STAGES or not is_model(run.model_folder):
        raise JobError(f"{folder.name} holds no model: choose a run that has trained one")
    return run


def _check_base(run: Run) -> None:
    """Refuse an adapter on a model of this machine, whose weights would be published with it.

    A run from someone else may name any model as its base.

    Raises:
        JobError: it is one.
    """
    base = adapter_base(run.model_folder)
    if base is None or hub_id(base) or base.resolve().is_relative_to(CHECKPOINTS.resolve()):
        return
    raise JobError(
        f"{run.folder.name} is an adapter on {short_name(base)}, a model of this machine, and the "
        "repository would hold that model's weights too: add --with-base to publish them"
    )


def write_repository(api: repositories.Api, run: Run, repository: str, folder: Path) -> None:
    """Write what the repository of a run's model holds.

    Raises:
        DemoError: the model cannot be loaded, or the run is damaged.
    """
    from rlhf_demo.models.publish import VALUE_HEAD, write_plain  # noqa: PLC0415  (torch)

    write_plain(run.model_folder, folder)
    options = without_folders(run.config["options"], partial(repositories.exists, api))
    config: RunConfig = {**run.config, "options": options}
    report = run.report()
    if is_record(report):
        report = {name: value for name, value in report.items() if name != TEXTS}
    record = folder / RECORD
    record.mkdir()
    write_json(record / "config.json", config)
    status = run.status
    ended = {"updated_at": status["updated_at"]} if "updated_at" in status else {}
    write_json(record / "status.json", {"status": status["status"], **ended})
    write_json(record / "job.json", {"title": _title(run)})
    if report is not None:
        write_json(record / "report.json", report)
    for name in ("metrics.jsonl", "reward_scale.json"):
        if (run.folder / name).is_file():
            shutil.copyfile(run.folder / name, record / name)
    base = _base(run)
    here = base is None or base in shipped_models() or _local(base) is not None
    on_hub = base is not None and not here and repositories.exists(api, base)
    subject = Subject(
        repository=repository,
        title=_title(run),
        base=base if base is None or on_hub else Path(base).name,
        base_on_hub=on_hub,
        licence=_licence(api, base, on_hub),
        adapter=(folder / ADAPTER).is_file(),
        value_head=(folder / VALUE_HEAD).is_file(),
    )
    rows = all_rows(run.folder / "metrics.jsonl")
    write_text(folder / CARD, card(subject, config, report, rows))


def _title(run: Run) -> str:
    try:
        record: Any = read_json(run.folder / "job.json")
    except (DataError, OSError):  # usually: it was trained on the command line
        record = None
    title = record.get("title") if is_record(record) else None
    return clean_title(title if isinstance(title, str) else "") or run.folder.name


def _base(run: Run) -> str | None:
    """Return what a run's model began with: a shipped name, a Hub id or a folder; None: nothing."""
    below = adapter_base(run.model_folder)
    if below is not None:
        return hub_id(below) or (below.name if below.parent == CHECKPOINTS else str(below))
    for _ in range(DEEPEST):
        options = run.config["options"]
        start = options.get("policy") or options.get("model")
        if not isinstance(start, str) or start == "new":
            return None
        folder = _local(start)
        if start in shipped_models() or folder is None:
            return start
        # The folder of a run, its model, or one of its saved steps.
        runs = [each for each in (folder, folder.parent, folder.parent.parent) if _is_run(each)]
        if not runs:
            return str(folder)
        run = Run(runs[0])
    return None


def _is_run(folder: Path) -> bool:
    return (folder / "status.json").is_file() and (folder / "config.json").is_file()


def _local(name: str) -> Path | None:
    folders: Iterable[Path] = (typed_path(name), REPOSITORY / name)
    return next((folder for folder in folders if folder.is_dir()), None)


def _licence(api: repositories.Api, base: str | None, on_hub: bool) -> str | None:
    """Return the id of a base's licence: from its card here, or from the Hub."""
    if base is None:
        return None
    if on_hub:
        try:
            with repositories.explained("the base cannot be asked for"):
                found = api.model_info(base, timeout=repositories.ANSWER_SECONDS).card_data
                licence = found.license if found is not None else None
        except HubError:
            return None
        return licence if isinstance(licence, str) else None
    folder = CHECKPOINTS / base if base in shipped_models() else Path(base)
    try:
        head = (folder / CARD).read_text(encoding="utf-8")[:10_000]
    except (OSError, ValueError):
        return None
    if not head.startswith("---"):
        return None
    lines = head.partition("---")[2].partition("\n---")[0].splitlines()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("license:")), None
    )


# -- pull ------------------------------------------------------------------------------------------


def pull_run(repository: str, runs: Path) -> str:
    """Fetch a pushed run into the folder of runs; return its id.

    Raises:
        DemoError: the Hub does not have it, it was not pushed by this program, it does not fit
            here, its files are not what they should be, or it is here already.
    """
    from huggingface_hub import get_token  # noqa: PLC0415

    repositories.check_name(repository)
    api = repositories.client(get_token())
    commit, files = repositories.newest(api, repository, "model")
    if f"{RECORD}/config.json" not in files:
        raise HubError(
            f"{repository} holds no run: where a model is asked for, name it by its Hub id"
        )
    wanted = _wanted(repository, files)
    check_room(repository, commit)
    with tempfile.TemporaryDirectory(prefix="rlhf-demo-") as made:
        fetched = Path(made, "repository")
        repositories.download(api, repository, "model", commit, wanted, fetched)
        run_id = _run_id(fetched, repository)
        target = runs / run_id
        if target.exists():
            raise JobError(f"{target} exists already: delete that run first")
        try:
            with replacing_folder(target) as folder:
                folder.chmod(0o700)  # as `Run.create` makes it
                _arrange(fetched, folder, repository)
                _check_model(folder)
        except OSError as error:
            raise JobError(
                f"{short_name(target)} cannot be written ({error.strerror or error}): name "
                "another folder"
            ) from None
    return run_id


def _wanted(repository: str, files: dict[str, int]) -> list[str]:
    """Return the files to fetch.

    Raises:
        HubError: one of the record's is too large.
    """
    from rlhf_demo.models.publish import PLAIN  # noqa: PLC0415  (torch)

    record = {f"{RECORD}/{name}": most for name, most in RECORD_FILES.items()} | {CARD: 10**6}
    for name, most in record.items():
        if files.get(name, 0) > most:
            raise HubError(f"{repository}: {name} has {files[name]:,} bytes: it is no run's record")
    weights = {name for name in files if WEIGHTS.fullmatch(name)}
    return sorted((PLAIN | weights | record.keys()) & files.keys())


def _run_id(fetched: Path, repository: str) -> str:
    """Return the id of a pulled run: its kind and the repository's name."""
    config: RunConfig = check("config.json", read_json(fetched / RECORD / "config.json"))
    kind, name = config["kind"], repository.partition("/")[2]
    run_id = name if name.startswith(f"{kind}-") else f"{kind}-{name}"
    if not is_run_id(run_id):
        raise JobError(f"{run_id} cannot be a run's id: give the repository a shorter name")
    if (CHECKPOINTS / "examples" / run_id).exists():  # and would hide it
        raise JobError(f"{run_id} is the id of a shipped example: rename the repository")
    return run_id


def _arrange(fetched: Path, folder: Path, repository: str) -> None:
    """Lay a repository's files out as those of a run.

    Raises:
        DataError: a file is not what it should be.
    """
    record, model = fetched / RECORD, folder / "model"
    model.mkdir()
    for path in fetched.iterdir():
        if path.is_file():
            shutil.move(path, model / path.name)
    config = read_json(record / "config.json")
    write_json(folder / "config.json", config)
    facts = _facts(record / "status.json")
    ended = facts.get("updated_at")
    ended = ended if isinstance(ended, str) else config["created_at"]
    status = {"status": str(Status.FINISHED), "updated_at": ended}
    write_json(folder / "status.json", check("status.json", status))
    title = _facts(record / "job.json").get("title")
    title = clean_title(title if isinstance(title, str) else "") or repository
    waited = {"title": title, "owner": None, "queued_at": 0.0, "after": None}
    write_json(folder / "job.json", waited)
    for name in ("report.json", "reward_scale.json"):
        if (record / name).is_file():
            write_json(folder / name, read_json(record / name))
    if (record / "metrics.jsonl").is_file():
        all_rows(record / "metrics.jsonl")
        shutil.move(record / "metrics.jsonl", folder / "metrics.jsonl")


def _facts(path: Path) -> dict[str, Any]:
    value: Any = read_json(path) if path.is_file() else None
    return value if is_record(value) else {}


def _check_model(folder: Path) -> None:
    """Try the model of a pulled run in a separate process, as a stranger's.

    Raises:
        DemoError: it cannot be loaded, asks for too much, or is not of the kind that the run says.
    """
    from rlhf_demo.models.loading import is_classifier  # noqa: PLC0415  (torch)

    model = folder / "model"
    scores = STAGES[Run(folder).config["kind"]].makes == "reward"
    if not is_model(model) or is_classifier(model) is not scores:
        raise CheckpointError(
            "the repository's model is not of the kind that its record says: choose another one"
        )
    try_model("scorer" if scores else "policy", str(model))
