"""The server functions of the live boards: new rows of a run, the texts of a step, stop and resume.

A page gets only the rows after the last step it has. A resumed run repeats its steps exactly, so a
page that already has them sees no jump.
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import mean
from typing import Any, cast

import gradio as gr

from rlhf_demo.config.command_line import repeat_command
from rlhf_demo.config.ppo import SCALE_SAMPLES
from rlhf_demo.config.scorers import HARSHNESS, RULES, SIMULATED
from rlhf_demo.config.stages import STAGES, is_offline, on_board
from rlhf_demo.errors import DataError, DemoError, JobError, Refused
from rlhf_demo.evaluation.labellers import NO_JUDGE, judge_of, labeller, labeller_of_pairs
from rlhf_demo.evaluation.reliability import read_report
from rlhf_demo.files import Row, figure_or_none, read_json
from rlhf_demo.jobs.queue import Jobs
from rlhf_demo.jobs.run_rows import RunRow
from rlhf_demo.runs import samples
from rlhf_demo.runs.offline_stories import measured, offline_story
from rlhf_demo.runs.ppo_stories import ppo_story
from rlhf_demo.runs.reports import PPOReport, RewardReport, read_figures
from rlhf_demo.runs.reward_stories import reward_story, tested_on
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.server import payloads
from rlhf_demo.server.choices import EXAMPLE_MODELS, has_model, newest_model
from rlhf_demo.server.class_records import log_for
from rlhf_demo.server.inside_step import InsideStep
from rlhf_demo.server.payloads import (
    BoardState,
    Columns,
    Line,
    RewardScales,
    RunState,
    Scale,
    StepTexts,
    TryLater,
)
from rlhf_demo.server.settings import Settings
from rlhf_demo.server.vote_data import people_agree, vote_facts
from rlhf_demo.ui.panels import charts
from rlhf_demo.ui.shared import proof
from rlhf_demo.web.addresses import address_of

BOARDS = {"ppo": charts.PPO, "reward": charts.REWARD}
"""One kind of run -> the board of its tab; the tab's other kinds share the board."""
STATE_SECONDS = 0.5
"""How long all viewers of a run share one computed state."""
MOST_STATES = 64
MOST_TEXTS = 16
"""Texts of a step that a page draws; a run keeps 8."""
RECENT_STEPS = 10
"""Steps over which the pace is averaged."""
SOONEST, LATEST, QUIET = 1.0, 5.0, 3.0
"""Seconds until a page asks again: least and most while the run is running; otherwise."""
SCORE_IN_DEVIATIONS = (
    "score \u00b1 its standard error, in standard deviations of the base\u2019s scores"
)
APART = 0.1
"""Seconds between two pages that ask for a running run. If many watch it, each asks less often:
every answer takes a core from the training."""
ODD = KeyError, TypeError, ValueError, AttributeError, OverflowError
"""What reading figures and options of a damaged file can raise."""
NEAR_BUDGET = 1 / 3
"""Share of the KL budget from which on it is drawn; before, it would flatten the curve."""


