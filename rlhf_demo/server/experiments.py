"""Starts the runs of the experiments, and finds which answers came true.

An experiment has the default seed, so all its runs are alike: visitors share the one that is there.
"""

import threading
from pathlib import Path
from typing import Any

from rlhf_demo.config.experiments import (
    DEFAULT_REWARD,
    DEFAULT_RUN,
    EXPERIMENTS,
    Experiment,
)
from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.config.stages import STAGES
from rlhf_demo.errors import ConfigError, DemoError, JobError
from rlhf_demo.jobs.queue import Jobs, Order
from rlhf_demo.jobs.run_rows import RunRow
from rlhf_demo.runs.experiments import Measured, outcome, yardstick
from rlhf_demo.runs.reports import RewardReport, read_figures
from rlhf_demo.runs.run import Status
from rlhf_demo.server.choices import Choices
from rlhf_demo.server.payloads import ExperimentState, ListedExperiment

USABLE = (Status.QUEUED, Status.RUNNING, Status.FINISHED)
ODD = KeyError, TypeError, ValueError, AttributeError, OverflowError
"""What computing with figures of a damaged file can raise."""


class Experiments:
    """The experiments of this app's runs folder."""

    def __init__(self, jobs: Jobs, choices: Choices) -> None:
        self.jobs, self.choices = jobs, choices
        self._starting = threading.Lock()

    def listed(self) -> list[ListedExperiment]:
        """Return what the page shows of each experiment before there is an answer."""
        try:
            default = self._measured(DEFAULT_RUN, DEFAULT_REWARD)
        except DemoError:  # the example was removed or damaged: the page opens all the same
            default = Measured([])
        return [
            {
                "id": name,
                "title": each.title,
                "change": each.change,
                "question": each.question,
                "answers": list(each.answers),
                "yardstick": yardstick(each, default),
            }
            for name, each in EXPERIMENTS.items()
        ]

    def start(self, name: Any, secret: str, address: str) -> str:
        """Queue an experiment's run, after its reward model if it has its own.

        Returns:
            the run's id; that of an earlier run if one is queued, running or finished here.

        Raises:
            DemoError: there is no such experiment, no secret is given, or the queue is full.
        """
        experiment = find(name)
        with self._starting:  # two visitors who answer at once share a run
            there = self.run_of(name)
            if there is not None:
                return there["id"]
            return self._start(name, experiment, secret, address)

    def _start(self, name: str, experiment: Experiment, secret: str, address: str) -> str:
        title, learned = f"Experiment: {experiment.title}", experiment.reward

        def reward(_: Path) -> Order:
            return Order("reward", RewardConfig(**learned or {}), f"{title}, its reward model")

        def policy(before: Path) -> Order:
            rewarded = {"reward": self.choices.path(before)} if learned else {}
            options = STAGES[experiment.kind].config(**experiment.options, **rewarded)
            return Order(experiment.kind, options, title, experiment=name)

        orders = [policy] if learned is None else [reward, policy]
        return self.jobs.start_in_turn(orders, secret=secret, address=address, for_all=True)[-1]

    def run_of(self, name: str) -> RunRow | None:
        """Return an experiment's newest run that is queued, running or finished.

        A run with other options, which another version started, is no run of the experiment.
        """
        rows = (row for row in self.jobs.overview() if row["experiment"] == name)
        usable = (row for row in rows if row["status"] in USABLE)
        return next((row for row in usable if self._fits(row, EXPERIMENTS[name])), None)

    def _fits(self, row: RunRow, experiment: Experiment) -> bool:
        wanted = STAGES[experiment.kind].config(**experiment.options).to_dict()
        options = self.jobs.options(row["id"])
        if experiment.reward is not None:
            wanted["reward"] = options.get("reward")
            learned = self.jobs.options(Path(str(wanted["reward"])).name)  # none if it was deleted
            asked = RewardConfig(**experiment.reward).to_dict()
            if learned and any(learned.get(key) != value for key, value in asked.items()):
                return False
        return all(options.get(key) == value for key, value in wanted.items())

    def state(self, name: Any) -> ExperimentState:
        """Return an experiment's run, and which answer came true once it has finished.

        Raises:
            DemoError: there is no such experiment, or the run's files are damaged.
        """
        experiment, row = find(name), self.run_of(name)
        if row is None or row["status"] != Status.FINISHED:
            return {"run": row, "answer": None, "measured": ""}
        reward = Path(self.jobs.options(row["id"]).get("reward", "")).name
        default = self._measured(DEFAULT_RUN, DEFAULT_REWARD)
        try:
            result = outcome(experiment, self._measured(row["id"], reward), default)
        except (DemoError, OSError, *ODD):
            result = None
        if result is None:
            raise JobError(f"the files of {row['id']} are damaged: delete the run and start again")
        return {"run": row, "answer": result.answer, "measured": result.sentence}

    def _measured(self, run_id: str, reward: str) -> Measured:
        """Read a run's metrics, and its reward model's accuracy if that is a run of ours."""
        rows = self.jobs.tails.rows(self.jobs.find(run_id).folder / "metrics.jsonl")
        try:
            report = read_figures(self.jobs.find(reward).folder / "report.json", RewardReport)
            return Measured(rows, report.get("accuracy"))
        except (DemoError, OSError):  # a shipped model or a rule; or the run was deleted
            return Measured(rows)


def find(name: Any) -> Experiment:
    """Return the experiment of this id.

    Raises:
        ConfigError: there is none.
    """
    if not isinstance(name, str) or name not in EXPERIMENTS:
        raise ConfigError(
            f"there is no experiment {str(name)[:60]!r}: choose one of {', '.join(EXPERIMENTS)}"
        )
    return EXPERIMENTS[name]
