import gc
import re

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from rlhf_demo.jobs import processes
from rlhf_demo.paths import REPOSITORY
from rlhf_demo.server.settings import Settings
from rlhf_demo.ui.app import build_app
from tests.fake_jobs import wait_until

pytestmark = [
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),  # in Gradio's queue
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Gradio's unclosed event loops
]

DOCUMENTATION = REPOSITORY / "docs" / "api.md"
ENDPOINTS = {
    "models",
    "runs",
    "start_reward",
    "start_ppo",
    "start_rloo",
    "start_grpo",
    "start_dpo",
    "start_sft",
    "start_overoptimise",
    "run_status",
    "stop_run",
    "side_by_side",
    "best_of_n",
    "frontier",
    "overoptimisation",
}
OVER = ("finished", "failed", "stopped")


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """The page over an empty folder of runs; at its end no training is left."""
    demo = build_app(Settings(runs=tmp_path_factory.mktemp("runs"), password="teach"))
    yield demo
    demo.shared.jobs.close()
    for child in processes._children.values():
        child.kill()
        child.wait()


@pytest.fixture(scope="module")
def page(app):
    _, url, _ = app.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    client = Client(url, verbose=False)
    yield client
    client.close()
    app.close()
    gc.collect()  # Gradio leaves event loops unclosed: let that be noticed here and not later


def wait_for(page, run, seconds=80):
    wait_until(lambda: page.predict(run, api_name="/run_status")["status"] in OVER, seconds)
    return page.predict(run, api_name="/run_status")


def test_public_endpoints_are_the_seven_and_nothing_else(app):
    public = {fn.api_name for fn in app.fns.values() if fn.api_visibility != "private"}
    assert public == ENDPOINTS


def test_endpoints_are_described_where_programs_look(app):
    described = app.get_api_info()["named_endpoints"]
    assert set(described) == {f"/{name}" for name in ENDPOINTS}
    assert all(endpoint["description"] for endpoint in described.values())


def test_documentation_names_every_endpoint_and_argument(app):
    text = DOCUMENTATION.read_text(encoding="utf-8")
    for name, endpoint in app.get_api_info()["named_endpoints"].items():
        line = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        arguments = line.split("|")[2]
        told = re.findall(r"`(\w+)", arguments)
        assert told == [one["parameter_name"] for one in endpoint["parameters"]], name


def test_program_of_the_documentation_runs_as_it_stands(page, capsys):
    program = re.search(r"```python\n(.*?)```", DOCUMENTATION.read_text(encoding="utf-8"), re.S)[1]
    # Only the address and the sizes are others: 8 steps of 8 pairs; 2 steps of 16 responses.
    for told, here in (
        ("http://127.0.0.1:7860", page.src),
        ('title="My reward model"', 'title="My reward model", options={"train_pairs": 64}'),
        ('{"total_steps": 20}', '{"total_steps": 2, "batch_size": 16, "max_new_tokens": 8}'),
        ('"This film is", ', '"This film is", max_new_tokens=6, '),
    ):
        assert told in program
        program = program.replace(told, here)
    names = {}
    exec(program, names)

    reward, ppo, both = names["reward"], names["ppo"], names["both"]
    names["page"].close()
    assert "My reward model finished" in capsys.readouterr().out
    trained = page.predict(reward["run"], api_name="/run_status")
    assert [row["step"] for row in trained["metrics"]] == list(range(9))  # 0: before the first
    later = page.predict(ppo["run"], 1, api_name="/run_status")
    assert (later["title"], later["status"]) == ("My PPO", "finished")
    assert [row["step"] for row in later["metrics"]] == [2]
    assert len(ppo["secret"]) == 32  # made up: 16 bytes in hexadecimal
    assert [row["id"] for row in page.predict(api_name="/runs")][:2] == [ppo["run"], reward["run"]]
    for side in (both["left"], both["right"]):
        assert side["text"] == "".join(side["token"])
        assert side["score"] == side["score_if_ended"][-1]
    assert both["left"]["kl"] == [0.0] * len(both["left"]["token"])  # the base against itself


def test_best_of_n_answers_with_all_responses_and_says_which_is_the_best(page):
    found = page.predict("gpt2-mini", "This film", 3, max_new_tokens=4, api_name="/best_of_n")
    scores = [response["score"] for response in found["responses"]]
    assert len(scores) == len(found["expected"]) == 3
    assert scores[found["best"]] == max(scores) == found["expected"][-1]
    assert scores[found["median"]] == sorted(scores)[1]
    assert scores[found["worst"]] == min(scores)
    assert round(found["kl_bound"], 4) == 0.4319  # log 3 - 2/3
    assert set(found) == {"responses", "best", "median", "worst", "kl_bound", "expected"}


def test_frontier_answers_from_the_shipped_record_by_one_judge(page):
    found = page.predict(judge="word-judge", api_name="/frontier")
    assert found["judge"] == "word-judge"
    assert {mark["arm"] for mark in found["marks"]} >= {"ppo", "dpo", "best-of-n"}
    assert [level["kl"] for level in found["levels"]] == [1.0, 2.0, 3.0]
    assert found["own"] == []
    assert found["costs"][0]["title"] == "Reward model"


def test_stop_asks_for_the_secret_that_started_the_run(page):
    title = "<b>Ann's</b>"
    run = page.predict(title=title, secret="ann", api_name="/start_ppo")["run"]
    with pytest.raises(AppError, match="belongs to someone else"):
        page.predict(run, "bob", api_name="/stop_run")
    assert page.predict(run, api_name="/run_status")["status"] in ("queued", "running")
    page.predict(run, "ann", api_name="/stop_run")
    stopped = wait_for(page, run)
    assert (stopped["status"], stopped["title"]) == ("stopped", title)


