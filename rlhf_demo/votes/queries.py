"""Queries that the store and the classes share; each runs inside the caller's transaction.

A secret has the form `id.random`. The database has only the SHA-256 of the random part, so a copy
of the database is not enough to vote. The random part has 192 bits, so it needs neither a salt nor
a slow hash.
"""

import hashlib
import hmac
import random
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Table, and_, delete, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql import ColumnElement

from rlhf_demo.errors import DataError, Refused, Unknown
from rlhf_demo.votes.assignment import OPEN_POOL
from rlhf_demo.votes.nicknames import likeness
from rlhf_demo.votes.tables import (
    assignments,
    collections,
    demonstrations,
    insert_row,
    pairs,
    questions,
    rankings,
    rounds,
    voters,
)
from rlhf_demo.votes.vote import ATTENTION_CHECK, Assignment, NewPair, Vote

MOST_ID = 2**31 - 1
"""Largest integer that every database accepts as a key."""

IDLE_SECONDS = 86_400.0
"""A visitor without answers is deleted after this time."""

UNANSWERED_SECONDS = 1_800.0
"""An unanswered assignment that no page has asked for in this time is deleted."""

MOST_READ = 20_000
"""Number of newest visitors' answers that are counted and trained on; reading them takes a third of
a second. Strangers add answers without end, and reading 250,000 took three seconds."""

MOST_UNRANKED = 200
"""Number of newest four texts without an order that the open page keeps."""

UNHELD = {"voter_id": None, "question_id": None, "shown_at": None}
"""What a row of `rankings` says whose texts wait for a voter."""

CODE_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ"
"""Without I, L and O, which look like 1 and 0 on a projector."""

CODE_LENGTH = 6

TICK = 0.001
"""Seconds between two answers of a voter if the clock was set back between them."""
_TRIES = 20


def next_time(now: float, last: float) -> float:
    """Return the time of a voter's answer after that of the one before.

    Undo takes back the newest answer. If a clock that was ahead has been set right, the newest
    answer must still have the latest time.
    """
    return now if now >= last else last + TICK


def new_secret() -> tuple[str, str]:
    """Return a random secret and its hash."""
    secret = secrets.token_urlsafe(24)
    return secret, hash_of(secret)


def hash_of(secret: str) -> str:
    """Return the hash under which the database knows a secret."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def owner(connection: Connection, table: Table, token: Any, *, lock: bool = False) -> Row[Any]:
    """Return the row that a secret belongs to.

    Args:
        connection: the transaction.
        table: voters, or collections for an instructor.
        token: any value that an endpoint received; a secret is `id.random`.
        lock: make other requests with this token wait, if the database locks rows.

    Raises:
        Unknown: it belongs to no row.
    """
    number, _, secret = token.partition(".") if isinstance(token, str) else ("", "", "")
    row = None
    if number.isdecimal() and len(number) < 10:
        query = select(table).where(table.c.id == int(number))
        row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None or not hmac.compare_digest(row.secret_hash, hash_of(secret)):
        raise Unknown("this page does not know you: join again, or reload the page")
    return row


def by_id(connection: Connection, table: Table, number: int) -> Row[Any]:
    """Return the row with this id, which must exist."""
    return connection.execute(select(table).where(table.c.id == number)).one()


def new_collection(
    connection: Connection,
    now: float,
    *,
    kind: str,
    overlap: int,
    code: str | None = None,
    source: str | None = None,
    question: int | None = None,
    clean_words: bool = False,
) -> tuple[int, str]:
    """Create a collection with its first feedback round; return its id and its owner's token."""
    secret, secret_hash = new_secret()
    row = {
        "kind": kind,
        "code": code,
        "source": source,
        "secret_hash": secret_hash,
        "state": "open",
        "overlap": overlap,
        "clean_words": clean_words,
        "trained_votes": 0,
        "created": now,
    }
    number = insert_row(connection, collections, row)
    new_round(connection, number, 1, kind="feedback", question=question)
    return number, f"{number}.{secret}"


