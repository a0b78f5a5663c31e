"""A class from joining to the second round, and what students may not do."""

from collections import Counter

import pytest

from rlhf_demo.errors import ConfigError, Refused
from rlhf_demo.votes.assignment import ANSWER_SECONDS
from rlhf_demo.votes.classes import MOST_VOTERS
from rlhf_demo.votes.rounds import RETRAIN_EVERY, named
from rlhf_demo.votes.store import OPEN_CODE
from rlhf_demo.votes.vote import ATTENTION_CHECK
from tests.voting import HAPPY, answer_one, join, new_pairs, take_turns

# -- joining ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["", "AAAAAA", OPEN_CODE, None, 7, "%", "x" * 999])
def test_joining_needs_the_code(classes, code):
    classes.create_class(HAPPY)
    with pytest.raises(Refused, match="no class has this code"):
        classes.join(code, "Ann", "school")


def test_thirty_join_from_one_address_and_a_script_is_stopped(classes):
    opened = classes.create_class(HAPPY)
    assert len(set(join(classes, opened, 30))) == 30
    with pytest.raises(Refused, match="too many students"):
        join(classes, opened, 31)


def test_full_class_is_full(classes, clock):
    opened = classes.create_class(HAPPY)
    for _ in range(MOST_VOTERS):
        clock.now += 1
        classes.join(opened.code, "Ann", f"10.0.0.{clock.now}")
    with pytest.raises(Refused, match="full"):
        join(classes, opened, 1)


def test_odd_overlap_or_question_is_refused(classes):
    with pytest.raises(ConfigError, match="0 students"):
        classes.create_class(HAPPY, overlap=0)
    with pytest.raises(Refused, match="question is empty"):
        classes.create_class(" ")


# -- who sees what ---------------------------------------------------------------------------------


def test_every_pair_is_seen_by_exactly_k_and_nobody_sees_one_twice(store, classes, rounds):
    opened = classes.create_class(HAPPY, overlap=3)
    rounds.add_pairs(opened.collection, new_pairs(20))
    secrets = join(classes, opened, 5)
    take_turns(store, secrets)
    votes = [v for v in classes.votes(opened.token) if v.kind != ATTENTION_CHECK and not v.repeat]
    assert set(Counter(vote.pair for vote in votes).values()) == {3}
    assert max(Counter((vote.pair, vote.voter) for vote in votes).values()) == 1
    # 20 * 3 / 5
    assert set(Counter(vote.voter for vote in votes).values()) == {12}
    assert classes.overview(opened.token)["seats_left"] == 0


def plain_answers(classes, opened):
    """Count each voter's answers without attention checks and repeats."""
    votes = classes.votes(opened.token)
    return Counter(vote.voter for vote in votes if vote.kind != ATTENTION_CHECK and not vote.repeat)


def test_fast_student_does_the_own_share_and_nobody_elses(store, classes, rounds, clock):
    opened = classes.create_class(HAPPY, overlap=1)
    rounds.add_pairs(opened.collection, new_pairs(8))
    fast, slow = join(classes, opened, 2)
    take_turns(store, [fast], choose=lambda assignment: "tie")
    clock.now += 10 * ANSWER_SECONDS  # the slow one has gone for a while, and comes back
    take_turns(store, [fast], choose=lambda assignment: "tie")
    assert list(plain_answers(classes, opened).values()) == [4]  # 8 * 1 / 2
    take_turns(store, [slow])
    assert list(plain_answers(classes, opened).values()) == [4, 4]


def test_pair_fetched_ahead_counts_to_the_share(store, classes, rounds):
    opened = classes.create_class(HAPPY, overlap=1)
    rounds.add_pairs(opened.collection, new_pairs(2))
    one, _ = join(classes, opened, 2)  # a pair for each
    assignment = store.next_pair(one)
    assert store.next_pair(one, after=assignment.id) is None


