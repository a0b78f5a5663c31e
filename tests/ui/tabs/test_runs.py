import gc
import io
import os
import time
import zipfile
from dataclasses import replace
from types import SimpleNamespace
from urllib.parse import quote

import gradio as gr
import httpx
import pytest
from starlette.routing import Route

from bench.serving import NO_TLS
from rlhf_demo.config.dpo import DPOConfig
from rlhf_demo.config.pairs import PairsConfig
from rlhf_demo.config.rloo import RLOOConfig
from rlhf_demo.config.sft import SFTConfig
from rlhf_demo.errors import JobError, Refused
from rlhf_demo.files import read_json, write_json, write_text
from rlhf_demo.jobs.queue import Order
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.runs.run import Status
from rlhf_demo.server.choices import Choices
from rlhf_demo.server.compute_lock import ComputeLock
from rlhf_demo.server.instructor import Instructor
from rlhf_demo.server.settings import Settings
from rlhf_demo.ui.shared import Shared
from rlhf_demo.ui.tabs.ppo import PPOTab
from rlhf_demo.ui.tabs.reward import RewardTab
from rlhf_demo.ui.tabs.runs import RunsTab, changed_settings, final_figures
from rlhf_demo.web import downloads
from tests.fake_jobs import fake, new_jobs, row, start  # noqa: F401  (two are fixtures)
from tests.fetching import file_of

HERE = SimpleNamespace(client=SimpleNamespace(host="school"))
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Gradio's unclosed event loops


@pytest.fixture
def jobs(new_jobs):  # noqa: F811
    """A line of jobs that nobody schedules."""
    return new_jobs(scheduling=False, instructor_token="the-token")


