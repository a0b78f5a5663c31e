"""Class mode over the page: who may do what, what students see, and how a class ends."""

from types import SimpleNamespace

import pytest

from rlhf_demo.errors import ConfigError, DataError, JobError, Refused
from rlhf_demo.server.settings import Settings
from rlhf_demo.ui.panels.classroom import votes_by_time
from rlhf_demo.ui.parts import answering
from tests.class_page import (  # noqa: F401  (some are fixtures)
    HERE,
    class_mode,
    fake,
    join,
    loops_left_open,
    new_jobs,
    open_class,
    page_over_http,
    shared_page,
    taught,
)
from tests.fake_jobs import start
from tests.fetching import file_of
from tests.tiny import read_rows
from tests.voting import GOOD

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Gradio's unclosed event loops

# -- who may do what -------------------------------------------------------------------------------


def test_class_is_opened_with_the_password_only(mode):
    for password in ("", "wrong", None):
        with pytest.raises(Refused, match="not the instructor's password"):
            open_class(mode, password=password)
    assert len(open_class(mode).code) == 6


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"each": 3}, "3 pairs for each student: choose 4 to 100"),
        ({"each": ""}, "pairs for each student is empty: give a number"),
        ({"each": "4.5"}, "pairs for each student is 4.5: give a whole number"),
        ({"overlap": None}, "students for each pair is empty"),
        ({"overlap": 31}, "31 students for each pair"),
        ({"question": " "}, "the question is empty"),
    ],
)
def test_class_with_a_value_out_of_range_is_refused_in_a_sentence(mode, changes, sentence):
    with pytest.raises((ConfigError, Refused), match=sentence):
        open_class(mode, **changes)


def test_public_page_without_a_password_opens_no_class(mode, monkeypatch):
    made = open_class(mode)
    settings = Settings(runs=mode.shared.settings.runs, public=True)
    monkeypatch.setattr(mode.shared, "settings", settings)
    with pytest.raises(Refused, match="You cannot open a class here"):
        open_class(mode)
    simulated = {"token": made.token, "students": 1, "taste": "x", "noise": 0, "careless": 0}
    with pytest.raises(Refused, match="You cannot open a class here"):
        mode.simulate(simulated)
    with pytest.raises(Refused, match="to move classes, set"):
        mode.take_over({"code": made.code, "password": ""}, HERE)


def test_class_moves_to_another_computer_with_the_password(mode):
    made = open_class(mode)
    with pytest.raises(Refused):
        mode.take_over({"code": made.code, "password": "guess"}, HERE)
    token = mode.take_over({"code": made.code, "password": "teach"}, HERE)["token"]
    assert mode.class_state({"token": token})["code"] == made.code
    with pytest.raises(Refused, match="does not know you"):
        mode.class_state({"token": made.token})


STUDENTS = {
    "join", "student_state", "next_pair", "vote", "undo", "keep_text", "delete_text", "predict",
    "try_text",
}  # fmt: skip
OPEN = {"open_class", "take_over"}
"""What needs no token: they ask for the password."""


