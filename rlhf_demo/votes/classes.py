"""Class mode: open a class, join it, and show it to its instructor and its students.

rounds.py has the rounds of a class. An instructor has a token and a student has a secret; functions
check them in the transaction in which they act. Before `create_class` and `new_token`, the caller
must check the instructor's password. Students vote with the store's `next_pair`, `vote` and `undo`.

The database has each student's nickname, answers, texts, predictions and best try, and their times.
A student's address is counted in memory and written nowhere.
"""

from dataclasses import dataclass
from typing import Any, TypedDict

from sqlalchemy import Connection, Executable, Row, delete, func, select, update

from rlhf_demo.errors import ConfigError, Refused
from rlhf_demo.votes.arrivals import UNSEEN_SECONDS, Arrivals
from rlhf_demo.votes.assignment import seats_left, seats_of
from rlhf_demo.votes.demonstrations import count_demonstrations
from rlhf_demo.votes.nicknames import nickname as checked_nickname
from rlhf_demo.votes.queries import (
    CODE_LETTERS,
    by_id,
    current_round,
    free_code,
    new_collection,
    new_secret,
    new_voter,
    owner,
    question_id,
)
from rlhf_demo.votes.result_cache import ResultCache
from rlhf_demo.votes.rounds import BlindResult, RoundFacts, blind_result, round_facts
from rlhf_demo.votes.store import SEEN_EVERY, Store
from rlhf_demo.votes.tables import (
    assignments,
    collections,
    demonstrations,
    pairs,
    predictions,
    tries,
    voters,
)
from rlhf_demo.votes.vote import ATTENTION_CHECK, LONGEST_QUESTION, Demonstration, Vote, clean_text

MOST_VOTERS = 200
"""Maximum voters in a class, simulated ones included, so that a faulty script cannot fill the disk.
"""


@dataclass(frozen=True)
class Joined:
    """A student who has just joined: the final nickname, and the secret for the phone alone."""

    voter: int
    nickname: str
    secret: str


@dataclass(frozen=True)
class NewClass:
    """A new class: its code is for the students, its token for the instructor alone."""

    collection: int
    code: str
    token: str


class StudentView(RoundFacts):
    """What a student may know of the class and of the student's own votes."""

    nickname: str
    votes: int  # own
    done: int  # own ones of the round, without attention checks and repeats
    result: BlindResult | None  # of the blind vote, once revealed


class Student(TypedDict):
    """A student of a class."""

    voter: int
    nickname: str
    simulated: bool
    left_out: bool
    votes: int
    last_seen: float  # seconds since 1970
    place: int | None  # number of the student's address; see `Arrivals.address_numbers`


class ClassOverview(RoundFacts):
    """The state of a class and its students."""

    collection: int
    code: str
    overlap: int  # students who see each pair
    clean_words: bool
    door_open: bool
    most_joins: int  # from one address
    votes: int  # of the round
    written: int  # texts that students have written, in all rounds
    seats_left: int  # assignments for which the round's pairs have room
    voters: list[Student]