@pytest.fixture
def tab(jobs, tmp_path, monkeypatch):
    """The tab in a page of its own, which serves files from a folder of the test."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    settings = Settings(runs=tmp_path / "runs", password="teach them")
    instructor = Instructor(settings.password, time.monotonic, settings.runs)
    choices = Choices(settings, jobs)
    tab = RunsTab(Shared(settings, jobs, choices, None, ComputeLock(), *[None] * 4, instructor))
    with gr.Blocks(analytics_enabled=False) as tab.demo:
        tab.build(tab.demo)
    return tab


@pytest.fixture
def call(tab):
    """Call a server function as a browser does, over HTTP; `call.get` fetches a file."""
    routes = [Route("/served/{path:path}", downloads.served)]
    _, url, _ = tab.demo.launch(
        prevent_thread_lock=True, quiet=True, server_name="127.0.0.1",
        app_kwargs={"routes": routes},
    )  # fmt: skip
    with httpx.Client(base_url=url, trust_env=False, **NO_TLS) as browser:

        def ask(name, **request):
            body = {
                "session_hash": "somebody", "component_id": tab.part._id,
                "fn_name": name, "data": request,
            }  # fmt: skip
            return browser.post("/gradio_api/component_server/", json=body).json()

        ask.get = browser.get
        yield ask
    tab.demo.close()
    gc.collect()


def state(tab, run="", secret="ann"):
    return tab.runs_state({"run": run, "secret": secret})


# -- the list --------------------------------------------------------------------------------------


def test_list_has_all_runs_newest_first_with_their_place_in_the_line(tab, jobs):
    first, second = start(jobs, "reward"), start(jobs, "ppo")
    shown = [(one["id"], one["kind"], one["status"], one["place"]) for one in state(tab)["runs"]]
    assert shown == [(second, "ppo", "queued", 2), (first, "reward", "queued", 1)]


def test_list_marks_the_runs_of_classes_whatever_visitors_call_theirs(tab, jobs):
    of_class = start(jobs, title="Class 2, 336 votes", first=True)
    visitors = start(jobs, title="Class 2, 336 votes")
    marks = {one["id"]: one["of_class"] for one in state(tab)["runs"]}
    assert marks == {of_class: True, visitors: False}


def test_copied_record_that_says_it_is_a_class_s_is_not_believed(tab, jobs):
    copied = jobs.find(start(jobs, first=True)).folder
    write_json(copied / "job.json", read_json(copied / "job.json") | {"signature": "another's"})
    assert [one["of_class"] for one in state(tab)["runs"]] == [False]


def test_markup_in_a_title_stays_text(tab, jobs):
    title = "<img src=x onerror=alert(1)>${1+1}"
    run = start(jobs, title=title)
    answer = state(tab, run)
    assert answer["runs"][0]["title"] == answer["picked"]["title"] == title


def test_figures_of_ppo_are_score_and_kl_with_a_true_minus():
    figures = {"objective/score": -0.071, "objective/kl": 3.25}
    shown = final_figures({"kind": "ppo", "experiment": "", "figures": figures})
    assert shown == [("score", "\u22120.07 SD", "score"), ("KL", "3.2 nats", "kl")]


def test_figure_of_a_reward_model_is_its_held_out_accuracy():
    figures = {"heldout/accuracy": 0.814}
    shown = final_figures({"kind": "reward", "experiment": "", "figures": figures})
    assert shown == [("held-out accuracy", "81%", "score")]


@pytest.mark.parametrize(("pairs", "value"), [(9, "too few pairs to tell"), (10, "0%")])
def test_accuracy_on_a_few_pairs_is_not_listed(tab, pairs, value):
    run = tab.jobs.find(start(tab.jobs, "reward"))
    run.append("metrics", [{"step": 1, "heldout/accuracy": 0.0}])
    write_json(run.folder / "report.json", {"baseline_side": "longer", "different_pairs": pairs})
    run.set_status(Status.FINISHED)
    listed = tab.runs_state({"run": ""})["runs"]
    (figures,) = [row["figures"] for row in listed if row["id"] == run.folder.name]
    assert figures[0][:2] == ("held-out accuracy", value)


@pytest.mark.parametrize("pairs", ["x", [1], 1e300])
def test_odd_number_of_pairs_in_a_report_does_not_take_the_list_away(tab, pairs):
    run = tab.jobs.find(start(tab.jobs, "reward"))
    run.append("metrics", [{"step": 1, "heldout/accuracy": 0.5}])
    write_json(run.folder / "report.json", {"baseline_side": "longer", "different_pairs": pairs})
    run.set_status(Status.FINISHED)
    listed = tab.runs_state({"run": ""})["runs"]
    assert [(row["id"], row["figures"][0][1]) for row in listed] == [(run.folder.name, "50%")]


@pytest.mark.parametrize("kind", ["ppo", "reward", "pairs", "base"])
def test_run_that_measured_nothing_yet_has_no_figures(kind):
    assert final_figures({"kind": kind, "experiment": "", "figures": {}}) == []


def test_figures_and_result_of_an_experiment_are_not_told(tab, jobs):
    order = Order("rloo", RLOOConfig(), "", "rloo")
    [run_id] = jobs.start_in_turn([lambda _: order], secret="ann")
    assert state(tab)["runs"][0]["figures"] == []  # "not started"
    run = jobs.find(run_id)
    run.append("metrics", [{"step": 40, "objective/score": 1.27, "objective/kl": 2.7}])
    write_json(run.folder / "report.json", {"score": 1.27})
    run.set_status(Status.FINISHED)
    told = state(tab, run_id)
    hint = ("figures on the PPO tab", "predict first:", "soft")
    assert told["runs"][0]["figures"] == [hint]
    assert told["picked"]["result"].startswith("This run is an experiment: say on the PPO tab ")


# -- the run that is picked ------------------------------------------------------------------------


def test_settings_are_those_that_differ_with_default_and_meaning(tab, jobs, tmp_path):
    reward = start(jobs, "reward")
    run = start(jobs, entropy_coef=0.5, reward=str(jobs.find(reward).folder))
    settings = changed_settings(jobs.find(run).config, tmp_path / "runs")
    assert [(one["name"], one["value"], one["default"]) for one in settings] == [
        ("reward", reward, "reward-mini"),  # its id, not the folder on this machine
        ("entropy coef", "0.5", "0.0"),
    ]
    assert settings[1]["meaning"] == "weight of the entropy bonus"


def test_command_names_no_folder_of_the_server(tab, jobs):
    reward = start(jobs, "reward")
    run = start(jobs, reward=str(jobs.find(reward).folder))  # outside the repository
    command = state(tab, run)["picked"]["command"]
    assert command.endswith(f"--run-dir runs/again --reward runs/{reward}")


@pytest.mark.parametrize("option", ["reward", "judge"])
def test_command_that_would_call_a_function_is_not_offered(tab, jobs, option):
    folder = jobs.find(start(jobs)).folder
    config = read_json(folder / "config.json")
    config["options"][option] = "runs.evil_run.payload:score"
    write_json(folder / "config.json", config)
    command = state(tab, folder.name)["picked"]["command"]
    assert command.startswith("# This run calls a Python function.") and "payload" not in command


def test_picked_run_tells_command_and_whose_it_is(tab, jobs):
    run = start(jobs, seed=7, secret="ann")
    picked = state(tab, run)["picked"]
    assert picked["command"] == "python -m rlhf_demo train-ppo --run-dir runs/again --seed 7"
    assert picked["mine"]
    assert not state(tab, run, "bob")["picked"]["mine"]
    assert state(tab, run, "the-token")["picked"]["mine"]


def test_damaged_run_is_picked_with_its_sentence_and_can_be_deleted(tab, jobs):
    run_id = start(jobs, title="hurt")
    (jobs.find(run_id).folder / "status.json").write_bytes(bytes(300))
    picked = state(tab, run_id)["picked"]
    assert (picked["status"], picked["kind"], picked["mine"]) == ("damaged", "damaged", True)
    assert picked["message"] == (
        "status.json is not valid JSON: restore the file or delete the run"
    )
    tab.delete_run({"run": run_id, "secret": "ann"}, HERE)
    assert run_id not in [row["id"] for row in state(tab)["runs"]]


@pytest.mark.parametrize("report", [b"[1]", b"{}", b"7", bytes(300), b'{"accuracy_low": "x"}'])
@pytest.mark.parametrize("kind", ["ppo", "reward"])
def test_run_with_an_odd_report_is_picked_and_can_be_deleted(tab, jobs, kind, report):
    run = jobs.find(start(jobs, kind))
    with run.recording():
        (run.folder / "report.json").write_bytes(report)
    shown = state(tab, run.folder.name)
    assert [row["id"] for row in shown["runs"]] == [run.folder.name]
    assert shown["picked"]["mine"]
    if kind == "ppo":  # a reward model's odd report counts as none
        assert shown["picked"]["message"].startswith("its files are damaged, or another version")
    tab.delete_run({"run": run.folder.name, "secret": "ann"}, HERE)
    assert state(tab)["runs"] == []


def test_unknown_run_is_picked_by_nobody(tab):
    assert state(tab, "../runs")["picked"] is None


def test_curves_of_two_runs_leave_out_steps_without_the_figure(tab, jobs):
    one, two = start(jobs, "reward"), start(jobs, "reward")
    jobs.find(one).append(
        "metrics",
        [
            {"step": 1, "reward/loss": 0.7},
            {"step": 2, "heldout/loss": 0.6, "heldout/accuracy": 0.5},
            {"step": 3, "heldout/loss": "a<br>text", "heldout/accuracy": [0.5]},  # of a copied run
        ],
    )
    answer = tab.run_curves({"runs": [one, two]})["runs"]
    assert answer == [
        {"id": one, "curves": {"heldout/loss": [(2, 0.6)], "heldout/accuracy": [(2, 0.5)]}},
        {"id": two, "curves": {"heldout/loss": [], "heldout/accuracy": []}},
    ]


# -- running it again ------------------------------------------------------------------------------


@pytest.fixture
def forms(tab):
    """The forms of the other tabs, and what each field shows after a run is taken over."""
    ppo, reward = PPOTab(tab.shared), RewardTab(tab.shared)
    with tab.demo:
        ppo.build(tab.demo)
        reward.build(tab.demo)
        tab.fill_forms(ppo, reward)

    def shown(run):
        fields = {field: name for form in tab.forms.values() for name, field in form.items()}
        fields[tab.method] = "method"
        return {fields[field]: value for field, value in tab.filled(run).items()}

    return shown


def test_running_again_fills_the_form_with_the_runs_settings(forms, jobs):
    shown = forms(start(jobs, kl_coef=0.5, reward="longer", seed=3))
    assert (shown["kl_coef"], shown["seed"], shown["total_steps"]) == (0.5, 3, 40)
    assert (shown["policy"]["value"], shown["reward"]["value"]) == ("gpt2-mini", "longer")
    shown = forms(start(jobs, "reward", train_pairs=64))
    assert (shown["train_pairs"], shown["data"]["value"]) == (64, "shipped")


def test_running_again_looks_up_only_the_data_that_the_run_can_have(forms, tab, jobs, monkeypatch):
    """Votes are written to a folder to name it, which takes a third of a second for each."""
    asked, listed = [], [("votes: A", "votes-0a"), ("shipped", "shipped"), ("votes: B", "votes-0b")]
    monkeypatch.setattr(tab.shared.choices, "data", lambda: listed)
    monkeypatch.setattr(tab.shared.choices, "pairs", lambda chosen: asked.append(chosen) or chosen)
    assert forms(start(jobs, "reward"))["data"]["value"] == "shipped"
    assert asked == ["shipped"]


def test_running_again_on_votes_takes_those_of_the_same_question_however_many(
    forms, tab, jobs, monkeypatch
):
    """One vote more, and the form took the shipped pairs without a word."""
    listed = [("shipped", "shipped"), ("votes: A (44)", "votes-0a")]
    monkeypatch.setattr(tab.shared.choices, "data", lambda: listed)
    monkeypatch.setattr(tab.shared.choices, "votes", SimpleNamespace(id_of=lambda path: "votes-0a"))
    shown = forms(start(jobs, "reward", data="/runs/votes/votes-of-40"))
    assert shown["data"]["value"] == "votes-0a"


def test_running_again_chooses_the_runs_method(forms, tab, jobs):
    assert forms(start(jobs))["method"] == "ppo"
    assert "method" not in forms(start(jobs, "reward"))
    run = jobs.start("rloo", RLOOConfig(samples_per_prompt=8), title="", secret="ann")
    shown = forms(run)
    assert (shown["method"], shown["samples_per_prompt"]) == ("rloo", 8)
    assert "gae_lambda" not in shown
    run = jobs.start("dpo", DPOConfig(beta=0.25, reward="longer"), title="", secret="ann")
    shown = forms(run)
    assert (shown["method"], shown["beta"], shown["data"]["value"]) == ("dpo", 0.25, "shipped")
    assert shown["reward"]["value"] == "longer" and "kl_coef" not in shown
    shown = forms(jobs.start("sft", SFTConfig(epochs=3), title="", secret="ann"))
    assert (shown["method"], shown["epochs"], "beta" in shown) == ("sft", 3, False)


def test_running_again_empties_a_field_whose_list_lacks_the_choice(forms, tab, jobs, monkeypatch):
    """The form kept what was chosen before, and said that it had the run's settings."""
    run = start(jobs, reward="module:function")
    shown = forms(run)
    assert shown["reward"]["value"] is None and shown["policy"]["value"] == "gpt2-mini"
    told = []
    monkeypatch.setattr(gr, "Info", told.append)
    tab.again(SimpleNamespace(run=run))
    assert "Choose \u201cReward\u201d anew" in told[0]
    tab.again(SimpleNamespace(run=start(jobs, kl_coef=0.5)))
    assert "anew" not in told[1] and "does not have" not in told[1]
    tab.again(SimpleNamespace(run=start(jobs, clean_words=True, samples_every=5)))
    assert "The form does not have clean words: a new run gets the default." in told[2]
    assert "longer" in [one for _, one in shown["reward"]["choices"]]


