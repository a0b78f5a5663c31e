"""The PPO tab: choose a method and what it learns from, start the training, and watch it live."""

from pathlib import Path
from typing import Any

import gradio as gr

from rlhf_demo.config.dpo import DPOConfig
from rlhf_demo.config.evaluation import DuelOptions
from rlhf_demo.config.policy_gradient import GroupConfig
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.presets import PPO_PRESETS
from rlhf_demo.config.scorers import HARSHNESS, RULES
from rlhf_demo.config.sft import SFTConfig
from rlhf_demo.config.stages import is_offline, on_board
from rlhf_demo.data.pairs import SHIPPED
from rlhf_demo.errors import DemoError
from rlhf_demo.files import without_paths
from rlhf_demo.runs.run import Run
from rlhf_demo.server.choices import EXAMPLE_MODELS, newest_model
from rlhf_demo.server.compute_lock import Priority
from rlhf_demo.server.payloads import RunDuel
from rlhf_demo.server.submit import OFFLINE_OPTIONS, POLICY_OPTIONS, policy_options
from rlhf_demo.ui import forms
from rlhf_demo.ui.panels import charts
from rlhf_demo.ui.panels.board import Board
from rlhf_demo.ui.panels.experiments import ExperimentsPanel
from rlhf_demo.ui.panels.microscope import MicroscopePanel
from rlhf_demo.ui.panels.notice import notice_of
from rlhf_demo.ui.parts import lead, part
from rlhf_demo.ui.shared import SECRET, Shared, secret_input, started
from rlhf_demo.web.addresses import address_of
from rlhf_demo.web.lanes import heavy

LEAD = (
    "Here the policy learns. It writes texts, and the reward model scores them. PPO (proximal "
    "policy optimisation) then measures, for each token, how much better its text turned out than "
    "the value head had expected. If this figure is above the mean of the step's tokens, PPO "
    "pushes the token's probability up; if below, down. RLOO and GRPO compare each text with other "
    "texts for the same prompt. Once a step has pushed a token's probability up or down by a "
    "fifth, a clip stops the push. A reward model is easily fooled, so a penalty keeps the policy "
    "near the base. The penalty grows with the KL (Kullback-Leibler divergence, in nats), which "
    "says how far the policy has moved from the base. DPO learns from the judged pairs themselves: "
    "it needs no reward model, and the policy writes no texts to learn from. SFT (supervised "
    "fine-tuning) imitates texts that people wrote, or the preferred texts of pairs."
)
OPEN = ("total_steps", "learning_rate", "kl_coef", "kl_target", "seed")
"""The settings that matter most; the others are folded away."""
OFFLINE_OPEN = ("beta", "train_pairs", "train_texts", "epochs", "learning_rate", "seed")
OFFLINE_FOLDED = tuple(name for name in OFFLINE_OPTIONS if name not in OFFLINE_OPEN)
OFFLINE_NAMES = OFFLINE_OPEN + OFFLINE_FOLDED
DATA = {
    "dpo": ("Pairs", "DPO learns from these: two texts each, and which one was preferred"),
    "sft": ("Texts", "SFT imitates these; of pairs, the preferred text"),
}
"""What the methods that learn from given texts learn from: label and explanation."""
GROUP = ("samples_per_prompt",)
"""Options of RLOO and GRPO that PPO lacks."""
FOLDED = tuple(name for name in POLICY_OPTIONS if name not in OPEN + GROUP)
NAMES = OPEN + FOLDED + GROUP
METHODS = on_board("ppo")
SCORES = {
    True: "scores the policy's texts to show its progress; it does not learn from these scores",
    False: "scores its texts",
}
"""What the reward does, by whether the method learns from given texts."""
PROMPT = "I watched this with my sister and"
"""The prompt that reference and policy both continue below the curves."""
MOST_TOKENS = 64
MOST_LABELS = 200
"""Labels of a classifier in the list; the form's field takes any."""
MOST_DUELS = 50
"""Duels kept: a class watches one run, and each saved step of it has one."""


