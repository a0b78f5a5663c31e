"""The door of a class: who comes in by a code, how many from one address, and who has to go."""

from contextlib import suppress

import pytest

from rlhf_demo.errors import ConfigError, Refused
from rlhf_demo.votes.arrivals import WRONG_BY_ITSELF, WRONG_EACH, WRONG_TOGETHER
from rlhf_demo.votes.classes import MOST_VOTERS
from rlhf_demo.votes.rounds import named
from tests.voting import HAPPY, answer_one, join, new_pairs, take_turns


def wrong_code(classes, client):
    """Try a code that no class has; return the sentence."""
    with pytest.raises(Refused) as told:
        classes.join("WRNGXX", "Ann", client)
    return str(told.value)


def test_guessing_codes_is_stopped_and_then_not_told_of_a_right_one(classes):
    opened = classes.create_class(HAPPY)
    for _ in range(WRONG_BY_ITSELF[0] + WRONG_EACH[0]):
        assert "no class has this code" in wrong_code(classes, "guesser")
    assert "too many wrong codes from this address" in wrong_code(classes, "guesser")
    with pytest.raises(Refused, match="too many wrong codes"):
        classes.join(opened.code, "Ann", "guesser")
    assert classes.join(opened.code, "Ann", "school").nickname == "Ann"


