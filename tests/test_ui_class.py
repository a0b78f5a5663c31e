"""Class mode over the page: who may do what, and what is done for a class behind its back."""

import gc
import threading
from types import SimpleNamespace

import gradio as gr
import httpx
import pytest
from fake_jobs import fake, new_jobs  # noqa: F401  (fixtures)

from rlhf_demo.ballots import DUEL, NewPair, VoteRefused
from rlhf_demo.coarse_words import has_coarse_word
from rlhf_demo.errors import ConfigError, DataError, JobError
from rlhf_demo.files import write_json, write_text
from rlhf_demo.preferences import load_pairs, load_prompts
from rlhf_demo.runs import Status
from rlhf_demo.ui.choices import Choices
from rlhf_demo.ui.class_mode import ClassMode
from rlhf_demo.ui.class_training import ClassTraining, pairs_wanted, reward_config, votes_by_time
from rlhf_demo.ui.settings import Settings
from rlhf_demo.ui.shared import Shared
from rlhf_demo.ui.student_page import StudentPage
from tests.voting import GOOD, HAPPY, answer_one, new_pairs

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Gradio's unclosed event loops

HERE = SimpleNamespace(client=SimpleNamespace(host="school"))
REPORT = {"accuracy": 0.75, "accuracy_low": 0.4, "accuracy_high": 0.93, "pairs": 8}


@pytest.fixture(scope="module", autouse=True)
def loops_left_open():
    """Gradio leaves event loops unclosed: let that be noticed here and not later."""
    yield
    gc.collect()


class Shelf:
    """A model that writes nothing; tests of pairs put their own writer in its place."""


@pytest.fixture
def shared(store, new_jobs, tmp_path, monkeypatch):  # noqa: F811
    """What a page shares, over a line of jobs that nobody schedules."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    settings = Settings(runs=tmp_path / "runs", password="teach")
    jobs = new_jobs(scheduling=False, instructor_password="teach")
    choices, turn = Choices(settings, jobs), threading.Lock()
    training = ClassTraining(store, jobs, choices, Shelf(), turn)
    monkeypatch.setattr(training, "_responses", written)
    return Shared(settings, jobs, choices, Shelf(), turn, store, None, None, training)


def written(standing, model, prompts, seed):
    """Stand in for a model: texts that say who wrote them."""
    return [f" {model} {seed} {number}" for number, _ in enumerate(prompts)]


@pytest.fixture
def mode(shared):
    with gr.Blocks(analytics_enabled=False) as page:
        mode, mode.student = ClassMode(shared), StudentPage(shared)
        mode.build()
        mode.student.build()
    mode.page = page
    return mode


def open_class(mode, **changes):
    request = {
        "question": HAPPY,
        "overlap": "2",
        "each": 8,
        "clean_words": True,
        "password": "teach",
    }
    made = mode.open_class(request | changes, HERE)
    return SimpleNamespace(lesson=mode.classes.lesson_of(made["token"]), **made)


def join(mode, made, nickname="Ann"):
    return mode.student.join({"code": made.code, "nickname": nickname}, HERE)["secret"]


def vote_all(mode, secrets, rounds=40):
    """Let everybody prefer the longer text, or the left one, until there is nothing to answer."""
    for _ in range(rounds):
        if not sum(answer_one(mode.store, secret, choose) for secret in secrets):
            return


def choose(showing):
    return "left" if len(showing.left) >= len(showing.right) else "right"


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
    mode.training.look_after(made.lesson)
    vote_all(mode, secrets)
    mode.training.look_after(made.lesson)
    finish(mode, mode.training.record(made.code)["training"]["run"])
    mode.training.look_after(made.lesson)
    return made, secrets


def with_ppo(mode, made):
    run = mode.start_ppo({"token": made.token, "secret": "chalk", "steps": 5})["run"]
    finish(mode, run)
    return run


# -- who may do what -------------------------------------------------------------------------------


def test_class_is_opened_with_the_password_only(mode):
    for password in ("", "wrong", None):
        with pytest.raises(VoteRefused, match="not the instructor's password"):
            open_class(mode, password=password)
    assert len(open_class(mode).code) == 6


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"each": 3}, "3 pairs for each student: choose 4 to 100"),
        ({"overlap": 31}, "31 students for each pair"),
        ({"question": " "}, "the question is empty"),
    ],
)
def test_class_with_a_value_out_of_range_is_refused_in_a_sentence(mode, changes, sentence):
    with pytest.raises((ConfigError, VoteRefused), match=sentence):
        open_class(mode, **changes)


def test_class_moves_to_another_computer_with_the_password(mode):
    made = open_class(mode)
    with pytest.raises(VoteRefused):
        mode.take_over({"code": made.code, "password": "guess"}, HERE)
    token = mode.take_over({"code": made.code, "password": "teach"}, HERE)["token"]
    assert mode.class_state({"token": token})["code"] == made.code
    with pytest.raises(VoteRefused, match="not known"):
        mode.class_state({"token": made.token})


@pytest.fixture
def post(mode):
    """Call any server function of the page over HTTP, as a student with a browser's tools could."""
    _, url, _ = mode.page.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    with httpx.Client(base_url=url, trust_env=False) as browser:
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


