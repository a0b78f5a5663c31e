"""Whole class sessions with simulated students: vote, reward model, PPO, blind vote.

    python -m bench.class_lesson [--students 20] [--noise 0.2] [--careless 0.1] [--seeds 10]
        [--first-seed 0] [--taste pleased] [--each 20] [--steps 40] [--json FILE]

A session goes as on the page, by the page's own functions, but without a browser: pairs are
written, the students answer their share, one reward model learns from all votes, PPO follows it,
and the students vote blind on held-out prompts. A session succeeds if the interval of the blind
vote lies above 50%. Nothing else may run on the machine. A session takes about two minutes.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from rlhf_demo.jobs.queue import Jobs
from rlhf_demo.runs.run import Status
from rlhf_demo.server.choices import Choices
from rlhf_demo.server.class_records import EACH
from rlhf_demo.server.class_training import BASE, ClassTraining
from rlhf_demo.server.compute_lock import ComputeLock
from rlhf_demo.server.model_cache import ModelCache
from rlhf_demo.server.settings import Settings
from rlhf_demo.votes.database import database_url
from rlhf_demo.votes.simulated import SimulatedClass
from rlhf_demo.votes.store import Store
from rlhf_demo.votes.vote import QUESTIONS

TASTES = {"pleased": ("star-rater", QUESTIONS[0]), "longer": (None, "Which text is longer?")}
"""Of each taste: the scorer, and the question that the class is asked."""

PAUSE_SECONDS = 0.2
"""Between two rounds of answers, as the page limits each voter's rate."""


class Session:
    """One class from its opening to the reveal."""

    def __init__(self, folder: Path, options: argparse.Namespace, seed: int) -> None:
        self.options = options
        self.jobs = Jobs(folder)  # makes the folder
        store = Store(database_url(folder))
        settings = Settings(runs=folder)
        models = ModelCache()
        choices = Choices(settings, self.jobs)
        self.training = ClassTraining(store, self.jobs, choices, models, ComputeLock())
        scorer, question = TASTES[options.taste]
        models.warm()
        self.opened = self.training.classes.create_class(question)
        self.training.records.note(
            self.opened.collection, each=options.each, job_secret="the instructor's"
        )
        self.students = SimulatedClass(
            self.training.classes,
            self.opened.token,
            students=options.students,
            taste=options.taste,
            scorer=models.scorer(scorer) if scorer else None,
            noise=options.noise,
            careless_share=options.careless,
            seed=seed,
        )

    def run(self) -> dict[str, Any]:
        """Return the blind vote's outcome for the PPO model, the votes and the minutes."""
        began = time.monotonic()
        self.jobs.open()
        try:
            feedback = self._vote()
            self._wait(lambda: self._record()["reward"])
            self.training.start_ppo(self.opened.collection, self.options.steps, "the instructor's")
            contender = self._wait(self._contender)
            self.training.rounds.open_blind(self.opened.token, BASE, contender)
            self._vote()
            outcome = self.training.rounds.reveal(self.opened.token)
        finally:
            self.jobs.close()
        rate, low, high = outcome["rate"], outcome["low"], outcome["high"]
        if outcome["contender"] == "b":
            rate, low, high = 1 - rate, 1 - high, 1 - low
        minutes = (time.monotonic() - began) / 60
        return {
            "votes": feedback, "accuracy": self._record()["history"][-1]["accuracy"],
            "blind": outcome["votes"], "rate": rate, "low": low, "high": high, "minutes": minutes,
        }  # fmt: skip

    def _vote(self) -> int:
        """Let the students answer until none is left, and write more pairs as they do."""
        votes = quiet = 0
        while quiet < 10:  # a student who answered too fast waits
            more = self.training.write_pairs(
                self.training.rounds.class_status(self.opened.collection)
            )
            answered = self.students.step()
            votes, quiet = votes + answered, 0 if answered or more else quiet + 1
            time.sleep(PAUSE_SECONDS)
        return votes

    def _record(self) -> dict[str, Any]:
        return self.training.records.read(self.opened.collection)

    def _contender(self) -> str | None:
        run = self._record()["ppo"]["1"]
        row = self.training.row(run)
        assert row is not None and row["status"] != Status.FAILED, row
        return run if row["status"] == Status.FINISHED else None

    def _wait(self, due: Any) -> Any:
        while not due():
            self.training.look_after(self.opened.collection)
            time.sleep(PAUSE_SECONDS)
        return due()


def main() -> None:
    """Run the sessions, print a line for each, and how many succeeded."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--students", type=int, default=20)
    parser.add_argument("--noise", type=float, default=0.2, help="of a careful student's answers")
    parser.add_argument("--careless", type=float, default=0.1, help="share of the students")
    parser.add_argument("--taste", choices=TASTES, default="pleased")
    parser.add_argument("--each", type=int, default=EACH, help="pairs for each student")
    parser.add_argument("--steps", type=int, default=40, help="of PPO")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0, help="to continue a benchmark")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            row = {"seed": seed, **Session(Path(folder) / "runs", options, seed).run()}
        rows.append(row)
        print(
            f"seed {seed}: {row['votes']} votes, held-out accuracy {row['accuracy']:.2f}; PPO wins "
            f"{row['rate']:.0%} [{row['low']:.0%}, {row['high']:.0%}] of {row['blind']} blind "
            f"votes; {row['minutes']:.1f} minutes",
            flush=True,
        )
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1))
    won = sum(row["low"] > 0.5 for row in rows)
    print(f"{won} of {len(rows)} sessions succeeded: their interval lies above 50%")


if __name__ == "__main__":
    main()
