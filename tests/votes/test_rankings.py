"""Rankings of four texts: shown to one voter, ranked, undone, bounded, and never a vote."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from rlhf_demo.errors import Refused
from rlhf_demo.rate_limit import RateLimit
from rlhf_demo.votes.queries import IDLE_SECONDS, MOST_UNRANKED, UNANSWERED_SECONDS
from rlhf_demo.votes.rankings import ADDRESS_PACE, ADDRESS_TAKES, PACE
from rlhf_demo.votes.store import CLEAR_EVERY
from rlhf_demo.votes.tables import questions, rankings
from rlhf_demo.votes.vote import Ranking
from tests.voting import GOOD, HAPPY, join, new_fours, rank

TEXTS = [" a 0", " b 0", " c 0", " d 0"]


def show(store, secret, question=HAPPY, model="m"):
    return store.rankings.next_four(secret, question, model=model)


def number(secret):
    return int(secret.partition(".")[0])


# -- ranking ---------------------------------------------------------------------------------------


def test_ranking_is_kept_as_four_texts_and_their_order(store, clock):
    store.rankings.add_fours(new_fours(1))
    secret = store.visit("here")
    shown = show(store, secret)
    assert shown == {"id": 1, "question": HAPPY, "prompt": "Prompt 0", "texts": TEXTS}
    assert show(store, secret) == shown  # the same until it is ranked
    assert store.rankings.rank(secret, 1, "CADB", "here") == {"mine": 1, "all": 1}
    [kept] = store.rankings.of_visitors()
    assert kept == Ranking(
        id=1, collection=store.open_collection, round=1, prompt="Prompt 0", first=" a 0",
        second=" b 0", third=" c 0", fourth=" d 0", order="CADB", model="m", seed=0,
        question=HAPPY, voter=number(secret), time=clock.now, left_out=False,
    )  # fmt: skip
    assert (store.votes(), store.count()) == ([], 0)  # it is no vote
    assert show(store, secret) is None


def test_ranking_of_four_has_its_six_pairs_best_first(store):
    store.rankings.add_fours(new_fours(1))
    rank(store, store.visit("here"), "CADB")
    [kept] = store.rankings.of_visitors()
    a, b, c, d = TEXTS
    assert kept.pairs == [(c, a), (c, d), (c, b), (a, d), (a, b), (d, b)]


def test_one_address_takes_new_texts_as_fast_as_they_are_written(store, clock):
    """One address ranked without reading, and voters elsewhere waited 36 s for each four."""
    store.rankings.add_fours(new_fours(60))

    def take(client):
        voter = store.visit(client)
        return store.rankings.next_four(voter, HAPPY, model="m", client=client) is not None

    assert [take("there") for _ in range(40)] == [True] * 20 + [False] * 20
    assert take("here")
    voter = store.visit("there")
    clock.now += 5
    shown = store.rankings.next_four(voter, HAPPY, model="m", client="there")
    for _ in range(9):  # what a voter already has costs nothing
        assert store.rankings.next_four(voter, HAPPY, model="m", client="there") == shown
    assert [take("there") for _ in range(4)] == [True, True, False, False]


def test_order_sent_twice_counts_once_and_another_one_is_refused(store):
    store.rankings.add_fours(new_fours(2))
    secret = store.visit("here")
    shown = rank(store, secret, "ABCD")
    assert store.rankings.rank(secret, shown["id"], "ABCD", "here") == {"mine": 1, "all": 1}
    with pytest.raises(
        Refused, match="already ranked these texts in another order: undo that first"
    ):
        store.rankings.rank(secret, shown["id"], "DCBA", "here")


def test_newest_ranking_is_undone_though_the_clock_was_set_back(store, clock):
    store.rankings.add_fours(new_fours(2))
    secret = store.visit("here")
    rank(store, secret)
    clock.now -= 86_400
    newest = rank(store, secret)
    assert store.rankings.undo(secret, "here")["undone"]
    assert store.rankings.next_four(secret, HAPPY, model="m") == newest


def test_last_ranking_is_undone_and_its_texts_come_next(store):
    store.rankings.add_fours(new_fours(3))
    secret, other = store.visit("here"), store.visit("here")
    first = rank(store, secret)
    second = rank(store, secret)
    show(store, secret)  # the third is on the screen
    assert store.rankings.undo(secret, "here") == {"undone": True, "mine": 1, "all": 1}
    assert show(store, secret, GOOD)["id"] == second["id"]
    assert show(store, other)["id"] == 3  # which went back
    store.rankings.rank(secret, second["id"], "DCBA", "here")
    assert [(one.id, one.order, one.question) for one in store.rankings.of_visitors()] == [
        (first["id"], "ABCD", HAPPY), (second["id"], "DCBA", GOOD),
    ]  # fmt: skip
    store.clock.now += 60
    assert [store.rankings.undo(secret, "here")["undone"] for _ in range(3)] == [True, True, False]


def test_texts_that_are_shown_under_one_question_are_not_asked_for_under_another(store):
    store.rankings.add_fours(new_fours(2))
    secret = store.visit("here")
    first = show(store, secret)
    second = show(store, secret, GOOD)  # in another tab
    assert second["id"] != first["id"]
    with pytest.raises(Refused, match="not yours to rank: take the next ones"):
        store.rankings.rank(secret, first["id"], "ABCD", "here")
    store.rankings.rank(secret, second["id"], "ABCD", "here")
    assert [one.question for one in store.rankings.of_visitors()] == [GOOD]


def test_order_that_is_sent_again_leaves_the_last_ranking_the_last(store):
    store.rankings.add_fours(new_fours(2))
    secret = store.visit("here")
    first = rank(store, secret)
    store.clock.now += 10
    second = rank(store, secret)
    store.clock.now += 10
    store.rankings.rank(secret, first["id"], "ABCD", "here")  # a lost answer
    store.rankings.undo(secret, "here")
    assert [one.id for one in store.rankings.of_visitors()] == [first["id"]]
    with pytest.raises(Refused, match="take the next ones"):  # under which question?
        store.rankings.rank(secret, second["id"], "ABCD", "here")
    assert show(store, secret)["id"] == second["id"]


def test_skipped_texts_are_gone_and_a_ranking_cannot_be_skipped(store):
    store.rankings.add_fours(new_fours(2))
    secret, other = store.visit("here"), store.visit("here")
    shown = show(store, secret)
    assert store.rankings.skip(other, shown["id"], "here") is False  # not this voter's
    assert store.rankings.skip(secret, shown["id"], "here") is True
    assert store.rankings.skip(secret, shown["id"], "here") is False
    later = rank(store, secret)
    assert later["id"] != shown["id"]
    assert store.rankings.skip(secret, later["id"], "here") is False
    assert len(store.rankings.of_visitors()) == 1


def test_each_four_texts_have_one_voter_and_each_model_its_own(store):
    store.rankings.add_fours([*new_fours(1), *new_fours(1, model="n")])
    ann, bob = store.visit("here"), store.visit("here")
    assert show(store, ann)["id"] == 1
    assert show(store, bob) is None
    assert show(store, bob, model="n")["id"] == 2
    assert show(store, ann, model="n") is None  # who is no longer shown the first
    assert show(store, bob)["id"] == 1
    assert (store.rankings.waiting("m"), store.rankings.waiting("n")) == (0, 1)


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["ABCC", "ABC", "ABCDA", "abcd", "", None, 7, ["A", "B"], "ABCE"])
def test_order_with_a_text_twice_or_missing_is_refused_in_a_sentence(store, order):
    store.rankings.add_fours(new_fours(1))
    secret = store.visit("here")
    shown = show(store, secret)
    with pytest.raises(Refused) as refusal:
        store.rankings.rank(secret, shown["id"], order, "here")
    assert str(refusal.value) == (
        f"the order {order!r} is not a ranking: name each of A, B, C and D once, best first"
    )
    assert store.rankings.of_visitors() == []


def test_four_with_a_text_twice_are_not_kept(store):
    [four] = new_fours(1)
    twice = replace(four, texts=(" a", " b", " c", "  b "))
    with pytest.raises(Refused, match="the texts B and D are the same: rank four different texts"):
        store.rankings.add_fours([four, twice])
    assert store.rankings.waiting("m") == 0  # none of the batch


@pytest.mark.parametrize("four", [2, 99, 0, -1, 2**31, True, "1", None, 1.0])
def test_nobody_ranks_what_another_was_shown(store, four):
    store.rankings.add_fours(new_fours(2))
    ann, bob = store.visit("here"), store.visit("here")
    show(store, ann), show(store, bob)
    with pytest.raises(Refused, match="not yours to rank"):
        store.rankings.rank(ann, four, "ABCD", "here")
    with pytest.raises(Refused, match="does not know you"):
        store.rankings.rank("1.forged", 1, "ABCD", "here")


def test_rude_question_is_asked_of_nobody(store):
    """Everyone reads the questions with votes in the lists."""
    store.rankings.add_fours(new_fours(1))
    with pytest.raises(Refused, match="the question contains a rude word: choose another"):
        show(store, store.visit("here"), "Which is less fucking stupid?")


def test_students_of_a_class_rank_nothing(store, classes):
    store.rankings.add_fours(new_fours(1))
    made = classes.create_class(HAPPY)
    [ann] = join(classes, made, 1)
    for act in (
        lambda: show(store, ann),
        lambda: store.rankings.rank(ann, 1, "ABCD", "here"),
        lambda: store.rankings.skip(ann, 1, "here"),
        lambda: store.rankings.undo(ann, "here"),
    ):
        with pytest.raises(Refused, match="a class compares two texts at a time"):
            act()


def test_requests_of_a_voter_are_bounded(store):
    store.rankings.add_fours(new_fours(1))
    secret = store.visit("here")
    shown = show(store, secret)
    for _ in range(PACE[0]):
        store.rankings.rank(secret, shown["id"], "ABCD", "here")
    with pytest.raises(Refused, match="too many rankings from you: wait 1 s"):
        store.rankings.rank(secret, shown["id"], "ABCD", "here")


def test_texts_are_skipped_no_faster_than_they_are_written(store, clock):
    """One address that skipped three times a second left others waiting for half a minute."""
    store.rankings.add_fours(new_fours(60))
    skipped = 0
    for _ in range(40):
        clock.now += 0.5
        voter = store.visit("there")
        shown = store.rankings.next_four(voter, HAPPY, model="m", client="there")
        skipped += shown is not None and store.rankings.skip(voter, shown["id"], "there")
    assert skipped == ADDRESS_TAKES[0] + 11  # 0.6 a second in twenty seconds, less the last part


def test_requests_that_rank_nothing_use_up_no_ranking_of_the_address(store, monkeypatch):
    """600 of them, sent in 6.6 s, took the rankings of the day from all voters of an address."""
    monkeypatch.setattr(store.rankings, "_open_day", RateLimit(2, 1e-3, store.clock))
    monkeypatch.setattr(store.rankings, "_pace", RateLimit(99, 1.0, store.clock))
    store.rankings.add_fours(new_fours(4))
    ann, bob = store.visit("here"), store.visit("here")
    for _ in range(5):
        with pytest.raises(Refused, match="not yours to rank"):
            store.rankings.rank(ann, 0, "ABCD", "here")
        store.rankings.undo(ann, "here")
    store.rankings.skip(ann, show(store, ann)["id"], "here")
    shown = rank(store, bob)
    store.rankings.rank(bob, shown["id"], "ABCD", "here")  # sent twice
    rank(store, bob)
    last = show(store, bob)
    with pytest.raises(Refused, match="too many rankings from your address: wait 1000 s"):
        store.rankings.rank(bob, last["id"], "ABCD", "here")
    store.rankings.rank(bob, last["id"], "ABCD", "there")


def test_requests_of_an_address_are_bounded_and_leave_it_places_soon(store):
    secrets = [store.visit("here") for _ in range(ADDRESS_PACE[0] + 1)]
    for secret in secrets[:-1]:
        store.rankings.undo(secret, "here")
    with pytest.raises(Refused, match="too many rankings from your address: wait 1 s"):
        store.rankings.undo(secrets[-1], "here")
    store.rankings.undo(secrets[-1], "there")
    store.clock.now += 1
    store.rankings.undo(secrets[-1], "here")


def test_only_the_newest_rankings_of_visitors_are_read(store, monkeypatch):
    monkeypatch.setattr("rlhf_demo.votes.rankings.MOST_READ", 2)
    store.rankings.add_fours(new_fours(3))
    secret = store.visit("here")
    for _ in range(3):
        rank(store, secret)
    assert [one.prompt for one in store.rankings.of_visitors()] == ["Prompt 1", "Prompt 2"]


def test_visitors_push_no_imported_ranking_out(store, monkeypatch):
    monkeypatch.setattr("rlhf_demo.votes.rankings.MOST_READ", 1)
    store.rankings.add_fours(new_fours(3))
    secret = store.visit("here")
    rank(store, secret)
    store.rankings.add(
        [replace(one, prompt="Imported") for one in store.rankings.of_visitors()], "x"
    )
    rank(store, secret)
    assert [one.prompt for one in store.rankings.of_visitors()] == ["Imported", "Prompt 1"]


# -- what stays and what goes ----------------------------------------------------------------------


def clear(store, after):
    store.clock.now += after + CLEAR_EVERY
    store.visit("here")  # which clears the open page


def test_texts_that_a_page_has_left_go_to_the_next_voter(store):
    store.rankings.add_fours(new_fours(1))
    ann, bob = store.visit("here"), store.visit("here")
    shown = show(store, ann)
    clear(store, UNANSWERED_SECONDS - CLEAR_EVERY - 1)
    assert show(store, bob) is None
    clear(store, 2)
    assert show(store, bob)["id"] == shown["id"]
    with pytest.raises(Refused, match="not yours to rank"):
        store.rankings.rank(ann, shown["id"], "ABCD", "here")


def test_visitor_who_ranked_stays_with_ranking_and_question_and_an_idle_one_goes(store):
    store.rankings.add_fours(new_fours(2))
    rank(store, store.visit("here"), question="Which is odd?")
    idle = store.visit("here")
    show(store, idle, "Which is odder?")
    clear(store, IDLE_SECONDS + 1)
    with pytest.raises(Refused, match="does not know you"):
        show(store, idle)
    assert [one.question for one in store.rankings.of_visitors()] == ["Which is odd?"]
    with store.database.reading() as connection:
        asked = connection.execute(select(questions.c.text)).scalars().all()
    assert asked == ["Which is odd?"]
    assert store.rankings.waiting("m") == 1  # the idle visitor's texts stay


def test_oldest_texts_that_no_one_ranked_are_deleted_and_no_ranking(store):
    store.rankings.add_fours(new_fours(1))
    rank(store, store.visit("here"))
    store.rankings.add_fours(new_fours(MOST_UNRANKED + 2, start=1))
    clear(store, 1)
    assert store.rankings.waiting("m") == MOST_UNRANKED
    assert len(store.rankings.of_visitors()) == 1
    assert show(store, store.visit("here"))["prompt"] == "Prompt 3"  # the oldest two are gone


def test_deleted_collection_takes_its_rankings_along(store):
    store.rankings.add_fours(new_fours(1))
    rank(store, store.visit("here"))
    kept = store.rankings.of_visitors()
    later = [replace(one, time=one.time + 60) for one in kept]  # else they count as these
    collection, _ = store.rankings.add(later, "x" * 64)
    assert len(store.rankings.of_visitors()) == 2
    with store.database.writing() as connection:
        connection.exec_driver_sql(f"DELETE FROM lessons WHERE id = {collection}")
    assert store.rankings.of_visitors() == kept
    with store.database.writing() as connection:
        connection.exec_driver_sql(f"DELETE FROM raters WHERE id = {kept[0].voter}")
    with store.database.reading() as connection:
        assert connection.execute(select(rankings.c.id)).all() == []
