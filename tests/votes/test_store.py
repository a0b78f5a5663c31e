"""The store of votes: shown once, answered once, on disk, and nobody else's."""

from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from rlhf_demo.errors import DataError, Refused
from rlhf_demo.rate_limit import RateLimit
from rlhf_demo.votes.assignment import ANSWER_SECONDS, CHECK_AT, CHECK_EVERY, REPEAT_AT
from rlhf_demo.votes.queries import IDLE_SECONDS, UNANSWERED_SECONDS, answers
from rlhf_demo.votes.store import CLEAR_EVERY, MOST_UNANSWERED, OPEN_OVERLAP
from rlhf_demo.votes.tables import assignments, pairs, questions
from rlhf_demo.votes.vote import ATTENTION_CHECK, CHOICES, DUEL, NewPair
from tests.voting import GOOD, HAPPY, answer, new_pairs

# -- handing out and voting ------------------------------------------------------------------------


def test_next_pair_is_the_same_until_answered_and_then_another(store):
    store.add_pairs(new_pairs(2))
    secret = store.visit("here")
    assignment = store.next_pair(secret, HAPPY)
    assert store.next_pair(secret, HAPPY) == assignment
    answer(store, secret)
    assert store.next_pair(secret, HAPPY).prompt != assignment.prompt
    answer(store, secret)
    assert store.next_pair(secret, HAPPY) is None


def test_assignment_has_no_word_about_models_or_kinds(store):
    store.add_pairs(new_pairs(1, model="gpt2-mini-ppo"), kind=DUEL)
    assignment = store.next_pair(store.visit("here"), HAPPY, kind=DUEL)
    assert set(vars(assignment)) == {"id", "question", "prompt", "left", "right", "written"}
    assert "ppo" not in str(vars(assignment))


def test_vote_counts_for_the_text_whatever_side_it_stood_on(store):
    store.add_pairs(new_pairs(4))
    secret = store.visit("here")
    chosen = [answer(store, secret, "right").right for _ in range(4)]
    votes = store.votes()
    assert [vote.chosen for vote in votes] == chosen
    assert {vote.choice for vote in votes} == {"first", "second"}  # the sides were drawn
    assert {vote.left for vote in votes} == {False}


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_is_kept_with_question_round_and_time(store, clock, choice):
    store.add_pairs(new_pairs(1))
    secret = store.visit("here")
    store.next_pair(secret, HAPPY)
    clock.now += 2.5
    answer(store, secret, choice)
    [vote] = store.votes()
    assert (vote.question, vote.round, vote.time, vote.seconds) == (HAPPY, 1, clock.now, 3.5)
    assert vote.decided == (choice in ("left", "right"))


def test_same_vote_sent_twice_is_one_vote_and_says_so(store):
    store.add_pairs(new_pairs(1))
    secret = store.visit("here")
    assignment = store.next_pair(secret, HAPPY)
    assert store.vote(secret, assignment.id, "left") is True
    assert store.vote(secret, assignment.id, "left") is False
    assert len(store.votes()) == 1


def test_vote_changed_without_undo_is_refused(store):
    store.add_pairs(new_pairs(1))
    secret = store.visit("here")
    assignment = store.next_pair(secret, HAPPY)
    store.vote(secret, assignment.id, "left")
    with pytest.raises(Refused, match="undo"):
        store.vote(secret, assignment.id, "right")


def test_undo_brings_the_pair_back_on_the_same_sides(store):
    store.add_pairs(new_pairs(2))
    secret = store.visit("here")
    first = answer(store, secret)
    store.next_pair(secret, HAPPY)  # the next one is on the screen already
    assert store.undo(secret)
    assert store.votes() == []
    assert store.next_pair(secret, HAPPY) == first
    assert store.vote(secret, first.id, "right")
    assert not [vote for vote in store.votes() if vote.left]