class Board:
    """The server functions of the boards."""

    def __init__(self, jobs: Jobs, settings: Settings) -> None:
        self.jobs, self.settings = jobs, settings
        self.tails = jobs.tails
        self.inside = InsideStep(jobs)
        self._states: dict[str, tuple[float, tuple[int, str], RunState]] = {}
        self._turns: dict[str, float] = {}  # run -> when the last page that was told asks again

    def board_rows(self, request: dict[str, Any]) -> BoardState | TryLater:
        """Return what has changed in a run.

        Args:
            request: `kind` of board, `run` id (empty: the newest one), `since` (last step that the
                page has, -1 for none), `created` (of the run that the page has), `texts_after`
                (the step whose texts the page shows, if it follows the newest; -1 for none yet),
                `inside_after` (likewise for the fold "Inside a step"), `secret`, `start` (see
                `shared.proof`).
        """
        kind = request["kind"] if request["kind"] in BOARDS else "ppo"
        kinds = on_board(STAGES[kind].tab)
        listed = [row for row in self.jobs.overview() if row["kind"] in kinds]
        wanted = str(request.get("run") or "")
        listed = listed if wanted else self._own_first(listed, request)
        try:
            row, rows, state = self._shown(kind, listed, wanted)
        except Refused as error:
            return {"error": str(error), "later": True}
        known = request.get("created") == state["created"]
        since = int(request.get("since", -1)) if known else -1
        mine = self.jobs.may_change(row["id"], proof(self.jobs, row["id"], request))

        def newer(newest: int, name: str, tell: Callable[[str, int], Any]) -> Any:
            """Return the newest step's data if the page wants it and has an earlier step."""
            after = request.get(name)
            wanted = after is not None and newest > (int(after) if known else -1)
            return tell(row["id"], newest) if wanted else None

        newest = max(state["sample_steps"], default=-1)
        return {
            **state,
            "run": {**state["run"], "mine": mine},
            "since": since,
            "columns": _columns(kind, [figures for figures in rows if figures["step"] > since]),
            "texts": newer(newest, "texts_after", self._texts),
            "inside": newer(state["inside_step"], "inside_after", self._inside),
            "log": log_for(self.jobs, row, self.settings, mine=mine),
            "ask_again": self._ask_again(row, rows),
        }

    def _shown(
        self, kind: str, listed: list[RunRow], run_id: str
    ) -> tuple[RunRow, list[Row], RunState]:
        """Return the wanted run, its metrics and its state.

        If no particular run is wanted, runs with damaged files are skipped.

        Raises:
            JobError: there is no such run, or its files are damaged or too large.
            Refused: its files are large, and the visitor's pages read such files too often.
        """
        chosen = self._chosen(listed, run_id)
        for row in chosen:
            try:
                rows = self.tails.rows(self.jobs.find(row["id"]).folder / "metrics.jsonl")
                return row, rows, self._state(kind, row, rows, listed)
            except Refused:
                if run_id:
                    raise
            except (DemoError, OSError, *ODD):
                continue
        raise JobError(
            f"the files of {chosen[0]['id']} are damaged or too large: choose another run"
        )

    def _state(self, kind: str, row: RunRow, rows: list[Row], listed: list[RunRow]) -> RunState:
        """Return the part of a run's state that is the same for all its viewers.

        It is computed at most twice a second, and whenever there is a new row or status, so that a
        page never gets a row without its figures and texts.
        """
        version = len(rows), row["status"]
        known = self._states.get(row["id"])
        if known and time.monotonic() - known[0] < STATE_SECONDS and known[1] == version:
            return known[2]
        if rows:  # the list of runs may be slightly older
            row = {**row, "step": rows[-1]["step"]}
        run = self.jobs.find(row["id"])
        config = run.config
        options, scale = config["options"], _reward_scale(run)
        said = (row["status"], row["message"])
        if kind == "ppo":
            awaited = self._awaited(run) if row["status"] == Status.QUEUED else ""
            tell = offline_story if is_offline(row["kind"]) else ppo_story
            story = tell(rows, options, *said, awaited)
            figures = _ppo_figures(rows, row, options, scale)
        else:
            report = read_report(run.folder)
            story, figures = reward_story(rows, report, *said), _reward_figures(rows, row, report)
        sample_steps, problem = self._sample_steps(run)
        state: RunState = {
            "run": {**row, "command": repeat_command(config, self.settings.runs)},
            "created": config["created_at"],
            "lines": _lines(row["kind"], options, rows, scale),
            "figures": figures,
            "story": {"what": story.what, "try": story.try_, "level": story.level},
            "sample_steps": sample_steps,
            "texts_problem": problem,
            "inside_step": self.inside.newest(run) if kind == "ppo" else -1,
            "scale": scale,
            "clip_range": options.get("clip_range"),
            "judge": _judge(row["kind"], options) if kind == "ppo" else None,
            "result": ppo_result(run) if kind == "ppo" else "",
            "model_step": newest_model(run, rows)[0],
            "has_model": has_model(run) or row["id"] in EXAMPLE_MODELS,
            "runs": [
                {"id": other["id"], "label": f"{other['title']} ({other['status']})"}
                for other in listed
            ],
        }
        json.dumps(state, allow_nan=False)  # figures from a damaged file may not be numbers
        if len(self._states) > MOST_STATES:
            self._states.clear()
        self._states[row["id"]] = time.monotonic(), version, state
        return state

    def board_samples(self, request: dict[str, Any]) -> StepTexts:
        """Return the texts of one step of a run, token by token."""
        return self._texts(str(request["run"]), int(request["step"]))

    def _texts(self, run_id: str, step: int) -> StepTexts:
        rows = self.tails.rows_of(self.jobs.find(run_id).folder / "samples.jsonl", step)
        shown = [samples.drawn(row) for row in rows[:MOST_TEXTS]]
        said: list[str] = []
        if len(rows) > MOST_TEXTS:
            said.append(f"Of the {len(rows)} texts of this step, the first {MOST_TEXTS} are shown.")
        said += samples.left_out(rows[:MOST_TEXTS])
        return {"step": step, "rows": cast("Any", shown), "left_out": " ".join(said)}

    def board_inside(self, request: dict[str, Any]) -> payloads.InsideStep:
        """Return the inside of a step of a PPO run; `details` is None if they were not kept."""
        return self._inside(str(request["run"]), int(request["step"]))

    def _inside(self, run_id: str, step: int) -> payloads.InsideStep:
        details = None
        # A damaged or large file must not take the board's rows away.
        with suppress(DataError, Refused, *ODD):
            details = self.inside.details(self.jobs.find(run_id), step)
        return {"step": step, "details": details}

    def _ask_again(self, row: RunRow, rows: list[Row]) -> float:
        """Return in how many seconds something new is likely."""
        if row["status"] != Status.RUNNING:
            return QUIET
        seconds = _recent_seconds(rows)
        if not seconds:
            return SOONEST
        written_at = (self.jobs.find(row["id"]).folder / "metrics.jsonl").stat().st_mtime
        wait = written_at + mean(seconds) - time.time()
        return self._turn(row["id"], max(wait, SOONEST))

    def _turn(self, run_id: str, wait: float) -> float:
        """Return in how many seconds a page asks: when no other page of the run does."""
        now = time.time()
        if len(self._turns) > MOST_STATES:
            self._turns.clear()
        turn = max(now + wait, self._turns.get(run_id, now) + APART)
        self._turns[run_id] = turn = min(turn, now + LATEST)
        return turn - now

    def stop_job(self, request: dict[str, Any]) -> dict[str, bool]:
        """Ask a run to stop; only its owner can."""
        run = str(request["run"])
        self.jobs.stop(run, proof(self.jobs, run, request))
        return {"asked": True}

    def resume_job(self, request: dict[str, Any], http: gr.Request) -> dict[str, bool]:
        """Put a stopped or failed run back in the queue; only its owner can."""
        run = str(request["run"])
        self.jobs.resume(run, proof(self.jobs, run, request), address_of(http))
        return {"queued": True}

    def _chosen(self, listed: list[RunRow], run_id: str) -> list[RunRow]:
        """Return only the wanted run; if none is wanted, all of them, in order.

        Raises:
            JobError: there is none.
        """
        if run_id:
            wanted = [row for row in listed if row["id"] == run_id]
            if not wanted:
                raise JobError(f"there is no run {run_id[:60]!r} here: it may have been deleted")
            return wanted
        if not listed:
            raise JobError("there is no run yet: start one above")
        return listed

    def _own_first(self, listed: list[RunRow], request: dict[str, Any]) -> list[RunRow]:
        """Order runs: this visitor's running or queued ones, running ones, ones with figures."""

        def is_own(row: RunRow) -> bool:
            busy = row["status"] in (Status.RUNNING, Status.QUEUED)
            return busy and self.jobs.may_change(row["id"], proof(self.jobs, row["id"], request))

        return sorted(
            listed,
            key=lambda row: (not is_own(row), row["status"] != Status.RUNNING, not row["step"]),
        )

    def _awaited(self, run: Run) -> str:
        """Return the title of the run that must finish before this one starts, and its progress."""
        note = run.folder / "job.json"  # a run started on the command line has none
        after = read_json(note).get("after") if note.is_file() else None
        row = next((row for row in self.jobs.overview() if row["id"] == after), None)
        if row is None:
            return ""
        return row["title"] + (
            f" (step {row['step']} of {row['total_steps']})" if row["step"] else ""
        )

    def _sample_steps(self, run: Run) -> tuple[list[int], str]:
        """Return the steps whose texts can be shown, or why none can be."""
        try:
            return self.tails.steps(run.folder / "samples.jsonl"), ""
        except DataError as error:
            return [], f"The texts cannot be shown: {error}."


