"""What all tabs share: settings, jobs, lists of choices, and the models in memory."""

import os
import re
import secrets
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from rlhf_demo.errors import ConfigError, DemoError
from rlhf_demo.jobs.bounds import MEMORY_SHARE, OWN_MEMORY_SHARE, PUBLIC, Limits
from rlhf_demo.jobs.job import OWN_FILES, OWN_FOLDERS, VOTES_FILE
from rlhf_demo.jobs.processes import machine_memory
from rlhf_demo.jobs.queue import Jobs
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.server import space
from rlhf_demo.server.choices import Choices
from rlhf_demo.server.class_lessons import ClassLessons
from rlhf_demo.server.class_training import ClassTraining
from rlhf_demo.server.comparisons import Comparisons
from rlhf_demo.server.compute_lock import ComputeLock
from rlhf_demo.server.demonstration_data import FOLDER as DEMONSTRATIONS
from rlhf_demo.server.demonstration_data import DemonstrationData
from rlhf_demo.server.frontier import Frontier
from rlhf_demo.server.instructor import Instructor
from rlhf_demo.server.learn import Learn
from rlhf_demo.server.model_cache import ModelCache
from rlhf_demo.server.model_trial import ModelTrials
from rlhf_demo.server.sampler import Sampler
from rlhf_demo.server.settings import Settings
from rlhf_demo.server.submit import Submit
from rlhf_demo.server.vote_data import VoteData
from rlhf_demo.votes.database import database_url
from rlhf_demo.votes.store import Store

if TYPE_CHECKING:
    from rlhf_demo.server.comparing import Comparing

EXAMPLES = CHECKPOINTS / "examples"
SECRET = "(...a) => [...a.slice(0, -1), rlhf.secret()]"
"""JavaScript that replaces a handler's last input by the visitor's secret."""
FLAG = re.compile(r"--([a-z]+(?:-[a-z]+)*)")
"""How an error names an option: as the command line does."""
COMPARISONS, VOTES = "comparisons", "votes"
IN_THE_WAY = "this page needs one there, so move it away"
"""Subfolders of the folder of runs."""


@dataclass
class Shared:
    """The stores behind the page, one of each for an app.

    Attributes:
        compute_lock: held while computing with a model.
        store: people's votes.
        vote_data: the votes as preference pairs.
        sampler: writes pairs before voters ask for them.
        class_training: background work for classes.
        instructor: checks the instructor's password.
    """

    settings: Settings
    jobs: Jobs
    choices: Choices
    model_cache: ModelCache
    compute_lock: ComputeLock
    store: Store
    vote_data: VoteData
    sampler: Sampler
    class_training: ClassTraining
    instructor: Instructor

    @classmethod
    def open(cls, settings: Settings) -> "Shared":
        """Open the folder of runs and start its queue.

        Raises:
            DemoError: the folder, or the votes in it, cannot be used.
        """
        _make_folder(settings.runs)
        instructor = Instructor(settings.password, time.monotonic, settings.runs)
        # Only at home can every page change runs that have no owner.
        at_home = settings.password is None and not settings.public
        start_token = secrets.token_urlsafe(24) if at_home else None
        jobs = Jobs(
            settings.runs,
            examples=EXAMPLES,
            at_once=settings.jobs_at_once,
            limits=_limits(settings),
            instructor_token=instructor.token,
            start_token=start_token,
        )
        trials = ModelTrials(settings.hub)
        model_cache = ModelCache(space.app_device(), check=trials.check, begin=trials.begin)
        store = Store(database_url(settings.runs))
        vote_data = VoteData(store, settings.runs / VOTES, jobs, public=settings.public)
        texts = DemonstrationData(
            store, settings.runs / DEMONSTRATIONS, jobs, public=settings.public
        )
        choices, compute_lock = Choices(settings, jobs, vote_data, texts), ComputeLock()
        jobs.check_names = choices.check_names
        sampler = Sampler(store, choices, model_cache, compute_lock)
        classes = ClassTraining(store, jobs, choices, model_cache, compute_lock)
        return cls(
            settings,
            jobs,
            choices,
            model_cache,
            compute_lock,
            store,
            vote_data,
            sampler,
            classes,
            instructor,
        )

    @cached_property
    def submit(self) -> Submit:
        """Starts runs for visitors."""
        return Submit(self.settings, self.jobs, self.choices)

    @cached_property
    def comparisons(self) -> Comparisons:
        """The saved comparisons."""
        return Comparisons(self.settings.runs / COMPARISONS)

    @cached_property
    def frontier(self) -> Frontier:
        """The methods at equal KL, and the runs that were measured."""
        return Frontier(self.choices, self.model_cache, self.compute_lock)

    @cached_property
    def learn(self) -> Learn:
        """Computes the lessons."""
        return Learn(self.choices, self.model_cache, self.compute_lock)

    @cached_property
    def class_lessons(self) -> ClassLessons:
        """The lessons that instructors send to their classes."""
        return ClassLessons(self.store, self.learn)

    @cached_property
    def comparing(self) -> "Comparing":
        """Compares models; imports their libraries."""
        self.model_cache.warm()
        from rlhf_demo.server import comparing  # noqa: PLC0415  (torch)

        public = self.settings.public
        most = comparing.MOST_SAMPLED_IN_PUBLIC if public else comparing.MOST_SAMPLED
        means = self.choices, self.model_cache, self.compute_lock, self.comparisons
        return comparing.Comparing(*means, most)


