"""Files of votes go in a few at a time, and wholly or not at all."""

import threading
from dataclasses import replace

import pytest

from rlhf_demo.errors import Refused
from rlhf_demo.votes import imports
from rlhf_demo.votes.imports import ARRIVING, BATCH
from rlhf_demo.votes.store import Store
from rlhf_demo.votes.tables import collections
from rlhf_demo.votes.vote import PLAIN, Vote
from tests.voting import HAPPY, answer, join, new_pairs

VOTE = Vote(
    id=1, collection=0, round=1, kind=PLAIN, pair=0, prompt="The film", first=" a", second=" b",
    first_model="", second_model="", question=HAPPY, voter=1, choice="first", swapped=None,
    repeat=False, time=86_400.0, seconds=None, simulated=False, left_out=False,
)  # fmt: skip
MANY = [replace(VOTE, prompt=f"Film {n}") for n in range(2 * BATCH + 1)]


def interrupted(monkeypatch, error, after):
    """Let an import break off after so many votes."""
    insert_pairs, calls = imports.insert_pairs, []

    def counted(*given):
        calls.append(given)
        if len(calls) > after:
            raise error
        return insert_pairs(*given)

    monkeypatch.setattr(imports, "insert_pairs", counted)


def test_people_vote_while_a_file_goes_in(store, monkeypatch):
    store.add_pairs(new_pairs(1))
    secret = store.visit("here")
    seen = []

    def between(_):
        voter = threading.Thread(target=answer, args=(store, secret))
        if not seen:
            voter.start()
            voter.join(10)
        seen.append(len(store.votes()))

    monkeypatch.setattr(imports.time, "sleep", between)
    collection, double = store.add_votes(MANY, "x" * 64)
    assert seen == [1, 1 + BATCH, 1 + 2 * BATCH]  # the visitor's, then one batch more each time
    assert (len(store.votes(collection)), double) == (2 * BATCH + 1, 0)


def test_double_row_in_another_batch_is_left_out_too(store):
    assert store.add_votes([*MANY, MANY[0]], "x" * 64)[1] == 1


def test_import_that_breaks_off_leaves_nothing_and_may_be_tried_again(store, monkeypatch):
    with monkeypatch.context() as patch:
        interrupted(patch, OSError("disk full"), BATCH + 5)
        with pytest.raises(OSError, match="disk full"):
            store.add_votes(MANY, "x" * 64)
    assert store.votes() == []
    collection, _ = store.add_votes(MANY, "x" * 64)
    assert len(store.votes(collection)) == len(MANY)
    with pytest.raises(Refused, match="already been imported"):
        store.add_votes(MANY, "x" * 64)


def test_import_cut_short_by_a_kill_is_deleted_at_the_next_start(store, clock, tmp_path):
    collection, _ = store.add_votes(MANY[:3], "x" * 64)
    with store.database.writing() as connection:  # as a kill leaves it
        this = collections.update().where(collections.c.id == collection)
        connection.execute(this.values(state=ARRIVING))
    again = Store(f"sqlite:///{tmp_path}/votes.db", clock=clock)
    assert again.votes() == []
    assert len(again.votes(again.add_votes(MANY[:3], "x" * 64)[0])) == 3
    again.close()


def test_votes_are_counted_without_those_of_classes(store, classes, rounds):
    collection = classes.create_class(HAPPY)
    rounds.add_pairs(collection.collection, new_pairs(1))
    [student] = join(classes, collection, 1)
    store.vote(student, store.next_pair(student).id, "left")
    assert store.count() == 0
    store.add_pairs(new_pairs(1))
    answer(store, store.visit("here"))
    store.add_votes(MANY[:3], "x" * 64)
    assert store.count() == 4 == len(store.votes(classes=False))