def free_code(connection: Connection, draw: Callable[[str], str] = secrets.choice) -> str:
    """Return a class code that no collection has."""
    for _ in range(_TRIES):
        code = "".join(draw(CODE_LETTERS) for _ in range(CODE_LENGTH))
        taken = select(collections.c.id).where(collections.c.code == code)
        if connection.execute(taken).scalar() is None:
            return code
    raise DataError(f"no free class code in {_TRIES} tries: delete classes that are over")


def new_round(
    connection: Connection,
    collection: int,
    number: int,
    *,
    kind: str,
    question: int | None,
    base: str | None = None,
    contender: str | None = None,
) -> int:
    """Create a round and return its id. In a blind round, draw which model is called A."""
    row = {
        "collection_id": collection,
        "number": number,
        "kind": kind,
        "state": "open",
        "question_id": question,
        "base": base,
        "contender": contender,
        "a_is_contender": None if base is None else random.SystemRandom().random() < 0.5,
    }
    return insert_row(connection, rounds, row)


def current_round(connection: Connection, collection: int) -> Row[Any]:
    """Return the newest round of a collection."""
    newest = select(rounds).where(rounds.c.collection_id == collection).order_by(rounds.c.id.desc())
    return connection.execute(newest.limit(1)).one()


def new_voter(
    connection: Connection,
    now: float,
    collection: int,
    nickname: str,
    *,
    unique: bool = False,
    **traits: Any,
) -> tuple[int, str, str]:
    """Create a voter; return the id, the final nickname and the secret.

    Args:
        connection: the transaction.
        now: seconds since 1970.
        collection: the voter's collection.
        nickname: already cleaned.
        unique: add a number to a nickname that looks like another in the collection.
        traits: columns of a simulated voter: simulated, taste, noise, careless.
    """
    if unique:
        nickname = _free_nickname(connection, collection, nickname)
    secret, secret_hash = new_secret()
    row = {
        "collection_id": collection,
        "nickname": nickname,
        "nickname_key": likeness(nickname) if unique else None,
        "secret_hash": secret_hash,
        "joined": now,
        "last_seen": now,
        **traits,
    }
    number = insert_row(connection, voters, row)
    return number, nickname, f"{number}.{secret}"


def _free_nickname(connection: Connection, collection: int, nickname: str) -> str:
    query = select(voters.c.nickname).where(voters.c.collection_id == collection)
    taken = {likeness(name) for name in connection.execute(query).scalars()}
    free, number = nickname, 1
    while likeness(free) in taken:
        number += 1
        free = f"{nickname} {number}"
    return free


def insert_pairs(
    connection: Connection,
    round_id: int,
    new: Sequence[NewPair],
    kind: str,
    owner_id: int | None = None,
) -> list[int]:
    """Add pairs to a round; return their ids.

    Args:
        connection: the transaction.
        round_id: the round.
        new: the pairs.
        kind: PLAIN, ATTENTION_CHECK or DUEL.
        owner_id: the voter who wrote the prompts, the only one who sees the pairs.
    """
    numbers: list[int] = []
    for pair in new:
        whose = {"owner_id": owner_id, "own": owner_id is not None}
        row = {**vars(pair), "round_id": round_id, "kind": kind, **whose}
        numbers.append(insert_row(connection, pairs, row))
    return numbers