def test_student_who_was_away_still_finds_a_whole_share(store, classes, rounds, clock):
    # Five pairs for each of four, three to a pair: 20 / 3 are 7 pairs. Three who go first fill
    # five of them, so that the fourth is left seats on two.
    opened = classes.create_class(HAPPY, overlap=3)
    rounds.add_pairs(opened.collection, new_pairs(7))
    *early, late = join(classes, opened, 4)
    take_turns(store, early)
    clock.now += 10 * ANSWER_SECONDS
    take_turns(store, early)
    assert list(plain_answers(classes, opened).values()) == [5, 5, 5]
    take_turns(store, [late])
    assert list(plain_answers(classes, opened).values()) == [5, 5, 5, 5]
    seen = Counter((vote.pair, vote.voter) for vote in classes.votes(opened.token)
                   if not vote.repeat)  # fmt: skip
    assert max(seen.values()) == 1


def test_begun_pair_is_finished_before_another_is_begun(store, classes, rounds):
    opened = classes.create_class(HAPPY, overlap=2)
    rounds.add_pairs(opened.collection, new_pairs(4))
    prompts = [store.next_pair(secret).prompt for secret in join(classes, opened, 4)]
    assert prompts == ["Prompt 0", "Prompt 0", "Prompt 1", "Prompt 1"]


def test_pair_of_a_student_who_left_goes_to_another(store, classes, rounds, clock):
    opened = classes.create_class(HAPPY, overlap=1)
    rounds.add_pairs(opened.collection, new_pairs(1))
    gone, here = join(classes, opened, 2)
    left = store.next_pair(gone)
    assert store.next_pair(here) is None
    clock.now += ANSWER_SECONDS + 1
    assert answer_one(store, here)
    with pytest.raises(Refused, match="gone to someone else"):
        store.vote(gone, left.id, "left")
    assert len(classes.votes(opened.token)) == 1


def test_voter_of_the_open_page_has_no_view_of_a_student(store, classes):
    with pytest.raises(Refused, match="in no class"):
        classes.student_view(store.enter(None, "somewhere"))


def test_student_view_holds_nothing_of_others(store, classes, rounds):
    opened = classes.create_class(HAPPY)
    rounds.add_pairs(opened.collection, new_pairs(3))
    one, two = join(classes, opened, 2)
    answer_one(store, two)
    assert classes.student_view(one) == {
        "nickname": "Ann", "votes": 0, "done": 0, "state": "open", "round": 1, "kind": "feedback",
        "round_state": "open", "question": HAPPY, "result": None,
    }  # fmt: skip


# -- the instructor --------------------------------------------------------------------------------


def test_overview_counts_votes_by_student(store, classes, rounds):
    opened = classes.create_class(HAPPY, overlap=2, clean_words=False)
    rounds.add_pairs(opened.collection, new_pairs(3))
    one, _ = join(classes, opened, 2)
    answer_one(store, one)
    seen = classes.overview(opened.token)
    assert (seen["code"], seen["votes"], seen["seats_left"]) == (opened.code, 1, 5)
    assert [(row["nickname"], row["votes"]) for row in seen["voters"]] == [("Ann", 1), ("Ann 2", 0)]
    assert seen["clean_words"] is False and seen["overlap"] == 2


def test_nobody_acts_as_instructor_without_the_token(store, classes, rounds):
    opened, other = classes.create_class(HAPPY), classes.create_class(HAPPY)
    student = join(classes, opened, 1)[0]
    mixed = f"{opened.collection}.{other.token.partition('.')[2]}"
    for token in (student, mixed, opened.code, "", None, f"{store.open_collection}."):
        for act in (
            classes.pause, classes.reopen, classes.delete_class, classes.overview, classes.votes,
            rounds.reveal, rounds.next_round, rounds.blind_result,
            lambda t: rounds.open_blind(t, "a", "b"),
            lambda t: classes.set_left_out(t, 1, True),
            lambda t: classes.remove(t, 1),
            lambda t: classes.set_door(t, False),
            lambda t: classes.set_most_joins(t, 100),
            lambda t: classes.join_simulated(t, "S", taste="x", noise=0.0, careless=False),
        ):  # fmt: skip
            with pytest.raises(Refused, match="does not know you"):
                act(token)


