"""What is done for a class behind its back: pairs, reward models, PPO, blind votes."""

import random
from dataclasses import replace
from types import SimpleNamespace

import pytest

from rlhf_demo.data.coarse_words import has_coarse_word
from rlhf_demo.data.pairs import load_pairs
from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.errors import ConfigError, JobError, Refused
from rlhf_demo.files import write_text
from rlhf_demo.jobs.bounds import PUBLIC, check_options
from rlhf_demo.runs.run import Status
from rlhf_demo.server import class_training
from rlhf_demo.server.class_training import ClassTraining, pairs_wanted, reward_config
from rlhf_demo.votes.rounds import ACTIVE_SECONDS
from rlhf_demo.votes.vote import DUEL
from tests.class_page import (  # noqa: F401  (some are fixtures)
    ModelCache,
    class_mode,
    fake,
    finish,
    join,
    loops_left_open,
    new_jobs,
    open_class,
    shared_page,
    taught,
    vote_all,
    with_ppo,
    written,
)
from tests.fetching import file_of
from tests.voting import answer_one

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Gradio's unclosed event loops

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
    assert mode.training.look_after(made.collection) is True  # 16 of 20
    assert mode.training.look_after(made.collection) is False
    assert mode.training.rounds.class_status(made.collection).pairs == 20
    join(mode, made, "Bob")
    mode.training.look_after(made.collection)
    assert mode.training.rounds.class_status(made.collection).pairs == 36


def test_students_cannot_work_out_a_classs_random_numbers(mode, monkeypatch):
    """They know the code, and could let the base write to tell which text of a blind vote it is."""
    seeds = []
    monkeypatch.setattr(
        mode.training, "_responses", lambda *what: seeds.append(what[3]) or written(*what)
    )
    made = open_class(mode)
    mode.training.look_after(made.collection)
    public = random.Random(f"{made.code}/1/0").getrandbits(31)
    secret = mode.training.records.secret(made.collection)
    assert seeds[0] == random.Random(f"{secret}/{made.code}/1/0").getrandbits(31) != public
    assert len(secret) == 32 and mode.training.records.secret(made.collection) == secret


def test_pair_whose_texts_are_alike_is_drawn_with_other_numbers_the_next_time(mode, monkeypatch):
    """The last pair of a class would be drawn alike again and again, and never come."""
    seeds = []

    def alike_at_first(*what):
        seeds.append(what[3])
        return ["the same text"] * len(what[2]) if len(seeds) <= 2 else written(*what)

    made = open_class(mode, each=4, overlap=1)
    monkeypatch.setattr(mode.training, "_responses", alike_at_first)
    with pytest.raises(JobError, match="nearly the same or empty"):
        mode.training.look_after(made.collection)
    mode.training.look_after(made.collection)
    assert mode.training.rounds.class_status(made.collection).pairs > 0
    assert seeds[0] != seeds[2]


def test_no_pairs_are_written_while_a_lesson_is_on_the_phones(mode):
    """Sixty phones that join then would keep the models from those who try texts."""
    made = open_class(mode, each=20, overlap=1)
    join(mode, made)
    mode.training.look_after(made.collection)
    mode.shared.store.predictions.send(made.token, "attention")
    assert mode.training.look_after(made.collection) is False
    assert mode.training.rounds.class_status(made.collection).pairs == 16
    mode.shared.store.predictions.end(made.token)
    mode.training.look_after(made.collection)
    assert mode.training.rounds.class_status(made.collection).pairs == 20


def test_few_pairs_are_written_for_phones_that_only_join(mode):
    """Ten who have answered nothing count, or as many as have answered."""
    made = open_class(mode, each=4, overlap=1)
    joined = [join(mode, made, f"Ann {number}") for number in range(12)]
    while mode.training.look_after(made.collection):
        pass
    assert mode.training.rounds.class_status(made.collection).pairs == 4 * 10
    for student in joined[:3]:
        assert answer_one(mode.shared.store, student)
    while mode.training.look_after(made.collection):
        pass
    assert mode.training.rounds.class_status(made.collection).pairs == 4 * 12


def test_text_with_a_coarse_word_is_shown_to_no_class_that_wants_none(mode, monkeypatch):
    def rude(class_status, model, prompts, seed):
        texts = written(class_status, model, prompts, seed)
        texts[0] = f" damn {seed}"
        return [
            "" if class_status.clean_words and has_coarse_word(text) else text for text in texts
        ]

    monkeypatch.setattr(mode.training, "_responses", rude)
    clean, other = open_class(mode), open_class(mode, clean_words=False)
    for made in (clean, other):
        mode.training.look_after(made.collection)
    assert mode.training.rounds.class_status(clean.collection).pairs == 7  # 8 less the one
    assert mode.training.rounds.class_status(other.collection).pairs == 8


def test_deleted_class_is_looked_after_no_more(mode):
    made = open_class(mode)
    assert mode.training.rounds.active() == [made.collection]
    mode.delete_class({"token": made.token})
    assert mode.training.rounds.active() == []
    with pytest.raises(Refused, match="has been deleted"):
        mode.training.look_after(made.collection)


