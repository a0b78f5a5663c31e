"""What the live boards ask of the server: new rows of a run, the texts of a step, stop and resume.

Only rows after the last step that the page has travel. A resumed run writes the same steps again to
the last bit, so a page that already has them sees no jump.
"""

import random
import time
from statistics import mean
from typing import Any

from rlhf_demo.errors import JobError
from rlhf_demo.files import read_json
from rlhf_demo.jobs import Jobs
from rlhf_demo.runs import Run, Status
from rlhf_demo.stories import ppo_story, reward_story
from rlhf_demo.ui import charts
from rlhf_demo.ui.choices import EXAMPLE_MODELS, has_model, newest_model
from rlhf_demo.ui.commands import repeat_command
from rlhf_demo.ui.vote_data import people_agree, vote_facts

BOARDS = {"ppo": charts.PPO, "reward": charts.REWARD}
Row = dict[str, Any]
STATE_SECONDS = 0.5
"""How long one look at a run serves all its viewers."""
MOST_STATES = 64
RECENT_STEPS = 10
"""Steps that the pace is reckoned from."""
SOONEST, LATEST, QUIET = 1.0, 5.0, 3.0
"""Seconds until a page should ask again: while a run goes on, at least and at most; else."""
SPREAD = 0.1, 0.6
"""Seconds after a row is due, at random: thirty pages should not ask in one moment."""
NEAR_BUDGET = 1 / 3
"""The KL budget is drawn once KL has come so near; before, it would flatten the curve."""


