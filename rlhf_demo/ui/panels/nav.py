"""The strip at the top of the page: each stage of the loop, and how far it is."""

import time
from typing import Any

from rlhf_demo.config.lessons import LESSONS
from rlhf_demo.config.stages import on_board
from rlhf_demo.errors import DemoError
from rlhf_demo.jobs.queue import Jobs
from rlhf_demo.jobs.run_rows import RunRow
from rlhf_demo.runs.reports import RewardReport, read_figures
from rlhf_demo.runs.run import Status
from rlhf_demo.server import space
from rlhf_demo.server.model_cache import ModelCache
from rlhf_demo.server.payloads import StripStage, StripState
from rlhf_demo.votes.pairs import FEWEST_TO_TELL
from rlhf_demo.votes.store import Store
from rlhf_demo.web.lanes import voting

STATE_SECONDS = 1.0
"""How long all open pages share one computed state."""
LOADING = "The models are loading: texts and scores will be ready in a few seconds."
BUSY = (Status.RUNNING, Status.QUEUED)


class Strip:
    """The server function of the strip."""

    def __init__(self, jobs: Jobs, store: Store, models: ModelCache) -> None:
        self.jobs, self.store, self.models = jobs, store, models
        self._known: tuple[float, list[RunRow], StripState] | None = None

    @voting
    def strip_state(self, request: Any) -> StripState:
        """Return a line for each stage, a note about this machine if there is one, and, at home,
        the token for changing runs without an owner (`Jobs.start_token`).
        """
        rows = self.jobs.overview()
        known = self._known
        if known is None or time.monotonic() - known[0] > STATE_SECONDS or known[1] != rows:
            known = self._known = time.monotonic(), rows, self._state(rows)
        return known[2]

    def _state(self, rows: list[RunRow]) -> StripState:
        busy = [row for row in rows if row["status"] in BUSY]
        return {
            "stages": [
                _stage("start", "Start", "the whole loop", []),
                _stage("learn", "Learn", _course_line(), []),
                _stage("feedback", "1 Feedback", self._votes_line(), []),
                _stage("reward model", "2 Reward model", self._reward_line(rows), busy),
                _stage("ppo", "3 PPO", _ppo_line(rows), busy),
                _stage("compare", "4 Compare", _compare_line(rows), busy),
                _stage("runs", "Runs", _runs_line(rows), []),
            ],
            "note": space.note() if self.models.ready else LOADING,
            "start": self.jobs.start_token,
        }

    def _votes_line(self) -> str:
        counts = {"vote": self.store.count(), "ranking": self.store.rankings.count()}
        some = [f"{n:,} {what}{'s' * (n != 1)}" for what, n in counts.items() if n]
        return f"{', '.join(some)} so far" if some else "say what you prefer"

    def _reward_line(self, rows: list[RunRow]) -> str:
        row = _newest(rows, "reward model")
        if row is None:
            return "learns what people prefer"
        if row["status"] in BUSY:
            return _progress(row)
        try:
            report = read_figures(self.jobs.find(row["id"]).folder / "report.json", RewardReport)
            if report.get("different_pairs", FEWEST_TO_TELL) < FEWEST_TO_TELL:
                return "too few pairs to tell"
            low, high = 100 * report["accuracy_low"], 100 * report["accuracy_high"]
            return f"{100 * report['accuracy']:.0f}% right [{low:.0f}, {high:.0f}]"
        except (DemoError, OSError, KeyError, TypeError, ValueError):
            return row["status"]  # the report is missing or damaged


def _stage(tab: str, title: str, line: str, busy: list[RunRow]) -> StripStage:
    run = _newest(busy, tab)
    state = "now" if run and run["status"] == Status.RUNNING else "idle"
    shown = run["id"] if run else ""
    return {"tab": tab, "title": title, "line": line, "state": state, "run": shown}


def _newest(rows: list[RunRow], tab: str) -> RunRow | None:
    """Return the running run of this tab; else the newest waiting one, or one with steps."""
    of_tab = [row for row in rows if row["kind"] in on_board(tab)]
    busy = [row for row in of_tab if row["status"] in BUSY]
    shown = [row for row in busy if row["status"] == Status.RUNNING] + busy
    return next(iter(shown + [row for row in of_tab if row["step"]] + of_tab), None)


def _course_line() -> str:
    core = (lesson.minutes for lesson in LESSONS.values() if lesson.core)
    return f"how it works, {sum(core)} min"


def _progress(row: RunRow) -> str:
    if row["status"] == Status.QUEUED:
        return f"queued, position {row['place'] or 1}"
    if not row["step"]:  # its models are loading, or its first step runs
        return "running, step 1 soon"
    return f"running, step {row['step']} of {row['total_steps']}"


def _ppo_line(rows: list[RunRow]) -> str:
    row = _newest(rows, "ppo")
    if row is None:
        return "learns from its scores"
    if row["status"] in BUSY:
        return _progress(row)
    score, kl = row["figures"].get("objective/score"), row["figures"].get("objective/kl")
    if score is None or kl is None or row["experiment"]:  # figures would give its answer away
        return row["status"]
    return f"score {score:+.1f}, KL {kl:.1f} nats".replace("-", "\u2212")


def _compare_line(rows: list[RunRow]) -> str:
    row = _newest(rows, "compare")
    return _progress(row) if row and row["status"] in BUSY else "base against PPO"


def _runs_line(rows: list[RunRow]) -> str:
    waiting = sum(row["status"] == Status.QUEUED for row in rows)
    own = sum(not row["example"] for row in rows)
    text = f"{own} run{'s' * (own != 1)}" if own else "finished examples"
    return text + (f", {waiting} waiting" if waiting else "")
