"""Rounds of a class: feedback, blind vote, reveal, and round again."""

import pytest

from rlhf_demo.errors import Refused
from rlhf_demo.votes.rounds import CHANGES_WAIT, named
from rlhf_demo.votes.vote import DUEL, PLAIN, NewPair
from tests.voting import HAPPY, answer_one, join, new_pairs, take_turns


def duels(count):
    return [NewPair(f"Prompt {n}", " dull", " fine", "base", "ppo") for n in range(count)]


def prefer(word):
    def choose(assignment):
        return "left" if word in assignment.left else "right" if word in assignment.right else "tie"

    return choose


@pytest.fixture
def blind(store, classes, rounds, clock):
    """A class of two in its blind vote: 6 pairs, each for one of them, whatever the overlap."""
    opened = classes.create_class(HAPPY, overlap=2)
    secrets = join(classes, opened, 2)
    rounds.open_blind(opened.token, "base", "ppo")
    rounds.add_pairs(opened.collection, duels(6))
    return opened, secrets


def test_blind_vote_is_only_counted_until_the_reveal(
    store,
    classes,
    rounds,
    blind,
):
    opened, secrets = blind
    take_turns(store, secrets[:1], prefer("fine"))
    before = rounds.blind_result(opened.token)
    # Neither the names nor how it stands, so nobody can end it when it suits.
    assert before == {"votes": 3, "pairs": 3, "revealed": False, "simulated": 0}
    assert classes.student_view(secrets[0])["result"] is None
    answer_one(store, secrets[1], lambda assignment: "tie")
    answer_one(store, secrets[1], prefer("dull"))
    answer_one(store, secrets[1], lambda assignment: "skip")
    after = rounds.reveal(opened.token)
    # 3 for ppo, 1 for base, 1 tie: ppo has (3 + 1 / 2) / 5.
    assert after[after["contender"]] == "ppo"
    assert after["rate"] == pytest.approx(0.7 if after["contender"] == "a" else 0.3)
    assert after["votes"] == 5 and after["ties"] == 1 and after["pairs"] == 5
    assert after["series"][-1] == (5, after["rate"])
    assert classes.student_view(secrets[0])["result"] == after


def test_result_of_a_revealed_round_is_worked_out_once_for_all_phones(
    store, classes, rounds, blind, monkeypatch
):
    monkeypatch.setattr("rlhf_demo.votes.result_cache.LIFETIME", 1_000)
    opened, secrets = blind
    take_turns(store, secrets, prefer("fine"))
    result = rounds.reveal(opened.token)
    reads, read = [], store.votes
    monkeypatch.setattr(store, "votes", lambda *which: reads.append(which) or read(*which))
    assert [classes.student_view(secret)["result"] for secret in secrets * 10] == [result] * 20
    assert len(reads) == 1


def test_names_are_kept_from_students_until_the_reveal(store, rounds, blind):
    opened, [secret, _] = blind
    assignment = store.next_pair(secret)
    answer_one(store, secret)
    with pytest.raises(Refused, match="when the vote is over"):
        store.names(secret, assignment.id)
    rounds.reveal(opened.token)
    assert set(store.names(secret, assignment.id)) == {"base", "ppo"}


def test_over_is_over(store, rounds, blind):
    opened, [one, two] = blind
    answer_one(store, one)
    open_assignment = store.next_pair(two)
    rounds.reveal(opened.token)
    for act in (
        lambda: store.next_pair(one),
        lambda: store.undo(one),
        lambda: store.vote(two, open_assignment.id, "left"),
        lambda: rounds.add_pairs(opened.collection, duels(1)),
    ):
        with pytest.raises(Refused):
            act()


def test_wrong_turns_of_the_instructor_are_refused(classes, rounds, blind):
    opened, _ = blind
    fresh = classes.create_class(HAPPY)
    for act, message in [
        (lambda: rounds.open_blind(opened.token, "base", "ppo"), "is already open"),
        (lambda: rounds.open_blind(fresh.token, "base", "base"), "with itself"),
        (lambda: rounds.next_round(opened.token), "reveal it first"),
        (lambda: rounds.add_pairs(opened.collection, new_pairs(1)), "base against ppo"),
        (lambda: rounds.reveal(fresh.token), "no blind vote"),
        (lambda: rounds.blind_result(fresh.token), "no blind vote"),
    ]:
        with pytest.raises(Refused, match=message):
            act()


def test_round_two_learns_from_feedback_and_not_from_blind_votes(
    store,
    classes,
    rounds,
    blind,
):
    opened, secrets = blind
    take_turns(store, secrets, prefer("fine"))
    rounds.reveal(opened.token)
    assert rounds.next_round(opened.token) == 2
    rounds.add_pairs(opened.collection, new_pairs(2))
    take_turns(store, secrets)
    votes = classes.votes(opened.token)
    assert [(vote.round, vote.kind == DUEL) for vote in votes].count((1, True)) == 6
    assert {vote.round for vote in votes if vote.kind != DUEL} == {2}
    learned = rounds.training_votes(opened.collection)
    assert [(vote.round, vote.kind) for vote in learned] == [(2, PLAIN)] * 4
    assert not rounds.due_for_retraining(opened.collection, [], 0.0)


