"""The Compare tab: two models continue one prompt while you watch, then many prompts."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from rlhf_demo.config.evaluation import MOST_BEST_OF, BestOfOptions, DuelOptions
from rlhf_demo.config.scorers import STAR_RATER
from rlhf_demo.data.pairs import SHIPPED
from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.errors import ConfigError, DemoError
from rlhf_demo.files import read_json
from rlhf_demo.runs.reports import CompareReport
from rlhf_demo.server.choices import Choices
from rlhf_demo.server.comparisons import (
    EXAMPLE_PATH,
    MOST_CHARACTERS,
    DuelRecord,
    ManyRecord,
    Record,
    check_prompt,
)
from rlhf_demo.server.judges import judges
from rlhf_demo.server.payloads import BestOfState
from rlhf_demo.ui import forms
from rlhf_demo.ui.panels.blind_vote import BlindVote
from rlhf_demo.ui.panels.frontier import FrontierSection
from rlhf_demo.ui.panels.overoptimisation import Overoptimisation
from rlhf_demo.ui.parts import lead, part
from rlhf_demo.ui.shared import EXAMPLES, Shared, in_labels
from rlhf_demo.web.addresses import address_of
from rlhf_demo.web.lanes import heavy

LEAD = (
    "Here two models continue the same prompt with the same random numbers, so any difference "
    "between their texts comes from the models and not from chance. One prompt shows what training "
    "changed; many prompts show whether the change is an improvement."
)
MANY_LEAD = (
    "One text proves little. Here the two models above answer many prompts: your own, or shipped "
    "ones that were not used for training or for choosing settings. The temperature, length and "
    "seed are those set above. For each prompt, two judges say whose text is better: the judge you "
    "choose here, and a second one that shares no network with it. To see what choosing alone is "
    "worth, take the same model on both sides, and let the one on the right answer with the best "
    "of several responses."
)
BEST_LEAD = (
    "Best-of-N needs no training: the model writes N responses to one prompt, and the scorer "
    "chooses the one with the highest score. The temperature, length and seed are those set above."
)
NAMES = ("temperature", "top_k", "top_p", "max_new_tokens", "seed")
FEWEST, MOST, MOST_OWN = 8, 256, 64
"""Fewest and most shipped prompts, and most prompts of one's own, in one comparison."""
PROMPTS: dict[str, DuelOptions] = {
    "This morning I went to the ": DuelOptions(max_new_tokens=20, top_k=0, top_p=1.0),
    "This film is": DuelOptions(),
    "I watched this with my sister and": DuelOptions(),
    "The best scene of the movie": DuelOptions(),
}
"""Example prompts, with the settings for sampling from them."""
FIRST_PROMPT = "I watched this with my sister and"
DEFAULTS = ("gpt2-mini", "gpt2-mini-ppo", "reward-mini", STAR_RATER)
"""Left model, right model, scorer, judge."""
BEST_DEFAULTS = ("gpt2-mini", "reward-mini")
"""Model and scorer of best-of-n."""
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
AT_ONCE: dict[str, Any] = QUIET | {"queue": False}