def test_undo_takes_back_the_newest_vote_though_the_clock_was_set_back(store, clock):
    """Votes of a day ahead counted as newer: undo took one of them back, and the page's time of an
    answer was zero."""
    store.add_pairs(new_pairs(4))
    secret = store.visit("here")
    answer(store, secret)
    clock.now -= 86_400
    second, third = answer(store, secret), answer(store, secret)
    assert [vote.seconds for vote in store.votes()] == [0.0, None, None]
    assert store.undo(secret) and store.next_pair(secret, HAPPY) == third
    assert store.undo(secret) and store.next_pair(secret, HAPPY) == second
    assert len(store.votes()) == 1


def test_undo_without_votes_does_nothing(store):
    assert store.undo(store.visit("here")) is False


def test_questions_have_their_own_answers(store):
    store.add_pairs(new_pairs(1))
    secret = store.visit("here")
    answer(store, secret, "left", HAPPY)
    answer(store, secret, "tie", GOOD)
    assert {vote.question: vote.choice == "tie" for vote in store.votes()} == {
        HAPPY: False,
        GOOD: True,
    }


def test_only_pairs_of_the_wanted_model_are_shown(store):
    store.add_pairs(new_pairs(3, model="a"))
    store.add_pairs(new_pairs(1, start=9, model="b"))
    secret = store.visit("here")
    assert store.next_pair(secret, HAPPY, model="b").prompt == "Prompt 9"
    assert store.next_pair(secret, HAPPY, model="a").prompt == "Prompt 0"
    assert store.next_pair(secret, HAPPY, model="c") is None
    assert store.pairs_waiting(secret, HAPPY, model="a") == 2


def test_own_prompts_come_first_and_go_to_nobody_else(store):
    owner, other = store.visit("here"), store.visit("there")
    store.add_pairs(new_pairs(1))
    store.add_pairs(new_pairs(1, start=7), owner_secret=owner)
    assert store.next_pair(owner, HAPPY).prompt == "Prompt 7"
    assert store.pairs_waiting(other, HAPPY) == 1
    assert store.next_pair(other, HAPPY).prompt == "Prompt 0"


def test_votes_on_an_own_prompt_are_marked_and_so_are_catch_pairs_made_from_it(store):
    writer, other = store.visit("here"), store.visit("there")
    store.add_pairs(new_pairs(12))
    for _ in range(CHECK_EVERY):
        answer(store, other)
    store.add_pairs([NewPair("Mrs Miller has", " a", " b", "m", "m")] * 12, owner_secret=writer)
    for _ in range(CHECK_EVERY):
        answer(store, writer)
    votes = store.votes(classes=False)
    assert Counter((vote.own, vote.kind == ATTENTION_CHECK) for vote in votes) == {
        (False, False): 9, (False, True): 1, (True, False): 9, (True, True): 1,
    }  # fmt: skip
    assert {vote.prompt for vote in votes if vote.own} == {"Mrs Miller has"}
    assert "Mrs Miller has" not in {vote.prompt for vote in votes if not vote.own}


def test_seconds_run_from_the_first_showing_though_the_page_asks_again(store, clock):
    store.add_pairs(new_pairs(1))
    secret = store.visit("here")
    for _ in range(3):
        store.next_pair(secret, HAPPY)
        clock.now += ANSWER_SECONDS - 1
    answer(store, secret)
    assert store.votes()[0].seconds == 3 * (ANSWER_SECONDS - 1) + 1


def test_open_pair_is_shown_to_a_few_then_rests(store):
    store.add_pairs(new_pairs(1))
    secrets = [store.visit("here") for _ in range(OPEN_OVERLAP + 1)]
    shown = [store.next_pair(secret, HAPPY) for secret in secrets]
    assert [assignment is not None for assignment in shown] == [True] * OPEN_OVERLAP + [False]


