"""Texts that voters write: one for a pair, replaced, deleted, bounded, and never a vote."""

import pytest
from sqlalchemy import select

from rlhf_demo.errors import Refused
from rlhf_demo.rate_limit import RateLimit
from rlhf_demo.votes.assignment import ANSWER_SECONDS
from rlhf_demo.votes.demonstrations import (
    ADDRESS_PACE,
    MOST_EACH,
    OPEN_DAY,
    PACE,
    continuing,
)
from rlhf_demo.votes.queries import IDLE_SECONDS
from rlhf_demo.votes.store import CLEAR_EVERY
from rlhf_demo.votes.tables import demonstrations, questions
from rlhf_demo.votes.vote import DUEL, LONGEST_DEMONSTRATION, Demonstration, NewPair
from tests.voting import GOOD, HAPPY, answer, join, new_pairs


@pytest.fixture
def texts(store):
    return store.demonstrations


def write(store, secret, text="was a joy.", question=HAPPY, **more):
    """Write a text for the pair on the voter's screen, six seconds later; return its assignment."""
    store.clock.now += 6
    shown = store.next_pair(secret, question)
    store.demonstrations.write(secret, shown.id, text, **{"client": "here"} | more)
    return shown


def completions(found):
    return [one.completion for one in found]


@pytest.fixture
def taught(classes, rounds):
    """A class with three pairs, and a student in it."""
    made = classes.create_class(HAPPY, overlap=1)
    rounds.add_pairs(made.collection, new_pairs(3))
    [ann] = join(classes, made, 1)
    return made, ann


# -- writing ---------------------------------------------------------------------------------------


def test_text_is_kept_as_a_response_to_the_prompt_with_question_round_and_time(store, texts, clock):
    store.add_pairs(new_pairs(1))
    secret = store.visit("here")
    shown = store.next_pair(secret, HAPPY)
    kept = texts.write(secret, shown.id, "  was\n a   joy. ", client="here")
    assert kept == {"written": " was a joy.", "count": 1}
    [found] = texts.of_visitors()
    assert found == Demonstration(
        id=1, collection=store.open_collection, round=1, prompt="Prompt 0",
        completion=" was a joy.", question=HAPPY, voter=int(secret.partition(".")[0]),
        time=clock.now, left_out=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("prompt", "text", "response"),
    [
        ("The film", "was good", " was good"),
        ("The film ", "was good", "was good"),
        ("The film", ", which we saw", ", which we saw"),
        ("The film", "\u2019s end", "\u2019s end"),
        ("The film", "\u201cHeat\u201d", " \u201cHeat\u201d"),
        ("The film", "(1995)", " (1995)"),
        ("", "It is", "It is"),
    ],
)
def test_space_joins_a_text_to_its_prompt_where_english_has_one(prompt, text, response):
    assert continuing(prompt, text) == response


def test_text_is_no_vote_and_takes_no_seat(store, texts):
    store.add_pairs(new_pairs(2))
    secret = store.visit("here")
    shown = write(store, secret)
    assert (store.votes(), store.count()) == ([], 0)
    again = store.next_pair(secret, HAPPY)
    assert (again.id, again.written) == (shown.id, " was a joy.")  # still to be answered
    assert (shown.written, answer(store, secret).id) == (None, shown.id)
    assert [vote.chosen in (" first 0", " second 0") for vote in store.votes()] == [True]


def test_second_text_for_a_pair_replaces_the_first_one(store, texts):
    store.add_pairs(new_pairs(2))
    secret = store.visit("here")
    write(store, secret, "was bad.")
    shown = write(store, secret, "was a joy.")
    assert completions(texts.of_visitors()) == [" was a joy."]
    store.vote(secret, shown.id, "tie")
    store.clock.now += 6
    # And after the vote, while the round is open.
    assert texts.write(secret, shown.id, "was fun.", client="here")["count"] == 1
    assert write(store, secret).id != shown.id
    assert completions(texts.of_visitors()) == [" was fun.", " was a joy."]


