"""The Feedback tab: what its server functions answer, and what they refuse."""
# ruff: noqa: F811  (fixtures are imported, and named again where they are used)

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from rlhf_demo.errors import DataError, Refused
from rlhf_demo.server.instructor import Instructor
from rlhf_demo.server.sampler import AHEAD, FOURS_AHEAD, PairRequest
from rlhf_demo.server.settings import Settings
from rlhf_demo.server.vote_data import vote_facts
from rlhf_demo.ui.parts import answering
from rlhf_demo.ui.tabs import feedback
from rlhf_demo.ui.tabs.reward import RewardTab
from rlhf_demo.votes.vote import Demonstration
from rlhf_demo.web.cache import DOWNLOADS
from rlhf_demo.web.downloads import FETCH_SECONDS, OWN_SECONDS
from tests.fetching import file_of
from tests.vote_page import BASE, HTTP, ask, fake, new_jobs, people_vote, shared, tab  # noqa: F401  (fixtures among them)
from tests.voting import GOOD, HAPPY, answer, new_fours, new_pairs, rank

# -- the ballot ------------------------------------------------------------------------------------


def test_known_voter_stays_who_it_is_and_an_unknown_one_is_made_anew(tab):
    first = tab.enter({"voter": ""}, HTTP)["voter"]
    assert tab.enter({"voter": first}, HTTP) == {"voter": first}
    assert tab.enter({"voter": "99.forged"}, HTTP)["voter"] not in (first, "99.forged")


def test_pair_comes_without_the_names_of_models(tab, store):
    store.add_pairs(new_pairs(1, model="secret-model"))
    answered = tab.next_pair(ask(store.visit("here"), model="secret-model"), HTTP)
    assert set(answered["assignment"]) == {"id", "question", "prompt", "left", "right", "written"}
    assert "secret-model" not in str(answered)


def test_pair_fetched_ahead_is_the_one_after_the_vote(tab, store):
    store.add_pairs(new_pairs(3))
    voter = store.visit("here")
    now = tab.next_pair(ask(voter), HTTP)["assignment"]
    ahead = tab.next_pair(ask(voter, after=now["id"]), HTTP)["assignment"]
    assert ahead["id"] != now["id"]
    assert tab.next_pair(ask(voter), HTTP)["assignment"] == now  # still to be answered
    assert tab.vote({"voter": voter, "assignment": now["id"], "choice": "tie"}, HTTP) == {
        "votes": 1
    }
    assert tab.next_pair(ask(voter), HTTP)["assignment"] == ahead


def test_pair_fetched_ahead_counts_its_seconds_from_the_answer_before(tab, store, clock):
    store.add_pairs(new_pairs(2))
    voter = store.visit("here")
    now = tab.next_pair(ask(voter), HTTP)["assignment"]
    ahead = tab.next_pair(ask(voter, after=now["id"]), HTTP)["assignment"]
    for assignment, seconds in ((now, 8), (ahead, 3)):
        clock.now += seconds
        tab.vote({"voter": voter, "assignment": assignment["id"], "choice": "left"}, HTTP)
    assert [vote.seconds for vote in store.votes()] == [8, 3]


def test_first_pair_of_the_shipped_model_needs_no_sampling(tab, store):
    assignment = tab.next_pair(ask(store.visit("here"), model=BASE), HTTP)["assignment"]
    assert assignment["left"].strip() and assignment["right"].strip()
    assert store.pairs_waiting(store.visit("here"), HAPPY, model=BASE) == AHEAD


def test_more_is_written_only_when_few_pairs_are_left(tab, store):
    store.add_pairs(new_pairs(AHEAD))
    voter = store.visit("here")
    tab.next_pair(ask(voter), HTTP)
    assert tab.sampler.orders == []
    tab.next_pair(ask(voter), HTTP)  # one of them is on the screen now
    assert tab.sampler.orders == [PairRequest("m", "m")]


