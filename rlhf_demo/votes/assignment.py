"""Which pair a rater is shown next. Runs inside the store's transactions, decides nothing else.

A pair that others have begun is finished first, so agreement shows early and a pair's votes lie
close in time. A showing holds its seat while it is young; one that nobody answers goes back. In a
class, every student is owed the same number of pairs. An absent student's share is not given away
and is still there on return. Now and then a rater gets one text twice (an attention check) or a
pair seen before, to tell how good the votes are; neither takes a seat.
"""

import random
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, func, insert, or_, select
from sqlalchemy.sql import ColumnElement

from rlhf_demo.votes.tables import pairs, raters, rounds, showings
from rlhf_demo.votes.vote import ATTENTION_CHECK, DUEL, PLAIN

ANSWER_SECONDS = 120.0
"""A showing not asked for in this time, and unanswered, no longer holds its seat."""

CHECK_EVERY = 10
"""Of so many answers of a rater one is to an attention check and one to a repeated pair."""

CHECK_AT, REPEAT_AT = 4, 9
"""After how many of the ten they come; the repeated pair is then the oldest of them."""

CHECK_POOL = 50
"""Newest pairs from which the text of an attention check is drawn."""

OPEN_POOL = 2_000
"""Newest pairs that visitors of the open page are shown: what strangers leave there has no end. Of
83,000 a pair took 170 ms to choose, while all who vote wait for each other."""


@dataclass(frozen=True)
class PairQuery:
    """What a rater may be shown: pairs of a round and kind, under a question."""

    round: int
    question: int
    kind: str
    overlap: int
    evenly: bool  # True: everybody in the lesson does the same share
    model: str | None = None  # only pairs with a text of this model
    against: str | None = None  # and with one of this model too


def assign(
    connection: Connection, rater: int, pair_query: PairQuery, now: float, rng: random.Random
) -> int:
    """Hand out a pair: make its showing, sides drawn at random.

    Returns:
        The showing's id, or 0 where there is nothing for this rater now.
    """
    # Where the database locks rows, two raters choose one after the other.
    connection.execute(select(rounds.c.id).where(rounds.c.id == pair_query.round).with_for_update())
    turn = (
        _answered(connection, rater, pair_query) % CHECK_EVERY if pair_query.kind == PLAIN else None
    )
    pair, repeat = 0, False
    if turn == CHECK_AT:
        pair = _attention_check(connection, rater, pair_query, rng)
    elif turn == REPEAT_AT:
        pair = _repeat_pair(connection, rater, pair_query)
        repeat = bool(pair)
    pair = pair or _new_pair(connection, rater, pair_query, now)
    if not pair:
        return 0
    row = {
        "pair_id": pair,
        "rater_id": rater,
        "question_id": pair_query.question,
        "repeat": repeat,
        "swapped": rng.random() < 0.5,
        "shown_at": now,
        "held_at": now,
    }
    return connection.execute(insert(showings).values(row)).inserted_primary_key[0]


def answers_for(count: int) -> int:
    """Return how many answers somebody gives who answers so many new pairs, the checks included."""
    answers = 0
    while True:
        is_check = answers % CHECK_EVERY in (CHECK_AT, REPEAT_AT)
        if not (count or is_check):
            return answers
        answers, count = answers + 1, count - (not is_check)


def has_seat(connection: Connection, showing: Any, overlap: int, now: float) -> bool:
    """Say whether a showing that was left unanswered may still be answered.

    Args:
        connection: the transaction.
        showing: its row, with the kind of its pair as `kind`.
        overlap: how many people see the pair.
        now: seconds since 1970.
    """
    young = showing.held_at > now - ANSWER_SECONDS
    if young or showing.repeat or showing.kind == ATTENTION_CHECK:
        return True
    others = and_(showings.c.pair_id == showing.pair_id, showings.c.id != showing.id, _seated(now))
    return connection.execute(select(func.count()).where(others)).scalar_one() < overlap


def seats_left(connection: Connection, round_id: int, overlap: int, now: float) -> int:
    """Return how many more showings the pairs of a round have room for."""
    taken = _taken(now)
    free = overlap - func.coalesce(taken.c.taken, 0)
    query = (
        select(func.coalesce(func.sum(free), 0))
        .select_from(pairs.outerjoin(taken, taken.c.pair_id == pairs.c.id))
        .where(pairs.c.round_id == round_id, pairs.c.kind != ATTENTION_CHECK)
        .where(func.coalesce(taken.c.taken, 0) < overlap)
    )
    return int(connection.execute(query).scalar_one())


def unseen(connection: Connection, rater: int, pair_query: PairQuery, now: float) -> int:
    """Return how many pairs there are that this rater could still be given."""
    query = _open_pairs(rater, pair_query, now).order_by(None).subquery()
    return connection.execute(select(func.count()).select_from(query)).scalar_one()


def asks(pair_query: PairQuery) -> ColumnElement[bool]:
    """Say whether a showing of some rater's asks what is wished for.

    The sum keeps SQLite from its index of questions: most of all answers may be to one.
    """
    return showings.c.question_id + 0 == pair_query.question


def _seated(now: float) -> ColumnElement[bool]:
    """A showing that is answered, or young enough to be."""
    answered = showings.c.choice.is_not(None)
    young = showings.c.held_at > now - ANSWER_SECONDS
    return and_(showings.c.repeat.is_(False), or_(answered, young))


def _taken(now: float) -> Any:
    count = func.count().label("taken")
    seated = select(showings.c.pair_id, count).where(_seated(now))
    return seated.group_by(showings.c.pair_id).subquery()


