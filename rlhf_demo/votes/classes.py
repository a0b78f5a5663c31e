"""Class mode: opening a class, joining it, and what its instructor and its students see.

What goes on in a lesson, round by round, is in rounds.py. The instructor acts by a token, a student
by a secret; both are checked here, in the same transaction as what they do. Whether somebody may be
an instructor at all (a password) is for the caller to ask before `create_lesson` and `new_token`.
Students vote by the store's own `next_pair`, `vote` and `undo`.

What is kept about a student: the nickname, the answers, and when they came. The address that a
student joins from is counted in memory and written nowhere.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Executable, Row, delete, func, select, update

from rlhf_demo.errors import ConfigError, Refused
from rlhf_demo.votes.arrivals import UNSEEN_SECONDS, Arrivals
from rlhf_demo.votes.assignment import seats_left
from rlhf_demo.votes.kept import Kept
from rlhf_demo.votes.nicknames import nickname as checked_nickname
from rlhf_demo.votes.queries import (
    CODE_LETTERS,
    by_id,
    current_round,
    free_code,
    new_lesson,
    new_rater,
    new_secret,
    owner,
    question_id,
)
from rlhf_demo.votes.rounds import blind_result, round_facts
from rlhf_demo.votes.store import SEEN_EVERY, Store
from rlhf_demo.votes.tables import lessons, pairs, raters, showings
from rlhf_demo.votes.vote import ATTENTION_CHECK, LONGEST_QUESTION, Vote, clean_text

MOST_RATERS = 200
"""Raters in one class, simulated ones too; a wrong turn of a script should not fill the disk."""


@dataclass(frozen=True)
class Joined:
    """A student who has just joined: the nickname as given, and the secret that goes to the phone
    and nowhere else.
    """

    rater: int
    nickname: str
    secret: str


@dataclass(frozen=True)
class NewLesson:
    """A lesson just made: its code is for everybody, its token for the instructor alone."""

    lesson: int
    code: str
    token: str


class Classes:
    """The lessons of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.database, self.clock = store.database, store.clock
        self.arrivals = Arrivals(store.clock)
        self._results = Kept()  # of revealed rounds

    # -- the instructor's lesson -------------------------------------------------------------------

    def create_lesson(
        self, question: str, *, overlap: int = 3, clean_words: bool = True
    ) -> NewLesson:
        """Open a class.

        Args:
            question: what stands over every pair.
            overlap: students who see each pair, 1 to 30.
            clean_words: whoever samples for this class must keep coarse words out.

        Raises:
            ConfigError: overlap is out of range.
            Refused: the question is empty or too long.
        """
        if not 1 <= overlap <= 30:
            raise ConfigError(f"{overlap} students for each pair: choose 1 to 30")
        text = clean_text(question, LONGEST_QUESTION, "question")
        with self.database.writing() as connection:
            code = free_code(connection)
            lesson, token = new_lesson(
                connection,
                self.clock(),
                kind="class",
                code=code,
                overlap=overlap,
                question=question_id(connection, text),
                clean_words=clean_words,
            )
        return NewLesson(lesson, code, token)

    def new_token(self, code: str) -> str:
        """Return a new instructor's token for a class; the one before stops working.

        For an instructor at another machine. The caller has checked the password.

        Raises:
            Refused: there is no such class.
        """
        secret, secret_hash = new_secret()
        with self.database.writing() as connection:
            lesson = self._there(self._find(connection, code))
            this = update(lessons).where(lessons.c.id == lesson.id)
            connection.execute(this.values(secret_hash=secret_hash))
        return f"{lesson.id}.{secret}"

    def lesson_of(self, token: str) -> int:
        """Return the id of the lesson whose token this is.

        Raises:
            Refused: it is nobody's.
        """
        with self.database.reading() as connection:
            return owner(connection, lessons, token).id

    def lesson_of_student(self, secret: str) -> int:
        """Return the id of the lesson that a student is in.

        Raises:
            Refused: the secret is nobody's.
        """
        with self.database.reading() as connection:
            return owner(connection, raters, secret).lesson_id

    def pause(self, token: str) -> None:
        """Let nobody vote until `reopen`; joining goes on."""
        self._set(token, state="paused")

    def reopen(self, token: str) -> None:
        """Let the class vote again."""
        self._set(token, state="open")

    def set_door(self, token: str, is_open: bool) -> None:
        """Let students join, or let nobody join any more; those inside go on."""
        self._set(token, door_open=is_open)

    def set_most_joins(self, token: str, most: int) -> None:
        """Let so many students join from one address.

        Raises:
            ConfigError: it is out of range.
        """
        if not 1 <= most <= MOST_RATERS:
            raise ConfigError(f"{most} students from one address: choose 1 to {MOST_RATERS}")
        self._set(token, most_joins=most)

    def _set(self, token: str, **values: Any) -> None:
        with self.database.writing() as connection:
            lesson = owner(connection, lessons, token)
            this = update(lessons).where(lessons.c.id == lesson.id)
            connection.execute(this.values(values))

    def delete_lesson(self, token: str) -> None:
        """Delete a class with everything in it: students, pairs, votes. There is no way back."""
        with self.database.writing() as connection:
            lesson = owner(connection, lessons, token)
            connection.execute(delete(lessons).where(lessons.c.id == lesson.id))
        self.arrivals.forget(lesson.id)
        self.database.empty_log()

    # -- students ----------------------------------------------------------------------------------

    def join(self, code: str, nickname: str, client: str) -> Joined:
        """Let a student in.

        Args:
            code: as typed; case and blanks do not matter.
            nickname: bounded, one line of text; a number is added where somebody has it.
            client: where the visitor comes from, for the limits.

        Raises:
            Refused: no class has the code, its door is closed, the nickname is no good, the
                class is full, or too many come from there.
        """
        with (
            self.database.reading() as connection
        ):  # a flood of wrong codes keeps no writer waiting
            found = self._find(connection, code)
        self.arrivals.check_code(found and found.id, client)
        self._there(found)
        name = checked_nickname(nickname)
        with self.database.writing() as connection:
            lesson = self._there(self._find(connection, code, lock=True))
            if not lesson.door_open:
                raise Refused("the door of this class is closed: ask the instructor to open it")
            self.arrivals.check_pace(client, name)
            self._make_room(connection, lesson, client)
            joined = self._add_rater(connection, lesson.id, name)
            self.arrivals.note(lesson.id, joined.rater, client)
            return joined

    def _make_room(self, connection: Connection, lesson: Row, client: str) -> None:
        """Remove one who has not answered yet where an address, or the class, is full.

        Of the same address it is one who has not been seen of late, in a full class one from where
        far more have joined.
        """
        present = self._raters(connection, lesson.id)
        answered = select(showings.c.rater_id).join(raters, raters.c.id == showings.c.rater_id)
        answered = answered.where(raters.c.lesson_id == lesson.id, showings.c.choice.is_not(None))
        idle = present - set(connection.execute(answered).scalars())
        away = select(raters.c.id).where(raters.c.last_seen < self.clock() - UNSEEN_SECONDS)
        away = away.where(raters.c.lesson_id == lesson.id)
        unseen = idle & set(connection.execute(away).scalars())
        going = self.arrivals.check_place(lesson.id, client, lesson.most_joins, present, unseen)
        if going is None and len(present) >= MOST_RATERS:
            going = self.arrivals.crowding(lesson.id, client, idle, present)
        if going is not None:
            connection.execute(delete(raters).where(raters.c.id == going))

    def join_simulated(
        self, token: str, nickname: str, *, taste: str, noise: float, careless: bool
    ) -> Joined:
        """Let a simulated student in, marked as one for good; only the instructor can."""
        traits = {"simulated": True, "taste": taste, "noise": noise, "careless": careless}
        with self.database.writing() as connection:
            lesson = owner(connection, lessons, token, lock=True)
            return self._add_rater(connection, lesson.id, nickname, **traits)

    def _add_rater(
        self, connection: Connection, lesson: int, nickname: str, **traits: Any
    ) -> Joined:
        if len(self._raters(connection, lesson)) >= MOST_RATERS:
            raise Refused(f"the class is full ({MOST_RATERS}): ask the instructor")
        made = new_rater(connection, self.clock(), lesson, nickname, unique=True, **traits)
        return Joined(*made)

    @staticmethod
    def _raters(connection: Connection, lesson: int) -> set[int]:
        query = select(raters.c.id).where(raters.c.lesson_id == lesson)
        return set(connection.execute(query).scalars())

    @staticmethod
    def _find(connection: Connection, code: Any, *, lock: bool = False) -> Row | None:
        typed = "".join(code.split()).upper() if isinstance(code, str) else ""
        if not set(typed) <= set(CODE_LETTERS):
            return None
        query = select(lessons).where(lessons.c.code == typed[:10], lessons.c.kind == "class")
        # Where the database locks rows, two who join at once get their nicknames in turn.
        return connection.execute(query.with_for_update() if lock else query).one_or_none()

    @staticmethod
    def _there(lesson: Row | None) -> Row:
        if lesson is None:
            raise Refused("no class has this code: look at the instructor's screen again")
        return lesson

    def student_view(self, secret: str) -> dict[str, Any]:
        """Return what a student's phone shows beside the pair; nothing of anybody else's.

        Returns:
            JSON-ready: `nickname`, `votes` (own), `done` (own ones of the round, without catch
            pairs and repeats), `state` (open, paused), `round`, `kind` (feedback, blind),
            `round_state` (open, closed, revealed), `question`, `result` (of the blind vote, once
            revealed, else None).
        """
        with self.database.reading() as connection:
            rater = owner(connection, raters, secret)
            lesson = by_id(connection, lessons, rater.lesson_id)
            latest = current_round(connection, lesson.id)
            mine = (showings.c.rater_id == rater.id, showings.c.choice.is_not(None))
            done = (
                select(func.count())
                .select_from(showings.join(pairs, pairs.c.id == showings.c.pair_id))
                .where(pairs.c.round_id == latest.id, pairs.c.kind != ATTENTION_CHECK)
                .where(showings.c.repeat.is_(False))
            )
            view = {
                "nickname": rater.nickname,
                "votes": connection.execute(select(func.count()).where(*mine)).scalar_one(),
                "done": connection.execute(done.where(*mine)).scalar_one(),
                **round_facts(connection, lesson, latest),
            }
        if rater.last_seen < self.clock() - SEEN_EVERY:
            with self.database.writing() as connection:
                here = update(raters).where(raters.c.id == rater.id)
                connection.execute(here.values(last_seen=self.clock()))
        result = None
        if latest.state == "revealed":  # the same for all, and their phones ask again and again
            result = self._results.get(latest.id, lambda: blind_result(self.store, latest))
        return view | {"result": result}

    # -- the instructor's screen -------------------------------------------------------------------

    def overview(self, token: str) -> dict[str, Any]:
        """Return how the lesson stands.

        Returns:
            JSON-ready: `lesson`, `code`, `state`, `round`, `kind`, `round_state`, `question`,
            `overlap`, `clean_words`, `door_open`, `most_joins` (from one address), `votes` (of the
            round), `seats_left` (showings its pairs have room for), `raters` (rows: rater,
            nickname, simulated, left_out, votes, last_seen, place; see `Arrivals.places`).
        """
        now = self.clock()
        with self.database.reading() as connection:
            lesson = owner(connection, lessons, token)
            latest = current_round(connection, lesson.id)
            counts = (
                select(showings.c.rater_id, func.count())
                .join(raters, raters.c.id == showings.c.rater_id)
                .where(raters.c.lesson_id == lesson.id, showings.c.choice.is_not(None))
                .group_by(showings.c.rater_id)
            )
            given = dict(connection.execute(counts).tuples().all())
            places = self.arrivals.places(lesson.id)
            here = select(pairs.c.id).where(pairs.c.round_id == latest.id)
            of_round = (showings.c.choice.is_not(None), showings.c.pair_id.in_(here))
            people = select(raters).where(raters.c.lesson_id == lesson.id).order_by(raters.c.id)
            return {
                "lesson": lesson.id,
                "code": lesson.code,
                **round_facts(connection, lesson, latest),
                "overlap": lesson.overlap,
                "clean_words": lesson.clean_words,
                "door_open": lesson.door_open,
                "most_joins": lesson.most_joins,
                "votes": connection.execute(select(func.count()).where(*of_round)).scalar_one(),
                "seats_left": seats_left(connection, latest.id, lesson.overlap, now),
                "raters": [
                    {
                        "rater": row.id,
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
        """Return all answers of the class, to show, measure and export."""
        with self.database.reading() as connection:
            lesson = owner(connection, lessons, token).id
        return self.store.votes(lesson)

    def set_left_out(self, token: str, rater: int, left_out: bool) -> None:
        """Leave a rater's votes out of the reward model's data, or take them in again.

        Raises:
            Refused: the rater is not of this class.
        """
        with self.database.writing() as connection:
            lesson = owner(connection, lessons, token).id
            this = update(raters).where(raters.c.id == rater, raters.c.lesson_id == lesson)
            self._changed(connection, lesson, rater, this.values(left_out=left_out))

    def remove(self, token: str, rater: int, *, and_later: bool = False) -> None:
        """Remove a student: the votes are deleted, the secret opens nothing, the name is free.

        Args:
            token: the instructor's.
            rater: who has to go.
            and_later: so has everybody who joined later from the same address: one phone may have
                joined many times.

        Raises:
            Refused: the rater is not of this class.
        """
        with self.database.writing() as connection:
            lesson = owner(connection, lessons, token).id
            going = self._since(lesson, rater) if and_later else {rater}
            these = delete(raters).where(raters.c.id.in_(going), raters.c.lesson_id == lesson)
            self._changed(connection, lesson, rater, these)
        self.database.empty_log()

    def _since(self, lesson: int, rater: int) -> set[int]:
        places = self.arrivals.places(lesson)
        return {rater} | {
            one
            for one, place in places.items()
            if one > rater and place == places.get(rater)  # ids count up
        }

    @staticmethod
    def _changed(connection: Connection, lesson: int, rater: int, change: Executable) -> None:
        if not connection.execute(change).rowcount:
            raise Refused(f"rater {rater} is not in this class: look at the list again")
        # The model was trained on other votes than these: it is due at once.
        stale = update(lessons).where(lessons.c.id == lesson)
        connection.execute(stale.values(trained_votes=0))