def test_guesses_from_invented_addresses_are_counted_together(classes):
    classes.create_class(HAPPY)
    for number in range(100):
        for _ in range(WRONG_BY_ITSELF[0] + WRONG_TOGETHER[0] // 100):
            assert "no class has this code" in wrong_code(classes, f"10.0.0.{number}")
    for number in range(100):
        assert "too many wrong codes: wait" in wrong_code(classes, f"10.0.0.{number}")


def test_guesses_from_many_addresses_keep_out_nobody_who_does_not_guess(classes, clock):
    """Nor whoever mistypes the code a few times."""
    opened = classes.create_class(HAPPY)
    refused = 0
    for second in range(1, 31):
        clock.now += 1
        for guess in range(140):
            told = wrong_code(classes, f"bot {(second * 140 + guess) % 20}")
            refused += "too many wrong codes: wait" in told
        for _ in range(second % 5):
            assert "no class has this code" in wrong_code(classes, f"home {second}")
        assert classes.join(opened.code, "Ann", f"home {second}").secret
    assert refused > 1000


@pytest.mark.parametrize("in_a_second", [1, 20])
def test_phone_that_sends_wrong_codes_keeps_nobody_of_its_school_out(classes, clock, in_a_second):
    opened = classes.create_class(HAPPY)
    classes.join(opened.code, "Ann", "school")
    for number in range(120):
        clock.now += 1
        for _ in range(in_a_second):
            wrong_code(classes, "school")
        if number % 4 == 0:
            assert classes.join(opened.code, f"Ann {number}", "school").secret


def test_door_that_is_closed_lets_nobody_in_and_nobody_out(store, classes, rounds):
    opened = classes.create_class(HAPPY)
    rounds.add_pairs(opened.collection, new_pairs(3))
    [ann] = join(classes, opened, 1)
    classes.set_door(opened.token, False)
    with pytest.raises(
        Refused, match="this class is not taking new students now: ask the instructor"
    ):
        join(classes, opened, 1)
    assert answer_one(store, ann)
    classes.set_door(opened.token, True)
    assert len(join(classes, opened, 1)) == 1


def test_class_takes_so_many_from_one_address_until_the_instructor_takes_more(classes, clock):
    opened, other = classes.create_class(HAPPY), classes.create_class(HAPPY)
    phones = []
    for _ in range(60):
        clock.now += 1
        phones += join(classes, opened, 1)
    clock.now += 60
    for secret in phones:
        assert classes.student_view(secret)["votes"] == 0  # they are there, and wait
    with pytest.raises(Refused, match=r"60 students have already joined .*: ask the instructor"):
        join(classes, opened, 1)
    assert classes.join(opened.code, "Bob", "at home").nickname == "Bob"
    assert len(join(classes, other, 1)) == 1
    classes.set_most_joins(opened.token, 61)
    assert len(join(classes, opened, 1)) == 1
    with pytest.raises(Refused, match="61 students"):
        join(classes, opened, 1)


def test_class_that_few_addresses_have_filled_still_takes_students_of_others(
    store, classes, rounds, clock
):
    opened = classes.create_class(HAPPY)
    rounds.add_pairs(opened.collection, new_pairs(3))
    first = classes.join(opened.code, "Ann", "school")
    bots = []
    for number in range(MOST_VOTERS - 1):
        clock.now += 1
        bots.append(classes.join(opened.code, "bot", f"bots {number % 4}"))
    assert answer_one(store, bots[-1].secret)  # who has answered stays
    late = [classes.join(opened.code, "Bob", "school") for _ in range(2)]
    inside = {row["voter"] for row in classes.overview(opened.token)["voters"]}
    assert inside >= {first.voter, bots[-1].voter, *(one.voter for one in late)}
    assert len(inside) == MOST_VOTERS
    clock.now += 60
    with pytest.raises(Refused, match="the class is full"):
        classes.join(opened.code, "bot", "bots 1")


@pytest.mark.parametrize("new_names", [True, False])
def test_phone_that_joins_in_a_loop_does_not_keep_its_classmates_out(classes, clock, new_names):
    opened, number = classes.create_class(HAPPY), 0
    outside = [f"Student {one}" for one in range(12)]
    join(classes, opened, 40)
    for second in range(60):
        clock.now += 1
        for _ in range(10):
            number += new_names
            with suppress(Refused):
                classes.join(opened.code, f"bot {number}", "school")
        for name in outside[:] if second % 2 else []:
            with suppress(Refused):
                classes.join(opened.code, name, "school")
                outside.remove(name)
    assert outside == []


def test_who_joined_and_went_makes_room_at_the_bound_of_an_address(store, classes, rounds, clock):
    opened = classes.create_class(HAPPY)
    rounds.add_pairs(opened.collection, new_pairs(3))
    classes.set_most_joins(opened.token, 3)
    ann, bob, _ = [classes.join(opened.code, name, "school") for name in ("Ann", "Bob", "bot")]
    with pytest.raises(Refused, match="3 students have already joined from this address"):
        classes.join(opened.code, "Cid", "school")
    assert answer_one(store, ann.secret)
    clock.now += 15
    classes.pause(opened.token)
    classes.student_view(bob.secret)  # waits for the first pair
    clock.now += 15
    classes.join(opened.code, "Cid", "school")
    inside = [row["nickname"] for row in classes.overview(opened.token)["voters"]]
    assert inside == ["Ann", "Bob", "Cid"]
    with pytest.raises(Refused, match="3 students have already joined from this address"):
        classes.join(opened.code, "Dan", "school")


def test_students_who_were_removed_are_not_counted_at_the_door(classes):
    opened = classes.create_class(HAPPY)
    classes.set_most_joins(opened.token, 2)
    first = classes.join(opened.code, "Ann", "school")
    join(classes, opened, 1)
    classes.remove(opened.token, first.voter)
    assert classes.join(opened.code, "Ann", "school").nickname == "Ann"
    with pytest.raises(Refused, match="2 students"):
        join(classes, opened, 1)


@pytest.mark.parametrize("most", [0, -1, MOST_VOTERS + 1])
def test_odd_number_at_the_door_is_refused(classes, most):
    opened = classes.create_class(HAPPY)
    message = f"the maximum from one address is {most}: choose 1 to 200"
    with pytest.raises(ConfigError, match=message):
        classes.set_most_joins(opened.token, most)


def test_no_address_of_a_student_is_on_the_disk(store, classes, tmp_path):
    opened = classes.create_class(HAPPY)
    classes.join(opened.code, "Rumpelstiltskin", "203.0.113.77")
    store.database.empty_log()
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"Rumpelstiltskin" in written and b"203.0.113" not in written


def test_removed_student_is_gone_with_all_votes_and_nobody_else_is(
    store, classes, rounds, tmp_path
):
    opened = classes.create_class(HAPPY, overlap=2)
    rounds.add_pairs(opened.collection, new_pairs(12))
    joined = [classes.join(opened.code, name, "school") for name in ("Rumpelstiltskin", "Bob")]
    take_turns(store, [one.secret for one in joined])
    before = classes.votes(opened.token)
    rounds.mark_trained(opened.collection, 10)
    classes.remove(opened.token, joined[0].voter)
    left = [vote for vote in before if vote.voter == joined[1].voter]
    assert classes.votes(opened.token) == left and 0 < len(left) < len(before)
    assert [row["nickname"] for row in classes.overview(opened.token)["voters"]] == ["Bob"]
    assert rounds.due_for_retraining(opened.collection, named(before), 0.0)
    with pytest.raises(Refused, match="does not know you"):
        store.next_pair(joined[0].secret)
    assert b"umpelstiltskin" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert classes.join(opened.code, "Rumpelstiltskin", "school").nickname == "Rumpelstiltskin"


def test_class_behind_one_address_answers_sixty_times_at_once(store, classes, rounds):
    opened = classes.create_class(HAPPY)
    rounds.add_pairs(opened.collection, new_pairs(80))
    kept, students = 0, join(classes, opened, 20) * 4
    with pytest.raises(Refused, match="too many answers from your address"):
        for secret in students:
            kept += store.vote(secret, store.next_pair(secret).id, "left", "school")
    assert kept == 60


def test_student_is_removed_from_ones_own_class_only(store, classes):
    opened, other = classes.create_class(HAPPY), classes.create_class(HAPPY)
    ann = classes.join(opened.code, "Ann", "school").voter
    visitor = int(store.visit("here").partition(".")[0])
    for voter in (ann, visitor, 10**9):
        with pytest.raises(Refused, match=f"voter {voter} is not in this class"):
            classes.remove(other.token, voter)
    assert len(classes.overview(opened.token)["voters"]) == 1


def test_phone_that_joins_again_and_again_is_removed_at_once(classes, clock):
    opened = classes.create_class(HAPPY)
    first = classes.join(opened.code, "Ann", "school")
    odd = [classes.join(opened.code, f"Odd {number}", "school") for number in range(30)]
    with pytest.raises(Refused, match="too many students joining from this address: wait 1 s"):
        join(classes, opened, 10)
    bob = classes.join(opened.code, "Bob", "at home")
    clock.now += 20
    rows = {row["nickname"]: row["place"] for row in classes.overview(opened.token)["voters"]}
    assert rows["Ann"] == rows["Odd 29"] != rows["Bob"]
    classes.remove(opened.token, odd[0].voter, and_later=True)
    left = [row["voter"] for row in classes.overview(opened.token)["voters"]]
    assert left == [first.voter, bob.voter]
    classes.remove(opened.token, bob.voter, and_later=True)
    assert [row["nickname"] for row in classes.overview(opened.token)["voters"]] == ["Ann"]
