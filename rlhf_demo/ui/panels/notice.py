"""The line under a start button: says why a run could not start, or opens the run."""

import gradio as gr

from rlhf_demo.ui.parts import part


def notice_of(*, takes: str | None = None) -> gr.HTML:
    """Make the notice of a form.

    Args:
        takes: the kind of run that other tabs can hand over to this form.
    """
    return part("panels/notice", [], value={"takes": takes})
