"""The reward-model tab: choose preference pairs, inspect them, train on them, test the result."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr

from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.data.hub_datasets import fetch_hub_data
from rlhf_demo.data.pairs import SHIPPED, load_pairs
from rlhf_demo.errors import ConfigError, DemoError, JobError
from rlhf_demo.evaluation.reliability import read_report
from rlhf_demo.explain.token_scores import TextScore, word_contributions
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.server.choices import EXAMPLE_MODELS, RULES, Choice
from rlhf_demo.server.class_records import learned_from_private, without_texts
from rlhf_demo.server.class_training import reward_config
from rlhf_demo.server.compute_lock import Priority
from rlhf_demo.server.payloads import RewardAnswer
from rlhf_demo.server.reading import FileSummary, read_apart, summary
from rlhf_demo.server.submit import REWARD_OPTIONS
from rlhf_demo.server.vote_data import people_agree, vote_facts
from rlhf_demo.ui import forms
from rlhf_demo.ui.panels import charts
from rlhf_demo.ui.panels.board import Board
from rlhf_demo.ui.panels.notice import notice_of
from rlhf_demo.ui.parts import lead, part
from rlhf_demo.ui.shared import SECRET, Shared, secret_input, started
from rlhf_demo.web.addresses import address_of
from rlhf_demo.web.cache import received
from rlhf_demo.web.lanes import heavy

LEAD = (
    "Here a small model learns from judged pairs which of two texts people prefer. It can then "
    "score any text. PPO will write whatever scores high, good or bad, so check below how far "
    "you can trust the model."
)
OPEN = ("train_pairs", "epochs", "learning_rate")
FOLDED = tuple(name for name in REWARD_OPTIONS if name not in OPEN)
NAMES = OPEN + FOLDED
MOST_CHARACTERS = 2000
"""Longest text that can be scored word by word."""
SIMULATED = (
    "The shipped pairs were judged by star-rater, a simulated judge. It is built on the same base "
    "as the reward model, so its taste is easier to learn than a person\u2019s would be."
)


class ScoredText(TextScore):
    """A text's score, and what a difference of scores means."""

    factor: float | None
    """Log-odds that the higher score is preferred, per unit of difference; None if unknown."""