def test_voters_and_questions_have_their_own_texts_for_a_pair(store, texts):
    store.add_pairs(new_pairs(1))
    ann, bob = store.visit("here"), store.visit("here")
    write(store, ann, "was happy.")
    write(store, ann, "was good.", GOOD)
    write(store, bob, "was funny.")
    assert {(one.question, one.completion) for one in texts.of_visitors()} == {
        (HAPPY, " was happy."), (GOOD, " was good."), (HAPPY, " was funny."),
    }  # fmt: skip
    seen = [(ann, HAPPY), (ann, GOOD), (bob, HAPPY)]
    assert [store.next_pair(*one).written for one in seen] == [
        " was happy.", " was good.", " was funny.",
    ]  # fmt: skip


def test_deleted_text_is_gone_and_can_be_written_again(store, texts):
    store.add_pairs(new_pairs(1))
    secret = store.visit("here")
    shown = write(store, secret)
    assert texts.delete(secret, shown.id, "here") is True
    assert texts.delete(secret, shown.id, "here") is False
    assert texts.of_visitors() == [] and store.next_pair(secret, HAPPY).written is None
    write(store, secret, "was fun.")
    assert completions(texts.of_visitors()) == [" was fun."]


def test_text_is_kept_although_the_seat_went_to_another_while_it_was_written(store, texts, taught):
    made, ann = taught
    shown = store.next_pair(ann)
    store.clock.now += ANSWER_SECONDS + 60
    texts.write(ann, shown.id, "was a joy.", client="school")
    assert completions(texts.of_class(made.collection)) == [" was a joy."]


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text is empty"),
        ("\u202e\u200b \n", "the text is empty"),
        (7, "the text is int, not text"),
        ("x" * (LONGEST_DEMONSTRATION + 1), f"has 601 characters: use at most {600}"),
        ("was  first 0 ", "one of the two texts: change it, or vote for it"),
        ("was shit.", "contains a rude word: write it without"),
    ],
)
def test_text_that_cannot_be_kept_is_refused_in_a_sentence(store, texts, text, message):
    store.add_pairs([NewPair("The film", " was first 0", " was second 0", "m", "m")])
    secret = store.visit("here")
    shown = store.next_pair(secret, HAPPY)
    with pytest.raises(Refused, match=message):
        texts.write(secret, shown.id, text, client="here")
    assert texts.of_visitors() == []


def test_longest_text_is_kept(store, texts):
    store.add_pairs(new_pairs(1))
    write(store, store.visit("here"), "x" * LONGEST_DEMONSTRATION)
    assert [len(one) for one in completions(texts.of_visitors())] == [LONGEST_DEMONSTRATION + 1]


@pytest.mark.parametrize(("clean_words", "kept"), [(True, 0), (False, 1)])
def test_rude_word_is_refused_in_a_class_unless_it_allows_them(
    store, classes, rounds, texts, clean_words, kept
):
    made = classes.create_class(HAPPY, clean_words=clean_words)
    rounds.add_pairs(made.collection, new_pairs(1))
    [ann] = join(classes, made, 1)
    shown = store.next_pair(ann)
    if clean_words:
        with pytest.raises(Refused, match="rude word"):
            texts.write(ann, shown.id, "was a damn joy.", client="school")
    else:
        texts.write(ann, shown.id, "was a damn joy.", client="school")
    assert len(texts.of_class(made.collection)) == kept


def test_nobody_writes_for_another_voters_pair(store, texts):
    store.add_pairs(new_pairs(1))
    ann, bob = store.visit("here"), store.visit("here")
    shown = store.next_pair(ann, HAPPY)
    for secret, message in ((bob, "not yours"), ("1.forged", "does not know you"), (None, "know")):
        for act in (lambda s: texts.write(s, shown.id, "was", client="here"),
                    lambda s: texts.delete(s, shown.id, "here")):  # fmt: skip
            with pytest.raises(Refused, match=message):
                act(secret)
    assert texts.of_visitors() == []


def test_blind_vote_takes_no_text(store, texts):
    store.add_pairs(new_pairs(1), kind=DUEL)
    secret = store.visit("here")
    shown = store.next_pair(secret, HAPPY, kind=DUEL)
    with pytest.raises(Refused, match="nothing is trained on a blind vote"):
        texts.write(secret, shown.id, "was a joy.", client="here")