def _columns(kind: str, new: list[Row]) -> Columns:
    """Return the rows' figures, metric by metric; some rows lack some figures.

    The browser would draw a copied run's text in place of a figure, however long, as markup.
    """
    keys = charts.keys(BOARDS[kind]) if new else []
    return {key: [figure_or_none(row.get(key)) for row in new] for key in keys}


def _lines(
    kind: str, options: dict[str, Any], rows: list[Row], scale: Scale | None
) -> dict[str, list[Line]]:
    """Return the reference lines of the charts: base, target, budget, coin flip."""
    if kind == "reward":
        return {
            "heldout/loss": [{"y": 0.693, "label": "coin flip", "dash": "dot", "color": "soft"}],
            "heldout/accuracy": [
                {"y": 0.5, "label": "coin flip", "dash": "dot", "color": "soft"},
                *_people_line(options),
            ],
            "reward/margin": [],
        }
    score: list[Line] = [{"y": 0.0, "label": "base", "dash": "dot"}] if scale else []
    if is_offline(kind):  # it has no target, no budget and no other limit
        return {"objective/score": score, "objective/kl": [], "policy/gradient_norm": []}
    lines: list[Line] = []
    budget, target = options["kl_budget"], _kl_target(options)
    if target:
        lines.append({"y": target, "label": f"target {target:g}", "left": True})
    highest = max([row["objective/kl"] for row in rows], default=0.0)
    if max(highest, target) >= budget * NEAR_BUDGET or budget <= 4 * target:
        lines.append({"y": budget, "label": f"stops at {budget:g}", "dash": "dot", "left": True})
    return {
        "objective/score": score,
        "objective/kl": lines,
        "policy/gradient_norm": [
            {"y": options["max_grad_norm"], "label": f"limit {options['max_grad_norm']:g}"}
        ],
    }