def test_class_in_which_nobody_was_for_long_is_let_alone(mode, clock):
    open_class(mode)
    clock.now += 901
    assert mode.training.rounds.active() == []


def test_class_trains_only_while_its_instructor_looks_at_the_screen(mode, monkeypatch):
    """Students who kept the codes of earlier lessons made the present class wait for minutes."""
    now = [0.0]
    monkeypatch.setattr(class_training, "time", SimpleNamespace(monotonic=lambda: now[0]))
    training = mode.training
    training._watched = {}
    old, new = open_class(mode), open_class(mode)
    assert training._active() == [new.collection]  # whether the old one's screen is open, it says
    mode.class_state({"token": old.token})
    now[0] = ACTIVE_SECONDS - 1
    assert training._active() == [old.collection, new.collection]
    mode.class_state({"token": new.token})
    assert training._active() == [new.collection]  # the old one's screen has been silent for long
    now[0] = ACTIVE_SECONDS + 1
    assert training.rounds.active() == [old.collection, new.collection]
    assert training._active() == [new.collection]
    mode.class_state({"token": old.token})
    assert training._active() == [old.collection, new.collection]
    training._watched.clear()  # after a start of the app, an open screen asks within a minute
    assert training._active() == []


# -- the reward model ------------------------------------------------------------------------------


def test_tenth_preference_starts_a_training_and_its_figures_are_taken(mode):
    made = open_class(mode, overlap=1, each=20)
    ann = join(mode, made)
    mode.training.look_after(made.collection)
    votes = 0
    while mode.training.records.read(made.collection)["training"] is None:
        assert answer_one(mode.store, ann)
        votes = mode.class_state({"token": made.token})["preferences"]
        mode.training.look_after(made.collection)
    assert votes == 10
    training = mode.training.records.read(made.collection)["training"]
    options = mode.shared.jobs.find(training["run"]).config["options"]
    assert len(load_pairs(options["data"], "heldout")) == 2  # a fifth of ten
    finish(mode, training["run"])
    mode.training.look_after(made.collection)
    [seen] = mode.class_state({"token": made.token})["history"]
    assert (seen["votes"], seen["accuracy"], seen["too_few"]) == (10, 0.75, True)
    assert (seen["low"], seen["high"]) == (0.3, 0.98)  # for all looks: the curve is watched
    assert (seen["pairs"], seen["highest"]) == (2, None)  # overlap 1: nobody judged a pair twice


def test_app_that_was_restarted_goes_on_with_the_training(mode, shared):
    made, _ = taught(mode)
    after = ClassTraining(
        shared.store, shared.jobs, shared.choices, ModelCache(), shared.compute_lock
    )
    assert (
        after.records.read(made.collection)["reward"]
        == mode.training.records.read(made.collection)["reward"]
    )
    assert after.rounds.active() == [made.collection]


def test_newer_model_takes_the_place_of_the_one_before(mode):
    made, _ = taught(mode)
    first = mode.training.records.read(made.collection)["reward"]
    mode.leave_out({"token": made.token, "voter": 1, "left_out": False})  # due at once
    mode.training.look_after(made.collection)
    second = mode.training.records.read(made.collection)["training"]["run"]
    finish(mode, second)
    mode.training.look_after(made.collection)
    assert mode.training.records.read(made.collection)["reward"] == second
    assert mode.training.row(first) is None
    assert len(mode.training.records.read(made.collection)["history"]) == 2


def test_model_that_ppo_follows_is_kept_and_not_trained_anew_meanwhile(mode):
    made, _ = taught(mode)
    first = mode.training.records.read(made.collection)["reward"]
    run = mode.start_ppo({"token": made.token, "secret": "chalk", "steps": 5})["run"]
    mode.leave_out({"token": made.token, "voter": 1, "left_out": False})
    mode.training.look_after(made.collection)
    assert mode.training.records.read(made.collection)["training"] is None
    finish(mode, run)
    mode.training.look_after(made.collection)
    finish(mode, mode.training.records.read(made.collection)["training"]["run"])
    mode.training.look_after(made.collection)
    assert mode.training.row(first) is not None


def test_failed_training_is_told_in_a_sentence(mode):
    made, _ = taught(mode)
    mode.leave_out({"token": made.token, "voter": 1, "left_out": False})
    mode.training.look_after(made.collection)
    run = mode.training.records.read(made.collection)["training"]["run"]
    mode.shared.jobs.find(run).set_status(Status.FAILED, message="the disk is full")
    mode.training.look_after(made.collection)
    assert "the disk is full" in mode.class_state({"token": made.token})["problem"]