def test_a_reward_pushed_too_far_is_started_and_read(page, app):
    options = {"train_pairs": 50, "total_steps": 3}
    run = page.predict(options=options, secret="ann", api_name="/start_overoptimise")["run"]
    saved = app.shared.jobs.find(run).config
    page.predict(run, "ann", api_name="/stop_run")
    assert saved["kind"] == "overoptimise" and saved["options"].items() >= options.items()
    (study,) = page.predict(run, api_name="/overoptimisation")
    assert (study["pairs"], study["seeds"]) == (50, 1)
    shipped = page.predict(api_name="/overoptimisation")
    assert [study["pairs"] for study in shipped] == sorted(study["pairs"] for study in shipped)


@pytest.mark.parametrize(
    ("reward", "used"),
    [("", ("harshness", "not harsh")), ("reward-mini", ("reward-mini", None))],
)
def test_preset_names_a_reward_and_its_label_unless_another_is_asked_for(page, app, reward, used):
    given = {"preset": "less-harsh", "reward": reward, "secret": "ann"}
    run = page.predict(**given, api_name="/start_ppo")["run"]
    saved = app.shared.jobs.find(run).config["options"]
    page.predict(run, "ann", api_name="/stop_run")
    assert (saved["reward"], saved["label"]) == used


@pytest.mark.parametrize("kind", ["rloo", "grpo"])
def test_other_methods_start_with_their_own_settings(page, app, kind):
    options = {"samples_per_prompt": 2, "total_steps": 3}
    started = page.predict(options=options, secret="ann", api_name=f"/start_{kind}")
    saved = app.shared.jobs.find(started["run"]).config
    page.predict(started["run"], "ann", api_name="/stop_run")
    assert saved["kind"] == kind and saved["options"].items() >= options.items()


@pytest.mark.parametrize(
    ("endpoint", "given", "sentence"),
    [
        ("/start_reward", {"options": {"pairs": 1}}, "unknown option 'pairs': choose from"),
        ("/start_reward", {"options": [1]}, "options is '[1]': give names and values"),
        ("/start_reward", {"options": {"train_pairs": "many"}}, "--train-pairs is 'many'"),
        ("/start_reward", {"data": "/etc/passwd"}, "'/etc/passwd' is neither in the list"),
        ("/start_ppo", {"options": {"prompts": "/etc/passwd"}}, "unknown option 'prompts'"),
        ("/start_ppo", {"preset": "best"}, "there is no preset 'best': choose one of quick"),
        ("/start_rloo", {"options": {"samples_per_prompt": 1}}, "the lowest value is 2"),
        ("/start_grpo", {"options": {"value_coef": 0.1}}, "unknown option 'value_coef'"),
        ("/start_dpo", {"options": {"beta": 0}}, "--beta is 0.0: the lowest value is 0.001"),
        ("/start_dpo", {"options": {"kl_coef": 1}}, "unknown option 'kl_coef'"),
        ("/start_sft", {"options": {"beta": 1}}, "unknown option 'beta'"),
        ("/start_sft", {"data": "/etc/passwd"}, "'/etc/passwd' is neither in the list"),
        ("/start_dpo", {"data": "../votes.db"}, "'../votes.db' is neither in the list"),
        ("/start_dpo", {"options": {"label": "x" * 101}}, "the label has 101 characters"),
        ("/start_overoptimise", {"options": {"judge": "os:system"}}, "unknown option 'judge'"),
        ("/start_overoptimise", {"options": {"best_of": 65}}, "the highest value is 64"),
        ("/overoptimisation", {"run": "../../etc"}, "there is no run '../../etc'"),
        ("/overoptimisation", {"run": "ppo-quick"}, "ppo-quick pushes no reward too far"),
        ("/start_ppo", {"options": {"samples_per_prompt": 4}}, "unknown option 'samples_per"),
        ("/start_ppo", {"reward": "os:system"}, "'os:system' is neither in the list nor a Hub id"),
        ("/run_status", {"run": "../../etc"}, "there is no run '../../etc'"),
        ("/run_status", {"run": "ppo-quick", "since": "x"}, "since is 'x'"),
        ("/side_by_side", {"left": "/etc", "right": "gpt2-mini", "prompt": "I"},
         "'/etc' is neither"),
        ("/side_by_side", {"left": "gpt2-mini", "right": "gpt2-mini", "prompt": " "}, "empty"),
        (
            "/side_by_side",
            {"left": "gpt2-mini", "right": "gpt2-mini", "prompt": "I", "top_p": 2.0},
            "--top-p is 2.0: the highest value is 1.0",
        ),
        ("/best_of_n", {"model": "gpt2-mini", "prompt": "I", "best_of": 65},
         "--best-of is 65: the highest value is 64"),
        ("/best_of_n", {"model": "gpt2-mini", "prompt": "I", "reward": "os:system"},
         "'os:system' is neither in the list"),
        ("/best_of_n", {"model": "gpt2-mini", "prompt": "I", "max_new_tokens": 129},
         "on this page give at most 128"),
        ("/frontier", {"judge": "me"}, "judge is 'me': choose one of fluency-judge, star-rater"),
        ("/frontier", {"run": "gpt2-mini"}, "gpt2-mini is not a run: choose a finished run"),
        ("/frontier", {"run": "os:system"}, "'os:system' is neither in the list"),
    ],
)  # fmt: skip
def test_wrong_request_is_answered_in_a_sentence(page, endpoint, given, sentence):
    with pytest.raises(AppError) as error:
        page.predict(**given, api_name=endpoint)
    assert sentence in str(error.value)
    assert "Traceback" not in str(error.value)