def test_trouble_of_the_sampler_is_told_in_words(tab, store):
    voter = store.visit("here")
    assert "is writing" in tab.next_pair(ask(voter), HTTP)["message"]
    tab.sampler.trouble = "the model is gone"
    assert tab.next_pair(ask(voter), HTTP)["message"] == "the model is gone"


def test_pair_that_waits_is_shown_where_no_more_can_be_written(tab, store):
    store.add_pairs(new_pairs(1))
    tab.sampler.full = True
    assert tab.next_pair(ask(store.visit("here")), HTTP)["assignment"]
    told = tab.next_pair(ask(store.visit("here"), model="other"), HTTP)
    assert told == {"assignment": None, "message": "many texts are waiting to be written"}


def test_undo_gives_the_pair_back(tab, store, clock):
    voter = people_vote(store, 1, people=1)[0]
    clock.now += 1
    assert tab.undo({"voter": voter}, HTTP) == {"undone": True, "votes": 0}
    assert tab.undo({"voter": voter}, HTTP)["undone"] is False


def test_own_beginning_goes_to_the_sampler_as_one_plain_line(tab, store):
    voter = store.visit("here")
    told, emptied = tab.write_to(" My <b>cat</b>\n says", HAPPY, "m", voter, HTTP)
    assert (told["prompt"], emptied) == ("My <b>cat</b> says", "")
    assert tab.sampler.orders == [PairRequest("m", "m", "My <b>cat</b> says", voter)]
    tab.sampler.busy = True
    waiting = tab.next_pair(ask(voter, prompt=told["prompt"]), HTTP)
    assert waiting == {"assignment": None, "message": "m is continuing your prompt."}


@pytest.mark.parametrize("text", ["", "   ", "x" * 301])
def test_empty_or_long_beginning_is_refused_in_words(tab, store, text):
    told, _ = tab.write_to(text, HAPPY, "m", store.visit("here"), HTTP)
    assert "beginning" in told["error"] or "prompt" in told["error"]
    assert tab.sampler.orders == []


def test_own_pairs_come_next_and_to_nobody_else(tab, store):
    store.add_pairs(new_pairs(2))
    mine, other = store.visit("here"), store.visit("here")
    tab.next_pair(ask(mine), HTTP)
    store.add_pairs(new_pairs(1, start=7), owner_secret=mine)
    assert tab.next_pair(ask(mine), HTTP)["assignment"]["prompt"] == "Prompt 7"
    assert tab.next_pair(ask(other), HTTP)["assignment"]["prompt"] != "Prompt 7"


def test_question_of_ones_own_is_bounded(tab):
    assert tab.ask("  Which is\nfunnier? ", "m") == {"question": "Which is funnier?", "model": "m"}
    assert "at most 120" in tab.ask("x" * 121, "m")["error"]


@pytest.mark.parametrize("request_", [None, 7, {}, {"voter": 1, "question": [], "model": {}}])
def test_odd_request_is_answered_in_words(tab, request_):
    functions = (
        tab.next_pair, tab.vote, tab.undo, tab.train, tab.export, tab.keep_text, tab.delete_text,
        tab.export_texts, tab.next_four, tab.rank, tab.skip_four, tab.undo_ranking,
        tab.export_rankings,
    )  # fmt: skip
    for function in functions:
        assert set(answering(function)(request_)) == {"error"}


# -- texts that visitors write ---------------------------------------------------------------------


def text_of(tab, voter, text="was a joy.", secret="ann", change=None):
    """Write a text for the voter's pair, as the page sends it."""
    shown = tab.next_pair(ask(voter), HTTP)["assignment"]
    request = {"voter": voter, "assignment": shown["id"], "text": text, "secret": secret}
    return tab.keep_text(request | (change or {}), HTTP)