def test_running_again_what_has_no_form_is_refused(forms, tab, jobs):
    run = jobs.start("pairs", PairsConfig(), title="", secret="ann")
    with pytest.raises(JobError, match="has no form on this page"):
        tab.filled(run)


# -- changing --------------------------------------------------------------------------------------


def test_who_deletes_a_model_that_finished_runs_began_with_is_told_so_first(call, jobs):
    """The later run could never be compared again, and the page said: fetch it from the Hub."""
    base = start(jobs, "sft", title="my texts")
    jobs.find(base).set_status(Status.FINISHED)
    later = start(jobs, policy=str(jobs.find(base).folder), title="my PPO")
    jobs.find(later).set_status(Status.FINISHED)
    told = {"deleted": False, "needed_by": ["my PPO"]}
    assert call("delete_run", run=base, secret="ann") == told
    assert "belongs to someone else" in call("delete_run", run=base, secret="eve")["error"]
    assert call("delete_run", run=later, secret="ann")["deleted"]
    assert call("delete_run", run=base, secret="ann")["deleted"]


def test_second_visitor_can_neither_stop_nor_delete_the_first_ones_run(call, jobs):
    run = start(jobs, secret="ann")
    for name in ("stop_job", "resume_job", "delete_run"):
        refused = call(name, run=run, secret="bob")
        words = "belongs to someone else: only its owner or the instructor can change it"
        assert refused == {"error": f"{run} {words}"}
    assert row(jobs, run)["status"] == "queued"
    assert call("stop_job", run=run, secret="ann") == {"asked": True}
    assert call("delete_run", run=run, secret="ann")["deleted"]
    assert jobs.overview() == []


