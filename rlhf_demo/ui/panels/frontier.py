"""The section "All methods at equal KL": the shipped record, and runs of one's own on it."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from rlhf_demo.errors import ConfigError, DemoError
from rlhf_demo.server.payloads import ShownFrontier
from rlhf_demo.ui import forms
from rlhf_demo.ui.parts import part
from rlhf_demo.ui.shared import Shared, in_labels

LEAD = (
    "A method usually wins more if it may move further from the base. Comparing each method at its "
    "default setting would be unfair, so we compare at equal KL. The shipped runs learned from the "
    "same pairs; all but SFT were trained in several settings. All models answered the same "
    "prompts. Each response is compared with eight responses of the base. Best-of-N trains "
    "nothing: it is the line to beat."
)
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


class FrontierSection:
    """The section's form, and the server functions of its part."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared

    def build(self) -> None:
        """Lay the section out inside the open tab."""
        gr.HTML(
            f'<h2 class="rl-h2">All methods at equal KL</h2><p class="rl-lead">{LEAD}</p>',
            elem_classes="rl-plain",
        )
        shown = part("panels/frontier", [self.frontier])
        with gr.Column(elem_classes="rl-form"), gr.Row():
            about = "a finished run of PPO, RLOO, GRPO, DPO or SFT"
            run = forms.picker("Your run", about, min_width=230)
            measure = gr.Button("Measure my run", min_width=180)
        run.focus(self.own_runs, None, run, queue=False, **QUIET)
        measure.click(self.measure, run, shown, **QUIET, concurrency_id="many", concurrency_limit=1)

    def own_runs(self) -> Any:
        """Update the list of runs that can be measured, and keep what is chosen."""
        return gr.update(choices=self.shared.frontier.measurable())

    def frontier(self, request: Any) -> ShownFrontier:
        """Return all methods at equal KL."""
        return {"frontier": self.shared.frontier.state()}

    def measure(self, run: str | None) -> Iterator[ShownFrontier]:
        """Measure a finished run; yield how far it is, and then all methods with it."""
        try:
            if not run:
                raise ConfigError("no run is chosen: choose a finished run from the list")
            self.shared.model_cache.warm()
            for progress in self.shared.frontier.measure(run):
                yield {"progress": progress}
            yield {"frontier": self.shared.frontier.state(run)}
        except DemoError as error:
            yield {"error": in_labels(error)}