def test_no_endpoint_of_the_instructor_takes_a_students_secret(post, mode):
    made = open_class(mode)
    ann = post("join", code=made.code, nickname="Ann")["secret"]
    theirs = post.names - STUDENTS - OPEN
    assert len(theirs) == 24
    everything = {
        "students": 1, "taste": "longer", "noise": 0, "careless": 0, "steps": 1, "format": "jsonl",
        "voter": 1, "left_out": True, "secret": ann, "question": GOOD, "open": False, "most": 1,
        "lesson": "attention", "text": 1,
    }  # fmt: skip
    before = mode.class_state({"token": made.token})
    for name in theirs:
        for token in (
            ann,
            ann.replace(ann.split(".")[0], str(made.collection), 1),
            made.code,
            None,
        ):
            assert "does not know you" in post(name, token=token, **everything)["error"], name
    assert mode.class_state({"token": made.token}) == before


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("leave_out", {"voter": 10**400}),
        ("leave_out", {"voter": 1e400}),
        ("leave_out", {"voter": "Ann"}),
        ("remove_student", {"voter": 1e400}),
        ("set_most_joins", {"most": "many"}),
        ("simulate", {"students": 1e400}),
        ("simulate", {"noise": "much"}),
        ("simulate", {"careless": None}),
        ("start_ppo", {"steps": 1e400}),
        ("start_ppo", {"steps": []}),
        ("open_class", {"each": 1e400}),
        ("open_class", {"overlap": "few"}),
        ("open_class", {"question": {"a": 1}}),
    ],
)
def test_request_of_the_wrong_kind_is_answered_in_words(mode, name, change):
    made = open_class(mode)
    fields = {
        "token": made.token, "voter": 1, "left_out": True, "students": 2, "taste": "longer",
        "noise": 0, "careless": 0, "steps": 5, "secret": "chalk", "question": GOOD, "overlap": 2,
        "each": 8, "clean_words": True, "password": "teach", "most": 60,
    }  # fmt: skip
    web = [HERE] if name == "open_class" else []
    assert answering(getattr(mode, name))(fields | change, *web)["error"]


# -- who has to go -------------------------------------------------------------------------------


def test_instructor_stops_all_trainings_but_those_of_classes(mode):
    made, _ = taught(mode)
    run = mode.start_ppo({"token": made.token, "secret": "chalk", "steps": 5})["run"]
    visitors = [start(mode.shared.jobs, secret=secret) for secret in ("cid", "dan")]
    assert mode.stop_others({"token": made.token}) == {"stopped": 2}
    status = {row["id"]: row["status"] for row in mode.shared.jobs.overview()}
    assert [status[one] for one in (run, *visitors)] == ["queued", "stopped", "stopped"]
    assert mode.stop_others({"token": made.token}) == {"stopped": 0}


def test_whoever_opens_a_class_at_home_stops_all_trainings_without_a_password(mode, monkeypatch):
    home = SimpleNamespace(token=None)
    monkeypatch.setattr(mode.shared, "instructor", home)
    monkeypatch.setattr(mode.shared.jobs, "_instructor_token", None)
    made = mode.classes.create_class(GOOD)
    start(mode.shared.jobs, secret="another browser")
    with pytest.raises(JobError, match="only the instructor"):
        mode.stop_others({"token": made.token})  # strangers come here, and there is no password
    monkeypatch.setattr(mode.shared.jobs, "start_token", "of this start")
    assert mode.stop_others({"token": made.token}) == {"stopped": 1}


def test_instructor_at_another_computer_stops_the_ppo_of_the_class(mode):
    made, _ = taught(mode)
    run = mode.start_ppo({"token": made.token, "secret": "chalk", "steps": 5})["run"]
    token = mode.take_over({"code": made.code, "password": "teach"}, HERE)["token"]
    mode.stop_ppo({"token": token, "secret": "other chalk"})
    assert mode.training.row(run)["status"] == "stopped"


def test_removed_student_leaves_no_vote_in_any_file(mode):
    made, [ann, bob] = taught(mode)
    mode.leave_out({"token": made.token, "voter": int(ann.partition(".")[0]), "left_out": False})
    mode.training.look_after(made.collection)  # a second model is in training
    exported = file_of(mode.export_class({"token": made.token, "format": "jsonl"}))
    folder = mode.training.records.folder(made.collection)
    (folder / "votes-0123456789ab").mkdir()
    mode.remove_student({"token": made.token, "voter": int(ann.partition(".")[0])})
    assert not exported.exists() and not (folder / "votes-0123456789ab").exists()
    [learned] = folder.glob("votes-*/pairs.jsonl")
    assert {row["rater"] for row in read_rows(learned)} == {int(bob.partition(".")[0])}
    told = mode.class_state({"token": made.token})
    assert [row["nickname"] for row in told["voters"]] == ["Bob"]
    assert told["all_votes"] == len(mode.store.votes(made.collection)) > 0
    assert "does not know you" in answering(mode.student.student_state)({"secret": ann})["error"]
    assert mode.student.student_state({"secret": bob})["nickname"] == "Bob"


