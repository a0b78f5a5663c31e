"""The Runs tab: all runs, the settings and result of one, and the curves of two.

Everyone can view and download every run. Only its owner can change it: jobs/queue.py checks the
secret that each request carries.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import Field
from pathlib import Path
from typing import Any

import gradio as gr

from rlhf_demo.config.command_line import repeat_command
from rlhf_demo.config.options import declarations
from rlhf_demo.config.stages import STAGES, Task, is_offline, on_board
from rlhf_demo.errors import DemoError, JobError
from rlhf_demo.evaluation.reliability import read_report
from rlhf_demo.files import is_figure
from rlhf_demo.jobs.job import DAMAGED
from rlhf_demo.jobs.run_rows import RunRow
from rlhf_demo.metrics import GLOSSARY
from rlhf_demo.paths import CHECKPOINTS, REPOSITORY
from rlhf_demo.runs.reward_stories import tested_on
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.server.choices import has_model
from rlhf_demo.server.class_records import log_for
from rlhf_demo.server.payloads import (
    ChangedSetting,
    DeletedRun,
    ListedRun,
    PickedRun,
    RunCurves,
    RunsState,
)
from rlhf_demo.ui.panels.board import ODD, Board, ppo_result
from rlhf_demo.ui.parts import lead, part
from rlhf_demo.ui.shared import Shared, proof
from rlhf_demo.ui.tabs import ppo as ppo_tab
from rlhf_demo.ui.tabs import reward as reward_tab
from rlhf_demo.ui.tabs.ppo import PPOTab
from rlhf_demo.ui.tabs.reward import RewardTab
from rlhf_demo.votes.pairs import FEWEST_TO_TELL
from rlhf_demo.web.addresses import address_of
from rlhf_demo.web.downloads import forget_zip, link_to, zip_folder
from rlhf_demo.web.lanes import heavy

LEAD = (
    "Every run on this page, from all visitors: its settings, its result, and the command that "
    "repeats it. Tick two runs of the same kind to overlay their curves."
)


class RunsTab:
    """The tab's part and its server functions."""

    def __init__(self, shared: Shared) -> None:
        self.shared, self.jobs = shared, shared.jobs
        self.tails = shared.jobs.tails
        self._pairs: dict[tuple[str, str], int | None] = {}

    def build(self, demo: gr.Blocks) -> None:
        """Lay the tab out inside the open Blocks."""
        lead(LEAD, "alternatives", "what else could we train?")
        board = Board(self.jobs, self.shared.settings)
        self.part = part(
            "tabs/runs",
            [
                self.runs_state, self.run_curves, self.delete_run, self.zip_run,
                self.check_password, board.stop_job, board.resume_job,
            ],
            value={"password": self.shared.settings.password is not None},
        )  # fmt: skip

    def fill_forms(self, ppo: PPOTab, reward: RewardTab) -> None:
        """Connect the forms of the other tabs, already laid out, so that runs can fill them."""
        named = {"policy": ppo.policy, "reward": ppo.reward, "judge": ppo.judge}
        policy = named | dict(zip(ppo_tab.NAMES, ppo.fields, strict=True))
        offline = dict(zip(ppo_tab.OFFLINE_NAMES, ppo.offline_fields, strict=True))
        self.method = ppo.method
        self.forms = {
            **{
                kind: named | {"data": ppo.data} | offline if is_offline(kind) else policy
                for kind in on_board("ppo")
            },
            "reward": {
                "model": reward.model, "data": reward.data,
                **dict(zip(reward_tab.NAMES, reward.fields, strict=True)),
            },
        }  # fmt: skip
        fields = dict.fromkeys(field for form in self.forms.values() for field in form.values())
        self.part.select(
            self.again, None, [self.method, *fields],
            api_visibility="private", show_progress="hidden",
        )  # fmt: skip

    def again(self, event: gr.EventData) -> dict[Any, Any]:
        """Fill the form with a run's settings, for a new run."""
        try:
            filled = self.filled(str(event.run))
            config = self.jobs.find(str(event.run)).config
        except DemoError as error:
            raise gr.Error(str(error), print_exception=False) from None
        form = self.forms[config["kind"]]
        outside = [_in_words(one.name) for one in _changed(config) if one.name not in form]
        emptied = [
            f"\u201c{field.label}\u201d"
            for field, shown in filled.items()
            if isinstance(shown, dict) and shown["value"] is None
        ]
        gr.Info(_filled_words(emptied, outside))
        return filled

    def filled(self, run_id: str) -> dict[Any, Any]:
        """Return the values of the form's fields for a run's settings.

        A field is emptied if the run's setting is not in the field's list.

        Raises:
            DemoError: there is no such run, or this kind of run cannot be started here.
        """
        config, choices = self.jobs.find(run_id).config, self.shared.choices
        if config["kind"] not in self.forms:
            raise JobError(f"{run_id} has no form on this page: repeat it with its command")
        named = {
            "policy": (choices.policies, choices.policy),
            "model": (choices.policies, choices.policy),
            "reward": (choices.rewards, choices.reward),
            "judge": (choices.judges, choices.judge),
            "data": (choices.data, choices.pairs),
        }
        values: dict[Any, Any] = {}
        if config["kind"] in on_board("ppo"):
            values[self.method] = config["kind"]
        for name, field in self.forms[config["kind"]].items():
            value = config["options"].get(name)
            if name in named:
                choices_listed, engine_name = named[name][0](), named[name][1]
                chosen = choices.listed_as(value, choices_listed, engine_name)
                values[field] = gr.update(choices=choices_listed, value=chosen)
            elif value is not None:
                values[field] = value
        return values

    # -- viewing -----------------------------------------------------------------------------------

    def runs_state(self, request: dict[str, Any]) -> RunsState:
        """Return all runs, newest first, and the details of the picked one.

        Args:
            request: `run` picked (empty: none), `secret`, `start` (see `shared.proof`).
        """
        rows = self.jobs.overview()
        picked = str(request.get("run") or "")
        row = next((row for row in rows if row["id"] == picked), None)
        return {
            "runs": [_listed(listed, self._held_out_pairs(listed)) for listed in rows],
            "picked": row and self._details(row, request),
        }

    def run_curves(self, request: dict[str, Any]) -> dict[str, list[RunCurves]]:
        """Return the curves of at most two runs, to overlay them."""
        return {"runs": [self._curves(str(run_id)) for run_id in list(request["runs"])[:2]]}

    def _held_out_pairs(self, row: RunRow) -> int | None:
        """Return how many different pairs a finished reward model was tested on, if known."""
        if row["kind"] != "reward" or row["status"] != Status.FINISHED:
            return None
        key = row["id"], row["created_at"]
        if key not in self._pairs:
            self._pairs[key] = None  # an older report, or an odd one, has no such number
            with suppress(DemoError, OSError, *ODD):
                report = read_report(self.jobs.find(row["id"]).folder)
                self._pairs[key] = report["different_pairs"] if report else None
        return self._pairs[key]

    def _details(self, row: RunRow, request: dict[str, Any]) -> PickedRun:
        details: PickedRun = {
            "id": row["id"],
            "title": row["title"],
            "kind": row["kind"],
            "status": row["status"],
            "message": row["message"],
            "example": row["example"],
            "mine": self.jobs.may_change(row["id"], proof(self.jobs, row["id"], request)),
            "damaged": row["kind"] == DAMAGED,
        }
        if details["damaged"]:  # its files cannot be read
            return details
        try:
            return self._with_files(details, row)
        except (DemoError, OSError, *ODD):
            message = "its files are damaged, or another version wrote them"
            return {**details, "damaged": True, "message": message}

    def _with_files(self, details: PickedRun, row: RunRow) -> PickedRun:
        run = self.jobs.find(row["id"])
        config = run.config
        return {
            **details,
            "has_board": STAGES[row["kind"]].tab is not None,
            "has_model": has_model(run),
            "result": _result(run, row),
            "settings": changed_settings(config, self.shared.settings.runs),
            "command": repeat_command(config, self.shared.settings.runs),
            "log": log_for(self.jobs, row, self.shared.settings, mine=details["mine"]),
        }

    def _curves(self, run_id: str) -> RunCurves:
        run = self.jobs.find(run_id)
        kind = run.config["kind"]
        rows = self.tails.rows(run.folder / "metrics.jsonl")
        return {
            "id": run_id,
            "curves": {
                key: [(row["step"], row[key]) for row in rows if is_figure(row.get(key))]
                for key in STAGES[kind].headline
            },
        }

    # -- changing ----------------------------------------------------------------------------------

    def delete_run(self, request: dict[str, Any], http: gr.Request) -> DeletedRun:
        """Delete a run and everything it made; only its owner can.

        Args:
            request: `run`, `secret`, `start` (see `shared.proof`), and `sure` to delete it even
                though finished runs were trained from its model.
            http: holds the address that the request comes from.
        """
        run = str(request["run"])
        secret = proof(self.jobs, run, request)
        if not request.get("sure") and self.jobs.may_change(run, secret):
            if needed_by := self._trained_from(run):
                return {"deleted": False, "needed_by": needed_by}
        self.jobs.delete(run, secret, address_of(http))
        forget_zip(run)
        return {"deleted": True, "needed_by": []}

    def _trained_from(self, run_id: str) -> list[str]:
        """Return the titles of finished runs that began with a run's model, as their KL still does.

        Without it, nobody can compare them with what they began with.
        """
        folder = self.jobs.find(run_id).folder.resolve()
        finished = [row for row in self.jobs.overview() if row["status"] == Status.FINISHED]
        return [
            row["title"]
            for row in finished
            if not row["example"] and _began_with(self.jobs.options(row["id"]), folder)
        ]

    def check_password(self, request: dict[str, Any], http: gr.Request) -> dict[str, str]:
        """Return the instructor's token in exchange for the password.

        Raises:
            Refused: the password is wrong, this page has none, or there were too many attempts.
        """
        return {"token": self.shared.instructor.admit(str(request["password"]), address_of(http))}

    # -- downloading -------------------------------------------------------------------------------

    @heavy
    def zip_run(self, request: dict[str, Any]) -> dict[str, str | int]:
        """Make a zip of a run, and return a link to it.

        Raises:
            JobError: there is no such run, it is too large, or it changed while being packed.
        """
        run = self.jobs.find(str(request["run"]))
        target = zip_folder(run, self.shared.settings)
        self.part.temp_files.add(str(target))  # Gradio removes it after a day
        return {"link": link_to(target), "bytes": target.stat().st_size}


