"""Downloads: files of votes, and a run as a zip with its numbers, texts and model.

Downloads lie in Gradio's cache. If only some people may have one, no one can guess the name of its
folder. Their addresses name no folder of the server.

A zip leaves out the job record, locks and the state of an unfinished training, the names of this
machine's folders, and texts that only some people may read.
"""

import hashlib
import json
import math
import os
import re
import shutil
import time
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypedDict, cast

import gradio as gr
from gradio.utils import get_upload_folder
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from rlhf_demo.errors import DataError, JobError
from rlhf_demo.files import (
    folders_under,
    is_record,
    leads_elsewhere,
    memory_of,
    own_folder,
    parse_json,
    replacing,
)
from rlhf_demo.jobs.bounds import PUBLIC
from rlhf_demo.jobs.disk import shortage
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.runs.reports import MOST_REPORT, RewardReport
from rlhf_demo.runs.run import Run
from rlhf_demo.server.class_records import learned_from_private, without_texts
from rlhf_demo.server.settings import Settings
from rlhf_demo.votes.files import export_demonstrations, export_rankings, export_votes
from rlhf_demo.votes.vote import Demonstration, Ranking, Vote
from rlhf_demo.web.cache import DOWNLOADS

KEPT_BACK = {"job.json", "lock", "stop", "stopping.json", "checkpoint.pt", "checkpoints"}
"""Left out: the run's owner, its locks, and the state of an unfinished training, which is partly
pickled and names folders of this machine."""
TEXTS = {".json", ".jsonl", ".log", ".md"}
"""Files that may name folders of this machine."""
DIGEST = re.compile("[0-9a-f]{32}")
"""Name of the folder that a zip is made in."""
DEEPEST_REPORT = 6
"""Levels of lists and objects in a report; ours have three. Written again, each costs blanks."""
MOST_ZIPPED = 300_000_000
"""Most bytes of a run to download: GPT-2 with LoRA has far fewer, its full weights more."""
MOST_ZIPS = 1_000_000_000
"""Bytes of all zips; the oldest make room."""
VOTE_FORMATS = ("jsonl", "parquet")
FETCH_SECONDS = 20
"""How long the link to a file of votes is good for once there is a newer one of its form."""
OWN_SECONDS = 3600
"""How long a visitor's own files are kept at least."""
ZIP_SECONDS = 60
"""Between two zips of a run that trains: each of its steps is another state."""


class VoteFile(TypedDict):
    """A file of votes, rankings or demonstrations to download."""

    link: str  # relative to the address of the page
    name: str
    rows: int


def downloads(kind: str = "") -> Path:
    """Return the folder of all downloads, in Gradio's cache, or that of a kind in it."""
    folder = own_folder(Path(get_upload_folder()).resolve() / DOWNLOADS)
    return own_folder(folder / kind) if kind else folder


def visitors_folder(secret: str) -> Path:
    """Return the folder of a visitor's own downloads, and remove those that are an hour old.

    Its name is a hash of the secret, so no one else can guess it.
    """
    parent = downloads("visitors")
    since = time.time() - OWN_SECONDS
    for folder in parent.glob("*"):
        with suppress(FileNotFoundError):  # another request removes it too
            if folder.stat().st_mtime < since:
                shutil.rmtree(folder, ignore_errors=True)
    return parent / hashlib.sha256(f"downloads of {secret}".encode()).hexdigest()[:32]


def link_to(file: Path) -> str:
    """Return the address of a file of the cache, relative to the address of the page."""
    return f"served/{file.relative_to(Path(get_upload_folder()).resolve()).as_posix()}"


def served(request: Request) -> Response:
    """Answer with a download, which the browser saves and does not show."""
    file = (downloads().parent / request.path_params["path"]).resolve()
    ours = file.is_relative_to(downloads()) and file.is_file() and not leads_elsewhere(file)
    if not ours:
        return JSONResponse({"error": "this file is no longer here: request it again"}, 404)
    return FileResponse(file, filename=file.name)


def vote_file(votes: Sequence[Vote], folder: Path, name: str, request: dict[str, Any]) -> VoteFile:
    """Write votes into a file and return a link to it; only the newest of each form is kept.

    Args:
        votes: the votes to write.
        folder: among the downloads; of these votes alone.
        name: of the file, without its ending; "all-" comes before it where everything is written.
        request: `format`, `everything` (ties and skips too, in the layout with all answers).

    Raises:
        DataError: there are no votes, or the format is unknown.
    """
    everything = bool(request.get("everything"))
    form = "all" if everything else "preferences"

    def write(target: Path) -> int:
        return export_votes(votes, target, all_votes=everything)

    return _offer(folder, form, len(votes), f"{'all-' * everything}{name}", request, write)


def demonstration_file(
    texts: Sequence[Demonstration], folder: Path, name: str, request: dict[str, Any]
) -> VoteFile:
    """Write demonstrations into a file and return a link to it; as `vote_file`.

    Raises:
        DataError: there are none, or the format is unknown.
    """

    def write(target: Path) -> int:
        return export_demonstrations(texts, target)

    return _offer(folder, "demonstrations", len(texts), name, request, write)


def ranking_file(rankings: Sequence[Ranking], folder: Path, request: dict[str, Any]) -> VoteFile:
    """Write rankings into a file and return a link to it; as `vote_file`.

    Raises:
        DataError: there are none, or the format is unknown.
    """

    def write(target: Path) -> int:
        return export_rankings(rankings, target)

    return _offer(folder, "rankings", len(rankings), "rankings", request, write)