def test_open_page_shows_its_newest_pairs_however_many_strangers_have_left(store, monkeypatch):
    monkeypatch.setattr("rlhf_demo.votes.assignment.OPEN_POOL", 2)
    secret = store.visit("here")
    store.add_pairs(new_pairs(1, start=7), owner_secret=secret)
    store.add_pairs(new_pairs(5))
    assert store.pairs_waiting(secret, HAPPY) == 2
    assert [answer(store, secret).prompt for _ in range(2)] == ["Prompt 3", "Prompt 4"]
    assert store.next_pair(secret, HAPPY) is None


def test_pairs_of_a_model_are_looked_for_among_the_newest_alone(store, monkeypatch):
    """With 83,000 pairs of other models, all voters waited while one asked for it."""
    monkeypatch.setattr("rlhf_demo.votes.assignment.SEARCHED", 3)
    secret = store.visit("here")
    old, *others = new_pairs(4)
    newest = replace(new_pairs(1, start=7)[0], first_model="other")
    store.add_pairs([replace(old, first_model="other"), *others[:2], newest])
    assert store.pairs_waiting(secret, HAPPY, model="other") == 1
    store.add_pairs(others[2:])
    assert answer(store, secret, model="other").prompt == newest.prompt


def test_newest_votes_are_counted_however_many_strangers_have_left(store, monkeypatch):
    monkeypatch.setattr("rlhf_demo.votes.queries.MOST_READ", 2)
    store.add_pairs(new_pairs(4))
    secret = store.visit("here")
    prompts = [answer(store, secret).prompt for _ in range(4)]
    oldest = store.votes()[0]
    store.add_votes([replace(oldest, collection=0, time=oldest.time + 60)], "a" * 64)
    read = store.votes(classes=False)
    assert [vote.prompt for vote in read if vote.collection == store.open_collection] == prompts[2:]
    assert len(read) == 3  # and that of a file, which its owner brought
    assert len(store.votes()) == 5


def test_visitors_who_answered_nothing_are_forgotten_after_a_day(store, clock, monkeypatch):
    monkeypatch.setattr("rlhf_demo.votes.queries.OPEN_POOL", 2)
    voter, idle = store.visit("here"), store.visit("here")
    store.add_pairs(new_pairs(5))
    answered = answer(store, voter).prompt
    store.next_pair(voter, HAPPY)
    store.add_pairs(new_pairs(1, start=7), owner_secret=idle)
    assert store.next_pair(idle, HAPPY).prompt == "Prompt 7"
    clock.now += IDLE_SECONDS - 2
    store.visit("here")
    assert store.next_pair(idle, HAPPY).prompt == "Prompt 7"  # which says that it is there
    clock.now += IDLE_SECONDS + 1
    here = store.visit("here")
    with pytest.raises(Refused, match="does not know you"):
        store.next_pair(idle, HAPPY)
    # Left are Prompt 0, which the voter answered, and 4, which was among the newest two.
    assert store.pairs_waiting(here, HAPPY) == 2
    assert [vote.prompt for vote in store.votes()] == [answered] == ["Prompt 0"]
    assert store.next_pair(voter, HAPPY).prompt == "Prompt 4"


def steps_to_read(store, own):
    """Count how many hundred steps SQLite takes to read the answers to so many own prompts."""
    voter = store.visit("here")
    store.add_pairs(new_pairs(own), owner_secret=voter)
    for _ in range(own):
        answer(store, voter)
    steps = []
    with store.database.reading() as connection:
        sqlite = connection.connection.driver_connection
        sqlite.set_progress_handler(lambda: steps.append(1) and None, 100)
        votes = answers(connection, None, classes=False)
        sqlite.set_progress_handler(None, 0)
    assert sum(vote.own for vote in votes) >= own
    return len(steps)


def test_answers_on_one_visitors_own_prompts_take_no_longer_to_read_than_others(store):
    """Each answer was compared with all pairs of the same owner: 20,000 took half a minute."""
    first = steps_to_read(store, 50)
    assert steps_to_read(store, 150) < 5 * first  # of 200 answers; it was 7.5 times as much