def _began_with(options: dict[str, Any], folder: Path) -> bool:
    """Say whether a run's options name a model in this folder."""
    named = (options.get(name) for name in ("policy", "model"))
    return any((REPOSITORY / one).is_relative_to(folder) for one in named if isinstance(one, str))


def _listed(row: RunRow, pairs: int | None) -> ListedRun:
    return {
        "id": row["id"],
        "title": row["title"],
        "kind": row["kind"],
        "status": row["status"],
        "place": row["place"],
        "step": row["step"],
        "total_steps": row["total_steps"],
        "created_at": row["created_at"],
        "example": row["example"],
        "of_class": row["of_class"],
        "figures": final_figures(row, pairs),
    }


def final_figures(row: RunRow, pairs: int | None = None) -> list[tuple[str, str, str]]:
    """Return the newest figures of a run: name, value and colour of each.

    Args:
        row: the run.
        pairs: the number of held-out pairs behind a reward model's accuracy, if known.
    """
    figures, kind = row["figures"], row["kind"]
    if row["experiment"] and figures:  # they would give its answer away
        return [("figures on the PPO tab", "predict first:", "soft")]
    if {"objective/score", "objective/kl"} <= figures.keys():
        score, kl = figures["objective/score"], figures["objective/kl"]
        return [
            ("score", _minus(f"{score:+.2f}") + " SD", "score"),
            ("KL", _minus(f"{kl:.1f}") + " nats", "kl"),
        ]
    if kind == "reward" and pairs is not None and pairs < FEWEST_TO_TELL:
        return [("held-out accuracy", "too few pairs to tell", "soft")]
    if kind == "reward" and "heldout/accuracy" in figures:
        return [("held-out accuracy", f"{100 * figures['heldout/accuracy']:.0f}%", "score")]
    headline = STAGES[kind].headline if kind in STAGES else ()
    shown = [name for name in headline if name in figures]
    return [(GLOSSARY[name].label, _minus(f"{figures[name]:.3g}"), "soft") for name in shown]


