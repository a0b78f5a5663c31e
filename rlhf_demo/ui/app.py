"""The page: header and strip, and one tab for each stage of the loop."""

import gradio as gr

from rlhf_demo.ui import space
from rlhf_demo.ui.api import add_endpoints
from rlhf_demo.ui.compare_tab import CompareTab
from rlhf_demo.ui.feedback_tab import FeedbackTab
from rlhf_demo.ui.parts import part
from rlhf_demo.ui.ppo_tab import PPOTab
from rlhf_demo.ui.refusals import Page
from rlhf_demo.ui.reward_tab import RewardTab
from rlhf_demo.ui.runs_tab import RunsTab
from rlhf_demo.ui.settings import Settings
from rlhf_demo.ui.shared import Shared
from rlhf_demo.ui.start_tab import StartTab
from rlhf_demo.ui.strip import Strip
from rlhf_demo.ui.student_page import StudentPage

TABS = (
    ("Start", StartTab), ("Feedback", FeedbackTab), ("Reward model", RewardTab), ("PPO", PPOTab),
    ("Compare", CompareTab), ("Runs", RunsTab),
)  # fmt: skip


def build_app(settings: Settings) -> gr.Blocks:
    """Build the page over the runs that the settings name, and start their queue.

    Raises:
        DemoError: the settings cannot be used.
    """
    shared = Shared.open(settings)
    with Page(title="RLHF, live", analytics_enabled=False, delete_cache=(3600, 86400)) as demo:
        part("strip", [Strip(shared.jobs, shared.store).strip_state], css_class="top")
        with gr.Tabs(elem_id="pages", overflow_behavior="wrap"):
            tabs = {name: tab(shared) for name, tab in TABS}
            for name, tab in tabs.items():
                with gr.Tab(name, id=name.lower()):
                    tab.build(demo)
        StudentPage(shared).build()
        tabs["Runs"].fill_forms(tabs["PPO"], tabs["Reward model"])
        add_endpoints(shared)
        if space.on_zero_gpu():
            _lent_gpu()
    demo.queue(max_size=200)
    shared.jobs.open()
    shared.class_training.open()
    demo.shared = shared
    return demo


def _lent_gpu() -> None:
    """Offer the one handler that is lent a GPU: ZeroGPU ends an app at its start that has none."""
    with gr.Row():
        ask = gr.Button("Which GPU does this Space lend?", scale=0)
        answer = gr.Textbox(show_label=False, interactive=False, container=False)
    ask.click(space.gpu_handler(space.gpu_name), None, answer, api_visibility="private")
