"""The sentence under a start button."""

import gc

import gradio as gr
import pytest

from rlhf_demo.ui.panels.notice import notice_of

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Gradio's event loops


@pytest.mark.parametrize("takes", [None, "reward"])
def test_notice_says_which_runs_other_tabs_hand_over(takes):
    with gr.Blocks():
        notice = notice_of(takes=takes)
    assert notice.value == {"takes": takes}
    assert "panels/notice" in notice.js_on_load
    gc.collect()
