"""The page: a header, the strip, and one tab for each stage of the loop."""

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import ASGIApp

from rlhf_demo.web import downloads
from rlhf_demo.web import queue_shares
from rlhf_demo.ui import parts, scripts
from rlhf_demo.server import space
from rlhf_demo.ui.api import add_endpoints
from rlhf_demo.web.cache import UploadGate
from rlhf_demo.web.compressed import Compressed
from rlhf_demo.ui.tabs.compare import CompareTab
from rlhf_demo.ui.tabs.feedback import FeedbackTab
from rlhf_demo.web.gradio_fixes import apply_fixes
from rlhf_demo.web.middleware import RequestFilter, outermost
from rlhf_demo.web.throttle import Throttle
from rlhf_demo.ui.parts import part
from rlhf_demo.ui.tabs.learn import LearnTab
from rlhf_demo.ui.tabs.ppo import PPOTab
from rlhf_demo.web.refusals import Page, Refusals
from rlhf_demo.ui.tabs.reward import RewardTab
from rlhf_demo.ui.tabs.runs import RunsTab
from rlhf_demo.server.settings import Settings
from rlhf_demo.web.sessions import MOST_SESSIONS
from rlhf_demo.ui.shared import Shared
from rlhf_demo.ui.tabs.start import StartTab
from rlhf_demo.ui.panels.nav import Strip
from rlhf_demo.ui.panels.student import StudentPage

TABS = (
    ("Start", StartTab), ("Learn", LearnTab), ("Feedback", FeedbackTab),
    ("Reward model", RewardTab), ("PPO", PPOTab), ("Compare", CompareTab), ("Runs", RunsTab),
)  # fmt: skip


class SharedPage(Page):
    """The page, and the stores behind it."""

    shared: Shared


def build_app(settings: Settings) -> SharedPage:
    """Build the page for the settings' folder of runs, and start its queue.

    Raises:
        DemoError: the settings cannot be used.
    """
    shared = Shared.open(settings)
    demo = SharedPage(title="RLHF, live", analytics_enabled=False, delete_cache=(3600, 86400))
    with demo:
        part(
            "panels/nav",
            [Strip(shared.jobs, shared.store, shared.model_cache).strip_state],
            css_class="top",
        )
        with gr.Tabs(elem_id="pages", overflow_behavior="wrap"):
            tabs = {name: tab(shared) for name, tab in TABS}
            for name, tab in tabs.items():
                with gr.Tab(name, id=name.lower()):
                    tab.build(demo)
        StudentPage(shared).build()
        runs, ppo, reward = tabs["Runs"], tabs["PPO"], tabs["Reward model"]
        assert isinstance(runs, RunsTab)
        assert isinstance(ppo, PPOTab) and isinstance(reward, RewardTab)
        runs.fill_forms(ppo, reward)
        add_endpoints(shared)
        if space.on_zero_gpu():
            _lent_gpu()
    demo.queue(max_size=200, api_open=False)  # queued functions run only through the queue
    apply_fixes()
    queue_shares.share(demo._queue)
    shared.jobs.open()
    shared.class_training.open()
    demo.shared = shared
    return demo


def guarded(app: ASGIApp, settings: Settings) -> RequestFilter:
    """Return an app behind what bounds and checks every request, whatever its route."""
    throttle = Throttle(Compressed(app))
    return RequestFilter(throttle, settings, throttle.pause)


def launch_options(demo: SharedPage) -> dict[str, Any]:
    """Return the arguments of the page's `launch`, except the address it listens on."""
    settings, cache = demo.shared.settings, Path(get_upload_folder())
    return {
        "theme": parts.theme(),
        "css": parts.css(),
        "head": parts.head(),
        "server_port": settings.port,
        "ssr_mode": False,
        "run_history": False,
        "state_session_capacity": MOST_SESSIONS,
        "enable_monitoring": False,
        "footer_links": ["api"],
        "max_file_size": "20mb",
        "show_error": True,
        "app_kwargs": {
            "middleware": [
                Middleware(UploadGate, folder=cache, public=settings.public),
                Middleware(Refusals),
            ],
            "lifespan": outermost(lambda app: guarded(app, settings)),
            "routes": [
                Route(f"/{parts.LIBRARY}", parts.library),
                Route("/scripts/{path:path}", scripts.served),
                Route("/served/{path:path}", downloads.served),
            ],
        },
    }


def _lent_gpu() -> None:
    """Add a handler that borrows a GPU: ZeroGPU refuses to start an app that has none."""
    with gr.Row():
        ask = gr.Button("Which GPU does this Space offer?", scale=0)
        answer = gr.Textbox(show_label=False, interactive=False, container=False)
    ask.click(space.gpu_handler(space.gpu_name), None, answer, api_visibility="private")