class CompareTab:
    """The tab's forms and their handlers."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared

    # -- laying out --------------------------------------------------------------------------------

    def build(self, demo: gr.Blocks) -> None:
        """Lay the tab out inside the open Blocks."""
        self._lay_out_one_prompt()
        BlindVote(self.shared).build(self.left, self.right)
        self._lay_out_best_of_n()
        self._lay_out_many_prompts()
        FrontierSection(self.shared).build()
        Overoptimisation(self.shared).build()
        pickers = [self.left, self.right, self.scorer, self.judge]
        gr.on([picker.focus for picker in pickers], self.lists, None, pickers, **AT_ONCE)
        best_pickers = [self.model, self.chooser]
        focused = [picker.focus for picker in best_pickers]
        gr.on(focused, self.best_lists, None, best_pickers, **AT_ONCE)
        demo.load(
            self.opened, None,
            [
                *pickers, self.count, self.duel, self.many, self.prompt, *self.fields, self.best_of,
                *best_pickers,
            ],
            **AT_ONCE,
        )  # fmt: skip

    def _lay_out_one_prompt(self) -> None:
        lead(LEAD, "changed", "what did PPO change?")
        with gr.Column(elem_classes="rl-form"):
            with gr.Row():
                self.left = self._picker("Left", "the model to compare with", DEFAULTS[0])
                self.right = self._picker("Right", "the model to test", DEFAULTS[1])
                self.scorer = self._picker("Score with", "gives each text a number", DEFAULTS[2])
            with gr.Row():
                self.prompt = gr.Textbox(
                    label="Prompt", value=FIRST_PROMPT, scale=5,
                    max_lines=3, max_length=MOST_CHARACTERS,
                )  # fmt: skip
                write = gr.Button("Write side by side", variant="primary", scale=1, min_width=180)
            with gr.Row(elem_classes="rl-examples-row"):
                examples = [gr.Button(text, size="sm", min_width=0) for text in PROMPTS]
                again = gr.Button("Again with the next seed", size="sm", min_width=0)
            with gr.Accordion("Temperature, top-k, top-p, length, seed", open=False), gr.Row():
                self.fields = forms.fields(DuelOptions, NAMES)
                seed = self.fields[-1]
        self.duel = part("tabs/compare/duel", [self.get_ready], value=_example_duel())

        asked = [self.left, self.right, self.scorer, self.prompt, *self.fields]
        in_turn = {**QUIET, "concurrency_id": "model", "concurrency_limit": 1}
        gr.on([write.click, self.prompt.submit], self.write, asked, self.duel, **in_turn)
        filled = [self.prompt, *self.fields]
        prepared = [
            *(example.click(self.take_example, example, filled, **AT_ONCE) for example in examples),
            again.click(next_seed, seed, seed, **AT_ONCE),
            self.duel.select(self.use, None, [self.left, self.right, self.scorer], **AT_ONCE),
        ]
        for form_is_filled in prepared:
            form_is_filled.then(self.write, asked, self.duel, **in_turn)

    def _lay_out_best_of_n(self) -> None:
        gr.HTML(
            f'<h2 class="rl-h2">Best of N</h2><p class="rl-lead">{BEST_LEAD}</p>',
            elem_classes="rl-plain",
        )
        with gr.Column(elem_classes="rl-form"):
            with gr.Row():
                self.model = self._picker("Model", "writes N responses", BEST_DEFAULTS[0])
                self.chooser = self._picker(
                    "Choose by", "the response with the highest score wins", BEST_DEFAULTS[1]
                )
                best_of = gr.Slider(
                    1, MOST_BEST_OF, 16, step=1, label="N", info="responses to write", min_width=230
                )
            with gr.Row():
                prompt = gr.Textbox(
                    label="Prompt for the N responses", value=FIRST_PROMPT, scale=5,
                    max_lines=3, max_length=MOST_CHARACTERS,
                )  # fmt: skip
                write = gr.Button("Write and choose", min_width=180)
        best = part("tabs/compare/best_of_n", [], css_class="best")
        gr.on(
            [write.click, prompt.submit], self.write_best,
            [self.model, self.chooser, prompt, best_of, *self.fields], best,
            **QUIET, concurrency_id="best", concurrency_limit=1,
        )  # fmt: skip

    def _lay_out_many_prompts(self) -> None:
        gr.HTML(
            f'<h2 class="rl-h2">Many prompts at once</h2><p class="rl-lead">{MANY_LEAD}</p>',
            elem_classes="rl-plain",
        )
        with gr.Column(elem_classes="rl-form"):
            with gr.Row():
                self.judge = self._picker(
                    "Judge", "the text with the higher score wins", DEFAULTS[3]
                )
                self.count = gr.Number(
                    label="Prompts", info=f"shipped prompts, {FEWEST} to {MOST}", value=64,
                    precision=None, step=1, min_width=150,
                )  # fmt: skip
                self.best_of = gr.Number(
                    label="On the right: the best of", value=1, precision=None, step=1,
                    info=f"1 to {MOST_BEST_OF} responses, chosen by \u201cScore with\u201d",
                    min_width=230,
                )  # fmt: skip
                start = gr.Button("Compare on many prompts", min_width=190)
            with gr.Accordion("Your own prompts", open=False):
                own = gr.Textbox(
                    value="", label="Your own prompts", show_label=False, container=False,
                    lines=4, max_lines=12,
                    placeholder=f"One per line, at most {MOST_OWN}, instead of the shipped ones.",
                )  # fmt: skip
        self.many = part("tabs/compare/many", [], value=example_report(self.shared.choices))
        # A queue of its own: a duel waits for one chunk of prompts, not for a whole comparison.
        start.click(
            self.write_many,
            [
                self.left, self.right, self.judge, self.scorer, self.count, own,
                self.best_of, *self.fields,
            ],
            self.many,
            **QUIET, concurrency_id="many", concurrency_limit=1,
        )  # fmt: skip

    def _picker(self, label: str, info: str, value: str) -> gr.Dropdown:
        return forms.picker(label, info, value=value, min_width=230)

    # -- filling the forms -------------------------------------------------------------------------

    def lists(self) -> list[Any]:
        """Update the lists, and keep what is chosen."""
        choices = self.shared.choices
        models, rewards = choices.contestants(), choices.scorers()
        return [gr.update(choices=listed) for listed in (models, models, rewards, rewards)]

    def best_lists(self) -> list[Any]:
        """Update the lists of best-of-n, and keep what is chosen."""
        choices = self.shared.choices
        return [gr.update(choices=one) for one in (choices.contestants(), choices.scorers())]

    def opened(self, request: gr.Request) -> list[Any]:
        """Fill the tab when the page opens, with the comparison that its address names, if any."""
        best = self.best_lists()
        for update, default in zip(best, BEST_DEFAULTS, strict=True):
            update["value"] = default
        return [*self.page(request.query_params.get("compare")), *best]

    def page(self, name: str | None) -> list[Any]:
        """Return the lists and the other fields of an opened page; `name` is a record's id."""
        chosen, rest = DEFAULTS, [gr.skip()] * (5 + len(NAMES))
        if name:
            try:
                chosen, rest = _as_asked(self.shared.comparisons.open(name))
            except DemoError as error:
                rest[1] = {"error": str(error)}
        lists = self.lists()
        for update, wanted, default in zip(lists, chosen, DEFAULTS, strict=True):
            update["value"] = wanted if wanted in _ids(update) else default
        return [*lists, *rest]

    def take_example(self, prompt: str) -> list[Any]:
        """Fill the form with an example's prompt and settings."""
        options = PROMPTS.get(prompt, DuelOptions()).to_dict()
        return [prompt, *(options[name] for name in NAMES)]

    def use(self, event: gr.EventData) -> list[Any]:
        """Choose the PPO run that another tab hands over."""
        return self.take_run(str(event.run))

    def take_run(self, run_id: str) -> list[Any]:
        """Choose a run on the right, its starting model on the left, and its reward as scorer.

        A finished example is not a run of this machine; its model is the shipped one.
        """
        left, right, scorer, _ = self.lists()
        for update, default in zip((left, right, scorer), DEFAULTS, strict=False):
            update["value"] = default
        if run_id in _ids(right):
            right["value"] = run_id
            options, choices = self.shared.jobs.find(run_id).config["options"], self.shared.choices
            for update, engine_name, wanted in (
                (left, choices.policy, options.get("policy")),
                (scorer, choices.reward, options.get("reward")),
            ):
                chosen = choices.listed_as(wanted, update["choices"], engine_name)
                update["value"] = chosen or update["value"]
        return [left, right, scorer]

    # -- comparing ---------------------------------------------------------------------------------

    @heavy
    def get_ready(self, request: Any) -> dict[str, bool]:
        """Load the models that most people compare first, while they read the page."""
        left, right, scorer, _ = DEFAULTS
        self.shared.comparing.load(left, right, scorer)
        return {"ready": True}

    def write(
        self, http: gr.Request, left: str, right: str, scorer: str, prompt: str, *values: Any
    ) -> Iterator[DuelRecord | dict[str, str]]:
        """Let two models write, and yield each state for the duel part."""
        try:
            options = DuelOptions(**forms.options(DuelOptions, NAMES, values))
            yield from self.shared.comparing.one_prompt(
                left, right, scorer, prompt, options, address_of(http)
            )
        except DemoError as error:
            yield {"error": in_labels(error)}

    def write_best(
        self, model: str, chooser: str, prompt: str, *values: Any
    ) -> Iterator[BestOfState | dict[str, str]]:
        """Let a model write several responses, and yield each state for the part on best-of-n."""
        try:
            yield from self.shared.comparing.best_of_n(model, chooser, prompt, _best_of(values))
        except DemoError as error:
            yield {"error": in_labels(error)}

    def write_many(
        self,
        http: gr.Request,
        left: str,
        right: str,
        judge: str,
        chooser: str,
        count: float | None,
        own: str,
        *values: Any,
    ) -> Iterator[ManyRecord | dict[str, str]]:
        """Let two models answer many prompts, and yield each state for the other part."""
        try:
            options, prompts = _best_of(values), _prompts(count, own)
            yield from self.shared.comparing.many_prompts(
                left, right, judge, chooser, prompts, options, address_of(http),
                own=bool(own.strip()),
            )  # fmt: skip
        except DemoError as error:
            yield {"error": in_labels(error)}