def test_token_of_an_instructor_is_no_voter(classes, store):
    opened = classes.create_class(HAPPY)
    with pytest.raises(Refused):
        store.next_pair(opened.token)


def test_new_token_replaces_the_old_one(classes):
    opened = classes.create_class(HAPPY)
    token = classes.new_token(opened.code)
    assert classes.overview(token)["code"] == opened.code
    with pytest.raises(Refused, match="does not know you"):
        classes.overview(opened.token)


def test_paused_class_neither_shows_nor_counts_until_reopened(store, classes, rounds):
    opened = classes.create_class(HAPPY)
    rounds.add_pairs(opened.collection, new_pairs(3))
    [secret] = join(classes, opened, 1)
    assignment = store.next_pair(secret)
    classes.pause(opened.token)
    for act in (
        lambda: store.vote(secret, assignment.id, "left"),
        lambda: store.next_pair(secret),
    ):
        with pytest.raises(Refused, match="paused"):
            act()
    assert classes.student_view(secret)["state"] == "paused"
    classes.reopen(opened.token)
    assert store.vote(secret, assignment.id, "left")


def test_delete_removes_one_class_and_no_other(store, classes, rounds):
    opened, other = classes.create_class(HAPPY), classes.create_class(HAPPY)
    for each in (opened, other):
        rounds.add_pairs(each.collection, new_pairs(2))
        secret = join(classes, each, 1)[0]
        answer_one(store, secret)
        store.next_pair(secret)
    classes.delete_class(opened.token)
    assert [vote.collection for vote in store.votes()] == [other.collection]
    for act in (
        lambda: classes.overview(opened.token),
        lambda: classes.join(opened.code, "Ann", "school"),
    ):
        with pytest.raises(Refused):
            act()
    assert len(classes.overview(other.token)["voters"]) == 1


def test_nothing_of_a_deleted_class_is_left_on_disk(store, classes, rounds, tmp_path):
    def on_disk():
        return b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())

    opened = classes.create_class(HAPPY)
    rounds.add_pairs(opened.collection, new_pairs(40))
    secret = classes.join(opened.code, "Rumpelstiltskin", "school").secret
    answer_one(store, secret)
    assert b"Rumpelstiltskin" in on_disk() and b"second 39" in on_disk()
    classes.delete_class(opened.token)
    assert not [word for word in (b"umpelstiltskin", b"second 39") if word in on_disk()]


def test_left_out_voter_is_marked_and_only_in_ones_own_class(store, classes, rounds):
    opened, other = classes.create_class(HAPPY), classes.create_class(HAPPY)
    rounds.add_pairs(opened.collection, new_pairs(2))
    joined = classes.join(opened.code, "Ann", "school")
    answer_one(store, joined.secret)
    classes.set_left_out(opened.token, joined.voter, True)
    assert [vote.left_out for vote in classes.votes(opened.token)] == [True]
    assert classes.overview(opened.token)["voters"][0]["left_out"] is True
    with pytest.raises(Refused, match="not in this class"):
        classes.set_left_out(other.token, joined.voter, False)
    assert classes.overview(opened.token)["voters"][0]["left_out"] is True


def test_reward_model_is_due_after_each_ten_new_preferences(store, classes, rounds):
    opened = classes.create_class(HAPPY, overlap=1)
    rounds.add_pairs(opened.collection, new_pairs(40))
    [secret] = join(classes, opened, 1)
    due, learned = [], set()
    for _ in range(26):
        answer_one(store, secret)
        due.append(rounds.due_for_retraining(opened.collection, learned, 0.0))
        if due[-1]:
            learned = named(rounds.training_votes(opened.collection))
            rounds.mark_trained(opened.collection, len(rounds.training_votes(opened.collection)))
    # Every tenth assignment is an attention check, a tenth one a repeat: ten preferences take more.
    useful = [v.teaches for v in classes.votes(opened.token)]
    counts = [sum(useful[: n + 1]) for n in range(26)]
    assert [n for n, is_due in enumerate(due) if is_due] == [
        counts.index(RETRAIN_EVERY), counts.index(2 * RETRAIN_EVERY),
    ]  # fmt: skip