def clear_open_page(connection: Connection, collection: int, round_id: int, now: float) -> None:
    """Delete what a script can create without end: visitors, pairs and questions without answers.

    These are visitors not seen for a day, with their assignments; unanswered assignments of others,
    sooner; pairs that were never shown and are too old to be shown; old texts that no one has
    ranked; and questions that no assignment, demonstration, ranking and round has. Visitors who
    wrote a demonstration or ranked stay.
    """
    of_round = select(pairs.c.id).where(pairs.c.round_id == round_id)
    left = (assignments.c.choice.is_(None), assignments.c.held_at < now - UNANSWERED_SECONDS)
    connection.execute(delete(assignments).where(*left, assignments.c.pair_id.in_(of_round)))
    answered = select(assignments.c.id).where(
        assignments.c.voter_id == voters.c.id, assignments.c.voted_at.is_not(None)
    )
    idle = (voters.c.collection_id == collection, voters.c.last_seen < now - IDLE_SECONDS)
    wrote = select(demonstrations.c.id).where(demonstrations.c.voter_id == voters.c.id)
    ranked = select(rankings.c.id).where(
        rankings.c.voter_id == voters.c.id, rankings.c.best_first.is_not(None)
    )
    _clear_unranked(connection, round_id, now)  # or a visitor would take the texts along
    did = (answered, wrote, ranked)
    connection.execute(delete(voters).where(*idle, *(~rows.exists() for rows in did)))
    newest = select(pairs.c.id).where(pairs.c.round_id == round_id).order_by(pairs.c.id.desc())
    shown = select(assignments.c.id).where(assignments.c.pair_id == pairs.c.id)
    old = (pairs.c.round_id == round_id, pairs.c.id.not_in(newest.limit(OPEN_POOL).correlate(None)))
    connection.execute(delete(pairs).where(*old, ~shown.exists()))
    asked = select(assignments.c.id).where(assignments.c.question_id == questions.c.id)
    of_round = select(rounds.c.id).where(rounds.c.question_id == questions.c.id)
    written = select(demonstrations.c.id).where(demonstrations.c.question_id == questions.c.id)
    under = select(rankings.c.id).where(rankings.c.question_id == questions.c.id)
    needed = (asked, of_round, written, under)
    connection.execute(delete(questions).where(*(~rows.exists() for rows in needed)))


def _clear_unranked(connection: Connection, round_id: int, now: float) -> None:
    """Let the next voter have the texts that a page has not asked for, and delete old ones."""
    unranked = (rankings.c.round_id == round_id, rankings.c.best_first.is_(None))
    left = (*unranked, rankings.c.shown_at < now - UNANSWERED_SECONDS)
    connection.execute(update(rankings).where(*left).values(UNHELD))
    newest = select(rankings.c.id).where(*unranked).order_by(rankings.c.id.desc())
    kept = newest.limit(MOST_UNRANKED).correlate(None)
    connection.execute(delete(rankings).where(*unranked, rankings.c.id.not_in(kept)))


def drop_unanswered(connection: Connection, voter: int, keep: int) -> None:
    """Delete a voter's unanswered assignments but the newest, with their attention checks."""
    mine = (assignments.c.voter_id == voter, assignments.c.choice.is_(None))
    newest = select(assignments.c.id).where(*mine).order_by(assignments.c.id.desc()).limit(keep)
    kept = list(connection.execute(newest).scalars())
    old = (*mine, assignments.c.id.not_in(kept))
    dropped = list(connection.execute(select(assignments.c.pair_id).where(*old)).scalars())
    connection.execute(delete(assignments).where(*old))
    own_checks = (pairs.c.kind == ATTENTION_CHECK, pairs.c.owner_id == voter)
    connection.execute(delete(pairs).where(*own_checks, pairs.c.id.in_(dropped)))


def is_id(number: Any) -> bool:
    """Say whether what a request names can be the id of a row."""
    return type(number) is int and 0 < number <= MOST_ID


def question_id(connection: Connection, text: str) -> int:
    """Return the id of a question; insert the question if it is new."""
    known = select(questions.c.id).where(questions.c.text == text)
    number = connection.execute(known).scalar()
    if number is None:
        try:
            with connection.begin_nested():
                number = insert_row(connection, questions, {"text": text})
        except IntegrityError:  # another process was quicker
            number = connection.execute(known).scalar_one()
    return number


def own_assignment(connection: Connection, voter: int, assignment: Any) -> Row[Any]:
    """Return the voter's assignment of this id, with its pair, round and collection.

    Raises:
        Refused: it does not exist, or is another voter's.
    """
    row = None
    if is_id(assignment):
        row = connection.execute(
            select(
                assignments,
                pairs.c.kind,
                pairs.c.prompt,
                pairs.c.first,
                pairs.c.second,
                pairs.c.first_model,
                pairs.c.second_model,
                pairs.c.round_id,
                rounds.c.state.label("round_state"),
                rounds.c.kind.label("round_kind"),
                collections.c.kind.label("collection_kind"),
                collections.c.state.label("collection_state"),
                collections.c.overlap,
                collections.c.clean_words,
            )
            .select_from(assignments)
            .join(pairs, pairs.c.id == assignments.c.pair_id)
            .join(rounds, rounds.c.id == pairs.c.round_id)
            .join(collections, collections.c.id == rounds.c.collection_id)
            .where(assignments.c.id == assignment, assignments.c.voter_id == voter)
        ).one_or_none()
    if row is None:
        raise Refused("this pair is not yours to answer: take the next one")
    return row