def _kl_target(options: dict[str, Any]) -> float:
    """Return the controller's target, 0 for none: it multiplies, so a coefficient of 0 stays 0."""
    return options["kl_target"] if options["kl_coef"] else 0.0


def _reward_scale(run: Run) -> Scale | None:
    """Return mean and standard deviation of the base's raw scores; None for older runs."""
    path = run.folder / "reward_scale.json"
    return read_figures(path, RewardScales)["reward"] if path.is_file() else None


def _judge(kind: str, options: dict[str, Any]) -> dict[str, str] | None:
    """Return the name of a PPO run's judge and what its curve can show; None without a judge.

    Older runs had no judge.
    """
    reward = options["reward"]
    judge = judge_of(options.get("judge", NO_JUDGE), reward)
    if judge == NO_JUDGE:
        return None
    simulated = ", a simulated judge," if judge in SIMULATED else ""
    name, part = Path(judge).name, _part_of_judge(kind, judge, options)
    return {"name": name, "note": f"{name}{simulated} scores the same texts. {part}"}


def _part_of_judge(kind: str, judge: str, options: dict[str, Any]) -> str:
    """Say what the judge had to do with the training."""
    reward = options["reward"]
    teacher = labeller(reward)
    if judge == reward:
        return "It is the reward itself, so the two always agree."
    if is_offline(kind) and judge == labeller_of_pairs(options["data"]):
        return (
            "It labelled the pairs that the policy learned from, so it is the teacher and not an "
            "independent judge."
        )
    if is_offline(kind) and judge == teacher:
        return (
            "The policy learns neither from it nor from the reward. It labelled the pairs that the "
            "reward model learned from, so the two often agree."
        )
    if judge == teacher:
        return (
            "The policy is not trained on it. It labelled the pairs that the reward model learned "
            "from, so it is the teacher and not an independent judge. Where the reward rises and "
            "the judge does not follow, the policy pleases only the reward model."
        )
    if teacher or reward in (*RULES, *SIMULATED, HARSHNESS):
        return (
            "The policy is not trained on it. It did not teach the reward either, so the two may "
            "drift apart without anything being wrong."
        )
    return (
        "The policy is not trained on it. We do not know who labelled the pairs behind the reward. "
        "If it was not this judge, the two may drift apart without anything being wrong."
    )


def ppo_result(run: Run) -> str:
    """Describe in a sentence how good a finished PPO run's model is; empty for older runs."""
    path = run.folder / "report.json"
    if not path.is_file():
        return ""
    report = read_figures(path, PPOReport)
    prompts = "held-out prompts" if report["held_out"] else "of its training prompts"
    score = _minus(f"{report['score']:+.2f}")
    return (
        f"The saved model on {report['prompts']} {prompts}: score {score} \u00b1 "
        f"{report['score_se']:.2f} standard deviations of the base\u2019s scores at KL "
        f"{report['kl']:.2f} \u00b1 {report['kl_se']:.2f} nats per response "
        "(\u00b1 1 standard error). "
        f"A score of 0 is the base\u2019s mean on {SCALE_SAMPLES} texts, which itself has a "
        f"standard error of {SCALE_SAMPLES**-0.5:.2f}."
    )