def _visible(rater: int, pair_query: PairQuery) -> ColumnElement[bool]:
    wanted = [
        pairs.c.round_id == pair_query.round,
        pairs.c.kind == pair_query.kind,
        or_(pairs.c.owner_id.is_(None), pairs.c.owner_id == rater),
    ]
    for model in (pair_query.model, pair_query.against):
        if model is not None:
            wanted.append(or_(pairs.c.first_model == model, pairs.c.second_model == model))
    return and_(*wanted)


def _open_pairs(rater: int, pair_query: PairQuery, now: float, *, full: bool = False) -> Any:
    """Pairs with a free seat that the rater has not seen under this question, best one first.

    With `full`, those without one, the least seen first.
    """
    newest = select(pairs.c.id).where(_visible(rater, pair_query)).order_by(pairs.c.id.desc())
    pool = newest.limit(None if pair_query.evenly else OPEN_POOL)
    seated = select(func.count()).where(showings.c.pair_id == pairs.c.id, _seated(now))
    number = seated.correlate(pairs).scalar_subquery()
    seen = select(showings.c.pair_id).where(showings.c.rater_id == rater)
    if pair_query.kind != DUEL:  # a duel is blind once: its names may be known by the next question
        seen = seen.where(asks(pair_query))
    seats = number >= pair_query.overlap if full else number < pair_query.overlap
    return (
        select(pairs.c.id)
        .where(pairs.c.id.in_(pool), seats, pairs.c.id.not_in(seen))
        # One's own prompts first; then what others have begun; then the oldest.
        .order_by(pairs.c.owner_id.is_(None), number.asc() if full else number.desc(), pairs.c.id)
    )


def _new_pair(connection: Connection, rater: int, pair_query: PairQuery, now: float) -> int:
    share, given = 0, 0
    if pair_query.evenly:
        share, given = _share(connection, pair_query), _given(connection, rater, pair_query)
        if given >= max(1, share):  # one to begin with, while most pairs are still being written
            return 0
    found = connection.execute(_open_pairs(rater, pair_query, now).limit(1)).scalar()
    if found is None and given < share:
        # The seats that are left are on pairs this rater has seen: one more opinion than planned
        # does no harm, and nobody sits there with nothing to do.
        found = connection.execute(_open_pairs(rater, pair_query, now, full=True).limit(1)).scalar()
    return found or 0


def _given(connection: Connection, rater: int, pair_query: PairQuery) -> int:
    """Return how many pairs the rater has answered or has on the screen, checks apart."""
    query = (
        select(func.count())
        .select_from(showings.join(pairs, pairs.c.id == showings.c.pair_id))
        .where(pairs.c.round_id == pair_query.round, pairs.c.kind == pair_query.kind)
        .where(showings.c.rater_id == rater, showings.c.repeat.is_(False))
    )
    return connection.execute(query).scalar_one()


def _share(connection: Connection, pair_query: PairQuery) -> int:
    """Return how many pairs each rater of the lesson is to answer, of those written so far.

    A round has pairs for everybody who has joined, rounded up, so rounding down here gives back
    just the number that the instructor has asked of each.
    """
    work = select(func.count()).where(
        pairs.c.round_id == pair_query.round, pairs.c.kind == pair_query.kind
    )
    lesson = select(rounds.c.lesson_id).where(rounds.c.id == pair_query.round).scalar_subquery()
    people = select(func.count()).where(raters.c.lesson_id == lesson)
    seats = connection.execute(work).scalar_one() * pair_query.overlap
    return seats // connection.execute(people).scalar_one()


def _attention_check(
    connection: Connection, rater: int, pair_query: PairQuery, rng: random.Random
) -> int:
    """Make an attention check for this rater alone; 0 where there is no text for one."""
    newest = select(pairs).where(_visible(rater, pair_query)).order_by(pairs.c.id.desc())
    pool = connection.execute(newest.limit(CHECK_POOL)).all()
    if not pool:
        return 0
    pair = rng.choice(pool)
    row = dict(pair._mapping) | {
        "kind": ATTENTION_CHECK,
        "second": pair.first,
        "second_model": pair.first_model,
        "owner_id": rater,
    }
    del row["id"]
    return connection.execute(insert(pairs).values(row)).inserted_primary_key[0]


def _repeat_pair(connection: Connection, rater: int, pair_query: PairQuery) -> int:
    """Return the rater's oldest pair not repeated yet; 0 where there is none."""
    mine = (showings.c.rater_id == rater, asks(pair_query))
    repeated = select(showings.c.pair_id).where(*mine, showings.c.repeat.is_(True))
    oldest = (
        select(showings.c.pair_id)
        .join(pairs, pairs.c.id == showings.c.pair_id)
        .where(*mine, _visible(rater, pair_query), showings.c.pair_id.not_in(repeated))
        .where(showings.c.choice.is_not(None), showings.c.choice != "skip")
        .order_by(showings.c.voted_at, showings.c.id)
        .limit(1)
    )
    return connection.execute(oldest).scalar() or 0


def _answered(connection: Connection, rater: int, pair_query: PairQuery) -> int:
    query = (
        select(func.count())
        .select_from(showings.join(pairs, pairs.c.id == showings.c.pair_id))
        .where(pairs.c.round_id == pair_query.round, showings.c.rater_id == rater)
        .where(showings.c.choice.is_not(None))
    )
    return connection.execute(query).scalar_one()