STUDENTS = {"join", "student_state", "next_pair", "vote", "undo"}
OPEN = {"open_class", "take_over", "class_qr"}
"""What needs no token: the first two ask for the password, the last draws a picture."""


def test_no_endpoint_of_the_instructor_takes_a_students_secret(post, mode):
    made = open_class(mode)
    ann = post("join", code=made.code, nickname="Ann")["secret"]
    theirs = post.names - STUDENTS - OPEN
    assert len(theirs) == 13
    everything = {
        "students": 1, "taste": "longer", "noise": 0, "careless": 0, "steps": 1, "format": "jsonl",
        "rater": 1, "left_out": True, "secret": ann, "question": GOOD,
    }  # fmt: skip
    before = mode.class_state({"token": made.token})
    for name in theirs:
        for token in (ann, ann.replace(ann.split(".")[0], str(made.lesson), 1), made.code, None):
            assert "not known" in post(name, token=token, **everything)["error"], name
    assert mode.class_state({"token": made.token}) == before


def test_joining_needs_the_code(post, mode):
    open_class(mode)
    assert "no class has this code" in post("join", code="ABCDEF", nickname="Ann")["error"]
    assert "lacks a part" in post("join", nickname="Ann")["error"]


def test_student_votes_once_for_nobody_else_and_sees_nothing_of_others(post, mode):
    made = open_class(mode)
    ann = post("join", code=made.code, nickname="<b>Ann</b>")
    bob = post("join", code=made.code, nickname="Bob")["secret"]
    assert ann["nickname"] == "<b>Ann</b>"
    mode.training.look_after(made.lesson)
    shown = post("next_pair", secret=ann["secret"])["showing"]
    assert set(shown) == {"id", "question", "prompt", "left", "right"}
    assert "not yours" in post("vote", secret=bob, showing=shown["id"], choice="left")["error"]
    assert post("vote", secret=ann["secret"], showing=shown["id"], choice="left") == {"kept": True}
    assert post("vote", secret=ann["secret"], showing=shown["id"], choice="left") == {"kept": False}
    again = post("vote", secret=ann["secret"], showing=shown["id"], choice="right")
    assert "undo that answer first" in again["error"]
    assert set(post("student_state", secret=bob)) == {
        "nickname", "votes", "done", "state", "round", "kind", "round_state", "question", "result",
        "code", "goal", "ppo",
    }  # fmt: skip
    assert "Ann" not in str(post("student_state", secret=bob)) + str(post("next_pair", secret=bob))
    assert mode.class_state({"token": made.token})["votes"] == 1


# -- what a student waits for ----------------------------------------------------------------------


def test_paused_class_shows_no_pair_and_says_so(mode):
    made = open_class(mode)
    ann = join(mode, made)
    mode.training.look_after(made.lesson)
    mode.pause({"token": made.token})
    answer = mode.student.next_pair({"secret": ann})
    assert answer["showing"] is None and "paused" in answer["message"]
    mode.reopen({"token": made.token})
    assert mode.student.next_pair({"secret": ann})["showing"]