def test_new_question_begins_with_no_votes(store, classes, rounds):
    opened = classes.create_class(HAPPY, overlap=1)
    rounds.add_pairs(opened.collection, new_pairs(20))
    [secret] = join(classes, opened, 1)
    for _ in range(13):
        answer_one(store, secret)
    assert rounds.due_for_retraining(opened.collection, [], 0.0)
    learned = named(rounds.training_votes(opened.collection))
    rounds.mark_trained(opened.collection, 10)
    rounds.next_round(opened.token, "Which is longer?", ends=1)
    with pytest.raises(Refused, match="round 1 is over: the class is in round 2"):
        rounds.next_round(opened.token, "Which is longer?", ends=1)  # from another screen
    assert not rounds.due_for_retraining(opened.collection, learned, 0.0)
    assert classes.student_view(secret)["question"] == "Which is longer?"
    for late in ((1, "feedback"), (2, "blind")):
        with pytest.raises(Refused, match="this round is over"):  # when its pairs were written
            rounds.add_pairs(opened.collection, new_pairs(1, start=40), late)
    rounds.add_pairs(opened.collection, new_pairs(20, start=50), (2, "feedback"))
    for _ in range(13):
        answer_one(store, secret)
    assert rounds.due_for_retraining(opened.collection, learned, 0.0)


def test_changed_answers_alone_are_learned_at_most_every_two_minutes(store, classes, rounds):
    """Otherwise one phone could make the class train, and all visitors wait, for ever."""
    opened = classes.create_class(HAPPY, overlap=2)
    rounds.add_pairs(opened.collection, new_pairs(24))
    [ann, bob] = join(classes, opened, 2)
    for _ in range(14):
        answer_one(store, ann)
    votes = rounds.training_votes(opened.collection)
    rounds.mark_trained(opened.collection, len(votes))
    while store.undo(ann):
        store.clock.now += 1
    began = store.clock.now

    def due():
        return rounds.due_for_retraining(opened.collection, named(votes), began)

    assert len(votes) >= 10 and not due()
    store.clock.now += CHANGES_WAIT - 1
    assert not due()
    store.clock.now += 1
    assert due()
    store.clock.now = began - 1  # a clock that was set back
    assert due()
    store.clock.now = began
    for secret in (ann, bob):
        while answer_one(store, secret):
            pass
    store.clock.now = began + 1
    assert len(rounds.training_votes(opened.collection)) >= len(votes) + 10 and due()


def test_answers_taken_back_count_as_much_as_new_ones(store, classes, rounds):
    """A phone gave hundreds of answers, and took them back while the model learned from them."""
    opened = classes.create_class(HAPPY, overlap=2)
    rounds.add_pairs(opened.collection, new_pairs(12))
    ann, bob = join(classes, opened, 2)
    while answer_one(store, ann):
        pass
    votes = rounds.training_votes(opened.collection)
    learned = named(votes)
    rounds.mark_trained(opened.collection, len(votes))
    assert not rounds.due_for_retraining(opened.collection, learned, 0.0)
    while store.undo(ann):
        store.clock.now += 1
    assert not rounds.training_votes(opened.collection)
    while answer_one(store, bob):
        pass
    assert len(rounds.training_votes(opened.collection)) == len(votes) >= 10
    assert rounds.due_for_retraining(opened.collection, learned, 0.0)


def test_other_answer_to_the_same_pair_is_another_preference(store, classes, rounds):
    opened = classes.create_class(HAPPY, overlap=1)
    rounds.add_pairs(opened.collection, new_pairs(1))
    [ann] = join(classes, opened, 1)
    answer_one(store, ann)
    before = named(rounds.training_votes(opened.collection))
    store.undo(ann)
    answer_one(store, ann, lambda assignment: "right")
    assert not before & named(rounds.training_votes(opened.collection))


def test_feedback_of_all_rounds_counts_towards_the_next_training(store, classes, rounds):
    opened = classes.create_class(HAPPY, overlap=1)
    [secret] = join(classes, opened, 1)
    rounds.add_pairs(opened.collection, new_pairs(6))
    take_turns(store, [secret])
    rounds.open_blind(opened.token, "base", "ppo")
    rounds.add_pairs(opened.collection, duels(10))
    take_turns(store, [secret])
    rounds.reveal(opened.token)
    rounds.next_round(opened.token)
    rounds.add_pairs(opened.collection, new_pairs(4, start=50))
    assert not rounds.due_for_retraining(opened.collection, [], 0.0)
    take_turns(store, [secret])
    assert rounds.due_for_retraining(opened.collection, [], 0.0)
    assert [vote.round for vote in rounds.training_votes(opened.collection)] == [1] * 6 + [2] * 4