class Board:
    """The server functions of the boards."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self.tails = jobs.tails
        self._states: dict[str, tuple[float, tuple[int, str], dict[str, Any]]] = {}

    def board_rows(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return what is new about a run.

        Args:
            request: `kind` of board, `run` id (empty: the newest one), `since` (last step the page
                has, -1 for none), `created` (of the run the page has), `texts_after`
                (the step whose texts the page shows, while it wants the newest; -1 for none yet),
                `secret`.

        Returns:
            Among the rest `columns`, the new rows metric by metric; `texts`, those of the newest
            step where they are wanted, else None; `ask_again`, seconds.
        """
        kind = request["kind"] if request["kind"] in BOARDS else "ppo"
        listed = [row for row in self.jobs.overview() if row["kind"] == kind]
        row = self._chosen(listed, str(request.get("run") or ""))
        rows = self.tails.rows(self.jobs.find(row["id"]).folder / "metrics.jsonl")
        state = self._state(kind, row, rows, listed)
        known = request.get("created") == state["created"]
        since = int(request.get("since", -1)) if known else -1
        mine = self.jobs.may_change(row["id"], str(request.get("secret") or ""))
        after, newest = request.get("texts_after"), max(state["sample_steps"], default=-1)
        wanted = after is not None and newest > (int(after) if known else -1)
        return state | {
            "run": state["run"] | {"mine": mine},
            "since": since,
            "columns": _columns(kind, [one for one in rows if one["step"] > since]),
            "texts": self._texts(row["id"], newest) if wanted else None,
            "ask_again": self._ask_again(row, rows),
        }

    def _state(self, kind: str, row: Row, rows: list[Row], listed: list[Row]) -> dict[str, Any]:
        """Return what is the same for everybody who looks at a run.

        It is made anew twice a second, and whenever there is a new row or another status, so that
        a page never gets a row without its figures and texts.
        """
        version = len(rows), row["status"]
        made_at, made_of, state = self._states.get(row["id"], (float("-inf"), None, {}))
        if time.monotonic() - made_at < STATE_SECONDS and made_of == version:
            return state
        if rows:  # the list of runs may be a moment older
            row = row | {"step": rows[-1]["step"]}
        run = self.jobs.find(row["id"])
        config, report = run.config, run.folder / "report.json"
        options = config["options"]
        said = (row["status"], row["message"] or "")
        if kind == "ppo":
            story, figures = ppo_story(rows, options, *said), _ppo_figures(rows, row, options)
        else:
            found = read_json(report) if report.is_file() else None
            story, figures = reward_story(rows, found, *said), _reward_figures(rows, row, found)
        state = {
            "run": row | {"command": repeat_command(config)},
            "created": config["created_at"],
            "lines": _lines(kind, options, rows),
            "figures": figures,
            "story": {"what": story.what, "try": story.try_, "level": story.level},
            "sample_steps": self._sample_steps(run),
            "model_step": newest_model(run, rows)[0],
            "has_model": has_model(run) or row["id"] in EXAMPLE_MODELS,
            "log": self.jobs.log_tail(row["id"]) if row["status"] == Status.FAILED else "",
            "runs": [
                {"id": one["id"], "label": f"{one['title']} ({one['status']})"} for one in listed
            ],
        }
        if len(self._states) > MOST_STATES:
            self._states.clear()
        self._states[row["id"]] = time.monotonic(), version, state
        return state

    def board_samples(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the texts of one step of a run, token by token."""
        return self._texts(str(request["run"]), int(request["step"]))

    def _texts(self, run_id: str, step: int) -> dict[str, Any]:
        rows = self.tails.rows(self.jobs.find(run_id).folder / "samples.jsonl")
        return {"step": step, "rows": [row for row in rows if row["step"] == step]}

    def _ask_again(self, row: Row, rows: list[Row]) -> float:
        """Return after how many seconds something new is likely."""
        if row["status"] != Status.RUNNING:
            return QUIET
        seconds = _recent_seconds(rows)
        if not seconds:
            return SOONEST
        written_at = (self.jobs.find(row["id"]).folder / "metrics.jsonl").stat().st_mtime
        wait = written_at + mean(seconds) - time.time()
        return min(max(wait, SOONEST), LATEST) + random.uniform(*SPREAD)

    def stop_job(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask a run to stop; only its owner may."""
        self.jobs.stop(str(request["run"]), str(request["secret"]))
        return {"asked": True}

    def resume_job(self, request: dict[str, Any]) -> dict[str, Any]:
        """Put a stopped or failed run back in the queue; only its owner may."""
        self.jobs.resume(str(request["run"]), str(request["secret"]))
        return {"queued": True}

    def _chosen(self, listed: list[dict[str, Any]], run_id: str) -> dict[str, Any]:
        """Find the wanted run, else the one that runs, else the newest with something to show."""
        if run_id:
            row = next((one for one in listed if one["id"] == run_id), None)
            if row is None:
                raise JobError(f"there is no run {run_id[:60]!r} here: it may have been deleted")
            return row
        if not listed:
            raise JobError("there is no run yet: start one above")
        return next(
            (one for one in listed if one["status"] == Status.RUNNING),
            next((one for one in listed if one["step"]), listed[0]),
        )

    def _sample_steps(self, run: Run) -> list[int]:
        return sorted({row["step"] for row in self.tails.rows(run.folder / "samples.jsonl")})


def _columns(kind: str, new: list[dict[str, Any]]) -> dict[str, list[float | None]]:
    """Return the rows' figures metric by metric; some stand in some rows only."""
    return {key: [row.get(key) for row in new] for key in charts.keys(BOARDS[kind])} if new else {}


def _lines(kind: str, options: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the yardsticks of the charts: base, target, budget, coin."""
    if kind == "reward":
        return {
            "heldout/loss": [{"y": 0.693, "label": "a coin", "dash": "dot", "color": "soft"}],
            "heldout/accuracy": [
                {"y": 0.5, "label": "a coin", "dash": "dot", "color": "soft"},
                *_people_line(options),
            ],
            "reward/margin": [],
        }
    lines, budget = [], options["kl_budget"]
    if options["kl_target"]:
        target = f"target {options['kl_target']:g}"
        lines.append({"y": options["kl_target"], "label": target, "left": True})
    highest = max([row["objective/kl"] for row in rows], default=0.0)
    if (
        max(highest, options["kl_target"]) >= budget * NEAR_BUDGET
        or budget <= 4 * options["kl_target"]
    ):
        lines.append({"y": budget, "label": f"stops at {budget:g}", "dash": "dot", "left": True})
    return {
        "objective/score": [{"y": 0.0, "label": "base", "dash": "dot"}],
        "objective/kl": lines,
    }


def _people_line(options: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the human ceiling of a reward model trained on votes, where enough people voted."""
    agree = people_agree(vote_facts(options["data"]))
    if agree is None:
        return []
    label = f"people agree with each other: {agree:.0%}"
    return [{"y": agree, "label": label, "color": "base", "left": True}]


def _ppo_figures(
    rows: list[dict[str, Any]], row: dict[str, Any], options: dict[str, Any]
) -> list[tuple[str, str]]:
    """Return the three large figures, each with its unit and its yardstick."""
    target = f"target {options['kl_target']:g}" if options["kl_target"] else "no target"
    score, kl = "\u2013", "\u2013"
    if rows:
        score = _minus(f"{rows[-1]['objective/score']:+.2f}")
        kl = _minus(f"{rows[-1]['objective/kl']:.1f}")
    return [
        (score, "score, base is about 0"),
        (kl, f"KL in nats, {target}, stops at {options['kl_budget']:g}"),
        _time(rows, row),
    ]


def _reward_figures(
    rows: list[dict[str, Any]], row: dict[str, Any], report: dict[str, Any] | None
) -> list[tuple[str, str]]:
    looks = [one for one in rows if one.get("heldout/accuracy") is not None]
    if report:
        low, high = 100 * report["accuracy_low"], 100 * report["accuracy_high"]
        first = (
            f"{100 * report['accuracy']:.0f}%",
            f"of {report['pairs']:,} held-out pairs right [{low:.0f}, {high:.0f}]",
        )
        longer = f"{100 * report['baseline_longer']:.0f}%"
        second = (longer, "by choosing the longer one; a coin 50%")
    elif looks:
        first = (f"{100 * looks[-1]['heldout/accuracy']:.0f}%", "of held-out pairs right so far")
        second = (f"{looks[-1]['heldout/loss']:.2f}", "held-out loss, nats per pair; a coin 0.69")
    else:
        first = ("\u2013", "of held-out pairs right")
        second = ("\u2013", "held-out loss, nats per pair")
    return [first, second, _time(rows, row)]


def _time(rows: list[dict[str, Any]], row: dict[str, Any]) -> tuple[str, str]:
    """Say how long is left, or how far the run came."""
    seconds = _recent_seconds(rows)
    pace = f", {mean(seconds):.1f} s a step" if seconds else ""
    if row["status"] == Status.RUNNING and row.get("seconds_left") is not None:
        left = row["seconds_left"]
        return (f"{left:.0f} s" if left < 100 else f"{left / 60:.0f} min", f"left{pace}")
    if row["status"] == Status.QUEUED:
        return (f"{row.get('place') or 1}.", "in the queue")
    return (f"{row['step'] or 0}", f"of {row['total_steps'] or 0} steps{pace}")


def _recent_seconds(rows: list[Row]) -> list[float]:
    return [
        row["time/step_seconds"] for row in rows[-RECENT_STEPS:] if row.get("time/step_seconds")
    ]


def _minus(number: str) -> str:
    """Write a minus as wide as a plus."""
    return number.replace("-", "\u2212")