def test_student_follows_ppo_by_its_figures(mode):
    made, [ann, _] = taught(mode)
    run = mode.start_ppo({"token": made.token, "secret": "chalk", "steps": 5})["run"]
    row = {"step": 2, "objective/score": 0.5, "objective/kl": 1.25}
    mode.shared.jobs.find(run).append("metrics", [row])
    ppo = mode.student.student_state({"secret": ann})["ppo"]
    assert (ppo["step"], ppo["total_steps"], ppo["score"], ppo["kl"]) == (2, 5, 0.5, 1.25)
    assert ppo["busy"] and "secret" not in str(ppo)


# -- pairs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("each", "students", "overlap", "pairs"),
    [
        (20, 0, 3, 20),  # the first student needs 20 pairs, however few have come
        (20, 2, 3, 20),
        (20, 30, 3, 200),  # 600 answers, 3 to a pair
        (8, 13, 3, 35),  # 104 answers: 34.7
    ],
)
def test_pairs_wanted_are_enough_for_everybody(each, students, overlap, pairs):
    assert pairs_wanted(each, students, overlap) == pairs


def test_pairs_are_written_in_batches_until_the_round_has_enough(mode):
    made = open_class(mode, each=20, overlap=1)
    join(mode, made)
    assert mode.training.look_after(made.lesson) is True  # 16 of 20
    assert mode.training.look_after(made.lesson) is False
    assert mode.training.rounds.standing(made.lesson).pairs == 20
    join(mode, made, "Bob")
    mode.training.look_after(made.lesson)
    assert mode.training.rounds.standing(made.lesson).pairs == 36


def test_text_with_a_coarse_word_is_shown_to_no_class_that_wants_none(mode, monkeypatch):
    def rude(standing, model, prompts, seed):
        texts = written(standing, model, prompts, seed)
        texts[0] = f" damn {seed}"
        return ["" if standing.clean_words and has_coarse_word(text) else text for text in texts]

    monkeypatch.setattr(mode.training, "_responses", rude)
    clean, other = open_class(mode), open_class(mode, clean_words=False)
    for made in (clean, other):
        mode.training.look_after(made.lesson)
    assert mode.training.rounds.standing(clean.lesson).pairs == 7  # 8 less the one
    assert mode.training.rounds.standing(other.lesson).pairs == 8


def test_deleted_class_is_looked_after_no_more(mode):
    made = open_class(mode)
    assert mode.training.rounds.active() == [made.lesson]
    mode.delete_class({"token": made.token})
    assert mode.training.rounds.active() == []
    with pytest.raises(VoteRefused, match="has been deleted"):
        mode.training.look_after(made.lesson)


def test_class_in_which_nobody_was_for_long_is_let_alone(mode, clock):
    open_class(mode)
    clock.now += 901
    assert mode.training.rounds.active() == []


# -- the reward model ------------------------------------------------------------------------------


def test_tenth_preference_starts_a_training_and_its_figures_are_taken(mode):
    made = open_class(mode, overlap=1, each=20)
    ann = join(mode, made)
    mode.training.look_after(made.lesson)
    votes = 0
    while mode.training.record(made.code)["training"] is None:
        assert answer_one(mode.store, ann)
        votes = mode.class_state({"token": made.token})["preferences"]
        mode.training.look_after(made.lesson)
    assert votes == 10
    training = mode.training.record(made.code)["training"]
    options = mode.shared.jobs.find(training["run"]).config["options"]
    assert len(load_pairs(options["data"], "heldout")) == 2  # a fifth of ten
    finish(mode, training["run"])
    mode.training.look_after(made.lesson)
    [seen] = mode.class_state({"token": made.token})["history"]
    assert (seen["votes"], seen["accuracy"], seen["too_few"]) == (10, 0.75, True)


def test_app_that_was_restarted_goes_on_with_the_training(mode, shared):
    made, _ = taught(mode)
    after = ClassTraining(shared.store, shared.jobs, shared.choices, Shelf(), shared.turn)
    assert after.record(made.code)["reward"] == mode.training.record(made.code)["reward"]
    assert after.rounds.active() == [made.lesson]