class Classes:
    """The classes of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.database, self.clock = store.database, store.clock
        self.arrivals = Arrivals(store.clock)
        self._results = ResultCache()  # of revealed rounds

    # -- the instructor's class -------------------------------------------------------------------

    def create_class(
        self, question: str, *, overlap: int = 3, clean_words: bool = True
    ) -> NewClass:
        """Open a class.

        Args:
            question: the question about every pair.
            overlap: number of students who see each pair, 1 to 30.
            clean_words: coarse words must not be sampled for this class.

        Raises:
            ConfigError: overlap is out of range.
            Refused: the question is empty or too long.
        """
        if not 1 <= overlap <= 30:
            raise ConfigError(f"{overlap} students for each pair: choose 1 to 30")
        text = clean_text(question, LONGEST_QUESTION, "question")
        with self.database.writing() as connection:
            code = free_code(connection)
            collection, token = new_collection(
                connection,
                self.clock(),
                kind="class",
                code=code,
                overlap=overlap,
                question=question_id(connection, text),
                clean_words=clean_words,
            )
        return NewClass(collection, code, token)

    def new_token(self, code: str) -> str:
        """Return a new instructor's token for a class; the previous token stops working.

        For an instructor at another machine. The caller must check the password first.

        Raises:
            Refused: there is no such class.
        """
        secret, secret_hash = new_secret()
        with self.database.writing() as connection:
            collection = self._there(self._find(connection, code))
            this = update(collections).where(collections.c.id == collection.id)
            connection.execute(this.values(secret_hash=secret_hash))
        return f"{collection.id}.{secret}"

    def collection_of(self, token: str) -> int:
        """Return the id of the class that a token belongs to.

        Raises:
            Refused: it belongs to no class.
        """
        with self.database.reading() as connection:
            return owner(connection, collections, token).id

    def collection_of_student(self, secret: str) -> int:
        """Return the id of the class that a student is in.

        Raises:
            Refused: the secret belongs to no student.
        """
        with self.database.reading() as connection:
            return owner(connection, voters, secret).collection_id

    def pause(self, token: str) -> None:
        """Stop voting until `reopen`; students can still join."""
        self._set(token, state="paused")

    def reopen(self, token: str) -> None:
        """Let the class vote again."""
        self._set(token, state="open")

    def set_door(self, token: str, is_open: bool) -> None:
        """Allow or stop joining; students who have joined stay."""
        self._set(token, door_open=is_open)

    def set_most_joins(self, token: str, most: int) -> None:
        """Set how many students may join from one address.

        Raises:
            ConfigError: it is out of range.
        """
        if not 1 <= most <= MOST_VOTERS:
            raise ConfigError(f"the maximum from one address is {most}: choose 1 to {MOST_VOTERS}")
        self._set(token, most_joins=most)

    def _set(self, token: str, **values: Any) -> None:
        with self.database.writing() as connection:
            collection = owner(connection, collections, token)
            this = update(collections).where(collections.c.id == collection.id)
            connection.execute(this.values(values))

    def delete_class(self, token: str) -> None:
        """Delete a class with its students, pairs and votes. This cannot be undone."""
        with self.database.writing() as connection:
            collection = owner(connection, collections, token)
            connection.execute(delete(collections).where(collections.c.id == collection.id))
        self.arrivals.forget(collection.id)
        self.database.empty_log()

    # -- students ----------------------------------------------------------------------------------

    def join(self, code: str, nickname: str, client: str) -> Joined:
        """Let a student in.

        Args:
            code: as typed; case and blanks do not matter.
            nickname: as typed; it gets a number if another student has it.
            client: the visitor's address, for the limits.

        Raises:
            Refused: no class has the code, its door is closed, the nickname is not allowed, the
                class is full, or too many students join from the address.
        """
        # Read only, so that a flood of wrong codes makes no writer wait.
        with self.database.reading() as connection:
            match = self._find(connection, code)
        self.arrivals.check_code(None if match is None else match.id, client)
        self._there(match)
        name = checked_nickname(nickname)
        with self.database.writing() as connection:
            collection = self._there(self._find(connection, code, lock=True))
            if not collection.door_open:
                raise Refused(
                    "this class is not taking new students now: ask the instructor to let you join"
                )
            self.arrivals.check_pace(client, name)
            self._make_room(connection, collection, client)
            joined = self._add_voter(connection, collection.id, name)
            self.arrivals.record(collection.id, joined.voter, client)
            return joined

    def _make_room(self, connection: Connection, collection: Row[Any], client: str) -> None:
        """If the address or the class is full, remove a student who has done nothing there.

        Nothing means no answer, no text, no prediction and no try. For a full address, it is one at
        the same address who has not been seen lately; for a full class, one at an address with far
        more students.
        """
        present = self._voters(connection, collection.id)
        answered = select(assignments.c.voter_id).join(
            voters, voters.c.id == assignments.c.voter_id
        )
        answered = answered.where(
            voters.c.collection_id == collection.id, assignments.c.choice.is_not(None)
        )
        wrote = select(demonstrations.c.voter_id).where(demonstrations.c.voter_id.in_(present))
        said = select(predictions.c.voter_id).where(predictions.c.collection_id == collection.id)
        tried = select(tries.c.voter_id).where(tries.c.collection_id == collection.id)
        did = (set(connection.execute(query).scalars()) for query in (answered, wrote, said, tried))
        idle = present.difference(*did)
        away = select(voters.c.id).where(voters.c.last_seen < self.clock() - UNSEEN_SECONDS)
        away = away.where(voters.c.collection_id == collection.id)
        unseen = idle & set(connection.execute(away).scalars())
        displaced = self.arrivals.check_address(
            collection.id, client, collection.most_joins, present, unseen
        )
        if displaced is None and len(present) >= MOST_VOTERS:
            displaced = self.arrivals.voter_to_displace(collection.id, client, idle, present)
        if displaced is not None:
            connection.execute(delete(voters).where(voters.c.id == displaced))

    def join_simulated(
        self, token: str, nickname: str, *, taste: str, noise: float, careless: bool
    ) -> Joined:
        """Let a simulated student in, with a permanent mark; only the instructor can."""
        traits = {"simulated": True, "taste": taste, "noise": noise, "careless": careless}
        with self.database.writing() as connection:
            collection = owner(connection, collections, token, lock=True)
            return self._add_voter(connection, collection.id, nickname, **traits)

    def _add_voter(
        self, connection: Connection, collection: int, nickname: str, **traits: Any
    ) -> Joined:
        if len(self._voters(connection, collection)) >= MOST_VOTERS:
            raise Refused(f"the class is full ({MOST_VOTERS}): ask the instructor")
        made = new_voter(connection, self.clock(), collection, nickname, unique=True, **traits)
        return Joined(*made)

    @staticmethod
    def _voters(connection: Connection, collection: int) -> set[int]:
        query = select(voters.c.id).where(voters.c.collection_id == collection)
        return set(connection.execute(query).scalars())

    @staticmethod
    def _find(connection: Connection, code: Any, *, lock: bool = False) -> Row[Any] | None:
        typed = "".join(code.split()).upper() if isinstance(code, str) else ""
        if not set(typed) <= set(CODE_LETTERS):
            return None
        query = select(collections).where(
            collections.c.code == typed[:10], collections.c.kind == "class"
        )
        # If the database locks rows, two students who join at once get their nicknames in turn.
        return connection.execute(query.with_for_update() if lock else query).one_or_none()

    @staticmethod
    def _there(collection: Row[Any] | None) -> Row[Any]:
        if collection is None:
            raise Refused("no class has this code: look at the instructor's screen again")
        return collection

    def student_view(self, secret: str) -> StudentView:
        """Return what a student's phone shows besides the pair, without data of other students.

        Raises:
            Refused: the secret is of nobody, or of a voter who is in no class.
        """
        with self.database.reading() as connection:
            voter = owner(connection, voters, secret)
            collection = by_id(connection, collections, voter.collection_id)
            if collection.kind != "class":
                raise Refused("you are in no class: join one with its code")
            latest = current_round(connection, collection.id)
            mine = (assignments.c.voter_id == voter.id, assignments.c.choice.is_not(None))
            done = (
                select(func.count())
                .select_from(assignments.join(pairs, pairs.c.id == assignments.c.pair_id))
                .where(pairs.c.round_id == latest.id, pairs.c.kind != ATTENTION_CHECK)
                .where(assignments.c.repeat.is_(False))
            )
            view: StudentView = {
                "nickname": voter.nickname,
                "votes": connection.execute(select(func.count()).where(*mine)).scalar_one(),
                "done": connection.execute(done.where(*mine)).scalar_one(),
                **round_facts(connection, collection, latest),
                "result": None,
            }
        if voter.last_seen < self.clock() - SEEN_EVERY:
            with self.database.writing() as connection:
                here = update(voters).where(voters.c.id == voter.id)
                connection.execute(here.values(last_seen=self.clock()))
        if latest.state == "revealed":  # the same for all students, and their phones poll it
            view["result"] = self._results.get(latest.id, lambda: blind_result(self.store, latest))
        return view

    # -- the instructor's screen -------------------------------------------------------------------

    def overview(self, token: str) -> ClassOverview:
        """Return the state of the class for the instructor's screen."""
        now = self.clock()
        with self.database.reading() as connection:
            collection = owner(connection, collections, token)
            latest = current_round(connection, collection.id)
            counts = (
                select(assignments.c.voter_id, func.count())
                .join(voters, voters.c.id == assignments.c.voter_id)
                .where(voters.c.collection_id == collection.id, assignments.c.choice.is_not(None))
                .group_by(assignments.c.voter_id)
            )
            given = dict(connection.execute(counts).tuples().all())
            places = self.arrivals.address_numbers(collection.id)
            here = select(pairs.c.id).where(pairs.c.round_id == latest.id)
            seats = seats_of(latest.kind, collection.overlap)
            of_round = (assignments.c.choice.is_not(None), assignments.c.pair_id.in_(here))
            people = (
                select(voters).where(voters.c.collection_id == collection.id).order_by(voters.c.id)
            )
            return {
                "collection": collection.id,
                "code": collection.code,
                **round_facts(connection, collection, latest),
                "overlap": collection.overlap,
                "clean_words": collection.clean_words,
                "door_open": collection.door_open,
                "most_joins": collection.most_joins,
                "votes": connection.execute(select(func.count()).where(*of_round)).scalar_one(),
                "written": count_demonstrations(connection, collection.id),
                "seats_left": seats_left(connection, latest.id, seats, now),
                "voters": [
                    {
                        "voter": row.id,
                        "nickname": row.nickname,
                        "simulated": row.simulated,
                        "left_out": row.left_out,
                        "votes": given.get(row.id, 0),
                        "last_seen": row.last_seen,
                        "place": places.get(row.id),
                    }
                    for row in connection.execute(people)
                ],
            }

    def votes(self, token: str) -> list[Vote]:
        """Return all answers of the class, to show, measure or export them."""
        return self.store.votes(self.collection_of(token))

    def demonstrations(self, token: str) -> list[Demonstration]:
        """Return all texts that the class's students have written, to export them."""
        return self.store.demonstrations.of_class(self.collection_of(token))

    def set_left_out(self, token: str, voter: int, left_out: bool) -> None:
        """Exclude a voter's votes from the reward model's data, or include them again.

        Raises:
            Refused: the voter is not in this class.
        """
        with self.database.writing() as connection:
            collection = owner(connection, collections, token).id
            this = update(voters).where(voters.c.id == voter, voters.c.collection_id == collection)
            self._changed(connection, collection, voter, this.values(left_out=left_out))

    def remove(self, token: str, voter: int, *, and_later: bool = False) -> None:
        """Remove a student: the votes are deleted, the secret is invalid, the nickname is free.

        Args:
            token: the instructor's.
            voter: the student to remove.
            and_later: also remove all students who joined later from the same address, because one
                phone may have joined many times.

        Raises:
            Refused: the voter is not in this class.
        """
        with self.database.writing() as connection:
            collection = owner(connection, collections, token).id
            going = self._since(collection, voter) if and_later else {voter}
            these = delete(voters).where(
                voters.c.id.in_(going), voters.c.collection_id == collection
            )
            self._changed(connection, collection, voter, these)
        self.database.empty_log()

    def _since(self, collection: int, voter: int) -> set[int]:
        places = self.arrivals.address_numbers(collection)
        return {voter} | {
            other
            for other, place in places.items()
            if other > voter and place == places.get(voter)  # ids count up
        }

    @staticmethod
    def _changed(connection: Connection, collection: int, voter: int, change: Executable) -> None:
        if not connection.execute(change).rowcount:
            raise Refused(f"voter {voter} is not in this class: look at the list again")
        # The reward model was trained on other votes, so it is due for retraining at once.
        stale = update(collections).where(collections.c.id == collection)
        connection.execute(stale.values(trained_votes=0))