def unanswered(store):
    with store.database.reading() as connection:
        left = select(assignments.c.id).where(assignments.c.choice.is_(None))
        return list(connection.execute(left).scalars())


def test_visitor_keeps_four_unanswered_pairs_under_all_questions(store):
    """A pair's seats are counted each time: 39,000 unanswered ones made all voters wait."""
    store.add_pairs(new_pairs(20))
    voter, other = store.visit("here"), store.visit("here")
    seen = [store.next_pair(voter, f"Why {number}?").id for number in range(5)]
    seen.append(store.next_pair(voter, "Why 4?", after=seen[-1]).id)
    assert unanswered(store) == seen[2:]
    assert store.vote(voter, seen[-2], "left")  # that on the screen
    assert store.next_pair(voter, "Why 4?").id == seen[-1]
    with pytest.raises(Refused):
        store.vote(voter, seen[1], "left")
    theirs = store.next_pair(other, HAPPY).id
    store.next_pair(voter, "Why 0?")
    assert theirs in unanswered(store)


def test_attention_checks_that_nobody_answers_do_not_pile_up(store):
    """A visitor who has answered four pairs gets one, and another with each new question."""
    store.add_pairs(new_pairs(20))
    voter = store.visit("here")
    for _ in range(CHECK_AT):
        answer(store, voter)
    for number in range(40):
        store.next_pair(voter, [HAPPY, "Why 1?", "Why 2?", "Why 3?", "Why 4?"][number % 5])
    with store.database.reading() as connection:
        checks = select(func.count()).where(pairs.c.kind == ATTENTION_CHECK)
        assert 1 <= connection.execute(checks).scalar_one() <= MOST_UNANSWERED


def test_unanswered_pairs_of_the_open_page_go_after_half_an_hour(store, clock):
    store.add_pairs(new_pairs(20))
    voter = store.visit("here")
    answered, old = answer(store, voter), store.next_pair(voter, HAPPY).id
    clock.now += UNANSWERED_SECONDS - 1
    young = store.next_pair(store.visit("here"), HAPPY).id
    assert unanswered(store) == [old, young]
    clock.now += CLEAR_EVERY + 1
    store.visit("here")
    assert unanswered(store) == [young]
    assert [vote.prompt for vote in store.votes()] == [answered.prompt]


def test_rude_question_is_asked_of_nobody(store):
    """Everyone reads the questions with votes in the lists."""
    store.add_pairs(new_pairs(1))
    with pytest.raises(Refused, match="the question contains a rude word: choose another"):
        store.next_pair(store.visit("here"), "Which text is less fucking stupid?")


def test_new_questions_of_an_address_are_bounded_and_unanswered_ones_forgotten(store, clock):
    store.add_pairs(new_pairs(40))
    voters = [store.visit("here") for _ in range(31)]
    for number, voter in enumerate(voters[:30]):  # of a voter five at once, of an address sixty
        store.next_pair(voter, f"Why {number}?", client="here")
        store.pairs_waiting(voter, f"Which {number}?", client="here")
    with pytest.raises(Refused, match="too many new questions from this address: wait 5 s"):
        store.next_pair(voters[30], "What?", client="here")
    store.next_pair(voters[30], "What?", client="there")
    answer(store, voters[30], question="Why 3?")
    clock.now += IDLE_SECONDS + 1
    store.visit("here")
    with store.database.reading() as connection:
        left = set(connection.execute(select(questions.c.text)).scalars())
    assert "Why 3?" in left and not left & {"Why 1?", "Which 3?", "What?"}