def _result(run: Run, row: RunRow) -> str:
    """Describe in a sentence how good a finished run's model is, with interval and baselines."""
    if row["experiment"]:  # a result would give its answer away
        return "This run is an experiment: say on the PPO tab what you expect, then see its result."
    if row["kind"] in on_board("ppo"):
        return ppo_result(run)
    report = read_report(run.folder) if row["kind"] == "reward" else None
    if report is None:
        return ""
    low, high = 100 * report["accuracy_low"], 100 * report["accuracy_high"]
    return (
        f"It gets {100 * report['accuracy']:.0f}% [{low:.0f}, {high:.0f}] of {tested_on(report)} "
        f"right. Choosing the {report['baseline_side']} text gets "
        f"{100 * report['baseline_length']:.0f}% right, and a coin flip 50%."
    )


def _filled_words(emptied: Sequence[str], outside: Sequence[str]) -> str:
    """Say what a form has of a run's settings, and what it has not.

    Args:
        emptied: labels of fields whose list lacks what the run had.
        outside: settings of the run, other than the defaults, that no form of the page has.
    """
    words = ["The form now has this run's settings."]
    if emptied:
        words.append(f"Choose {' and '.join(emptied)} anew: what the run had is not in the list.")
    if outside:
        words.append(f"The form does not have {', '.join(outside)}: a new run gets the default.")
    return " ".join([*words, "Change them under Your own settings, then start."])


def changed_settings(config: Task, runs: Path) -> list[ChangedSetting]:
    """Return a run's options that differ from the defaults: name, value, default, meaning."""
    options = config["options"]
    return [
        {
            "name": _in_words(declared.name),
            "value": _without_folder(options[declared.name], runs),
            "default": "none" if declared.default is None else str(declared.default),
            "meaning": declared.metadata["help"],
        }
        for declared in _changed(config)
    ]


def _changed(config: Task) -> list[Field[Any]]:
    """Return the declarations of a run's options that differ from the defaults."""
    options = config["options"]
    return [
        declared
        for declared, _, _ in declarations(STAGES[config["kind"]].config)
        if options.get(declared.name, declared.default) != declared.default
    ]


def _in_words(option: str) -> str:
    return option.replace("_", " ")


def _without_folder(value: Any, runs: Path) -> str:
    """Replace the folder of a run by its id."""
    home, runs = CHECKPOINTS.parent, runs.resolve()
    if isinstance(value, str) and (home / value).is_relative_to(runs):
        return str((home / value).relative_to(runs))
    return str(value)


def _minus(text: str) -> str:
    return text.replace("-", "\u2212")
