"""The Compare tab: two models write to one prompt while you look on, then to many prompts."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from rlhf_demo.config.evaluation import DuelOptions
from rlhf_demo.config.scorers import STAR_RATER
from rlhf_demo.data.pairs import SHIPPED
from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.errors import ConfigError, DemoError
from rlhf_demo.files import read_json
from rlhf_demo.server.choices import Choices
from rlhf_demo.server.comparisons import (
    EXAMPLE_PATH,
    MOST_CHARACTERS,
    MOST_TOKENS,
    Record,
    check_prompt,
)
from rlhf_demo.server.judges import judges
from rlhf_demo.ui import forms
from rlhf_demo.ui.panels.blind_vote import BlindVote
from rlhf_demo.ui.parts import part
from rlhf_demo.ui.shared import EXAMPLES, Shared
from rlhf_demo.web.addresses import address_of
from rlhf_demo.web.lanes import heavy

LEAD = (
    "Here two models continue the same prompt with the same random numbers, so any difference "
    "between their texts comes from the models and not from chance. One prompt shows what training "
    "changed; many prompts show whether the change is an improvement."
)
MANY_LEAD = (
    "One text proves little. Here the two models above answer many prompts: your own, or shipped "
    "ones on which nothing was trained or selected. The temperature, length and seed are those set "
    "above. For each prompt, two judges say whose text is better: the judge you choose here, and a "
    "second one that shares no network with it."
)
NAMES = ("temperature", "top_k", "top_p", "max_new_tokens", "seed")
FEWEST, MOST, MOST_OWN = 8, 256, 64
"""Bounds of how many shipped prompts, and how many own ones, are answered at once."""
PROMPTS: dict[str, DuelOptions] = {
    "This morning I went to the ": DuelOptions(max_new_tokens=20, top_k=0, top_p=1.0),
    "This film is": DuelOptions(),
    "I watched this with my sister and": DuelOptions(),
    "The best scene of the movie": DuelOptions(),
}
"""Examples one click away, with how they are written on."""
FIRST_PROMPT = "I watched this with my sister and"
DEFAULTS = ("gpt2-mini", "gpt2-mini-ppo", "reward-mini", STAR_RATER)
"""Left, right, what scores, who judges."""
QUIET = {"api_visibility": "private", "show_progress": "hidden"}
AT_ONCE = QUIET | {"queue": False}


class CompareTab:
    """The tab's forms and their handlers."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared

    # -- laying out --------------------------------------------------------------------------------

    def build(self, demo: gr.Blocks) -> None:
        """Lay the tab out inside the Blocks that is open."""
        self._lay_out_one_prompt()
        BlindVote(self.shared).build(self.left, self.right)
        self._lay_out_many_prompts()
        pickers = [self.left, self.right, self.scorer, self.judge]
        gr.on([one.focus for one in pickers], self.lists, None, pickers, **AT_ONCE)
        demo.load(
            self.opened, None,
            [*pickers, self.count, self.duel, self.many, self.prompt, *self.fields], **AT_ONCE,
        )  # fmt: skip

    def _lay_out_one_prompt(self) -> None:
        gr.HTML(f'<p class="rl-lead">{LEAD}</p>', elem_classes="rl-plain")
        with gr.Column(elem_classes="rl-form"):
            with gr.Row():
                self.left = self._picker("Left", "the model to compare with")
                self.right = self._picker("Right", "the model to test")
                self.scorer = self._picker("Score with", "gives each text a number")
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
                length, seed = self.fields[-2:]
                length.maximum = MOST_TOKENS  # less than is declared for the command line
        self.duel = part("tabs/compare/duel", [self.get_ready], value=_example_duel())

        asked = [self.left, self.right, self.scorer, self.prompt, *self.fields]
        how = {**QUIET, "concurrency_id": "model", "concurrency_limit": 1}
        gr.on([write.click, self.prompt.submit], self.write, asked, self.duel, **how)
        filled = [self.prompt, *self.fields]
        prepared = [
            *(one.click(self.take_example, one, filled, **AT_ONCE) for one in examples),
            again.click(next_seed, seed, seed, **AT_ONCE),
            self.duel.select(self.use, None, [self.left, self.right, self.scorer], **AT_ONCE),
        ]
        for form_is_filled in prepared:
            form_is_filled.then(self.write, asked, self.duel, **how)

    def _lay_out_many_prompts(self) -> None:
        gr.HTML(
            f'<h2 class="rl-h2">Many prompts at once</h2><p class="rl-lead">{MANY_LEAD}</p>',
            elem_classes="rl-plain",
        )
        with gr.Column(elem_classes="rl-form"):
            with gr.Row():
                self.judge = self._picker("Judge", "the text with the higher score wins")
                self.count = gr.Number(
                    label="Prompts", info=f"shipped prompts, {FEWEST} to {MOST}", value=64,
                    minimum=FEWEST, maximum=MOST, precision=0, step=1, min_width=150,
                )  # fmt: skip
                start = gr.Button("Compare on many prompts", min_width=190)
            with gr.Accordion("Your own prompts", open=False):
                own = gr.Textbox(
                    value="", label="Your own prompts", show_label=False, container=False,
                    lines=4, max_lines=12,
                    placeholder=f"One per line, at most {MOST_OWN}, instead of the shipped ones.",
                )  # fmt: skip
        self.many = part("tabs/compare/many", [], value=example_report(self.shared.choices))
        # A queue of its own: a duel waits for one chunk, not for all prompts of somebody else.
        start.click(
            self.write_many,
            [self.left, self.right, self.judge, self.count, own, *self.fields], self.many,
            **QUIET, concurrency_id="many", concurrency_limit=1,
        )  # fmt: skip

    def _picker(self, label: str, info: str) -> gr.Dropdown:
        custom = not self.shared.settings.public
        return gr.Dropdown(
            label=label, info=info, allow_custom_value=custom, scale=3, min_width=230
        )

    # -- filling the forms -------------------------------------------------------------------------

    def lists(self) -> list[Any]:
        """Fill the lists as they are now, and leave what is chosen."""
        choices = self.shared.choices
        models, rewards = choices.contestants(), choices.rewards()
        return [gr.update(choices=one) for one in (models, models, rewards, rewards)]

    def opened(self, request: gr.Request) -> list[Any]:
        """Fill the page as it opens, with the comparison that its address names if it names one."""
        return self.page(request.query_params.get("compare"))

    def page(self, name: str | None) -> list[Any]:
        """Return the lists and what else changes on a page that opens; `name` is a record's id."""
        chosen, rest = DEFAULTS, [gr.skip()] * (4 + len(NAMES))
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
        """Put an example's prompt and settings into the form."""
        options = PROMPTS.get(prompt, DuelOptions()).to_dict()
        return [prompt, *(options[name] for name in NAMES)]

    def use(self, event: gr.EventData) -> list[Any]:
        """Choose the PPO run that another tab sends here."""
        return self.take_run(str(event.run))

    def take_run(self, run_id: str) -> list[Any]:
        """Choose a run, on its left what it started from, and the reward that it was trained on.

        A finished example's model is the shipped one; it is no run of this machine.
        """
        left, right, scorer, _ = self.lists()
        for update, default in zip((left, right, scorer), DEFAULTS, strict=False):
            update["value"] = default
        if run_id in _ids(right):
            right["value"] = run_id
            options, choices = self.shared.jobs.find(run_id).config["options"], self.shared.choices
            for update, engine_name, wanted in (
                (left, choices.policy, options["policy"]),
                (scorer, choices.reward, options["reward"]),
            ):
                found = [one for one in _ids(update) if engine_name(one) == wanted]
                update["value"] = found[0] if found else update["value"]
        return [left, right, scorer]

    # -- comparing ---------------------------------------------------------------------------------

    @heavy
    def get_ready(self, request: Any) -> dict[str, bool]:
        """Load what most people compare first, while they still read the page."""
        left, right, scorer, _ = DEFAULTS
        self.shared.comparing.load(left, right, scorer)
        return {"ready": True}

    def write(
        self, http: gr.Request, left: str, right: str, scorer: str, prompt: str, *values: Any
    ) -> Iterator[Record]:
        """Let two models write, and yield what the duel part shows as they do."""
        try:
            options = DuelOptions(**forms.options(DuelOptions, NAMES, values))
            yield from self.shared.comparing.one_prompt(
                left, right, scorer, prompt, options, address_of(http)
            )
        except DemoError as error:
            yield {"error": str(error)}

    def write_many(
        self,
        http: gr.Request,
        left: str,
        right: str,
        judge: str,
        count: int,
        own: str,
        *values: Any,
    ) -> Iterator[Record]:
        """Let two models answer many prompts, and yield what the other part shows as they do."""
        try:
            options = DuelOptions(**forms.options(DuelOptions, NAMES, values))
            prompts, address = _prompts(count, own), address_of(http)
            yield from self.shared.comparing.many_prompts(
                left, right, judge, prompts, options, address, own=bool(own.strip())
            )
        except DemoError as error:
            yield {"error": str(error)}


