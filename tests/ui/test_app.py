"""The page: a tab for each stage, and what it is launched with."""

from types import SimpleNamespace

from rlhf_demo.config.stages import STAGES
from rlhf_demo.server.settings import Settings
from rlhf_demo.ui.app import TABS, launch_options
from rlhf_demo.web.cache import UploadGate
from rlhf_demo.web.refusals import Refusals


def test_every_tab_that_a_stage_names_is_there():
    names = {name.lower() for name, _ in TABS}
    assert {stage.tab for stage in STAGES.values() if stage.tab} <= names
    assert len(names) == len(TABS)


def test_page_is_launched_behind_its_gates_and_serves_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    settings = Settings(runs=tmp_path / "runs", public=True, port=7999)
    told = launch_options(SimpleNamespace(shared=SimpleNamespace(settings=settings)))
    assert (told["enable_monitoring"], told["run_history"]) == (False, False)
    assert (told["max_file_size"], told["server_port"]) == ("20mb", 7999)
    inside = told["app_kwargs"]
    assert [one.cls for one in inside["middleware"]] == [UploadGate, Refusals]
    assert inside["middleware"][0].kwargs == {"folder": tmp_path, "public": True}
    assert [route.path for route in inside["routes"]] == [
        "/plotly.min.js", "/scripts/{path:path}", "/served/{path:path}"
    ]  # fmt: skip