def _people_line(options: dict[str, Any]) -> list[Line]:
    """Return lines for the agreement between people and for the highest possible accuracy.

    Empty unless the reward model was trained on votes and enough people voted.
    """
    facts = vote_facts(options["data"])
    agree = people_agree(facts)
    if facts is None or agree is None:
        return []
    label = f"other people agree with a vote: {agree:.0%}"
    lines: list[Line] = [{"y": agree, "label": label, "color": "base", "left": True}]
    if facts["highest_accuracy"] is not None:
        most = facts["highest_accuracy"]
        lines.append({"y": most, "label": f"highest possible: {most:.0%}", "color": "soft"})
    return lines


def _ppo_figures(
    rows: list[Row], row: RunRow, options: dict[str, Any], scale: Scale | None
) -> list[tuple[str, str]]:
    """Return the three large figures, each with its unit and what to compare it with."""
    score, kl = "\u2013", "\u2013"
    if known := measured(rows):
        score = _minus(f"{known[-1]['objective/score']:+.2f}")
        if (error := known[-1].get("objective/score_se")) is not None:
            score += f" \u00b1 {error:.2f}"
        kl = _minus(f"{known[-1]['objective/kl']:.1f}")
    holds = _what_holds(row["kind"], options)
    return [
        (score, SCORE_IN_DEVIATIONS if scale else "score, in the reward\u2019s own units"),
        (kl, f"KL from {_start_of(options)} in nats; {holds}"),
        _time(rows, row),
    ]


def _start_of(options: dict[str, Any]) -> str:
    """Name the model that a run started from, from which its KL is counted."""
    start = Path(options["policy"])
    if start.parent.name == "steps":
        return f"{start.parents[1].name} at step {start.name}"
    return start.name


def _what_holds(kind: str, options: dict[str, Any]) -> str:
    """Say what keeps the policy near the base."""
    if "beta" in options:
        return f"DPO\u2019s beta is {options['beta']:g}"
    if is_offline(kind):
        return "nothing holds SFT near the base"
    target = f"target {_kl_target(options):g}" if _kl_target(options) else "no target"
    return f"{target}; the run stops at {options['kl_budget']:g}"


def _reward_figures(
    rows: list[Row], row: RunRow, report: RewardReport | None
) -> list[tuple[str, str]]:
    tested = [row for row in rows if row.get("heldout/accuracy") is not None]
    if report:
        low, high = 100 * report["accuracy_low"], 100 * report["accuracy_high"]
        first = (
            f"{100 * report['accuracy']:.0f}%",
            f"right on {tested_on(report)} [{low:.0f}, {high:.0f}]",
        )
        share = f"{100 * report['baseline_length']:.0f}%"
        second = (share, f"by choosing the {report['baseline_side']} text; a coin flip gets 50%")
    elif tested:
        first = (f"{100 * tested[-1]['heldout/accuracy']:.0f}%", "right on held-out pairs so far")
        second = (
            f"{tested[-1]['heldout/loss']:.2f}",
            "held-out loss, nats per pair; 0.69 is a coin flip",
        )
    else:
        first = ("\u2013", "right on held-out pairs")
        second = ("\u2013", "held-out loss, nats per pair")
    return [first, second, _time(rows, row)]


def _time(rows: list[Row], row: RunRow) -> tuple[str, str]:
    """Return the time left, or how far the run came, with words for it."""
    seconds = _recent_seconds(rows)
    pace = f", {mean(seconds):.1f} s a step" if seconds else ""
    left, step, total = row["seconds_left"], row["step"] or 0, row["total_steps"] or 0
    if row["status"] == Status.RUNNING and step >= total > 0:
        return (f"{step}", f"of {total} steps done; saving the model and measuring it")
    if row["status"] == Status.RUNNING and left is not None:
        return (f"{left:.0f} s" if left < 100 else f"{left / 60:.0f} min", f"left{pace}")
    if row["status"] == Status.QUEUED:
        return (f"{row['place'] or 1}", "position in the queue")
    return (f"{step}", f"of {total} steps{pace}")


def _recent_seconds(rows: list[Row]) -> list[float]:
    return [
        row["time/step_seconds"] for row in rows[-RECENT_STEPS:] if row.get("time/step_seconds")
    ]


def _minus(number: str) -> str:
    """Write a minus as wide as a plus."""
    return number.replace("-", "\u2212")