def _make_folder(runs: Path) -> None:
    """Make the folder of runs, readable by this account only.

    Raises:
        ConfigError: it cannot be made or written.
    """
    try:
        runs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the folder of runs cannot be {runs} ({error.strerror}): set RLHF_DEMO_RUNS to "
            "another folder"
        ) from None
    if not os.access(runs, os.W_OK | os.X_OK):
        raise ConfigError(
            f"the folder of runs, {runs}, cannot be written: change its permissions, or set "
            "RLHF_DEMO_RUNS to another folder"
        )
    _check_own_names(runs)
    status = runs.stat()
    is_shared = status.st_mode & stat.S_ISVTX  # like /tmp
    if status.st_uid == os.geteuid() and not is_shared:
        with suppress(OSError):  # some mounts have no permissions
            runs.chmod(0o700)


def _check_own_names(runs: Path) -> None:
    """Check that nothing else has the names of the page's own files and folders.

    An archive of a run may have brought it: a link, through which the page would change other
    files; a pipe, which nobody reads; a folder, which SQLite takes for its journal.

    Raises:
        ConfigError: something has.
    """
    with os.scandir(runs) as entries:
        for entry in entries:
            folder = entry.name in OWN_FOLDERS
            if folder and not entry.is_dir(follow_symlinks=False):
                raise ConfigError(f"{entry.path} is not a folder: {IN_THE_WAY}")
            file = entry.name.startswith(VOTES_FILE) or entry.name in OWN_FILES
            if file and not entry.is_file(follow_symlinks=entry.name == VOTES_FILE):
                raise ConfigError(f"{entry.path} is not a file: {IN_THE_WAY}")


def _limits(settings: Settings) -> Limits:
    share = MEMORY_SHARE if settings.public else OWN_MEMORY_SHARE
    return replace(
        PUBLIC if settings.public else Limits(),
        most_memory=share * machine_memory() / settings.jobs_at_once,
        most_steps=settings.most_steps,
        most_minutes=settings.most_minutes,
        most_waiting=settings.most_waiting,
    )


def secret_input() -> gr.Textbox:
    """Make the hidden input that the browser fills in (see SECRET)."""
    return gr.Textbox(visible=False)


def proof(jobs: Jobs, run: str, request: dict[str, Any]) -> str:
    """Return what a request sends as proof that it may change a run.

    For a run without an owner, that is the token of this start of the app (`start`); else the
    browser's secret or the instructor's token (`secret`).

    Raises:
        JobError: there is no such run.
    """
    secret, start = (str(request.get(name) or "") for name in ("secret", "start"))
    return start if jobs.may_change(run, start) else secret


def started(kind: str, make: Callable[[], str]) -> dict[str, str]:
    """Start a run and return what the notice under the button shows: the run, or the error.

    The error calls an option as its field is labelled: "kl coef", not "--kl-coef".
    """
    try:
        return {"kind": kind, "run": make()}
    except DemoError as error:
        return {"error": in_labels(error)}


def in_labels(error: DemoError) -> str:
    """Return an error's sentence with options called as their fields are labelled."""
    return FLAG.sub(lambda flag: flag[1].replace("-", " "), str(error))