def next_seed(seed: int | None) -> int:
    """Return the seed after this one."""
    return (int(seed or 0) + 1) % 2**31


def _best_of(values: tuple[Any, ...]) -> BestOfOptions:
    """Return the options from the number of responses and the form's fields.

    Raises:
        ConfigError: a value is missing, of the wrong type, or outside its range.
    """
    return BestOfOptions(**forms.options(BestOfOptions, ("best_of", *NAMES), values))


def _prompts(count: float | None, own: str) -> list[str]:
    """Return the visitor's own prompts, else `count` of the shipped test prompts."""
    lines = [line for line in own.splitlines() if line.strip()]
    if len(lines) > MOST_OWN:
        raise ConfigError(f"there are {len(lines)} prompts of your own: give at most {MOST_OWN}")
    if lines:
        for line in lines:
            check_prompt(line)
        return lines
    if count is None or not float(count).is_integer() or not FEWEST <= count <= MOST:
        given = "empty" if count is None else f"{count:g}"
        raise ConfigError(f"prompts is {given}: give a whole number from {FEWEST} to {MOST}")
    return load_prompts(SHIPPED, "test")[: int(count)]


def _ids(update: dict[str, Any]) -> list[str]:
    """Return the ids of an updated list."""
    return [listed for _, listed in update["choices"]]