class PPOTab:
    """The tab's form and its handlers."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self._duels: dict[tuple, RunDuel] = {}

    def build(self, demo: gr.Blocks) -> None:
        """Lay the tab out inside the open Blocks."""
        lead(LEAD, "ppo_step", "where does each number come from?")
        with gr.Accordion("New run: choose, then start", open=False, elem_classes="rl-form"):
            with gr.Row():
                self.method = gr.Dropdown(
                    choices=[(stage.title, kind) for kind, stage in METHODS.items()],
                    value="ppo", label="Method", info=METHODS["ppo"].help, scale=2,
                )  # fmt: skip
                self.policy = forms.picker(
                    "Policy", "the model that writes and learns", value="gpt2-mini"
                )
                self.data = forms.picker(*DATA["dpo"], value=SHIPPED, visible=False)
                self.reward = forms.picker("Reward", SCORES[False], value="reward-mini")
                self.preset = gr.Dropdown(
                    choices=[(preset.label, name) for name, preset in PPO_PRESETS.items()],
                    value="quick", label="Preset", info=PPO_PRESETS["quick"].shows, scale=3,
                )  # fmt: skip
                start = gr.Button("Start PPO", variant="primary", scale=1, min_width=130)
            with gr.Accordion("Your own settings", open=False):
                with gr.Row():
                    self.judge = forms.picker(
                        "judge", "also scores the texts; the policy never learns from it",
                        value=PPOConfig().judge, scale=None, elem_classes="rl-field",
                    )  # fmt: skip
                    open_fields = forms.fields(PPOConfig, OPEN)
                    group_fields = forms.fields(GroupConfig, GROUP)
                    offline_open = _offline_fields(OFFLINE_OPEN)
                with gr.Accordion("More settings", open=False):
                    with gr.Row():
                        title = gr.Textbox(
                            label="name",
                            info="the run's name in the lists",
                            max_lines=1,
                            max_length=60,
                        )
                        label = forms.picker(
                            "label",
                            "only if the reward is a classifier with several labels: the label "
                            "whose logit is the score",
                            scale=None, elem_classes="rl-field",
                        )  # fmt: skip
                        folded_fields = forms.fields(PPOConfig, FOLDED)
                        offline_folded = _offline_fields(OFFLINE_FOLDED)
        usual = open_fields + folded_fields
        self.fields = usual + group_fields
        self.offline_fields = offline_open + offline_folded
        notice = notice_of(takes="reward")
        ExperimentsPanel(self.shared).build()
        secret = secret_input()
        board = Board(self.shared.jobs, self.shared.settings)
        part(
            "panels/board",
            [
                board.board_rows, board.board_samples, board.board_inside, board.stop_job,
                board.resume_job, self.board_duel,
            ],
            value=charts.PPO,
        )  # fmt: skip
        MicroscopePanel(self.shared).build()
        start.click(
            self.start,
            [
                self.method, self.policy, self.data, self.reward, self.judge, title, label,
                *self.fields, *self.offline_fields, secret,
            ],
            notice,
            js=SECRET, api_visibility="private", show_progress="hidden", queue=False,
        )  # fmt: skip
        notice.select(
            self.take_reward, None, self.reward,
            api_visibility="private", queue=False, show_progress="hidden",
        )  # fmt: skip
        self.preset.change(
            self.take_preset, [self.preset, self.reward],
            [self.preset, self.policy, self.reward, label, *usual],
            api_visibility="private", queue=False, show_progress="hidden",
        )  # fmt: skip
        gr.on(
            [self.method.change, demo.load], self.take_method, self.method,
            [
                self.method, start, self.data, self.reward, self.preset, *self.fields,
                *self.offline_fields,
            ],
            api_visibility="private", queue=False, show_progress="hidden",
        )  # fmt: skip
        self.data.focus(
            self.data_list, [self.method, secret], self.data,
            js=SECRET, api_visibility="private", queue=False, show_progress="hidden",
        )  # fmt: skip
        label.focus(
            self.label_list, self.reward, label,
            api_visibility="private", queue=False, show_progress="hidden",
        )  # fmt: skip
        demo.load(
            self.lists, secret, [self.policy, self.data, self.reward, self.judge, self.preset],
            js=SECRET, api_visibility="private", queue=False, show_progress="hidden",
        )  # fmt: skip

    @heavy
    def board_duel(self, request: dict[str, Any]) -> RunDuel:
        """Return what the run's reference and its newest saved model write from one prompt.

        Computed once for each saved step, for all viewers; None if no model has been saved yet.
        """
        run = self.shared.jobs.find(str(request["run"]))
        rows = self.shared.jobs.tails.rows(run.folder / "metrics.jsonl")
        step, folder = newest_model(run, rows)
        name = self.shared.choices.path(folder) if folder else EXAMPLE_MODELS.get(run.folder.name)
        if name is None:
            return {"state": None}
        key = (run.folder.name, run.config["created_at"], step)
        # Loading may take long: not while others wait to compute.
        if key not in self._duels and not self._load(run, name):
            return {"state": None, "later": True}
        with self.shared.compute_lock.hold(Priority.VISITORS):
            duel = self._duels.pop(key, None) or self._duel(run.config["options"], name)
            self._duels[key] = duel  # the one that was used longest ago stands first
            if len(self._duels) > MOST_DUELS:
                del self._duels[next(iter(self._duels))]
        return {**duel, "step": step}

    def _load(self, run: Run, name: str) -> bool:
        """Load the models of a run's duel, unless one of them has to be tried first.

        A trial may take minutes. Only a person's click waits for it, not a board that is opened.
        """
        options = run.config["options"]
        base, reward = options["policy"], options["reward"]
        scorer = () if reward in RULES or ":" in reward else (reward,)
        self.shared.choices.check_here(name, base, *scorer)
        model_cache, label = self.shared.model_cache, options["label"]
        needed = [("policy", base, None), ("policy", name, None)]
        needed += [("scorer", one, label) for one in scorer]
        if not all(model_cache.has_passed(*model) for model in needed):
            return False
        for policy in (base, name):
            model_cache.policy(policy)
        model_cache.scorer(reward, label)
        return True

    def _duel(self, options: dict[str, Any], name: str) -> RunDuel:
        self.shared.model_cache.warm()
        from rlhf_demo.evaluation.duel import duel  # noqa: PLC0415  (torch)

        model_cache, base = self.shared.model_cache, options["policy"]
        sampling = DuelOptions(
            temperature=options["temperature"],
            max_new_tokens=min(options["max_new_tokens"], MOST_TOKENS),
        )
        reference = model_cache.policy(base)
        scorer = model_cache.scorer(options["reward"], options["label"])
        *_, state = duel(
            reference, model_cache.policy(name), reference, PROMPT, sampling, scorer=scorer
        )
        settings = {
            "prompt": PROMPT,
            "base": without_paths(base),
            "scorer": {"name": Path(options["reward"]).name},
            **sampling.to_dict(),
        }
        return {"state": state.to_dict(), "settings": settings}

    def data_list(self, kind: str, secret: str) -> Any:
        """Update the list of pairs or texts: people vote and write while the page is open."""
        choices = self.shared.choices
        written = choices.demonstrations_listed(secret) if kind == "sft" else []
        return gr.update(choices=written + choices.data(secret))

    def label_list(self, reward: str) -> Any:
        """Offer the labels that the chosen reward has; an id in no list has none."""
        try:
            return gr.update(choices=self.shared.choices.labels(reward)[:MOST_LABELS])
        except DemoError:
            return gr.update(choices=[])

    def lists(self, secret: str) -> list[Any]:
        """Update the lists; on a GPU with GPT-2 in the cache, choose its preset."""
        choices = self.shared.choices
        preset = "gpt2" if self.shared.model_cache.on_gpu and _cached("gpt2") else "quick"
        return [
            gr.update(choices=choices.policies(), value="gpt2-mini"),
            gr.update(choices=choices.data(secret), value=SHIPPED),
            gr.update(choices=choices.rewards(), value="reward-mini"),
            gr.update(choices=choices.judges(), value=PPOConfig().judge),
            gr.update(value=preset),
        ]

    def take_reward(self, event: gr.EventData) -> Any:
        """Choose the reward model that another tab hands over; for an example, the shipped one."""
        rewards = self.shared.choices.rewards()
        listed = str(event.run) in [reward for _, reward in rewards]
        return gr.update(choices=rewards, value=str(event.run) if listed else "reward-mini")

    def take_preset(self, name: str, reward: str) -> list[Any]:
        """Fill the fields with a preset's options; a reward stays unless a preset chose it."""
        preset = PPO_PRESETS[name]
        values = PPOConfig(**preset.options).to_dict()
        policy, usual = values["policy"], [values[field] for field in OPEN + FOLDED]
        chosen = [values["reward"], values["label"]]
        if reward != HARSHNESS and "reward" not in preset.options:
            chosen = [gr.skip(), gr.skip()]
        return [gr.update(info=preset.shows), policy, *chosen, *usual]

    def take_method(self, kind: str) -> list[Any]:
        """Show the settings that a method has, and hide the others."""
        offline, has = is_offline(kind), policy_options(kind)
        helps = forms.helps(METHODS[kind].config)

        def shown(name: str, *, in_form: bool) -> Any:
            visible = in_form and name in has
            return gr.update(visible=visible, **({"info": helps[name]} if visible else {}))

        label, info = DATA.get(kind, DATA["dpo"])
        return [
            gr.update(info=METHODS[kind].help),
            gr.update(value=f"Start {METHODS[kind].title}"),
            gr.update(visible=offline, label=label, info=info),
            gr.update(info=SCORES[offline]),
            gr.update(visible=not offline),
            *(shown(name, in_form=not offline) for name in NAMES),
            *(shown(name, in_form=offline) for name in OFFLINE_NAMES),
        ]

    def start(
        self,
        http: gr.Request,
        kind: str,
        policy: str,
        data: str,
        reward: str,
        judge: str,
        title: str,
        label: str,
        *rest: Any,
    ) -> dict[str, str]:
        """Queue a run with the form's settings."""
        *values, secret = rest
        submit, address = self.shared.submit, address_of(http)

        def enqueue() -> str:
            names, given = NAMES, values[: len(NAMES)]
            if is_offline(kind):
                names, given = OFFLINE_NAMES, values[len(NAMES) :]
            filled, has = dict(zip(names, given, strict=True)), policy_options(kind)
            options = forms.options(METHODS[kind].config, has, tuple(filled[name] for name in has))
            options |= {"judge": judge}
            rest = title, label, options, secret, address
            if is_offline(kind):
                return submit.offline(kind, policy, data, reward, *rest)
            return submit.policy(kind, policy, reward, *rest)

        return started("ppo", enqueue)


def _offline_fields(names: tuple[str, ...]) -> list[Any]:
    """Make the fields of options that DPO or SFT has; options of both have the same default."""
    of_dpo = policy_options("dpo")
    return [forms.fields(DPOConfig if name in of_dpo else SFTConfig, (name,))[0] for name in names]


def _cached(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415

    return isinstance(try_to_load_from_cache(name, "config.json"), str)
