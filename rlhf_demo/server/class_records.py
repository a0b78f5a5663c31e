"""Records of classes outside the database of votes: their jobs, and the results of these.

Folders and titles of runs, which everyone can see, name a class by its number. Its code would let
anyone join.
"""

import re
import secrets
import threading
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from rlhf_demo.errors import JobError
from rlhf_demo.files import own_folder, read_json, write_json
from rlhf_demo.jobs.job import remove
from rlhf_demo.jobs.queue import Jobs
from rlhf_demo.jobs.run_rows import RunRow
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.runs.reports import RewardReport
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.server.demonstration_data import FOLDER as DEMONSTRATIONS
from rlhf_demo.server.settings import Settings
from rlhf_demo.server.uploads import UPLOADS
from rlhf_demo.server.vote_data import drop_votes, keep_voters

EACH = 20
"""Pairs that a student answers in a round, unless the instructor asks for another number."""
FOLDER = "classes"
"""Where the records and the votes to train on are, in the folder of runs."""


MOVED = {
    FOLDER: re.compile(rf"/{FOLDER}/\d+/votes-[^/]+$"),
    UPLOADS: re.compile(rf"/{UPLOADS}/upload-[0-9a-f]{{12}}(/|$)"),
    DEMONSTRATIONS: re.compile(rf"/{DEMONSTRATIONS}/demonstrations-[0-9a-f]{{12}}\.jsonl$"),
}
"""How runs name private data if the folder of runs was elsewhere when they began."""


class RewardTraining(TypedDict):
    """The training of a class's reward model."""

    run: str
    round: int
    votes: int
    simulated: NotRequired[int]  # number of simulated votes among these; older records lack it
    question: NotRequired[str]  # that the votes answer; older records lack it


class TrainedReward(RewardTraining):
    """A reward model that a class has trained, and what it got right."""

    accuracy: float  # 0 to 1, on held-out votes
    low: float  # of the accuracy's interval, which allows for watching model after model
    high: float
    pairs: int  # number of pairs with held-out votes
    highest: float | None  # the highest possible accuracy
    too_few: bool  # too few pairs to tell how good the model is


class ClassRecord(TypedDict):
    """Contents of class.json."""

    each: int  # pairs that a student answers in a round
    job_secret: str  # owns the class's reward models; empty before the first
    reward: str | None  # run whose model is in use
    training: RewardTraining | None  # under way
    learned: list[str]  # the preferences of the newest training (votes/rounds.py names them)
    began_at: float  # when that training began, in seconds since 1970
    history: list[TrainedReward]
    ppo: dict[str, str]  # round -> run
    problem: str | None  # of the last training


def of_question(record: ClassRecord, question: str) -> ClassRecord:
    """Return a class's record without the reward models of its earlier questions."""

    def answers(model: RewardTraining | None) -> bool:
        return model is not None and model.get("question", question) == question

    newest = record["history"][-1] if record["history"] else None
    return {
        **record,
        "reward": record["reward"] if answers(newest) else None,
        "training": record["training"] if answers(record["training"]) else None,
        "history": [model for model in record["history"] if answers(model)],
    }