def test_written_text_stands_with_its_pair_until_it_is_deleted(tab, store, clock):
    store.add_pairs(new_pairs(AHEAD))
    voter = store.visit("here")
    assert tab.next_pair(ask(voter), HTTP)["assignment"]["written"] is None
    assert text_of(tab, voter) == {"written": " was a joy.", "count": 1}
    shown = tab.next_pair(ask(voter), HTTP)["assignment"]
    assert shown["written"] == " was a joy."
    clock.now += 6
    request = {"voter": voter, "assignment": shown["id"]}
    assert tab.delete_text(request, HTTP) == {"deleted": True}
    assert tab.next_pair(ask(voter), HTTP)["assignment"]["written"] is None
    assert store.votes() == []


@pytest.mark.parametrize(
    "change", [{"text": None}, {"text": []}, {"assignment": "1"}, {"assignment": 99}, {"voter": 7}]
)
def test_odd_text_is_answered_in_words(tab, store, change):
    store.add_pairs(new_pairs(AHEAD))
    with pytest.raises(Refused):
        text_of(tab, store.visit("here"), change=change)
    assert store.demonstrations.of_visitors() == []


def test_page_says_who_can_read_a_text(tab):
    told = tab._about_texts()
    assert "Anyone who can open this page can download it" in told["use"]
    assert "Anyone who can open this page can download them" in told["stored"]
    tab.data.public = True
    told = tab._about_texts()
    assert "no other visitor can read it" in told["use"]
    assert "only you can download your texts" in told["stored"]