def next_seed(seed: int | None) -> int:
    """Return the seed after this one."""
    return (int(seed or 0) + 1) % 2**31


def _prompts(count: int | None, own: str) -> list[str]:
    """Return a visitor's own prompts, else so many of the shipped ones to test on."""
    lines = [line for line in own.splitlines() if line.strip()]
    if len(lines) > MOST_OWN:
        raise ConfigError(f"there are {len(lines)} prompts of your own: give at most {MOST_OWN}")
    if lines:
        for line in lines:
            check_prompt(line)
        return lines
    if count is None or not FEWEST <= count <= MOST:
        raise ConfigError(
            f"the number of prompts is {count}: give a number from {FEWEST} to {MOST}"
        )
    return load_prompts(SHIPPED, "test")[: int(count)]


def _ids(update: dict[str, Any]) -> list[str]:
    """Return the ids of a list that is about to be shown."""
    return [one for _, one in update["choices"]]


def _as_asked(record: Record) -> tuple[tuple[str, ...], list[Any]]:
    """Return what was chosen for a saved comparison, and the other fields of its page."""
    settings = record["settings"]
    models, scorer = (settings["left"]["id"], settings["right"]["id"]), settings["scorer"]["id"]
    if record["kind"] == "duel":
        fields = [settings["prompt"], *(settings[name] for name in NAMES)]
        return (*models, scorer, DEFAULTS[3]), [gr.skip(), record, gr.skip(), *fields]
    report = record["report"]
    fields = [gr.skip(), *(report.get(name, gr.skip()) for name in NAMES)]
    count = gr.skip() if settings["own"] else report["prompts"]
    return (*models, DEFAULTS[2], scorer), [count, gr.skip(), record, *fields]


def _example_duel() -> Record:
    return read_json(EXAMPLE_PATH) if EXAMPLE_PATH.is_file() else {}


def example_report(choices: Choices) -> Record:
    """Return the shipped comparison, as `python -m rlhf_demo compare` wrote it, as a record."""
    path = EXAMPLES / "compare.json"
    if not path.is_file():
        return {}
    report = read_json(path)
    left, right = ({"id": model["name"], "name": model["name"]} for model in report["models"])
    judge = report["judges"][0]["name"]
    told = judges(choices, left["id"], right["id"], judge, judge)
    who = {"left": left, "right": right, "scorer": told[0], "base": report["base"]}
    settings = who | {"own": False, "judges": told}
    return {"kind": "many", "example": True, "settings": settings, "report": report}
