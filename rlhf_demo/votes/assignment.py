"""Choose the pair that a voter is shown next, inside a transaction of the store.

Pairs that have votes come first, so agreement shows early and a pair's votes are close in time. A
new assignment holds one of the pair's seats; without an answer, it loses the seat after a while. In
a class, every student is owed the same number of pairs. An absent student's share is not given away
and is still there on return; and nobody has to wait for pairs because others join. At intervals, a
voter gets the same text twice (an attention check) or a pair seen before, to measure the quality of
the votes; neither takes a seat.
"""

import random
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select
from sqlalchemy.sql import ColumnElement

from rlhf_demo.votes.tables import assignments, insert_row, pairs, rounds, voters
from rlhf_demo.votes.vote import ATTENTION_CHECK, DUEL, PLAIN

ANSWER_SECONDS = 120.0
"""An unanswered assignment that the page has not asked for in this time loses its seat."""

PRESENT_SECONDS = 20.0
"""A student who was seen in this time is here: phones ask every few seconds."""

CHECK_EVERY = 10
"""Of this many answers of a voter, one is to an attention check and one to a repeated pair."""

CHECK_AT, REPEAT_AT = 4, 9
"""Number of answers in the ten before each; the repeated pair is the oldest not repeated yet."""

CHECK_POOL = 50
"""Number of newest pairs from which the text of an attention check is drawn."""

OPEN_POOL = 2_000
"""Number of newest pairs shown to visitors of the open page, where strangers add pairs without end.
Choosing among 83,000 took 170 ms, and all voters wait for each other."""

SEARCHED = 4 * OPEN_POOL
"""Number of newest pairs of the open page in which those of one model or kind are looked for."""


@dataclass(frozen=True)
class PairQuery:
    """The pairs that a voter may be shown: of a round and kind, under a question."""

    round: int
    question: int
    kind: str
    overlap: int
    evenly: bool  # True: every student of the class gets the same number of pairs
    model: str | None = None  # only pairs with a text of this model
    against: str | None = None  # and with a text of this model too
    goal: int = 0  # pairs that each student should answer; 0: as many as there are


def assign(
    connection: Connection, voter: int, pair_query: PairQuery, now: float, rng: random.Random
) -> int:
    """Give the voter a pair: insert an assignment with randomly drawn sides.

    Returns:
        The assignment's id, or 0 if there is no pair for this voter now.
    """
    # If the database locks rows, two voters choose one after the other.
    connection.execute(select(rounds.c.id).where(rounds.c.id == pair_query.round).with_for_update())
    position = (
        _answered(connection, voter, pair_query) % CHECK_EVERY if pair_query.kind == PLAIN else None
    )
    pair, repeat = 0, False
    if position == CHECK_AT:
        pair = _attention_check(connection, voter, pair_query, rng)
    elif position == REPEAT_AT:
        pair = _repeat_pair(connection, voter, pair_query)
        repeat = bool(pair)
    pair = pair or _new_pair(connection, voter, pair_query, now)
    if not pair:
        return 0
    row = {
        "pair_id": pair,
        "voter_id": voter,
        "question_id": pair_query.question,
        "repeat": repeat,
        "swapped": rng.random() < 0.5,
        "shown_at": now,
        "held_at": now,
    }
    return insert_row(connection, assignments, row)


def seats_of(round_kind: str, overlap: int) -> int:
    """Return how many voters see each pair of a round.

    In a class's blind vote it is one. There, nobody asks how far students agree, and of equally
    many votes, those on different pairs measure the models better (`bench.class_lesson`).

    Args:
        round_kind: feedback or blind.
        overlap: of the collection.
    """
    return 1 if round_kind == "blind" else overlap


def answers_for(count: int) -> int:
    """Return how many answers a voter gives to reach `count` new pairs, checks included."""
    answers = 0
    while True:
        is_check = answers % CHECK_EVERY in (CHECK_AT, REPEAT_AT)
        if not (count or is_check):
            return answers
        answers, count = answers + 1, count - (not is_check)


def has_seat(connection: Connection, assignment: Any, overlap: int, now: float) -> bool:
    """Say whether an unanswered assignment may still be answered.

    Args:
        connection: the transaction.
        assignment: its row, with the kind of its pair as `kind`.
        overlap: number of people who see the pair.
        now: seconds since 1970.
    """
    young = assignment.held_at > now - ANSWER_SECONDS
    if young or assignment.repeat or assignment.kind == ATTENTION_CHECK:
        return True
    others = and_(
        assignments.c.pair_id == assignment.pair_id, assignments.c.id != assignment.id, _seated(now)
    )
    return connection.execute(select(func.count()).where(others)).scalar_one() < overlap


def seats_left(connection: Connection, round_id: int, overlap: int, now: float) -> int:
    """Return how many more assignments the pairs of a round have room for."""
    taken = _taken(round_id, now)
    free = overlap - func.coalesce(taken.c.taken, 0)
    query = (
        select(func.coalesce(func.sum(free), 0))
        .select_from(pairs.outerjoin(taken, taken.c.pair_id == pairs.c.id))
        .where(pairs.c.round_id == round_id, pairs.c.kind != ATTENTION_CHECK)
        .where(func.coalesce(taken.c.taken, 0) < overlap)
    )
    return int(connection.execute(query).scalar_one())