def test_texts_of_students_are_counted_exported_and_deleted_with_their_writer(mode):
    made = open_class(mode)
    ann, bob = join(mode, made), join(mode, made, "Bob")
    mode.training.look_after(made.collection)
    for secret, text in ((ann, "was by the first."), (bob, "was by the second.")):
        shown = mode.student.next_pair({"secret": secret})["assignment"]
        request = {"secret": secret, "assignment": shown["id"]}
        kept = mode.student.keep_text(request | {"text": text}, HERE)
        assert kept == {"written": f" {text}", "count": 1}
    told = mode.class_state({"token": made.token})
    assert (told["written"], told["votes"], told["all_votes"]) == (2, 0, 0)
    form = {"token": made.token, "format": "jsonl"}
    answer = mode.export_class_texts(form)
    exported = file_of(answer)
    assert (answer["rows"], exported.name) == (2, "demonstrations-class-2-2.jsonl")
    assert "Bob" not in exported.read_text() and "was by the second." in exported.read_text()
    mode.remove_student({"token": made.token, "voter": int(bob.partition(".")[0])})
    assert not exported.exists() and mode.class_state({"token": made.token})["written"] == 1
    assert "by the second" not in file_of(mode.export_class_texts(form)).read_text()
    with pytest.raises(Refused):
        mode.export_class_texts({"token": ann, "format": "jsonl"})
    mode.store.clock.now += 6
    shown = mode.student.next_pair({"secret": ann})["assignment"]
    assert shown["written"] == " was by the first."
    gone = mode.student.delete_text({"secret": ann, "assignment": shown["id"]}, HERE)
    assert gone == {"deleted": True} and mode.class_state({"token": made.token})["written"] == 0
    with pytest.raises(DataError, match="no written texts yet"):
        mode.export_class_texts(form)


def test_closed_door_and_most_joins_are_seen_on_the_screen(mode):
    made = open_class(mode)
    mode.set_door({"token": made.token, "open": False})
    mode.set_most_joins({"token": made.token, "most": "120"})
    told = mode.class_state({"token": made.token})
    assert (told["door_open"], told["most_joins"]) == (False, 120)
    with pytest.raises(Refused, match="this class is not taking new students now"):
        join(mode, made)


# -- simulated students, files, the end ------------------------------------------------------------


def test_simulated_students_are_marked_and_leave_when_told(mode, clock):
    made = open_class(mode)
    request = {
        "token": made.token, "students": "2", "taste": "longer", "noise": "0.1", "careless": "0",
    }  # fmt: skip
    mode.simulate(request)
    told = mode.class_state({"token": made.token})
    assert [row["simulated"] for row in told["voters"]] == [True, True]
    assert told["simulation"]["students"] == 2
    with pytest.raises(ConfigError, match="stop them first"):
        mode.simulate(request)
    mode.stop_simulation({"token": made.token})
    assert mode.class_state({"token": made.token})["simulation"] is None


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
    text = file_of(answer).read_text(encoding="utf-8")
    assert text.count("\n") == answer["rows"] and "Ann" not in text
    folder = mode.training.records.folder(made.collection)
    reward = mode.training.records.read(made.collection)["reward"]
    assert folder.is_dir()
    mode.delete_class({"token": made.token})
    assert not folder.exists() and mode.training.row(reward) is None
    assert mode.store.votes(made.collection) == []
    with pytest.raises(FileNotFoundError):
        file_of(answer).read_text(encoding="utf-8")


def test_votes_by_time_counts_all_of_them():
    # 0, 5 and 12 seconds after the first, in bars of ten seconds or more.
    told = votes_by_time([100.0, 105.0, 112.0])
    assert sum(told["counts"]) == 3 and told["seconds"] >= 10.0
    assert votes_by_time([]) == {"seconds": 0.0, "counts": []}