def _as_asked(record: Record) -> tuple[tuple[str, ...], list[Any]]:
    """Return the choices of a saved comparison, and its page's other fields."""
    settings = record["settings"]
    models, scorer = (settings["left"]["id"], settings["right"]["id"]), settings["scorer"]["id"]
    if record["kind"] == "duel":
        fields = [settings.get(name, gr.skip()) for name in ("prompt", *NAMES)]
        rest = [gr.skip(), record, gr.skip(), *fields, gr.skip()]
        return (*models, scorer, DEFAULTS[3]), rest
    report: dict[str, Any] = dict(record.get("report", {}))
    fields = [gr.skip(), *(report.get(name, gr.skip()) for name in NAMES)]
    count = gr.skip() if settings.get("own") else report.get("prompts", gr.skip())
    chooser = settings["chosen_by"]["id"] if "chosen_by" in settings else DEFAULTS[2]
    rest = [count, gr.skip(), record, *fields, settings.get("best_of", 1)]
    return (*models, chooser, scorer), rest


def _example_duel() -> DuelRecord | None:
    return read_json(EXAMPLE_PATH) if EXAMPLE_PATH.is_file() else None


def example_report(choices: Choices) -> ManyRecord | None:
    """Return the shipped comparison, as `python -m rlhf_demo compare` wrote it, as a record."""
    path = EXAMPLES / "compare.json"
    if not path.is_file():
        return None
    report: CompareReport = read_json(path)
    left, right = ({"id": model["name"], "name": model["name"]} for model in report["models"])
    judge = report["judges"][0]["name"]
    described = judges(choices, left["id"], right["id"], judge, judge)
    settings = {
        "left": left,
        "right": right,
        "scorer": described[0],
        "base": report.get("base"),
        "own": False,
        "judges": described,
    }
    return {"kind": "many", "example": True, "settings": settings, "report": report}
