"""Ids that a visitor may choose from the page's lists, and the trainers' names for them.

An id is a shipped model (`gpt2-mini`), a run (`ppo-k3f9ab`), a run at a saved step
(`ppo-k3f9ab@20`), the votes on a question (`votes-51ab...`), the texts that people wrote under it
(`demonstrations-51ab...`), an uploaded file (`upload-9f3c...`), or a Hub id where those are
allowed. A path or the name of a Python function is never an id: anything that is not in the lists
is refused here.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import psutil

from rlhf_demo.config.scorers import FLUENCY_JUDGE, HARSHNESS, STAR_RATER, WORD_JUDGE
from rlhf_demo.config.stages import STAGES
from rlhf_demo.data.pairs import SHIPPED
from rlhf_demo.errors import CheckpointError, ConfigError, DataError, JobError
from rlhf_demo.evaluation.labellers import AUTO, NO_JUDGE
from rlhf_demo.files import Row, is_record, read_json, short_name
from rlhf_demo.hub.locate import (
    HUB_ID,
    MOST_CONFIG,
    fingerprint,
    hub_megabytes,
    hub_refusal,
    is_here,
    is_model,
    locate,
    shipped_models,
)
from rlhf_demo.jobs.queue import Jobs
from rlhf_demo.jobs.run_rows import RunRow
from rlhf_demo.paths import CHECKPOINTS, REPOSITORY
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.server.demonstration_data import DemonstrationData
from rlhf_demo.server.settings import Settings
from rlhf_demo.server.uploads import UPLOADS, Uploads
from rlhf_demo.server.vote_data import VoteData

RULE = "longer"
RULES = (FLUENCY_JUDGE, WORD_JUDGE, RULE)
"""Scorers that are not shipped classifiers."""
SCORERS = ("reward-mini", STAR_RATER, HARSHNESS)
"""Shipped models that score texts; every other shipped one writes them."""

LABELS = {
    "gpt2-mini": "gpt2-mini: the base, 6.9 M weights",
    "gpt2-mini-ppo": "gpt2-mini-ppo: the base after PPO",
    "reward-mini": "reward-mini: trained on the shipped pairs",
    STAR_RATER: "star-rater: simulated film rater",
    WORD_JUDGE: "word-judge: simulated judge that adds up weights of words",
    FLUENCY_JUDGE: "fluency-judge: simulated judge that also wants good writing",
    RULE: "longer: the longer text wins",
    HARSHNESS: "harshness: a classifier with the labels harsh and not harsh",
}
MOST_RUNS, MOST_STEPS = 200, 100
"""Runs in a list, and saved steps of runs: the newest. Each opened page receives several lists. The
ids of others work too: a form's field takes what a visitor types."""
MOST_LABEL = 100
"""Characters of a classifier's label."""
MOST_DATA = 500
"""Megabytes of a data set from the Hub."""
BASES = {"gpt2-mini-ppo": "gpt2-mini"}
"""What a shipped PPO model was trained from; a run says it itself."""
EXAMPLE_MODELS = {"ppo-quick": "gpt2-mini-ppo", "reward-shipped": "reward-mini"}
"""Example run -> its model, which is shipped separately: an example holds records only."""

Choice = tuple[str, str]
"""Label and id."""


def has_model(run: Run) -> bool:
    """Say whether a run has saved a model yet."""
    return is_model(run.model_folder)


def newest_model(run: Run, rows: list[Row]) -> tuple[int, Path | None]:
    """Return the step of the newest model that a PPO run has saved, and its folder.

    A run that finished or was stopped has a final model; any other run has those of its saved
    steps. A shipped example has neither, and gives step 0 and no folder.

    Args:
        rows: the run's metrics so far.
    """
    if run.status["status"] in (Status.FINISHED, Status.STOPPED) and has_model(run):
        return (rows[-1]["step"] if rows else 0), run.model_folder
    step = max(run.saved_steps(), default=0)
    return step, run.step_folder(step) if step else None


def _makes(row: RunRow, makes: str) -> bool:
    """Say whether a run's stage makes `makes`; a damaged run makes nothing."""
    return row["kind"] in STAGES and STAGES[row["kind"]].makes == makes


TEXTS = "prompts", "data"
"""Options that name texts, of which a run shows some."""