def test_text_is_fixed_when_the_class_pauses_or_the_round_ends(
    store, classes, rounds, texts, taught
):
    made, ann = taught
    shown = write(store, ann)
    store.vote(ann, shown.id, "left")
    store.clock.now += 60
    classes.pause(made.token)
    with pytest.raises(Refused, match="paused"):
        texts.write(ann, shown.id, "was bad.", client="school")
    classes.reopen(made.token)
    rounds.next_round(made.token)
    for act in (
        lambda: texts.write(ann, shown.id, "was bad.", client="school"),
        lambda: texts.delete(ann, shown.id, "school"),
    ):
        with pytest.raises(Refused, match="this round is over"):
            act()
    assert completions(texts.of_class(made.collection)) == [" was a joy."]


# -- bounds ----------------------------------------------------------------------------------------


def test_texts_of_a_voter_and_of_an_address_have_a_pace(store, texts):
    store.add_pairs(new_pairs(1))
    secret = store.visit("here")
    shown = store.next_pair(secret, HAPPY)
    for n in range(PACE[0]):
        texts.write(secret, shown.id, f"was {n}.", client="here")
    with pytest.raises(Refused, match="too many texts from you: wait 5 s"):
        texts.write(secret, shown.id, "was more.", client="here")
    store.clock.now += 5
    texts.write(secret, shown.id, "was more.", client="here")


def test_address_has_a_share_of_the_open_page_and_leaves_others_theirs(store, texts):
    """Thirty students may write more than eight texts each: SFT needs eight."""
    assert OPEN_DAY[0] > 2 * 30 * 8
    texts._open_day = RateLimit(3, 3 / 86_400, store.clock)
    store.add_pairs(new_pairs(30))
    shown = {}
    for secret in [store.visit("here") for _ in range(3)]:
        shown[secret] = write(store, secret)
        for n in range(3):  # changes and deletions cost nothing
            store.clock.now += 5
            texts.write(secret, shown[secret].id, f"was {n}.", client="here")
    other = store.visit("there")
    with pytest.raises(Refused, match="too many texts from your address: wait 28800 s"):
        write(store, other)
    texts.write(secret, shown[secret].id, "was fine.", client="here")
    store.clock.now += 5
    assert texts.delete(secret, shown[secret].id, "here")
    write(store, other, client="there")
    assert len(texts.of_visitors()) == 3


def test_what_a_voters_own_pace_refuses_costs_classmates_nothing(store, texts, taught):
    _, ann = taught
    shown = store.next_pair(ann, HAPPY)
    refused = 0
    for _ in range(ADDRESS_PACE[0] + PACE[0]):
        try:
            texts.delete(ann, shown.id, "school")
        except Refused as error:
            assert "from you" in str(error)
            refused += 1
    assert refused == ADDRESS_PACE[0]
    assert texts._address_pace.has("school", reserved=ADDRESS_PACE[0] - PACE[0] - 1)


def test_voter_has_a_share_and_can_still_change_or_delete(store, texts, taught, monkeypatch):
    monkeypatch.setattr("rlhf_demo.votes.demonstrations.MOST_EACH", 2)
    assert MOST_EACH == 200
    made, ann = taught
    shown = []
    for _ in range(2):
        shown.append(write(store, ann))
        store.vote(ann, shown[-1].id, "left")
    with pytest.raises(Refused, match="you have written 2 texts, which is the limit"):
        write(store, ann)
    texts.write(ann, shown[0].id, "was fun.", client="school")
    store.clock.now += 6
    texts.delete(ann, shown[1].id, "school")
    write(store, ann, "was third.")
    assert completions(texts.of_class(made.collection)) == [" was fun.", " was third."]


# -- reading ---------------------------------------------------------------------------------------


def test_classes_and_the_open_page_have_their_own_texts(store, classes, texts, taught):
    made, ann = taught
    store.add_pairs(new_pairs(1))
    write(store, ann, "was of the class.")
    write(store, store.visit("here"), "was of a visitor.")
    assert completions(texts.of_visitors()) == [" was of a visitor."]
    assert completions(classes.demonstrations(made.token)) == [" was of the class."]
    assert classes.overview(made.token)["written"] == 1
    with pytest.raises(Refused):
        classes.demonstrations(ann)  # a student's secret opens nothing