class ClassRecords:
    """The records of all classes under one folder of runs."""

    def __init__(self, jobs: Jobs, runs: Path) -> None:
        self.jobs = jobs
        self._root = runs / FOLDER
        self.lock = threading.RLock()
        """Held from reading a record until the change that depends on it is written."""

    @property
    def root(self) -> Path:
        """The folder of all classes."""
        return own_folder(self._root)

    def folder(self, collection: int) -> Path:
        """Return the folder of a class."""
        return self.root / str(collection)

    def make_way(self, collection: int) -> None:
        """Remove what lies in the place of a new class's folder; an archive may have brought it."""
        remove(self.folder(collection))

    def read(self, collection: int) -> ClassRecord:
        """Return the record of a class."""
        record: ClassRecord = {
            "each": EACH, "job_secret": "", "reward": None, "training": None, "learned": [],
            "began_at": 0.0, "history": [], "ppo": {}, "problem": None,
        }  # fmt: skip
        path = self.folder(collection) / "class.json"
        if path.is_file():
            record.update(read_json(path))
        return record

    def note(self, collection: int, **changes: Any) -> ClassRecord:
        """Change a class's record; return it."""
        with self.lock:
            record = self.read(collection)
            record.update(**changes)
            record["job_secret"] = record["job_secret"] or secrets.token_hex(16)
            self._keep(self.folder(collection) / "class.json", record)
        return record

    def secret(self, collection: int) -> str:
        """Return the secret of a class that owns its runs and determines its draws."""
        return self.read(collection)["job_secret"] or self.note(collection)["job_secret"]

    def drop_votes(self, collection: int, learners: Collection[str | None]) -> None:
        """Delete the written votes, except those that some reward models learn or learned from.

        Args:
            collection: the class.
            learners: ids of these models' runs.
        """
        drop_votes(self.folder(collection), self.jobs, learners)

    def keep_voters(self, collection: int, voters: Collection[int]) -> None:
        """Rewrite the votes that models learn or learned from without those of other voters."""
        keep_voters(self.folder(collection), voters)

    def forget(self, collection: int) -> None:
        """Delete a class's folder and its reward models; its PPO runs stay in the list of runs.

        A model that is being trained or that a PPO run uses is deleted later: see `clear_up`.
        """
        with self.lock:
            record = self.read(collection)
            known = {model["run"] for model in record["history"]}
            known |= {record["training"]["run"]} if record["training"] else set()
            self._keep_leaving(self._leaving() | dict.fromkeys(known, record["job_secret"]))
            remove(self.folder(collection))
            self._stop(record)
            self.clear_up()

    def end_training(self, collection: int) -> None:
        """Stop the training of a class's reward model that is no longer wanted, and delete it."""
        with self.lock:
            record = self.read(collection)
            if record["training"]:
                run = record["training"]["run"]
                self._keep_leaving(self._leaving() | {run: record["job_secret"]})
                self.note(collection, training=None)
                self._stop(record)

    def _stop(self, record: ClassRecord) -> None:
        if record["training"]:
            with suppress(JobError):  # it has just ended
                self.jobs.stop(record["training"]["run"], record["job_secret"])

    def clear_up(self) -> None:
        """Delete the runs of deleted classes that are no longer needed."""
        with self.lock:
            leaving = self._leaving()
            left = {run: secret for run, secret in leaving.items() if not self._gone(run, secret)}
            if left != leaving:
                self._keep_leaving(left)

    def _gone(self, run: str, secret: str) -> bool:
        try:
            self.jobs.find(run)
        except JobError:
            return True
        try:
            self.jobs.delete(run, secret)
        except JobError:  # it runs still, or is needed
            return False
        return True

    def _leaving(self) -> dict[str, str]:
        """Return the runs of deleted classes that are still there, and the secret of each."""
        path = self.root / "leaving.json"
        return read_json(path) if path.is_file() else {}

    def _keep_leaving(self, runs: dict[str, str]) -> None:
        self._keep(self.root / "leaving.json", runs)

    def _keep(self, path: Path, record: ClassRecord | dict[str, str]) -> None:
        """Write a file that holds secrets; only the owner of the folder can read it."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)
        write_json(path, record)


def learned_from_private(run: Run, settings: Settings) -> bool:
    """Say whether a run was trained on texts that only some people may read.

    Only the instructor may read a class's votes. Where the limits are on, only the visitor who
    uploaded a file may read it, and only the visitor who wrote a demonstration.
    """
    data = (CHECKPOINTS.parent / str(run.config["options"].get("data"))).resolve()
    private = (FOLDER, UPLOADS, DEMONSTRATIONS) if settings.public else (FOLDER,)
    return any(
        data.is_relative_to((settings.runs / name).resolve()) or MOVED[name].search(str(data))
        for name in private
    )


def log_for(jobs: Jobs, row: RunRow, settings: Settings, *, mine: bool) -> str:
    """Return the end of a failed run's log, which may quote what it learned from.

    Args:
        jobs: have the run.
        row: the run's, of `Jobs.overview`.
        settings: of the page.
        mine: the caller may change the run.
    """
    if row["status"] != Status.FAILED:
        return ""
    private = settings.public and learned_from_private(jobs.find(row["id"]), settings)
    return "" if private and not mine else jobs.log_tail(row["id"])


def without_texts(report: RewardReport) -> RewardReport:
    """Return a reward model's report without the texts that it learned from."""
    return {**report, "most_wrong": []}