def unseen(connection: Connection, voter: int, pair_query: PairQuery, now: float) -> int:
    """Return how many pairs this voter could still be given."""
    query = _open_pairs(voter, pair_query, now).order_by(None).subquery()
    return connection.execute(select(func.count()).select_from(query)).scalar_one()


def asks(pair_query: PairQuery) -> ColumnElement[bool]:
    """Match assignments under the query's question.

    The sum keeps SQLite from using its index of questions: one question may have most answers.
    """
    return assignments.c.question_id + 0 == pair_query.question


def _seated(now: float) -> ColumnElement[bool]:
    """Match assignments with a seat: answered ones, and young ones."""
    answered = assignments.c.choice.is_not(None)
    young = assignments.c.held_at > now - ANSWER_SECONDS
    return and_(assignments.c.repeat.is_(False), or_(answered, young))


def _taken(round_id: int, now: float) -> Any:
    """Count the seats taken of each pair of a round; those of all rounds would take a second."""
    count = func.count().label("taken")
    of_round = select(pairs.c.id).where(pairs.c.round_id == round_id)
    seated = select(assignments.c.pair_id, count).where(_seated(now))
    seated = seated.where(assignments.c.pair_id.in_(of_round))
    return seated.group_by(assignments.c.pair_id).subquery()


def _visible(voter: int, pair_query: PairQuery) -> ColumnElement[bool]:
    wanted = [
        pairs.c.round_id == pair_query.round,
        pairs.c.kind == pair_query.kind,
        or_(pairs.c.owner_id.is_(None), pairs.c.owner_id == voter),
    ]
    for model in (pair_query.model, pair_query.against):
        if model is not None:
            wanted.append(or_(pairs.c.first_model == model, pairs.c.second_model == model))
    return and_(*wanted)


def _searched(pair_query: PairQuery) -> ColumnElement[bool]:
    """Match the newest pairs of the round, of all models and kinds."""
    of_round = select(pairs.c.id).where(pairs.c.round_id == pair_query.round)
    return pairs.c.id.in_(of_round.order_by(pairs.c.id.desc()).limit(SEARCHED))


def _open_pairs(
    voter: int, pair_query: PairQuery, now: float, *, full: bool = False, idle: bool = False
) -> Any:
    """Pairs with a free seat that the voter has not seen under this question, best first.

    With `full`, pairs without a free seat, the least seen first. With `idle` too, only those that
    had one, were it not for students who have answered nothing.
    """
    pool = select(pairs.c.id).where(_visible(voter, pair_query)).order_by(pairs.c.id.desc())
    if not pair_query.evenly:
        pool = pool.where(_searched(pair_query)).limit(OPEN_POOL)
    seated = select(func.count()).where(assignments.c.pair_id == pairs.c.id, _seated(now))
    number = seated.correlate(pairs).scalar_subquery()
    seen = select(assignments.c.pair_id).where(assignments.c.voter_id == voter)
    if pair_query.kind != DUEL:  # a duel is blind once: its names may be known by the next question
        seen = seen.where(asks(pair_query))
    seats = number >= pair_query.overlap if full else number < pair_query.overlap
    if idle:
        busy = seated.where(_has_answered(assignments.c.voter_id))
        earned = busy.correlate(pairs).scalar_subquery()
        seats = and_(seats, earned < pair_query.overlap)
    return (
        select(pairs.c.id)
        .where(pairs.c.id.in_(pool), seats, pairs.c.id.not_in(seen))
        # The voter's own prompts first, then pairs with votes, then the oldest.
        .order_by(pairs.c.owner_id.is_(None), number.asc() if full else number.desc(), pairs.c.id)
    )


def _new_pair(connection: Connection, voter: int, pair_query: PairQuery, now: float) -> int:
    if pair_query.goal:
        return _pair_of_class(connection, voter, pair_query, now)
    share, given = 0, 0
    if pair_query.evenly:
        share, given = _share(connection, pair_query), _given(connection, voter, pair_query)
        if given >= max(1, share):  # a first pair comes while most pairs are still being written
            return 0
    pair = connection.execute(_open_pairs(voter, pair_query, now).limit(1)).scalar()
    if pair is None and given < share:
        # The free seats are on pairs that this voter has seen. A vote more than planned on another
        # pair does no harm, and the voter has something to do.
        pair = connection.execute(_open_pairs(voter, pair_query, now, full=True).limit(1)).scalar()
    return pair or 0