def _offer(
    folder: Path,
    form: str,
    count: int,
    name: str,
    request: dict[str, Any],
    write: Callable[[Path], int],
) -> VoteFile:
    """Write a file of a form, remove older ones of it, and return a link.

    Args:
        folder: of these files alone.
        form: what the file holds.
        count: how much there is to write.
        name: of the file, without its ending.
        request: its `format` is the ending.
        write: writes the file, and returns how many rows it has.
    """
    kind = request["format"]
    if kind not in VOTE_FORMATS:
        raise DataError(f"files are written as {' or '.join(VOTE_FORMATS)}: choose one of them")
    # A folder for each count, so that no file is overwritten while it is being fetched.
    target_folder = folder / f"{form}-{kind}-{count}"
    target = target_folder / f"{name}.{kind}"
    rows = write(target)
    since = time.time() - FETCH_SECONDS
    for older in folder.glob(f"{form}-{kind}-*"):
        with suppress(FileNotFoundError):  # another request removes it too
            if older != target_folder and older.stat().st_mtime < since:
                shutil.rmtree(older, ignore_errors=True)
    return {"link": link_to(target), "name": target.name, "rows": rows}


def zip_folder(run: Run, settings: Settings) -> Path:
    """Pack a run's folder into a zip, once for each state of the run; only the last is kept.

    Saved models and logs name folders of this machine. The zip's texts name `runs/` and
    `checkpoints/` instead, relative to where it is unpacked.

    Raises:
        JobError: the run is too large, changed while it was read, or the disk is short of room.
    """
    run_id, zips = run.folder.name, downloads()
    try:
        if run.alive() and (young := _young(zips, run_id)):
            return young
        files = _files(run.folder)
        if not files:  # after `cp -al`
            raise JobError(
                f"the files of {run_id} have second names (hard links), so none can be sent: copy "
                "its folder without links"
            )
        private = learned_from_private(run, settings)
        if private:  # logs quote the report
            files = [path for path in files if path.suffix != ".log"]
        size = sum(path.stat().st_size for path in files)
        if size > MOST_ZIPPED:
            raise JobError(
                f"{run_id} is {size / 1e6:,.0f} MB, and a download can be at most "
                f"{MOST_ZIPPED // 10**6} MB: copy its folder on the machine that runs this page"
            )
        state = [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files]
        digest = hashlib.sha256(repr(state).encode()).hexdigest()[:32]
        target = zips / digest / f"{run_id}.zip"
        if not target.is_file():
            _make_room(zips, run_id, size, settings)
            with replacing(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
                for path in files:
                    name = f"{run_id}/{path.relative_to(run.folder).as_posix()}"
                    content = _content(path, settings.runs)
                    if private and path == run.folder / "report.json":
                        content = _without_texts(content)
                    if content is not None:
                        archive.writestr(name, content, _method(path))
    except FileNotFoundError:
        raise JobError(f"{run_id} changed while it was packed: try again in a moment") from None
    return target


def forget_zip(run_id: str) -> None:
    """Remove the zip of a run that was deleted."""
    for path in _zips(downloads()):
        if path.stem == run_id:
            shutil.rmtree(path.parent, ignore_errors=True)


def _young(zips: Path, run_id: str) -> Path | None:
    """Return the run's zip if it is not a minute old."""
    since = time.time() - ZIP_SECONDS
    made = (path for path in _zips(zips) if path.stem == run_id)
    return next((path for path in made if path.stat().st_mtime > since), None)


def _zips(folder: Path) -> list[Path]:
    """Return the zips that were made here; an archive may have brought other folders."""
    return [path for path in folder.glob("*/*.zip") if DIGEST.fullmatch(path.parent.name)]


def _make_room(zips: Path, run_id: str, size: int, settings: Settings) -> None:
    """Remove the run's older zip, then the oldest zips, to make room for `size` bytes.

    Raises:
        JobError: the disk is still short of room.
    """
    left = MOST_ZIPS - size
    made = sorted(_zips(zips), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in made:
        left -= path.stat().st_size
        if left < 0 or path.stem == run_id:
            shutil.rmtree(path.parent, ignore_errors=True)
    if settings.public and (short := shortage(zips, PUBLIC)):
        raise JobError(short)


def _files(folder: Path) -> list[Path]:
    """Return the files to send: complete files of the run, none that is another file as well."""
    return sorted(
        path
        for inside in folders_under(folder)
        for path in inside.iterdir()
        if path.is_file()
        and not leads_elsewhere(path)
        and not any(name.startswith(".") for name in path.relative_to(folder).parts)
        and KEPT_BACK.isdisjoint(path.relative_to(folder).parts)
    )


def _content(path: Path, runs: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix not in TEXTS:
        return content
    libraries = Path(gr.__file__).parents[1]
    for parent, instead in (
        (runs.resolve(), b"runs/"),
        (CHECKPOINTS.parent, b""),
        (libraries, b""),
    ):
        content = content.replace(os.fsencode(parent) + b"/", instead)
    return content


def _without_texts(content: bytes) -> bytes | None:
    """Return a report without the texts that it quotes; None if a copied run has anything else."""
    try:
        report = parse_json(content) if len(content) <= MOST_REPORT else None
    except (ValueError, RecursionError):
        return None
    if not is_record(report) or memory_of(report, DEEPEST_REPORT) == math.inf:
        return None
    return json.dumps(without_texts(cast("RewardReport", report)), indent=2).encode()


def _method(path: Path) -> int:
    # Weights hardly shrink, and trying takes a second for each 30 MB.
    return zipfile.ZIP_STORED if path.suffix == ".safetensors" else zipfile.ZIP_DEFLATED
