"""The section "Too much of a good thing": the shipped curves, and a run of one's own, live."""

import time
from typing import Any

import gradio as gr

from rlhf_demo.config.command_line import repeat_command
from rlhf_demo.config.overoptimise import SIZES, OveroptimiseConfig
from rlhf_demo.errors import JobError
from rlhf_demo.evaluation.overoptimisation import KIND, Study, phase, record, study_of
from rlhf_demo.runs.run import Status
from rlhf_demo.server.payloads import Labelled, OveroptimisationState
from rlhf_demo.ui import forms
from rlhf_demo.ui.panels.board import Board
from rlhf_demo.ui.panels.notice import notice_of
from rlhf_demo.ui.parts import part
from rlhf_demo.ui.shared import SECRET, Shared, proof, secret_input, started
from rlhf_demo.web.addresses import address_of

TITLE = "Too much of a good thing: what happens when a reward is pushed too far"
USUAL = OveroptimiseConfig()
LEAD = (
    "A reward model knows only the pairs that it learned from, so it is a <b>proxy</b> for what "
    "people want. Here two methods maximise its score: PPO without a KL penalty "
    f"({USUAL.total_steps} steps of {USUAL.ppo.batch_size} responses), and best-of-N of the base "
    f"({USUAL.best_of} responses to each of {USUAL.best_of_prompts} prompts). A simulated judge, "
    "fluency-judge, scores the same texts; nothing maximises its score. star-rater labelled the "
    "pairs. fluency-judge takes star-rater\u2019s score and subtracts a penalty for repetition and "
    "for text that the base finds unlikely; the pairs do not teach these penalties. Does the "
    "judge\u2019s gain follow the proxy\u2019s? Gao et al. 2022 (arXiv 2210.10760) drew such "
    "curves; there the judge had also labelled the pairs."
)
NAMES = ("seed",)
QUICK, SLOW = 2.0, 8.0
"""Seconds until a page asks again: while the run runs, and otherwise."""
STATE_SECONDS = 1.0
"""How long all viewers of a run share one computed study."""


class Overoptimisation:
    """The section's form, and the server functions of its part."""

    def __init__(self, shared: Shared) -> None:
        self.shared, self.jobs = shared, shared.jobs
        self._studies: dict[str, tuple[float, Study]] = {}

    def build(self) -> None:
        """Lay the section out inside the open tab."""
        gr.HTML(
            f'<h2 class="rl-h2">{TITLE}</h2><p class="rl-lead">{LEAD}</p>', elem_classes="rl-plain"
        )
        with gr.Row(elem_classes="rl-form"):
            pairs = gr.Radio(
                [(f"{size:,} pairs", size) for size in SIZES], value=SIZES[0],
                label="The proxy learns from", info="of the shipped pairs", scale=3,
            )  # fmt: skip
            fields = forms.fields(OveroptimiseConfig, NAMES)
            start = gr.Button("Push it too far", variant="primary", scale=1, min_width=180)
        notice, secret = notice_of(), secret_input()
        board = Board(self.jobs, self.shared.settings)
        part(
            "panels/overoptimisation",
            [self.overoptimisation, board.stop_job, board.resume_job],
            value=record(),
        )
        start.click(
            self.start, [pairs, *fields, secret], notice,
            js=SECRET, api_visibility="private", show_progress="hidden", queue=False,
        )  # fmt: skip

    def start(self, http: gr.Request, pairs: Any, *rest: Any) -> dict[str, str]:
        """Queue a run with the form's settings."""
        *values, secret = rest

        def enqueue() -> str:
            names = ("train_pairs", *NAMES)
            options = forms.options(OveroptimiseConfig, names, (pairs, *values))
            return self.shared.submit.overoptimise("", options, secret, address_of(http))

        return started(KIND, enqueue)

    def overoptimisation(self, request: dict[str, Any]) -> OveroptimisationState:
        """Return the list of runs, and what one of them has shown so far.

        Args:
            request: `run` id (empty for none), `secret`, `start` (see `shared.proof`).

        Raises:
            JobError: there is no such run, or its files are damaged.
        """
        listed = [row for row in self.jobs.overview() if row["kind"] == KIND]
        runs: list[Labelled] = [
            {"id": row["id"], "label": f"{row['title']} ({row['status']})"} for row in listed
        ]
        wanted = str(request.get("run") or "")
        if not wanted:
            return {"run": None, "runs": runs, "study": None, "phase": "", "ask_again": SLOW}
        row = next((row for row in listed if row["id"] == wanted), None)
        if row is None:
            raise JobError(f"there is no run {wanted[:60]!r} here: it may have been deleted")
        mine = self.jobs.may_change(row["id"], proof(self.jobs, row["id"], request))
        config = self.jobs.find(row["id"]).config
        command = repeat_command(config, self.shared.settings.runs)
        busy = row["status"] in (Status.RUNNING, Status.QUEUED)
        return {
            "run": {**row, "command": command, "mine": mine},
            "runs": runs,
            "study": self._study(row["id"]),
            "phase": self._phase(row["id"]) if row["status"] == Status.RUNNING else "",
            "ask_again": QUICK if busy else SLOW,
        }

    def _phase(self, run_id: str) -> str:
        return phase(self.jobs.find(run_id), self.jobs.tails.rows)

    def _study(self, run_id: str) -> Study:
        """Return a run's curves, computed at most once a second for all pages.

        Raises:
            JobError: its files are damaged.
        """
        known = self._studies.get(run_id)
        if known and time.monotonic() - known[0] < STATE_SECONDS:
            return known[1]
        made = study_of(self.jobs.find(run_id), self.jobs.tails.rows)
        self._studies = {run_id: (time.monotonic(), made)}
        return made
