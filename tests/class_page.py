"""What the tests of class mode share: a page without models, classes, students, finished runs."""

import gc
from types import SimpleNamespace

import gradio as gr
import httpx
import pytest

from bench.serving import NO_TLS
from rlhf_demo.files import write_json, write_text
from rlhf_demo.runs.run import Status
from rlhf_demo.server.choices import Choices
from rlhf_demo.server.class_training import ClassTraining
from rlhf_demo.server.compute_lock import ComputeLock
from rlhf_demo.server.instructor import Instructor
from rlhf_demo.server.settings import Settings
from rlhf_demo.ui.panels.classroom import ClassMode
from rlhf_demo.ui.panels.student import StudentPage
from rlhf_demo.ui.shared import Shared
from tests.fake_jobs import fake, new_jobs  # noqa: F401  (fixtures)
from tests.voting import HAPPY, answer_one

HERE = SimpleNamespace(client=SimpleNamespace(host="school"))
REPORT = {
    "baseline_side": "longer",
    "accuracy": 0.75, "accuracy_low": 0.4, "accuracy_high": 0.93, "watched_low": 0.3,
    "watched_high": 0.98, "pairs": 8,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def loops_left_open():
    """Gradio leaves event loops unclosed: let that be noticed here and not later."""
    yield
    gc.collect()


class ModelCache:
    """A model that writes nothing; tests of pairs put their own writer in its place."""

    def warm(self):
        """Import nothing."""


@pytest.fixture(name="shared")
def shared_page(store, new_jobs, tmp_path, monkeypatch):  # noqa: F811
    """What a page shares, over a line of jobs that nobody schedules."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    settings = Settings(runs=tmp_path / "runs", password="teach")
    instructor = Instructor(settings.password, store.clock, settings.runs)
    jobs = new_jobs(scheduling=False, instructor_token=instructor.token)
    choices, compute_lock = Choices(settings, jobs), ComputeLock()
    training = ClassTraining(store, jobs, choices, ModelCache(), compute_lock)
    monkeypatch.setattr(training, "_responses", written)
    models = ModelCache()
    return Shared(
        settings, jobs, choices, models, compute_lock, store, None, None, training, instructor
    )


def written(class_status, model, prompts, seed):
    """Stand in for a model: texts that say who wrote them, and that differ in most words."""
    return [f" {model}" + 3 * f" {seed}x{number}" for number, _ in enumerate(prompts)]


@pytest.fixture(name="mode")
def class_mode(shared):
    with gr.Blocks(analytics_enabled=False) as page:
        mode, mode.student = ClassMode(shared), StudentPage(shared)
        mode.build()
        mode.student.build()
    mode.page = page
    return mode


@pytest.fixture(name="post")
def page_over_http(mode):
    """Call any server function of the page over HTTP, as a student with a browser's tools could."""
    _, url, _ = mode.page.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    with httpx.Client(base_url=url, trust_env=False, **NO_TLS) as browser:
        parts = browser.get("/config").json()["components"]
        where = {f: one["id"] for one in parts for f in one["props"].get("server_fns") or ()}

        def ask(name, **request):
            body = {
                "session_hash": "s", "component_id": where[name], "fn_name": name, "data": request,
            }  # fmt: skip
            return browser.post("/gradio_api/component_server/", json=body).json()

        ask.names = set(where)
        yield ask
    mode.page.close()


def open_class(mode, **changes):
    request = {
        "question": HAPPY,
        "overlap": "2",
        "each": 8,
        "clean_words": True,
        "password": "teach",
    }
    made = mode.open_class(request | changes, HERE)
    return SimpleNamespace(collection=mode.classes.collection_of(made["token"]), **made)


def join(mode, made, nickname="Ann"):
    return mode.student.join({"code": made.code, "nickname": nickname}, HERE)["secret"]


def vote_all(mode, secrets, rounds=40):
    """Let everybody prefer the longer text, or the left one, until there is nothing to answer."""
    for _ in range(rounds):
        if not sum(answer_one(mode.store, secret, choose) for secret in secrets):
            return


def choose(assignment):
    return "left" if len(assignment.left) >= len(assignment.right) else "right"


def finish(mode, run, report=REPORT):
    found = mode.shared.jobs.find(run)
    found.model_folder.mkdir()
    write_text(found.model_folder / "adapter_config.json", "{}")
    write_json(found.folder / "report.json", report)
    found.set_status(Status.FINISHED)


def taught(mode, **changes):
    """A class of two that has voted, with its first reward model."""
    made = open_class(mode, **changes)
    secrets = [join(mode, made), join(mode, made, "Bob")]
    mode.training.look_after(made.collection)
    vote_all(mode, secrets)
    mode.training.look_after(made.collection)
    finish(mode, mode.training.records.read(made.collection)["training"]["run"])
    mode.training.look_after(made.collection)
    return made, secrets


def with_ppo(mode, made):
    run = mode.start_ppo({"token": made.token, "secret": "chalk", "steps": 5})["run"]
    finish(mode, run)
    return run
