"""How Python and the page's JavaScript meet: assets, the theme, and parts made of gr.HTML.

A part is fixed markup, the JavaScript module of the same name in static/, and the server functions
that the module can call. Texts of models and people reach it as JSON and become text nodes.
"""

import json
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.themes import Base
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from rlhf_demo.errors import Unknown
from rlhf_demo.ui import scripts
from rlhf_demo.ui.panels import charts
from rlhf_demo.web import lanes
from rlhf_demo.web.refusals import in_words

STATIC = Path(__file__).parent / "static"
LIBRARY = "plotly.min.js"
STYLES = ("style.css", "voting.css", "learn.css", "microscope.css")


def part(
    name: str,
    functions: list[Callable[..., Any]],
    *,
    value: Any = None,
    css_class: str = "",
    **options: Any,
) -> gr.HTML:
    """Make a part of the page: `mount` of static/<name>.js fills the element `.rl-<css_class>`.

    Args:
        name: "tabs/runs" for the part of ui/tabs/runs.py, "tabs/reward/honesty" for one of several
            parts of a tab; likewise for panels.
        functions: the server functions that the part can call.
        value: its first value.
        css_class: default: the last piece of the name.
        options: further arguments of gr.HTML.
    """
    return gr.HTML(
        value={} if value is None else value,
        html_template=f'<div class="rl-root rl-{css_class or name.rpartition("/")[2]}"></div>',
        js_on_load=f'rlhf.mount("{name}", {{element, props, server, watch, trigger}})',
        apply_default_css=False,
        server_functions=[in_lane(answering(encoded(function))) for function in functions],
        **options,
    )


def lead(text: str, lesson: str, question: str) -> gr.HTML:
    """Make a tab's first paragraph, which ends with a link to a lesson.

    Args:
        text: our own, as it may hold markup.
        lesson: id, see config/lessons.py.
        question: that the lesson answers, without its capital letter.
    """
    link = f'<a class="rl-learn-link" href="?tab=learn&amp;lesson={lesson}">Learn: {question}</a>'
    return gr.HTML(f'<p class="rl-lead">{text} {link}</p>', elem_classes="rl-plain")


def in_lane(function: Callable[..., Any]) -> Callable[..., Coroutine]:
    """Run a server function in a thread of its lane; `busy` tells the page to ask again."""

    @wraps(function)
    async def answer(*request: Any) -> Any:
        try:
            result = await lanes.run(function, *request)
        except lanes.Busy as error:
            return {"error": str(error), "busy": True}
        json_made = isinstance(result, bytes)
        return Response(result, media_type="application/json") if json_made else result

    return answer


def answering(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a server function that raises an error answer {"error": sentence}.

    A student whom the page does not know may join again, so that answer says it: `unknown`.
    """

    @wraps(function)
    def answer(*request: Any) -> Any:  # and the web request, where the function asks for it
        try:
            return function(*request)
        except Exception as error:  # noqa: BLE001  (in_words logs what is not the sender's fault)
            unknown = {"unknown": True} if isinstance(error, Unknown) else {}
            return {"error": in_words(error, function.__name__), **unknown}

    return answer


def encoded(function: Callable[..., Any]) -> Callable[..., bytes]:
    """Encode a server function's answer with json, in the function's own thread.

    Otherwise FastAPI first visits every number of it in Python. For a step's texts that takes
    longer than all the rest, and a class of thirty asks for them at every step.
    """

    @wraps(function)
    def answer(*request: Any) -> bytes:
        return bytes(JSONResponse(function(*request)).body)

    return answer


def head() -> str:
    """Return what goes into the page's head: our scripts, and the names of the stages.

    Nothing is fetched from another machine. The addresses are relative, so they also work under a
    path prefix.
    """
    return (
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{scripts.head()}\n"
        f"<script>rlhf.stages = {json.dumps(charts.stages())};</script>"
    )


def library(request: Request) -> FileResponse:
    """Answer with Plotly, which static/shared/charts.js fetches, from the installed package."""
    import plotly  # noqa: PLC0415  (only its folder is needed)

    return FileResponse(Path(plotly.__file__).parent / "package_data" / LIBRARY)


def css() -> str:
    """Return the page's style."""
    return "\n".join((STATIC / name).read_text(encoding="utf-8") for name in STYLES)


def theme() -> Base:
    """Return a theme for Gradio's components: the page's colours, and system fonts."""
    fonts = ["Inter", "Source Sans 3", "system-ui", "sans-serif"]
    colours = {
        "body_background_fill": "bg", "body_text_color": "ink", "body_text_color_subdued": "soft",
        "background_fill_primary": "card", "background_fill_secondary": "bg",
        "block_background_fill": "card", "block_border_color": "line",
        "block_label_text_color": "ink", "block_title_text_color": "ink",
        "block_info_text_color": "soft", "border_color_primary": "line",
        "input_background_fill": "bg", "input_border_color": "line", "slider_color": "ppo",
        "button_primary_background_fill": "ppo", "button_primary_background_fill_hover": "ppo",
        "button_primary_text_color": "on-ppo", "button_primary_border_color": "ppo",
        "button_secondary_background_fill": "card", "button_secondary_text_color": "ink",
        "button_secondary_border_color": "line",
    }  # fmt: skip
    # One value for light and dark, because the style sheet's variables change with the mode.
    both = {name: f"var(--rl-{colour})" for name, colour in colours.items()}
    both |= {"button_border_width": "1px", "block_shadow": "none"}
    dark = {f"{name}_dark": value for name, value in both.items()}
    base = Base(
        font=fonts, font_mono=["ui-monospace", "monospace"], radius_size="md", text_size="md"
    )
    return base.set(button_large_radius="9px", button_medium_radius="9px", **both, **dark)