def test_newer_model_takes_the_place_of_the_one_before(mode):
    made, _ = taught(mode)
    first = mode.training.record(made.code)["reward"]
    mode.leave_out({"token": made.token, "rater": 1, "left_out": False})  # due at once
    mode.training.look_after(made.lesson)
    second = mode.training.record(made.code)["training"]["run"]
    finish(mode, second)
    mode.training.look_after(made.lesson)
    assert mode.training.record(made.code)["reward"] == second
    assert mode.training.row(first) is None
    assert len(mode.training.record(made.code)["history"]) == 2


def test_model_that_ppo_follows_is_kept_and_not_trained_anew_meanwhile(mode):
    made, _ = taught(mode)
    first = mode.training.record(made.code)["reward"]
    run = mode.start_ppo({"token": made.token, "secret": "chalk", "steps": 5})["run"]
    mode.leave_out({"token": made.token, "rater": 1, "left_out": False})
    mode.training.look_after(made.lesson)
    assert mode.training.record(made.code)["training"] is None
    finish(mode, run)
    mode.training.look_after(made.lesson)
    finish(mode, mode.training.record(made.code)["training"]["run"])
    mode.training.look_after(made.lesson)
    assert mode.training.row(first) is not None


def test_failed_training_is_told_in_a_sentence(mode):
    made, _ = taught(mode)
    mode.leave_out({"token": made.token, "rater": 1, "left_out": False})
    mode.training.look_after(made.lesson)
    run = mode.training.record(made.code)["training"]["run"]
    mode.shared.jobs.find(run).set_status(Status.FAILED, message="the disk is full")
    mode.training.look_after(made.lesson)
    assert "the disk is full" in mode.class_state({"token": made.token})["problem"]