class Choices:
    """The lists that forms show, and what their ids mean."""

    def __init__(
        self,
        settings: Settings,
        jobs: Jobs,
        votes: VoteData | None = None,
        texts: DemonstrationData | None = None,
    ) -> None:
        self.settings, self.jobs, self.votes, self.texts = settings, jobs, votes, texts
        self.uploads = Uploads(settings.runs / UPLOADS, jobs, public=settings.public)

    # -- lists -------------------------------------------------------------------------------------

    def policies(self) -> list[Choice]:
        """Models that write: shipped, trained here, and from the Hub."""
        shipped = [name for name in shipped_models() if name not in SCORERS]
        hub = [(f"{name}: from the Hub", name) for name in self.settings.hub]
        return [(LABELS.get(name, name), name) for name in shipped] + self._runs("policy") + hub

    def contestants(self) -> list[Choice]:
        """Models to compare: all that write, and PPO runs at their saved steps."""
        steps = (
            (f"{label}, step {step}", f"{run.folder.name}@{step}")
            for label, run in self._with_models("policy")
            for step in run.saved_steps()
        )
        return [*self.policies(), *islice(steps, MOST_STEPS)]

    def rewards(self) -> list[Choice]:
        """List what can reward a policy: the scorers, and a classifier by one of its labels."""
        shipped = [(LABELS[HARSHNESS], HARSHNESS)] if HARSHNESS in shipped_models() else []
        return self.scorers() + shipped

    def scorers(self) -> list[Choice]:
        """List what scores a text by itself: reward models, judges, the length rule."""
        shipped = [name for name in SCORERS if name in shipped_models() and name != HARSHNESS]
        return (
            [(LABELS[name], name) for name in shipped]
            + self._runs("reward")
            + [(LABELS[name], name) for name in RULES]
        )

    def judges(self) -> list[Choice]:
        """Judges of a PPO run's texts: the one that fits its reward, any scorer, or none."""
        auto = ("auto: the judge of the reward's pairs", AUTO)
        return [auto, *self.scorers(), ("none: only the reward", NO_JUDGE)]

    def data(self, secret: str = "") -> list[Choice]:
        """Preference pairs: shipped, people's votes, and the uploads that this secret may use."""
        shipped = ("shipped: 2,500 pairs, simulated judge", SHIPPED)
        return [shipped, *self.votes_listed()] + [
            (f"uploaded: {self.uploads.label(upload)}", upload)
            for upload in self.uploads.listed(secret)
        ]

    def votes_listed(self) -> list[Choice]:
        """People's votes, by question."""
        return self.votes.choices() if self.votes else []

    def demonstrations_listed(self, secret: str = "") -> list[Choice]:
        """People's demonstrations, by question: those that this secret may use."""
        return self.texts.choices(secret) if self.texts else []

    def _runs(self, makes: str) -> list[Choice]:
        newest = islice(self._with_models(makes), MOST_RUNS)
        return [(label, run.folder.name) for label, run in newest]

    def _with_models(self, makes: str) -> Iterator[tuple[str, Run]]:
        for row in self.jobs.overview():
            if _makes(row, makes) and not row["example"]:
                with suppress(JobError):  # it was deleted just now
                    run = self.jobs.find(row["id"])
                    if has_model(run):
                        yield f"{row['title']} ({row['id']})", run

    def listed_as(
        self, value: Any, listed: list[Choice], engine_name: Callable[[str], str]
    ) -> str | None:
        """Return the id in a list for what a run's option names, or None if the list lacks it.

        Args:
            value: the option, such as a shipped name or the folder of a run.
            listed: the list.
            engine_name: `policy`, `reward`, `judge` or `pairs`. It is asked about the few ids that
                can be right.
        """
        path = Path(str(value))
        votes = self.votes.id_of(path) if self.votes else ""
        if votes in (chosen for _, chosen in listed):
            return votes  # the same question's votes, of which there may be more by now
        possible = {str(value), path.name, path.parent.name}
        possible.add(f"{path.parent.parent.name}@{path.name}")
        ids = (chosen for _, chosen in listed if chosen in possible)
        return next((chosen for chosen in ids if engine_name(chosen) == value), None)

    # -- what an id means --------------------------------------------------------------------------

    def policy(self, chosen: str) -> str:
        """Return the trainers' name for a model that writes.

        Raises:
            ConfigError: the id is in no list.
        """
        if chosen in shipped_models() and chosen not in SCORERS:
            return chosen
        run_id, _, step = str(chosen).partition("@")
        if self._is_run(run_id, "policy"):
            run = self.jobs.find(run_id)
            if not step:
                return self.path(run.folder)
            if step in map(str, run.saved_steps()):
                return self.path(run.step_folder(int(step)))
            raise ConfigError(
                f"{run_id} has no saved step {step}: choose one of {run.saved_steps()}"
            )
        return self._hub(chosen)

    def author(self, chosen: str) -> str:
        """Return the name under which a model's texts are kept with the votes on them.

        A run that has not finished may be resumed, and one of the command line made anew under its
        name. Then it has another model: a fingerprint after a # tells its present one from that.

        Raises:
            DemoError: the model's files cannot be read.
        """
        if not self._is_run(chosen, "policy"):
            return chosen
        run = self.jobs.find(chosen)
        if run.status["status"] == Status.FINISHED and self.jobs.is_of_the_page(chosen):
            return chosen
        try:
            return f"{chosen}#{fingerprint(run.model_folder)}"
        except OSError as error:  # it may be saving a newer one just now
            reason = error.strerror or "it is not readable"
            raise CheckpointError(
                f"the model of {chosen} cannot be read ({reason}): try again, or choose another"
            ) from None

    def base_of(self, chosen: str) -> str | None:
        """Return the trainers' name for what a model was trained from; None if nobody knows.

        A run that was trained from scratch is its own base.

        Raises:
            DemoError: the id is in no list, or the base must not be read.
        """
        if chosen in BASES:
            return BASES[chosen]
        run_id = chosen.partition("@")[0]
        if not any(row["id"] == run_id for row in self.jobs.overview()):
            return None
        run = self.jobs.find(run_id)
        base: str | None = run.config["options"].get("policy")
        if base is None:
            return self.policy(chosen)
        self.check_here(base)
        return base

    def reward(self, chosen: str) -> str:
        """Return the trainers' name for a scorer.

        Raises:
            ConfigError: the id is in no list.
        """
        if chosen in RULES or chosen in SCORERS:
            return chosen
        if self._is_run(chosen, "reward"):
            return self.path(self.jobs.find(chosen).folder)
        return self._hub(chosen)

    def labels(self, chosen: str) -> list[str]:
        """List the labels of a scorer that has several; none if it is not on this machine yet.

        Raises:
            DemoError: the id is in no list, or the model's configuration cannot be read.
        """
        name = self.reward(chosen)
        if name in RULES or not is_here(name):
            return []
        path = locate(name) / "config.json"
        if not path.is_file():
            return []  # an adapter of ours, which has one label
        spec = read_json(path, MOST_CONFIG)
        named = spec.get("id2label") if is_record(spec) else None
        labels: list[Any] = list(named.values()) if is_record(named) else []
        usable = [label for label in labels if isinstance(label, str) and len(label) <= MOST_LABEL]
        return usable if len(usable) > 1 else []

    def check_label(self, chosen: str, label: str) -> None:
        """Check that a scorer has a label, unless it is not on this machine yet.

        Raises:
            DemoError: it lacks the label, the id is in no list, or the model's configuration cannot
                be read.
        """
        name = self.reward(chosen)
        if (name in RULES or is_here(name)) and label not in self.labels(chosen):
            raise ConfigError(
                f"{chosen} has no label {label!r}: choose one from its list, or leave it out"
            )

    def judge(self, chosen: str) -> str:
        """Return the trainers' name for a judge; `auto` and `none` stay as they are.

        Raises:
            ConfigError: the id is in no list.
        """
        return chosen if chosen in (AUTO, NO_JUDGE) else self.reward(chosen)

    def pairs(self, chosen: str, secret: str = "") -> str:
        """Return the trainers' name for preference data.

        Args:
            chosen: its id.
            secret: the visitor's; other visitors' uploads are refused.

        Raises:
            DataError: the id is in no list.
        """
        if chosen == SHIPPED:
            return SHIPPED
        if not chosen:
            raise DataError("no data is chosen: choose some from the list, or upload a file")
        chosen = str(chosen)
        if rows := self.uploads.rows(chosen, secret):
            return self.path(rows)
        votes = self.votes.chosen(chosen) if self.votes else None
        if votes:
            return self.path(votes)
        if self.settings.public:
            raise DataError(f"data {chosen!r} is not in the list: choose from it, or upload a file")
        # A folder or file of that name would be taken for a path.
        if not HUB_ID.fullmatch(chosen) or "/" not in chosen or Path(chosen).exists():
            raise DataError(f"data {chosen!r} is neither in the list nor a Hub id: give owner/name")
        megabytes = hub_megabytes(chosen, "dataset")
        if megabytes > MOST_DATA:
            raise DataError(
                f"{chosen} has {megabytes:,.0f} MB of data: choose one of at most {MOST_DATA} MB"
            )
        return chosen

    def demonstrations(self, chosen: str, secret: str = "") -> str:
        """Return the trainers' name for demonstrations: a file with `prompt` and `completion`.

        Args:
            chosen: their id.
            secret: the visitor's; on a page with limits, the texts of others are not used.

        Raises:
            DataError: the id is not in the list, or the disk is short of room.
        """
        file = self.texts.chosen(str(chosen), secret) if self.texts else None
        if file is None:
            raise DataError(
                f"written texts {str(chosen)[:60]!r} are not in the list: choose from it, or "
                "write texts on the Feedback tab"
            )
        return self.path(file)

    def check_names(self, options: dict[str, Any]) -> None:
        """Check the names in a saved run's options as the ids of a form are checked.

        They may name files of this machine, because only its users can put runs there. Where
        strangers see a run's texts, it may not read them from any file.

        Raises:
            DemoError: one names a Python function, what may not be fetched from the Hub, or, where
                the limits are on, prompts or texts elsewhere on this machine.
        """
        for name in TEXTS if self.settings.public else ():
            named = options.get(name)
            if named and not self._may_be_shown(os.path.expanduser(named)):
                raise ConfigError(
                    f"the run reads its {name} from {short_name(Path(named))}, and everyone would "
                    "see them here: resume it on the command line"
                )
        checks = {
            "policy": self.policy,
            "model": self.policy,
            "reward": self.reward,
            "rater": self.reward,
            "judge": self.judge,
            "data": self.pairs,
        }
        for name, check in checks.items():
            named = options.get(name)
            if named and not os.path.exists(REPOSITORY / os.path.expanduser(named)):
                check(named)

    def _may_be_shown(self, name: str) -> bool:
        """Say whether this names no file, one that ships with the page, or one of the runs."""
        if not os.path.exists(REPOSITORY / name):  # unlike Path's, this bears any name
            return True
        homes = CHECKPOINTS.resolve(), self.settings.runs.resolve()
        return any((REPOSITORY / name).resolve().is_relative_to(home) for home in homes)

    def check_here(self, *names: str) -> None:
        """Check that models can be loaded without fetching them: nobody asked for that.

        The options and the adapter of a copied run may name any model of the Hub.

        Raises:
            DemoError: one of them would have to be fetched, or cannot be found.
        """
        for name in names:
            if name in self.settings.hub or is_here(name):
                continue
            home = os.path.abspath((REPOSITORY / os.path.expanduser(name)).parent)
            if home == os.path.realpath(self.settings.runs):
                raise ConfigError(f"the run {Path(name).name} is not here any more")
            raise ConfigError(
                f"{name[:60]!r} would have to be fetched from the Hub: choose it in a form first"
            )

    def path(self, folder: Path) -> str:
        """Name a folder as the command line would: relative to the repository if it lies in it.

        A page that was started from elsewhere could not find it by such a name.
        """
        folder, home = folder.resolve(), CHECKPOINTS.parent
        within = folder.is_relative_to(home) and Path.cwd().resolve() == home.resolve()
        return os.path.relpath(folder, home) if within else str(folder)

    def _is_run(self, chosen: str, makes: str) -> bool:
        return any(
            row["id"] == chosen and _makes(row, makes) and not row["example"]
            for row in self.jobs.overview()
        ) and has_model(self.jobs.find(chosen))

    def _hub(self, chosen: Any) -> str:
        """Return an allowed Hub id: in public mode the owner's, otherwise any that fits here.

        Raises:
            ConfigError: the id is not allowed.
            CheckpointError: the model cannot be fetched, or is too large.
        """
        if not chosen:
            raise ConfigError("one of the models is not chosen: choose each from its list")
        if chosen in self.settings.hub:
            return chosen
        if self.settings.public:
            raise ConfigError(
                f"{chosen!r} is not in the list: choose from the list, because this page is public"
            )
        if chosen in shipped_models() or any(row["id"] == chosen for row in self.jobs.overview()):
            raise ConfigError(f"{chosen} has no model that can be used here: choose from the list")
        # A folder of that name would be taken for a path.
        if not isinstance(chosen, str) or not HUB_ID.fullmatch(chosen) or Path(chosen).exists():
            raise ConfigError(
                f"{chosen!r} is neither in the list nor a Hub id: choose from the list"
            )
        if (why := hub_refusal(chosen, "model")) is not None:
            raise CheckpointError(
                f"model {chosen!r} is not available: {why}; check the name, or choose from the list"
            )
        megabytes = hub_megabytes(chosen, "model")
        disk = shutil.disk_usage(CHECKPOINTS).free / 1e6
        memory = psutil.virtual_memory().available / 1e6
        # Weights, their float32 copy, activations, and a reward model.
        if megabytes * 1.2 > disk or megabytes * 4 > memory:
            raise CheckpointError(
                f"{chosen} has {megabytes:,.0f} MB to fetch: this machine has {disk:,.0f} MB of "
                f"disk and {memory:,.0f} MB of memory free; choose a smaller model"
            )
        return chosen