def test_instructor_deletes_anybodys_run(tab, jobs):
    run = start(jobs, secret="ann")
    jobs.stop(run, "the-token")
    assert tab.delete_run({"run": run, "secret": "the-token"}, HERE)["deleted"]


def test_request_without_a_secret_changes_nothing(call, jobs):
    run = start(jobs, secret="ann")
    assert "error" in call("delete_run", run=run)
    assert row(jobs, run)["status"] == "queued"


def test_password_opens_the_token_and_anything_else_is_answered_in_a_sentence(tab):
    token = tab.shared.instructor.token
    assert tab.check_password({"password": "teach them"}, HERE) == {"token": token}
    with pytest.raises(Refused, match="not the instructor's password"):
        tab.check_password({"password": "t\u00e9ach them"}, HERE)


# -- downloading -----------------------------------------------------------------------------------


@pytest.fixture
def finished(jobs):
    """A run with a model, a saved step, and everything that is not sent."""
    run = jobs.find(start(jobs, secret="ann"))
    write_text(run.folder / "train.log", f"saved {run.folder}/model\n")
    base = str(CHECKPOINTS / "gpt2-mini")
    write_json(run.model_folder / "adapter_config.json", {"base_model_name_or_path": base})
    for name in ("model/adapter_model.safetensors", "steps/10/adapter_model.safetensors"):
        write_text(run.folder / name, "weights")
    for name in ("lock", "stop", "stopping.json", "checkpoint.pt", ".metrics.jsonl.abcdefgh"):
        write_text(run.folder / name, "kept back")
    return run