@pytest.fixture
def files(tab, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    return tab


# -- four texts to rank ----------------------------------------------------------------------------


def test_four_texts_come_without_the_models_name_and_their_order_is_counted(tab, store):
    store.rankings.add_fours(new_fours(2, model="secret-model"))
    voter = store.visit("here")
    request = ask(voter, model="secret-model")
    shown = tab.next_four(request, HTTP)["assignment"]
    assert set(shown) == {"id", "question", "prompt", "texts"}
    assert "secret-model" not in str(shown)
    ranked = {"voter": voter, "four": shown["id"], "order": "DBCA"}
    assert tab.rank(ranked, HTTP) == {"mine": 1, "all": 1}
    later = tab.next_four(request, HTTP)["assignment"]
    assert tab.skip_four({"voter": voter, "four": later["id"]}, HTTP) == {"skipped": True}
    assert tab.undo_ranking({"voter": voter}, HTTP) == {"undone": True, "mine": 0, "all": 0}
    assert tab.next_four(request, HTTP)["assignment"] == shown


def test_texts_to_rank_are_written_ahead_and_trouble_is_told(tab, store):
    store.rankings.add_fours(new_fours(FOURS_AHEAD + 1))
    voter = store.visit("here")
    tab.next_four(ask(voter), HTTP)
    assert tab.sampler.orders == []  # three others wait
    tab.next_four(ask(store.visit("here")), HTTP)
    assert tab.sampler.orders == [PairRequest("m", "m", to_rank=True)]
    nothing = ask(voter, model="other")
    assert tab.next_four(nothing, HTTP) == {
        "assignment": None, "message": "other is writing the next texts."
    }  # fmt: skip
    tab.sampler.trouble = "the model is gone"
    assert tab.next_four(nothing, HTTP)["message"] == "the model is gone"


def test_rankings_are_counted_exported_imported_and_trained_on(files, store, tmp_path):
    store.rankings.add_fours(new_fours(8))
    voter = store.visit("here")
    for _ in range(8):
        rank(store, voter, "BADC")
    told = files.quality({"question": HAPPY})
    assert (told["votes"], told["rankings"], told["rankings_together"]) == (0, 8, 8)
    number = int(voter.partition(".")[0])
    assert files.data.rankings()[0].voter == number
    file = files.export_rankings({"format": "jsonl"})
    assert (file["rows"], file["name"]) == (8, "rankings.jsonl")
    other = shutil.copy(file_of(file), tmp_path)
    assert files.take_file(other, HAPPY, "ann", HTTP) == NOTHING_NEW
    rows = [json.loads(line) for line in Path(other).read_text().splitlines()]
    later = [row | {"time": "2026-11-29T12:00:00Z"} for row in rows]  # of another page
    Path(other).write_text("".join(f"{json.dumps(row)}\n" for row in [*rows, *later]))
    assert files.take_file(other, HAPPY, "ann", HTTP) == {
        "imported": {"kept": 8, "double": 8, "what": "ranking"}
    }
    assert files.quality({"question": GOOD})["rankings_together"] == 16
    run = files.train({"question": HAPPY, "secret": "ann"}, HTTP)["run"]
    options = files.shared.jobs.find(run).config["options"]
    facts = vote_facts(options["data"])
    assert (facts["votes"], facts["rankings"], facts["voters"]) == (0, 16, 2)


def test_file_with_a_text_twice_in_a_ranking_is_refused_in_a_sentence(files, tmp_path):
    path = tmp_path / "rankings.jsonl"
    path.write_text(
        '{"prompt": "p", "first": "a", "second": "b", "third": " a", "fourth": "d", '
        '"order": "ABCD"}\n'
    )
    assert files.take_file(str(path), HAPPY, "ann", HTTP) == {
        "error": "rankings.jsonl row 1: the texts A and C are the same: rank four different texts"
    }


# -- how good the votes are ------------------------------------------------------------------------


def test_quality_counts_one_question_and_leaves_out_whom_one_asks_to(tab, store):
    people_vote(store, 12, people=2)  # both always take the left text
    people_vote(store, 2, people=1, question=GOOD)
    told = tab.quality({"question": HAPPY})
    assert (told["voters"], told["preferences"], told["together"]) == (2, 24, 26)
    first = store.votes()[0].voter
    fewer = tab.quality({"question": HAPPY, "without": [first]})
    assert (fewer["votes"], fewer["preferences"]) == (told["votes"], 12)
    assert fewer["quality"]["votes"] < told["quality"]["votes"]


def test_one_sided_voter_is_listed_by_number_and_reason(tab, store):
    people_vote(store, 12, people=2, choose=lambda person: "tie" if person else "left")
    [row] = tab.quality({"question": HAPPY})["careless"]
    assert row["voter"] == store.votes()[0].voter
    assert "chose the left text" in " ".join(row["careless"])


def test_of_thousands_of_careless_voters_some_are_listed(tab, store, monkeypatch):
    monkeypatch.setattr(feedback, "MOST_LISTED", 2)
    people_vote(store, 12, people=3)
    told = tab.quality({"question": HAPPY})
    assert len(told["careless"]) == 2
    assert told["voters"] == 3


# -- files -----------------------------------------------------------------------------------------

NOTHING_NEW = {"error": "nothing in this file is new: its rows are here already"}


def empty(store, table):
    with store.database.writing() as connection:
        connection.exec_driver_sql(f"DELETE FROM {table}")


def test_an_export_of_this_page_adds_nothing_in_either_layout(files, store, tmp_path):
    """Each import doubled the votes, and the intervals shrank as if others had voted."""
    people_vote(store, 3, people=1)
    for number, everything in enumerate((True, False)):
        file = file_of(files.export({"format": "jsonl", "everything": everything}))
        other = shutil.copy(file, tmp_path / f"{number}.jsonl")
        assert files.take_file(str(other), HAPPY, "ann", HTTP) == NOTHING_NEW
    assert files.quality({"question": HAPPY})["votes"] == 3


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_exported_votes_are_read_by_another_page(files, store, tmp_path, kind):
    people_vote(store, 3, people=1, choose=lambda person: "right")
    told = files.export({"format": kind, "everything": True})
    assert (told["rows"], told["name"]) == (3, f"all-votes.{kind}")
    other = shutil.copy(file_of(told), tmp_path)
    assert files.take_file(other, HAPPY, "ann", HTTP) == NOTHING_NEW
    empty(store, "showings")  # as on another page
    assert files.take_file(other, HAPPY, "ann", HTTP) == {
        "imported": {"kept": 3, "double": 0, "what": "vote"}
    }
    assert files.quality({"question": HAPPY})["votes"] == 3
    assert "already been imported" in files.take_file(other, HAPPY, "ann", HTTP)["error"]


def test_newest_export_of_each_form_is_kept_and_links_stay_good_for_a_moment(files, store):
    people_vote(store, 1, people=1)
    forms = [{"format": "jsonl", "everything": every} for every in (True, False)]
    before = [file_of(files.export(form)) for form in forms]
    people_vote(store, 1, people=1)
    newer = [file_of(files.export(form)) for form in forms]
    assert all(path.is_file() for path in before + newer)
    for path in before:
        old = time.time() - FETCH_SECONDS - 1
        os.utime(path.parent, (old, old))
    people_vote(store, 1, people=1)
    last = file_of(files.export(forms[0]))
    assert [path.is_file() for path in before] == [False, True]  # of the other form none is newer
    assert last.is_file() and DOWNLOADS in last.parts  # so it takes no room from uploads


def test_nobody_removes_a_download_by_sending_it_as_an_upload(files, store, shared):
    people_vote(store, 1, people=1)
    download = file_of(files.export({"format": "jsonl"}))
    cache = download.parents[3]
    for path in (download, download.parent, cache, cache / "downloads"):
        for told in (
            files.take_file(str(path), HAPPY, "ann", HTTP),
            RewardTab(shared).take_upload(str(path), "ann", HTTP)[1],
        ):
            assert told == {"error": "this file was not uploaded here: upload it again"}
    assert download.is_file()


def test_export_in_another_format_is_refused(files, store):
    people_vote(store, 1, people=1)
    with pytest.raises(DataError, match="jsonl or parquet"):
        files.export({"format": "../x.csv"})


TEXT = Demonstration(
    id=1, collection=0, round=1, prompt="The film", completion=" was imported.", question=HAPPY,
    voter=1, time=86_400.0, left_out=False,
)  # fmt: skip


def test_bad_file_is_refused_with_its_row(files, tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"prompt": "a", "chosen": "b"}\n')
    assert "row 1" in files.take_file(str(path), HAPPY, "ann", HTTP)["error"]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_exported_texts_are_read_by_another_page(files, store, tmp_path, kind):
    store.add_pairs(new_pairs(AHEAD))
    text_of(files, store.visit("here"))
    told = files.export_texts({"format": kind, "secret": "bob"})
    assert (told["rows"], told["name"]) == (1, f"demonstrations.{kind}")
    other = shutil.copy(file_of(told), tmp_path)
    assert files.take_file(other, HAPPY, "ann", HTTP) == NOTHING_NEW
    empty(store, "demonstrations")
    assert files.take_file(other, HAPPY, "ann", HTTP) == {
        "imported": {"kept": 1, "double": 0, "what": "text"}
    }
    assert [one.completion for one in files.texts.texts("")] == [" was a joy."]
    assert "already been imported" in files.take_file(other, HAPPY, "ann", HTTP)["error"]


def test_stranger_downloads_own_texts_alone_at_an_address_that_nobody_guesses(files, store):
    files.texts.public = True
    store.add_pairs(new_pairs(AHEAD))
    text_of(files, store.visit("here"), "was by Ann.", "ann")
    text_of(files, store.visit("here"), "was by Bob.", "bob")
    ann, bob = (
        file_of(files.export_texts({"format": "jsonl", "secret": secret}))
        for secret in ("ann", "bob")
    )
    assert ann.is_file() and "by Ann" in ann.read_text() and "by Bob" not in ann.read_text()
    assert len(ann.parents[1].name) == 32 and ann.parents[1] != bob.parents[1]
    with pytest.raises(DataError, match="no written texts yet"):
        files.export_texts({"format": "jsonl", "secret": "eve"})
    old = time.time() - OWN_SECONDS - 1
    os.utime(ann.parents[1], (old, old))
    files.export_texts({"format": "jsonl", "secret": "bob"})
    assert bob.is_file() and not ann.exists()


@pytest.fixture
def owned(files, store):
    """Give the page an instructor's password."""
    files.shared.settings = replace(files.shared.settings, password="teach")
    files.shared.instructor = Instructor("teach", store.clock, files.shared.settings.runs)
    return files


def test_on_a_public_page_without_a_password_nobody_imports(files, tmp_path):
    files.shared.settings = Settings(runs=tmp_path / "runs", public=True)
    path = tmp_path / "votes.jsonl"
    path.write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    for secret in ("", "ann"):
        assert (
            "import votes on a page of your own"
            in files.take_file(str(path), HAPPY, secret, HTTP)["error"]
        )


def test_password_page_asks_for_the_instructors_token_before_an_import(owned, tmp_path):
    path = tmp_path / "votes.jsonl"
    for public in (False, True):
        path.write_text(f'{{"prompt": "{public}", "chosen": "b", "rejected": "c"}}\n')
        owned.shared.settings = replace(owned.shared.settings, public=public)
        for secret in ("", "ann", "teach"):  # the password itself opens nothing here
            told = owned.take_file(str(path), HAPPY, secret, HTTP)
            assert "enter the password on the Runs tab" in told["error"]
        told = owned.take_file(str(path), HAPPY, owned.shared.instructor.token, HTTP)
        assert "imported" in told


def test_votes_on_a_strangers_own_beginning_are_in_no_report_export_or_training(files, store):
    """The beginning's pairs are for the voter alone on a page that strangers use."""
    [mine] = people_vote(store, 9, people=1)
    store.add_pairs(new_pairs(9, start=50), owner_secret=mine)
    for _ in range(9):
        answer(store, mine, "left", HAPPY)
    whole = store.votes()
    own = [vote for vote in whole if vote.own]
    assert len(own) >= 5  # the others are attention checks and repeats

    def told():
        folder = files.data.write([HAPPY])
        export = files.export({"format": "jsonl", "everything": True})
        texts = file_of(export).read_text()
        texts += "".join(path.read_text() for path in folder.iterdir())
        return {
            "prompts": {vote.prompt for vote in own if f'"{vote.prompt}"' in texts},
            "votes": files.quality({"question": HAPPY})["votes"],
            "rows": export["rows"],
            "listed": files.data.questions()[0].votes,
        }

    at_home = told()
    assert at_home["votes"] == at_home["rows"] == len(whole)
    assert at_home["prompts"] == {vote.prompt for vote in own}
    files.data.public = True
    public = told()
    assert public["votes"] == public["rows"] == len(whole) - len(own)
    assert public["prompts"] == set()
    assert public["listed"] == 9 < at_home["listed"]


def test_visitors_get_no_imported_texts(files, store):
    """They may be a class's. Anyone can make up secrets, and a copy for each filled the disk."""
    files.texts.public = True
    store.add_pairs(new_pairs(AHEAD))
    store.demonstrations.add([TEXT], "x" * 64)
    with pytest.raises(DataError, match="no written texts yet"):
        files.export_texts({"format": "jsonl", "secret": "eve"})
    text_of(files, store.visit("here"), "was by Ann.", "ann")
    ann = file_of(files.export_texts({"format": "jsonl", "secret": "ann"})).read_text()
    assert "by Ann" in ann and "was imported" not in ann


def test_question_is_no_rude_title_where_it_is_cut(tab, monkeypatch):
    submit = tab.shared.submit
    monkeypatch.setattr(submit, "settings", replace(submit.settings, public=True))
    asked = f"Votes: {'a' * 47} prickly pear"  # a title has 60 characters
    assert tab._shown_title(asked) == "Votes on one question"
    assert tab._shown_title("Votes: Which is happier?") == "Votes: Which is happier?"