def test_assignment_left_unanswered_goes_to_somebody_else_and_a_late_answer_is_refused(
    store, clock
):
    store.add_pairs(new_pairs(1))
    secrets = [store.visit("here") for _ in range(OPEN_OVERLAP + 1)]
    *shown, _ = [store.next_pair(secret, HAPPY) for secret in secrets]
    clock.now += ANSWER_SECONDS + 1
    late = [*range(OPEN_OVERLAP)]
    answer(store, secrets[-1])
    # Two seats are still free: the late ones may answer until these are taken.
    for n in late[:-1]:
        assert store.vote(secrets[n], shown[n].id, "left")
    with pytest.raises(Refused, match="gone to someone else"):
        store.vote(secrets[late[-1]], shown[-1].id, "left")
    assert store.next_pair(secrets[late[-1]], HAPPY) is None
    assert len(store.votes()) == OPEN_OVERLAP


def test_answer_that_waited_for_the_database_is_judged_by_the_time_it_is_written(
    store, clock, monkeypatch
):
    store.add_pairs(new_pairs(1))
    slow = store.visit("here")
    assignment = store.next_pair(slow, HAPPY)
    writing = store.database.writing

    @contextmanager
    def after_the_others():
        monkeypatch.setattr(store.database, "writing", writing)
        clock.now += ANSWER_SECONDS
        for _ in range(OPEN_OVERLAP):
            answer(store, store.visit("there"))
        with writing() as connection:
            yield connection

    monkeypatch.setattr(store.database, "writing", after_the_others)
    with pytest.raises(Refused, match="gone to someone else"):
        store.vote(slow, assignment.id, "left")
    assert len(store.votes()) == OPEN_OVERLAP


def test_ten_answers_hold_one_catch_pair_and_one_repeat(store):
    store.add_pairs(new_pairs(20))
    secret = store.visit("here")
    shown = [answer(store, secret, "tie") for _ in range(CHECK_EVERY)]
    votes = store.votes()
    assert [vote.kind == ATTENTION_CHECK for vote in votes].index(True) == CHECK_AT
    assert shown[CHECK_AT].left == shown[CHECK_AT].right
    assert [vote.repeat for vote in votes].index(True) == REPEAT_AT
    assert shown[REPEAT_AT].prompt == shown[0].prompt
    assert len({vote.pair for vote in votes}) == CHECK_EVERY - 1
    assert not votes[CHECK_AT].teaches and not votes[REPEAT_AT].teaches


def test_names_come_after_the_answer_and_such_a_vote_stays(store):
    store.add_pairs([NewPair("P", " a", " b", "base", "ppo")], kind=DUEL)
    secret = store.visit("here")
    assignment = store.next_pair(secret, HAPPY, kind=DUEL)
    with pytest.raises(Refused, match="answer first"):
        store.names(secret, assignment.id)
    answer(store, secret, "left", kind=DUEL)
    expected = ("base", "ppo") if assignment.left == " a" else ("ppo", "base")
    assert store.names(secret, assignment.id) == expected
    with pytest.raises(Refused, match="this vote stays"):
        store.undo(secret)
    # Nor is it blind under another question.
    assert store.next_pair(secret, GOOD, kind=DUEL) is None


# -- who may ---------------------------------------------------------------------------------------


def test_nobody_votes_for_another_or_reads_the_names_of_anothers_pair(store):
    store.add_pairs(new_pairs(1))
    mine, other = store.visit("here"), store.visit("there")
    assignment = store.next_pair(mine, HAPPY)
    for act in (
        lambda: store.vote(other, assignment.id, "left"),
        lambda: store.names(other, assignment.id),
    ):
        with pytest.raises(Refused, match="not yours"):
            act()
    assert store.votes() == []


@pytest.mark.parametrize(
    "secret",
    ["", "1", "1.", ".", "1.wrong", "²." + "x", "9" * 30 + ".x", None, 7, ["1.x"], "\ud800.x"],
)
def test_unknown_secret_is_refused_everywhere(store, secret):
    store.add_pairs(new_pairs(1))
    assignment = store.next_pair(store.visit("here"), HAPPY)
    for act in (
        lambda: store.next_pair(secret, HAPPY),
        lambda: store.vote(secret, assignment.id, "left"),
        lambda: store.undo(secret),
        lambda: store.names(secret, assignment.id),
        lambda: store.own_prompt(secret, "x"),
        lambda: store.add_pairs(new_pairs(1), owner_secret=secret or ""),
    ):
        with pytest.raises(Refused, match="does not know you"):
            act()