class RewardTab:
    """The tab's form and its handlers."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared

    def build(self, demo: gr.Blocks) -> None:
        """Lay the tab out inside the open Blocks."""
        lead(LEAD, "reward_head", "can it be fooled?")
        with gr.Accordion("New run: choose, then train", open=False, elem_classes="rl-form"):
            with gr.Row():
                model = forms.picker(
                    "Base", "the model that gets a scoring head", value="gpt2-mini"
                )
                data = forms.picker(
                    "Pairs", "the model learns the taste of their judge", value=SHIPPED
                )
                upload = gr.UploadButton(
                    "Upload your own pairs", scale=1, min_width=150, elem_classes="rl-low",
                    file_types=[".jsonl", ".json", ".csv", ".parquet", ".gz"],
                )  # fmt: skip
                start = gr.Button(
                    "Train the reward model", variant="primary", scale=1, min_width=210
                )
            with gr.Accordion("Your own settings", open=False):
                with gr.Row():
                    open_fields = forms.fields(RewardConfig, OPEN)
                with gr.Accordion("More settings", open=False), gr.Row():
                    title = gr.Textbox(
                        label="name",
                        info="the run's name in the lists",
                        max_lines=1,
                        max_length=60,
                    )
                    folded_fields = forms.fields(RewardConfig, FOLDED)
        self.model, self.data, self.fields = model, data, open_fields + folded_fields
        notice = notice_of()
        secret = secret_input()
        preview = part("tabs/reward/preview", [], value=self.preview(SHIPPED, ""))
        board = Board(self.shared.jobs, self.shared.settings)
        part(
            "panels/board",
            [board.board_rows, board.board_samples, board.stop_job, board.resume_job],
            value=charts.REWARD,
        )
        part("tabs/reward/honesty", [self.reward_report])
        part("tabs/reward/scoring", [self.scorers, self.score_text])
        start.click(
            self.start, [model, data, title, *open_fields, *folded_fields, secret], notice,
            js=SECRET, api_visibility="private", show_progress="hidden", queue=False,
        )  # fmt: skip
        data.change(
            self.preview, [data, secret], preview,
            js=SECRET, api_visibility="private", queue=False, show_progress="hidden",
        )  # fmt: skip
        data.input(
            self.passes, data, open_fields[OPEN.index("epochs")],
            api_visibility="private", queue=False, show_progress="hidden",
        )  # fmt: skip
        data.focus(
            self.data_list, secret, data,
            js=SECRET, api_visibility="private", queue=False, show_progress="hidden",
        )  # fmt: skip
        upload.upload(
            self.take_upload, [upload, secret], [data, preview],
            js=SECRET, api_visibility="private", queue=False, show_progress="hidden",
        )  # fmt: skip
        demo.load(
            self.lists, secret, [model, data],
            js=SECRET, api_visibility="private", queue=False, show_progress="hidden",
        )  # fmt: skip

    def lists(self, secret: str) -> list[Any]:
        """Update the lists."""
        choices = self.shared.choices
        return [
            gr.update(choices=choices.policies(), value="gpt2-mini"),
            gr.update(choices=choices.data(secret), value=SHIPPED),
        ]

    def data_list(self, secret: str) -> Any:
        """Update the list of pairs: votes come in while the page is open."""
        return gr.update(choices=self.shared.choices.data(secret))

    def passes(self, data: str) -> int:
        """Return a suitable number of epochs for these pairs: more for few votes."""
        if data in [listed for _, listed in self.shared.choices.votes_listed()]:
            name = self.shared.choices.pairs(data)
            return reward_config(CHECKPOINTS.parent / name, name).epochs
        return RewardConfig().epochs

    def preview(self, data: str, secret: str) -> FileSummary | dict[str, str]:
        """Return ten evenly spaced pairs, and how many rows were dropped and why."""
        choices = self.shared.choices
        try:
            return choices.uploads.summary(str(data), secret) or _summary_of(
                choices.pairs(data, secret)
            )
        except DemoError as error:
            return {"error": str(error)}

    def take_upload(self, path: str | None, secret: str, http: gr.Request) -> list[Any]:
        """Keep the pairs of an uploaded file, list them, and show some."""
        if path is None:
            return [gr.skip(), gr.skip()]
        choices = self.shared.choices
        try:
            with received(Path(path)):
                upload = choices.uploads.keep(path, secret, address_of(http))
        except DemoError as error:
            return [gr.skip(), {"error": str(error)}]
        shown = choices.uploads.summary(upload, secret)
        return [gr.update(choices=choices.data(secret), value=upload), shown]

    def start(
        self, http: gr.Request, model: str, data: str, title: str, *rest: Any
    ) -> dict[str, str]:
        """Queue a run with the form's settings."""
        *values, secret = rest

        def enqueue() -> str:
            options = forms.options(RewardConfig, NAMES, tuple(values))
            return self.shared.submit.reward(model, data, title, options, secret, address_of(http))

        return started("reward", enqueue)

    # -- the parts' server functions ---------------------------------------------------------------

    def reward_report(self, request: dict[str, Any]) -> RewardAnswer:
        """Return a finished run's held-out report, and what is known about its rater or votes.

        The report has no texts if the run learned from texts that not everyone may read.

        Raises:
            JobError: there is no such run, or it trains no reward model.
        """
        run = self.shared.jobs.find(str(request["run"]))
        if run.config["kind"] != "reward":
            raise JobError(f"{run.folder.name} trains no reward model: choose a run that does")
        report = read_report(run.folder)
        if report and learned_from_private(run, self.shared.settings):
            report = without_texts(report)
        data = run.config["options"]["data"]
        facts = vote_facts(data)
        return {
            "report": report,
            "people": people_agree(facts),
            "votes": facts,
            "rater": SIMULATED if data == SHIPPED else "",
        }

    def scorers(self, request: Any) -> dict[str, list[Choice]]:
        """List the scorers that can score a text word by word: all except rules."""
        listed = self.shared.choices.scorers()
        return {"scorers": [choice for choice in listed if choice[1] not in RULES]}

    @heavy
    def score_text(self, request: dict[str, Any]) -> ScoredText:
        """Score any text, and return what each word adds to the score."""
        text, chosen = str(request["text"]), str(request["scorer"])
        if len(text) > MOST_CHARACTERS:
            raise ConfigError(
                f"the text has {len(text):,} characters: give at most {MOST_CHARACTERS:,}"
            )
        name = self.shared.choices.reward(chosen)
        scorer = self.shared.model_cache.scorer(name)
        from rlhf_demo.models.reward_model import RewardModel  # noqa: PLC0415  (torch)

        if not isinstance(scorer, RewardModel):
            raise ConfigError(f"{name} cannot be read word by word: choose a reward model")
        with self.shared.compute_lock.hold(Priority.VISITORS):
            return {**word_contributions(scorer, text), "factor": self._factor(chosen)}

    def _factor(self, chosen: str) -> float | None:
        """Return the `score_std` of a reward model's report: see `reliability.held_out_report`."""
        run_of = {model: run for run, model in EXAMPLE_MODELS.items()}
        listed = {row["id"] for row in self.shared.jobs.overview() if row["kind"] == "reward"}
        run_id = run_of.get(chosen, chosen)
        if run_id not in listed:
            return None
        report = read_report(self.shared.jobs.find(run_id).folder)
        return report["score_std"] if report else None


@lru_cache(maxsize=64)
def _summary_of(name: str) -> FileSummary:
    """Return the summary of shipped pairs, votes or a Hub data set; none of them ever changes."""
    if name == SHIPPED or Path(name).exists():
        return summary(load_pairs(name))
    fetch_hub_data(name)
    return read_apart("hub", Path(name), Path(os.devnull), public=False)