def test_zip_comes_over_http_with_the_runs_files_only(call, finished, tmp_path):
    run_id = finished.folder.name
    (finished.folder / "passwords.txt").symlink_to("/etc/passwd")
    answer = call("zip_run", run=run_id)
    reply = call.get(f"/{answer['link']}")
    assert reply.headers["content-disposition"] == f'attachment; filename="{run_id}.zip"'
    assert len(reply.content) == answer["bytes"]
    archive = zipfile.ZipFile(io.BytesIO(reply.content))
    assert archive.namelist() == [
        f"{run_id}/{name}"
        for name in (
            "config.json", "model/adapter_config.json", "model/adapter_model.safetensors",
            "status.json", "steps/10/adapter_model.safetensors", "train.log",
        )
    ]  # fmt: skip
    assert archive.read(f"{run_id}/train.log").decode() == f"saved runs/{run_id}/model\n"
    assert b'"checkpoints/gpt2-mini"' in archive.read(f"{run_id}/model/adapter_config.json")
    sent = b"".join(archive.read(name) for name in archive.namelist())
    assert str(tmp_path).encode() not in sent and str(CHECKPOINTS).encode() not in sent


def test_zip_is_made_once_for_each_state_of_the_run(tab, finished):
    request = {"run": finished.folder.name}
    first = tab.zip_run(request)["link"]
    assert tab.zip_run(request)["link"] == first
    write_text(finished.folder / "train.log", "one line more\n")
    assert tab.zip_run(request)["link"] != first
    assert str(file_of({"link": first})) in tab.part.temp_files  # Gradio removes it in time
    assert not file_of({"link": first}).exists()  # the run's last one takes its place