def test_secret_of_one_voter_does_not_open_another(store):
    one, two = store.visit("here"), store.visit("here")
    number, _, _ = one.partition(".")
    _, _, secret = two.partition(".")
    with pytest.raises(Refused):
        store.undo(f"{number}.{secret}")


@pytest.mark.parametrize("assignment", [0, -1, 2**40, True, "1", 1.0, None])
def test_odd_assignment_is_refused(store, assignment):
    store.add_pairs(new_pairs(1))
    secret = store.visit("here")
    store.next_pair(secret, HAPPY)
    with pytest.raises(Refused, match="not yours"):
        store.vote(secret, assignment, "left")


@pytest.mark.parametrize("choice", ["first", "LEFT", "", None])
def test_odd_choice_is_refused(store, choice):
    with pytest.raises(Refused, match="not an answer"):
        store.vote(store.visit("here"), 1, choice)


def test_what_a_database_cannot_hold_is_nothing_for_its_log(store, caplog):
    """SQLite finds nothing under them; PostgreSQL refuses them."""
    secret = store.visit("here")
    with suppress(DataError):
        assert store.next_pair(secret, HAPPY, model="m\x00") is None
    with suppress(DataError):
        assert store.votes(collection=2**40) == []
    assert caplog.records == []


def test_database_holds_no_secret(store, tmp_path):
    secret = store.visit("here").partition(".")[2]
    store.close()
    assert secret.encode() not in b"".join(p.read_bytes() for p in tmp_path.iterdir())


def test_votes_come_five_at_once_then_one_in_half_a_second(store, clock):
    store.add_pairs(new_pairs(9))
    secret = store.visit("here")
    for _ in range(5):
        store.vote(secret, store.next_pair(secret, HAPPY).id, "left")
    assignment = store.next_pair(secret, HAPPY)
    with pytest.raises(Refused, match="wait 1 s"):
        store.vote(secret, assignment.id, "left")
    clock.now += 0.5
    assert store.vote(secret, assignment.id, "left")


def test_one_address_gives_so_many_answers_a_day(store, clock):
    store._day_limit = RateLimit(3, 3 / 86_400, clock)
    store.add_pairs(new_pairs(9))
    secret = store.visit("here")

    def vote(address):
        clock.now += 1
        return store.vote(secret, store.next_pair(secret, HAPPY).id, "left", address)

    assert [vote("here") for _ in range(3)] == [True] * 3
    with pytest.raises(Refused, match="too many answers from your address"):
        vote("here")
    assert vote("elsewhere")
    clock.now += 86_400 / 3
    assert vote("here")


def test_many_browsers_of_one_address_share_its_rate(store, clock):
    store.add_pairs(new_pairs(60))
    browsers = [store.visit("here") for _ in range(60)]

    def vote(secret, address):
        return store.vote(secret, store.next_pair(secret, HAPPY).id, "left", address)

    kept = 0
    with pytest.raises(Refused, match="too many answers from your address: wait 1 s"):
        for secret in browsers:
            kept += vote(secret, "here")
    assert kept == 30
    assert vote(browsers[-1], "elsewhere")
    clock.now += 1
    assert [vote(secret, "here") for secret in browsers[30:33]] == [True] * 3
    with pytest.raises(Refused, match="too many"):
        store.undo(browsers[0], "here")


def test_own_prompts_come_back_clean_and_not_too_fast(store):
    secret = store.visit("here")
    assert store.own_prompt(secret, " I\nlike ") == "I like"
    with pytest.raises(Refused, match="too many"):
        for _ in range(5):
            store.own_prompt(secret, "x")