@pytest.mark.parametrize(
    ("rows", "steps"),
    [
        (8, 4),  # one batch, four passes at most
        (32, 16),
        (100, 26),  # 13 batches, twice: 24 / 13 rounded down is 1.8 passes, so one: see below
        (300, 19),  # batches of 16 from 193 rows on
    ],
)
def test_training_takes_about_two_dozen_steps_however_many_votes_there_are(tmp_path, rows, steps):
    write_text(tmp_path / "pairs.jsonl", '{"split": "train"}\n' * rows)
    config = reward_config(tmp_path, "x")
    assert config.epochs * -(-rows // config.batch_size) <= 26
    assert config.train_pairs == rows


# -- PPO, blind vote, next round -------------------------------------------------------------------


def test_ppo_needs_a_reward_model_and_a_secret_and_runs_once_a_round(mode):
    made = open_class(mode)
    request = {"token": made.token, "secret": "chalk", "steps": 5}
    with pytest.raises(JobError, match="no reward model yet"):
        mode.start_ppo(request)
    made, _ = taught(mode)
    request["token"] = made.token
    with pytest.raises(ConfigError, match="no secret"):
        mode.start_ppo(request | {"secret": ""})
    with pytest.raises(JobError, match="201 steps"):
        mode.start_ppo(request | {"steps": 201})
    run = mode.start_ppo(request)["run"]
    options = mode.shared.jobs.find(run).config["options"]
    assert options["clean_words"] is True and options["total_steps"] == 5
    assert options["reward"].endswith(mode.training.record(made.code)["reward"])
    with pytest.raises(JobError, match="has its PPO already"):
        mode.start_ppo(request)
    with pytest.raises(JobError, match="no finished PPO model"):
        mode.open_blind({"token": made.token})


def test_blind_vote_is_on_prompts_that_ppo_has_not_seen_and_hides_its_models(mode):
    made, secrets = taught(mode)
    run = with_ppo(mode, made)
    mode.open_blind({"token": made.token})
    mode.training.look_after(made.lesson)
    vote_all(mode, secrets)
    told = mode.class_state({"token": made.token})
    assert told["blind"]["votes"] == 16 and told["blind"]["a"] is None  # two students, eight each
    assert told["blind"]["series"][-1][:2] == [16, told["blind"]["rate"]]
    duels = [vote for vote in mode.classes.votes(made.token) if vote.kind == DUEL]
    assert {(vote.first_model, vote.second_model) for vote in duels} == {("gpt2-mini", run)}
    assert {vote.prompt for vote in duels} <= set(load_prompts("shipped", "heldout"))
    phone = mode.student.student_state({"secret": secrets[0]})
    assert phone["goal"] == 8 and phone["done"] == 8 and phone["result"] is None
    mode.reveal({"token": made.token})
    result = mode.student.student_state({"secret": secrets[0]})["result"]
    assert {result["a"], result["b"]} == {"gpt2-mini", run}


def test_next_round_has_texts_of_base_and_ppo_in_turns(mode):
    made, secrets = taught(mode, each=40, overlap=1)
    run = with_ppo(mode, made)
    mode.open_blind({"token": made.token})
    mode.reveal({"token": made.token})
    assert mode.next_round({"token": made.token, "question": None}) == {"round": 2}
    while mode.training.look_after(made.lesson):
        pass
    vote_all(mode, secrets, rounds=90)
    votes = [vote for vote in mode.classes.votes(made.token) if vote.round == 2]
    assert {vote.first_model for vote in votes} == {"gpt2-mini", run}
    assert all(vote.first_model == vote.second_model for vote in votes)


def test_qr_picture_is_an_image_and_its_address_bounded(mode):
    picture = mode.class_qr({"address": "http://10.0.0.2:7860/?class=ABCDEF"})["picture"]
    assert picture.startswith("data:image/svg+xml")
    with pytest.raises(ConfigError, match="too long"):
        mode.class_qr({"address": "http://" + "a" * 300})


# -- simulated students, files, the end ------------------------------------------------------------


def test_simulated_students_are_marked_and_leave_when_told(mode, clock):
    made = open_class(mode)
    request = {
        "token": made.token, "students": "2", "taste": "longer", "noise": "0.1", "careless": "0",
    }  # fmt: skip
    mode.simulate(request)
    told = mode.class_state({"token": made.token})
    assert [row["simulated"] for row in told["raters"]] == [True, True]
    assert told["simulated"]["students"] == 2
    with pytest.raises(ConfigError, match="stop them first"):
        mode.simulate(request)
    mode.stop_simulation({"token": made.token})
    assert mode.class_state({"token": made.token})["simulated"] is None


@pytest.mark.parametrize("change", [{"students": 61}, {"taste": "os:system"}, {"noise": 0.7}])
def test_simulated_class_out_of_range_is_refused(mode, change):
    made = open_class(mode)
    request = {
        "token": made.token, "students": 2, "taste": "longer", "noise": 0.1, "careless": 0,
    }  # fmt: skip
    with pytest.raises(ConfigError):
        mode.simulate(request | change)


def test_votes_are_exported_for_the_instructor_and_deleted_with_the_class(mode):
    made, _ = taught(mode)
    with pytest.raises(DataError, match="jsonl or parquet"):
        mode.export_class({"token": made.token, "format": "exe"})
    answer = mode.export_class({"token": made.token, "format": "jsonl", "everything": True})
    text = open(answer["path"], encoding="utf-8").read()
    assert text.count("\n") == answer["rows"] and "Ann" not in text
    folder = mode.training.folder / made.code
    reward = mode.training.record(made.code)["reward"]
    assert folder.is_dir()
    mode.delete_class({"token": made.token})
    assert not folder.exists() and mode.training.row(reward) is None
    assert mode.store.votes(made.lesson) == []
    with pytest.raises(FileNotFoundError):
        open(answer["path"], encoding="utf-8")


def test_votes_by_time_counts_all_of_them():
    # 0, 5 and 12 seconds after the first, in bars of ten seconds or more.
    told = votes_by_time([100.0, 105.0, 112.0])
    assert sum(told["counts"]) == 3 and told["seconds"] >= 10.0
    assert votes_by_time([]) == {"seconds": 0.0, "counts": []}


def test_pairs_of_the_open_page_are_not_shown_to_a_class(mode):
    made = open_class(mode)
    ann = join(mode, made)
    mode.store.add_pairs([*new_pairs(1), NewPair("p", " a", " b", "m", "n")])
    assert mode.student.next_pair({"secret": ann})["showing"] is None