def _pair_of_class(connection: Connection, voter: int, pair_query: PairQuery, now: float) -> int:
    """Return a pair for a student who has fewer than the goal; 0 if there is none now.

    While pairs are still being written, free seats go to the students with the fewest pairs. Only
    those who are here and have answered count, or one phone that joins sixty times would stop the
    whole class. A student who finds no free seat gets a pair without one: a vote more than planned
    does no harm. In a blind vote, votes on different pairs measure the models better: there, it is
    the student's first pair, or one that only students who have answered nothing hold.
    """
    given = _given(connection, voter, pair_query)
    if given >= pair_query.goal:
        return 0
    free = seats_left(connection, pair_query.round, pair_query.overlap, now)
    pair = None
    if free > _needier(connection, pair_query, given, now):
        pair = connection.execute(_open_pairs(voter, pair_query, now).limit(1)).scalar()
    if pair is None:
        idle = bool(given) and pair_query.kind == DUEL
        taken = _open_pairs(voter, pair_query, now, full=True, idle=idle)
        pair = connection.execute(taken.limit(1)).scalar()
    return pair or 0


def _needier(connection: Connection, pair_query: PairQuery, given: int, now: float) -> int:
    """Count the students who are here, have answered, and were given fewer pairs in the round."""
    theirs = assignments.c.voter_id == voters.c.id
    number = (
        select(func.count())
        .select_from(assignments.join(pairs, pairs.c.id == assignments.c.pair_id))
        .where(theirs, _of_round(pair_query))
        .correlate(voters)
        .scalar_subquery()
    )
    present = voters.c.last_seen > now - PRESENT_SECONDS
    here = voters.c.collection_id == _collection(pair_query)
    query = select(func.count()).where(here, present, _has_answered(voters.c.id), number < given)
    return connection.execute(query).scalar_one()


def _has_answered(voter: ColumnElement[int]) -> ColumnElement[bool]:
    """Match voters who have answered anything."""
    theirs = assignments.alias()
    answers = select(theirs.c.id).where(theirs.c.voter_id == voter, theirs.c.choice.is_not(None))
    return answers.exists()


def _of_round(pair_query: PairQuery) -> ColumnElement[bool]:
    """Match assignments of the round, without checks."""
    kind = pairs.c.kind == pair_query.kind
    return and_(pairs.c.round_id == pair_query.round, kind, assignments.c.repeat.is_(False))


def _collection(pair_query: PairQuery) -> Any:
    this = rounds.c.id == pair_query.round
    return select(rounds.c.collection_id).where(this).scalar_subquery()


def _given(connection: Connection, voter: int, pair_query: PairQuery) -> int:
    """Return how many pairs the voter has answered or has on the screen, without checks."""
    query = (
        select(func.count())
        .select_from(assignments.join(pairs, pairs.c.id == assignments.c.pair_id))
        .where(assignments.c.voter_id == voter, _of_round(pair_query))
    )
    return connection.execute(query).scalar_one()


def _share(connection: Connection, pair_query: PairQuery) -> int:
    """Return how many of the pairs written so far each voter of the class should answer.

    A round has pairs for all students who have joined, rounded up. So rounding down here gives
    exactly the number that the instructor set for each student.
    """
    work = select(func.count()).where(
        pairs.c.round_id == pair_query.round, pairs.c.kind == pair_query.kind
    )
    people = select(func.count()).where(voters.c.collection_id == _collection(pair_query))
    seats = connection.execute(work).scalar_one() * pair_query.overlap
    return seats // connection.execute(people).scalar_one()


def _attention_check(
    connection: Connection, voter: int, pair_query: PairQuery, rng: random.Random
) -> int:
    """Make an attention check for this voter alone; return 0 if there is no text for it."""
    newest = select(pairs).where(_visible(voter, pair_query), _searched(pair_query))
    newest = newest.order_by(pairs.c.id.desc())
    pool = connection.execute(newest.limit(CHECK_POOL)).mappings().all()
    if not pool:
        return 0
    pair = rng.choice(pool)
    row = dict(pair) | {
        "kind": ATTENTION_CHECK,
        "second": pair["first"],
        "second_model": pair["first_model"],
        "owner_id": voter,
    }
    del row["id"]
    return insert_row(connection, pairs, row)


def _repeat_pair(connection: Connection, voter: int, pair_query: PairQuery) -> int:
    """Return the voter's oldest pair that was not repeated yet; 0 if there is none."""
    mine = (assignments.c.voter_id == voter, asks(pair_query))
    repeated = select(assignments.c.pair_id).where(*mine, assignments.c.repeat.is_(True))
    oldest = (
        select(assignments.c.pair_id)
        .join(pairs, pairs.c.id == assignments.c.pair_id)
        .where(*mine, _visible(voter, pair_query), assignments.c.pair_id.not_in(repeated))
        .where(assignments.c.choice.is_not(None), assignments.c.choice != "skip")
        .order_by(assignments.c.voted_at, assignments.c.id)
        .limit(1)
    )
    return connection.execute(oldest).scalar() or 0


def _answered(connection: Connection, voter: int, pair_query: PairQuery) -> int:
    query = (
        select(func.count())
        .select_from(assignments.join(pairs, pairs.c.id == assignments.c.pair_id))
        .where(pairs.c.round_id == pair_query.round, assignments.c.voter_id == voter)
        .where(assignments.c.choice.is_not(None))
    )
    return connection.execute(query).scalar_one()