def test_new_question_has_no_reward_model_until_its_own_votes_have_trained_one(mode):
    """The screen showed the old question's model beside the new question, and PPO followed it."""
    made, secrets = taught(mode)
    old = mode.class_state({"token": made.token})
    assert old["reward"] and old["history"]
    mode.next_round({"token": made.token, "question": "Which text is more polite?"})
    new = mode.class_state({"token": made.token})
    assert (new["reward"], new["history"], new["training"]) == (None, [], None)
    with pytest.raises(JobError, match="no reward model yet"):
        mode.start_ppo({"token": made.token, "secret": "chalk", "steps": 5})
    mode.training.look_after(made.collection)
    vote_all(mode, secrets)
    mode.training.look_after(made.collection)
    finish(mode, mode.class_state({"token": made.token})["training"]["run"])
    mode.training.look_after(made.collection)
    seen = mode.class_state({"token": made.token})
    assert seen["reward"] != old["reward"] and len(seen["history"]) == 1
    mode.next_round({"token": made.token, "question": old["question"]})
    assert mode.class_state({"token": made.token})["reward"] is None  # it is the second question's


def test_training_of_a_question_that_is_no_longer_asked_is_stopped_and_deleted(mode):
    made, _ = taught(mode)
    mode.leave_out({"token": made.token, "voter": 1, "left_out": False})  # due at once
    mode.training.look_after(made.collection)
    run = mode.class_state({"token": made.token})["training"]["run"]
    mode.next_round({"token": made.token, "question": "Which text is more polite?"})
    assert mode.class_state({"token": made.token})["training"] is None
    mode.training.look_after(made.collection)
    mode.training.records.clear_up()
    assert mode.training.row(run) is None
    assert mode.training.records.read(made.collection)["training"] is None


@pytest.mark.parametrize("rows", [1, 8, 32, 100, 192, 193, 300, 400])
def test_training_takes_two_dozen_steps_or_so_however_many_votes_there_are(tmp_path, rows):
    write_text(tmp_path / "pairs.jsonl", '{"split": "train"}\n' * rows)
    config = reward_config(tmp_path, "x")
    assert config.epochs * -(-rows // config.batch_size) <= 26
    assert config.train_pairs == rows


def test_training_on_very_many_votes_is_one_that_a_public_page_starts(tmp_path):
    write_text(tmp_path / "pairs.jsonl", '{"split": "train"}\n' * 20_000)
    config = reward_config(tmp_path, "x")
    check_options(config.to_dict(), replace(PUBLIC, most_steps=200))
    assert (config.train_pairs, config.epochs, config.batch_size) == (3200, 1, 16)


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
    assert options["judge"] == "none"  # no shipped judge knows the class's question
    assert options["reward"].endswith(mode.training.records.read(made.collection)["reward"])
    with pytest.raises(JobError, match="already has its PPO run"):
        mode.start_ppo(request)
    with pytest.raises(JobError, match="no finished PPO model"):
        mode.open_blind({"token": made.token})


def test_blind_vote_is_on_prompts_that_nothing_is_trained_on_and_hides_how_it_stands(mode):
    made, secrets = taught(mode)
    run = with_ppo(mode, made)
    mode.open_blind({"token": made.token})
    mode.training.look_after(made.collection)
    vote_all(mode, secrets)
    told = mode.class_state({"token": made.token})
    # The first batch, each pair for one of two students; how it stands is for after the reveal.
    hidden = {"votes": 16, "pairs": 16, "simulated": 0, "revealed": False}
    assert told["blind"] == hidden
    exported = {"token": made.token, "format": "jsonl", "everything": True}
    before = file_of(mode.export_class(exported)).read_text()
    assert run not in before
    duels = [vote for vote in mode.classes.votes(made.token) if vote.kind == DUEL]
    assert {(vote.first_model, vote.second_model) for vote in duels} == {("gpt2-mini", run)}
    prompts = {vote.prompt for vote in duels}
    assert prompts <= set(load_prompts("shipped", "test"))
    assert not prompts & {*load_prompts("shipped", "train"), *load_prompts("shipped", "heldout")}
    phone = mode.student.student_state({"secret": secrets[0]})
    assert phone["goal"] == 12 and phone["done"] == 8 and phone["result"] is None
    mode.reveal({"token": made.token})
    after = file_of(mode.export_class(exported)).read_text()
    assert after.startswith(before) and sum(run in line for line in after.splitlines()) == 16
    result = mode.student.student_state({"secret": secrets[0]})["result"]
    assert {result["a"], result["b"]} == {"gpt2-mini", run}


def test_next_round_has_texts_of_base_and_ppo_in_turns(mode):
    made, secrets = taught(mode, each=40, overlap=1)
    run = with_ppo(mode, made)
    mode.open_blind({"token": made.token})
    mode.reveal({"token": made.token})
    assert mode.next_round({"token": made.token, "question": None}) == {"round": 2}
    while mode.training.look_after(made.collection):
        pass
    vote_all(mode, secrets, rounds=90)
    votes = [vote for vote in mode.classes.votes(made.token) if vote.round == 2]
    assert {vote.first_model for vote in votes} == {"gpt2-mini", run}
    assert all(vote.first_model == vote.second_model for vote in votes)


def test_qr_picture_is_an_image_and_its_address_bounded(mode):
    token = open_class(mode).token
    picture = mode.class_qr({"token": token, "address": "http://10.0.0.2:7860/?class=ABCDEF"})[
        "picture"
    ]
    assert picture.startswith("data:image/svg+xml")
    with pytest.raises(ConfigError, match="too long"):
        mode.class_qr({"token": token, "address": "http://" + "a" * 300})