def check_open(shown: Row[Any]) -> None:
    """Check that an assignment can be answered now.

    Raises:
        Refused: the class is paused, or the round is over.
    """
    if shown.collection_state != "open":
        raise Refused("the class is paused: wait for the instructor to continue")
    if shown.round_state != "open":
        raise Refused("this round is over: wait for the next one")


def as_seen(connection: Connection, assignment: int) -> Assignment:
    """Return an assignment with its texts on the sides that were drawn for it."""
    row = connection.execute(
        select(
            assignments.c.id,
            assignments.c.swapped,
            questions.c.text.label("question"),
            pairs.c.prompt,
            pairs.c.first,
            pairs.c.second,
            demonstrations.c.completion,
        )
        .select_from(assignments)
        .join(pairs, pairs.c.id == assignments.c.pair_id)
        .join(questions, questions.c.id == assignments.c.question_id)
        .outerjoin(demonstrations, same_showing(assignments.c))
        .where(assignments.c.id == assignment)
    ).one()
    left, right = (row.second, row.first) if row.swapped else (row.first, row.second)
    return Assignment(row.id, row.question, row.prompt, left, right, row.completion)


def same_showing(shown: Any) -> ColumnElement[bool]:
    """Match the demonstration that a voter wrote for a pair under a question.

    Args:
        shown: an assignment's row, or the columns of `assignments`.
    """
    names = ("pair_id", "voter_id", "question_id")
    return and_(*(demonstrations.c[name] == getattr(shown, name) for name in names))


def answers(connection: Connection, collection: int | None, *, classes: bool) -> list[Vote]:
    """Return the answers of a collection, or all answers, in order of time.

    Args:
        connection: the transaction.
        collection: its id; None for all.
        classes: False leaves out the answers of classes, and all but the newest of visitors.
    """
    query = (
        select(
            assignments.c.id, rounds.c.collection_id.label("collection"),
            rounds.c.number.label("round"), pairs.c.kind, pairs.c.id.label("pair"),
            pairs.c.prompt, pairs.c.first, pairs.c.second, pairs.c.first_model,
            pairs.c.second_model, questions.c.text.label("question"),
            assignments.c.voter_id.label("voter"), assignments.c.choice, assignments.c.swapped,
            assignments.c.repeat, assignments.c.voted_at.label("time"), assignments.c.seconds,
            voters.c.simulated, voters.c.left_out, pairs.c.own,
        )
        .select_from(assignments)
        .join(pairs, pairs.c.id == assignments.c.pair_id)
        .join(rounds, rounds.c.id == pairs.c.round_id)
        .join(voters, voters.c.id == assignments.c.voter_id)
        .join(questions, questions.c.id == assignments.c.question_id)
        .where(assignments.c.choice.is_not(None))
        .order_by(assignments.c.voted_at, assignments.c.id)
    )  # fmt: skip
    if collection is not None:
        query = query.where(rounds.c.collection_id == collection)
    if not classes:
        theirs = select(collections.c.id).where(collections.c.kind == "class")
        query = query.where(rounds.c.collection_id.not_in(theirs), _read())
    return [Vote(**row) for row in connection.execute(query).mappings()]


def _read() -> ColumnElement[bool]:
    """Match the newest answers of visitors, and all answers of imported files."""
    theirs = rounds.c.collection_id.in_(
        select(collections.c.id).where(collections.c.kind == "open")
    )
    newest = (
        select(assignments.c.id).select_from(assignments.join(pairs).join(rounds)).where(theirs)
    )
    newest = newest.where(assignments.c.choice.is_not(None)).order_by(assignments.c.id.desc())
    return or_(~theirs, assignments.c.id.in_(newest.limit(MOST_READ).correlate(None)))