def test_zip_goes_with_its_run(call, finished):
    link = call("zip_run", run=finished.folder.name)["link"]
    assert call.get(f"/{link}").status_code == 200
    assert call("delete_run", run=finished.folder.name, secret="ann")["deleted"]
    assert call.get(f"/{link}").status_code == 404


def test_zip_of_a_run_that_trains_is_made_once_a_minute(tab, finished):
    request = {"run": finished.folder.name}
    with finished.recording():
        first = tab.zip_run(request)["link"]
        write_text(finished.folder / "train.log", "a step more\n")
        assert tab.zip_run(request)["link"] == first
        then = time.time() - 61
        os.utime(file_of({"link": first}), (then, then))
        second = tab.zip_run(request)["link"]
        assert second != first
    assert tab.zip_run(request)["link"] not in (first, second)


def test_oldest_zips_make_room_for_new_ones(tab, jobs, monkeypatch):
    monkeypatch.setattr(downloads, "MOST_ZIPS", 2_500_000)
    made = []
    for age in (30, 20, 10):
        run = jobs.find(start(jobs))
        (run.folder / "model.safetensors").write_bytes(os.urandom(1_000_000))
        made.append(file_of(tab.zip_run({"run": run.folder.name})))
        then = time.time() - age
        os.utime(made[-1], (then, then))
    assert [path.exists() for path in made] == [False, True, True]


def test_nothing_is_zipped_where_the_disk_is_short_of_room(tab, finished, monkeypatch):
    free = SimpleNamespace(free=1_999e6)
    monkeypatch.setattr("rlhf_demo.jobs.disk.shutil.disk_usage", lambda path: free)
    tab.shared.settings = replace(tab.shared.settings, public=True)
    with pytest.raises(JobError, match=r"2\.0 GB left, and 2 GB must stay free: try again later$"):
        tab.zip_run({"run": finished.folder.name})
    free.free = 2_001e6
    tab.zip_run({"run": finished.folder.name})


def test_run_that_is_too_large_is_refused_in_a_sentence(tab, finished, monkeypatch):
    monkeypatch.setattr(downloads, "MOST_ZIPPED", 10)
    with pytest.raises(JobError, match="a download can be at most 0 MB: copy its folder"):
        tab.zip_run({"run": finished.folder.name})


@pytest.mark.parametrize("run_id", ["../runs", "/etc", "ppo-nobody"])
def test_zip_of_what_is_no_run_is_refused(tab, run_id):
    with pytest.raises(JobError, match="there is no run"):
        tab.zip_run({"run": run_id})


@pytest.mark.parametrize(
    "path",
    [
        "../config.json", "%2e%2e/votes.db", "/etc/passwd", "", "a",
        "tmp1", "a" * 64 + "/b.csv", "downloads/../tmp1",
    ],
)  # fmt: skip
def test_nothing_but_downloads_is_served(call, tmp_path, path):
    (tmp_path / "votes.db").touch()
    for upload in (tmp_path / "served" / "tmp1", tmp_path / "served" / ("a" * 64) / "b.csv"):
        upload.parent.mkdir(parents=True, exist_ok=True)
        upload.touch()
    answer = call.get(f"/served/{path}")
    assert answer.status_code == 404 and "root:" not in answer.text


def test_run_folder_itself_is_not_served(call, finished):
    assert (
        call.get(f"/gradio_api/file={quote(str(finished.folder / 'job.json'))}").status_code == 403
    )