def test_visitor_is_known_by_the_browsers_secret(store, texts):
    store.add_pairs(new_pairs(1))
    write(store, store.visit("here"), "was Ann's.", browser="ann")
    write(store, store.visit("here"), "was Bob's.", browser="bob")
    write(store, store.visit("here"), "was nobody's.")
    assert completions(texts.of_visitors("ann")) == [" was Ann's."]
    assert completions(texts.of_visitors("")) == []
    assert len(texts.of_visitors()) == 3
    with store.database.reading() as connection:
        hashes = connection.execute(select(demonstrations.c.browser_hash)).scalars().all()
    assert "ann" not in hashes and None in hashes


def test_imported_texts_push_out_none_that_were_written_here(store, texts, monkeypatch):
    monkeypatch.setattr("rlhf_demo.votes.demonstrations.MOST_READ", 2)
    store.add_pairs(new_pairs(1))
    write(store, store.visit("here"), "was Ann's.", browser="ann")
    given = [
        Demonstration(
            id=n, collection=0, round=1, prompt=f"The film {n}", completion=" was imported.",
            question=HAPPY, voter=1, time=0.0, left_out=False,
        )
        for n in range(3)
    ]  # fmt: skip
    texts.add(given, "x" * 64)
    assert completions(texts.of_visitors()) == [" was imported."] * 2 + [" was Ann's."]
    assert completions(texts.of_visitors("ann", imported=False)) == [" was Ann's."]


def test_only_the_newest_texts_of_visitors_are_read(store, texts, monkeypatch):
    monkeypatch.setattr("rlhf_demo.votes.demonstrations.MOST_READ", 2)
    store.add_pairs(new_pairs(1))
    for text in ("was one.", "was two.", "was three."):
        write(store, store.visit("here"), text)
    assert completions(texts.of_visitors()) == [" was two.", " was three."]


# -- what stays and what goes ----------------------------------------------------------------------


def test_removed_student_takes_the_texts_along_and_a_deleted_class_all(
    store, classes, rounds, texts, taught
):
    made, ann = taught
    bob = classes.join(made.code, "Bob", "school").secret
    write(store, ann, "was Ann's.")
    write(store, bob, "was Bob's.")
    classes.remove(made.token, int(ann.partition(".")[0]))
    assert completions(texts.of_class(made.collection)) == [" was Bob's."]
    classes.delete_class(made.token)
    with store.database.reading() as connection:
        assert connection.execute(select(demonstrations.c.id)).all() == []


def test_left_out_student_is_marked(store, classes, texts, taught):
    made, ann = taught
    write(store, ann)
    classes.set_left_out(made.token, int(ann.partition(".")[0]), True)
    assert [one.left_out for one in texts.of_class(made.collection)] == [True]


def test_visitor_who_wrote_and_never_voted_stays_with_text_and_question(store, texts, clock):
    store.add_pairs(new_pairs(1))
    write(store, store.visit("here"), "was a joy.", "Which is odd?")
    idle = store.visit("here")
    clock.now += IDLE_SECONDS + CLEAR_EVERY + 1
    store.visit("here")  # which clears the open page
    with pytest.raises(Refused, match="does not know you"):
        store.next_pair(idle, HAPPY)
    assert completions(texts.of_visitors()) == [" was a joy."]
    with store.database.reading() as connection:
        asked = connection.execute(select(questions.c.text)).scalars().all()
    assert asked == ["Which is odd?"]  # the unanswered assignment under it is gone


def test_student_who_wrote_keeps_the_seat_in_a_full_class(store, classes, rounds, texts):
    made = classes.create_class(HAPPY)
    rounds.add_pairs(made.collection, new_pairs(4))
    classes.set_most_joins(made.token, 2)
    _, bob = join(classes, made, 2)
    write(store, bob)  # the newer one, who would lose the seat
    store.clock.now += 60
    classes.join(made.code, "Eve", "school")
    assert {row["nickname"] for row in classes.overview(made.token)["voters"]} == {"Ann 2", "Eve"}
    assert store.next_pair(bob).written == " was a joy."
