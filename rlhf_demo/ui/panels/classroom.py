"""Class mode: the server functions of the instructor's screen.

Every request carries the instructor's token, which the store checks in the transaction that acts. A
student's secret is refused here.
"""

import hmac
import shutil
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr
import segno

from rlhf_demo.config.lessons import LESSONS
from rlhf_demo.errors import ConfigError, JobError, Refused
from rlhf_demo.server.class_records import EACH, of_question
from rlhf_demo.server.class_training import BASE, BLIND_EACH, MOST_EACH
from rlhf_demo.server.payloads import ClassState, Coming
from rlhf_demo.server.simulations import TASTES, Simulations
from rlhf_demo.server.vote_data import FEWEST_SHARED
from rlhf_demo.ui.parts import part
from rlhf_demo.ui.shared import Shared
from rlhf_demo.votes.assignment import answers_for
from rlhf_demo.votes.classes import MOST_VOTERS
from rlhf_demo.votes.pairs import FEWEST_TO_TELL, usable
from rlhf_demo.votes.quality import vote_quality, voter_table
from rlhf_demo.votes.rounds import BlindResult
from rlhf_demo.votes.vote import DUEL, QUESTIONS, Vote
from rlhf_demo.web.addresses import address_of
from rlhf_demo.web.downloads import VoteFile, demonstration_file, downloads, vote_file
from rlhf_demo.web.lanes import heavy, voting

LONGEST_ADDRESS = 300
MOST_STUDENTS = 60
"""Simulated students at a time."""
CLOSED = (
    "You cannot open a class here: this page is public, and its owner has not set an instructor's "
    "password (RLHF_DEMO_PASSWORD)."
)


class ClassMode:
    """The server functions of the instructor's screen."""

    def __init__(self, shared: Shared) -> None:
        self.shared, self.store = shared, shared.store
        self.training = shared.class_training
        self.classes, self.rounds = self.training.classes, self.training.rounds
        self.lessons = shared.class_lessons
        self.simulations = Simulations(self.classes, shared.model_cache, shared.compute_lock)

    def build(self) -> None:
        """Make the screen."""
        part(
            "panels/classroom",
            [
                self.open_class, self.take_over, self.class_state, self.class_qr, self.pause,
                self.reopen, self.start_ppo, self.stop_ppo, self.open_blind, self.reveal,
                self.next_round, self.leave_out, self.export_class, self.export_class_texts,
                self.delete_class, self.simulate, self.stop_simulation, self.stop_others,
                self.remove_student, self.set_door, self.set_most_joins, self.send_lesson,
                self.reveal_lesson, self.end_lesson, self.remove_text, self.remove_texts,
            ],
            value={
                "questions": QUESTIONS,
                "each": EACH,
                "tastes": list(TASTES.items()),
                "password": self.shared.settings.password is not None,
                "closed": CLOSED if self._is_closed else "",
                "most_students": MOST_VOTERS,
                "few": FEWEST_TO_TELL,
                "shared": FEWEST_SHARED,
                "lessons": [(lesson.title, name) for name, lesson in LESSONS.items()],
            },
        )  # fmt: skip

    # -- opening, reopening, closing ---------------------------------------------------------------

    def open_class(self, request: dict[str, Any], http: gr.Request) -> dict[str, str]:
        """Open a class; return its code and the instructor's token.

        Args:
            request: `question`, `overlap` (students who see each pair), `each` (pairs that each
                student answers in a round), `clean_words`, `password`.
            http: holds the address that the request comes from.

        Raises:
            DemoError: the password is wrong, or a value is out of range.
        """
        self._check_password(request, http)
        overlap = _whole(request["overlap"], "students for each pair")
        each = _whole(request["each"], "pairs for each student")
        if not 4 <= each <= MOST_EACH:
            raise ConfigError(f"{each} pairs for each student: choose 4 to {MOST_EACH}")
        made = self.classes.create_class(
            request["question"], overlap=overlap, clean_words=bool(request["clean_words"])
        )
        self.training.records.make_way(made.collection)
        self.training.records.note(made.collection, each=each)
        self.training.begin(made.collection)
        self.training.wake()
        return {"code": made.code, "token": made.token}

    def take_over(self, request: dict[str, Any], http: gr.Request) -> dict[str, str]:
        """Continue a class on another computer; the previous computer loses it.

        Raises:
            Refused: this page has no password, it is wrong, or there is no such class.
        """
        if self.shared.settings.password is None:
            raise Refused(
                "a class stays in the browser that opened it: to move classes, set an "
                "instructor's password (RLHF_DEMO_PASSWORD)"
            )
        self._check_password(request, http)
        return {"token": self.classes.new_token(request["code"])}

    @property
    def _is_closed(self) -> bool:
        """Whether the page cannot tell an instructor from a stranger."""
        return self.shared.settings.public and self.shared.settings.password is None

    def _check_password(self, request: dict[str, Any], http: gr.Request) -> None:
        if self.shared.settings.password is not None:
            self.shared.instructor.admit(str(request.get("password") or ""), address_of(http))
        elif self._is_closed:
            raise Refused(CLOSED)

    def class_qr(self, request: dict[str, Any]) -> dict[str, str]:
        """Return the students' address as a QR code, for an <img>."""
        self.classes.collection_of(request["token"])
        address = str(request["address"])
        if len(address) > LONGEST_ADDRESS:
            raise ConfigError(
                f"the address has {len(address)} characters: that is too long for a QR code"
            )
        return {"picture": _qr(address)}

    def pause(self, request: dict[str, Any]) -> dict[str, bool]:
        """Stop voting until `reopen`."""
        self.classes.pause(request["token"])
        return {"done": True}

    def reopen(self, request: dict[str, Any]) -> dict[str, bool]:
        """Let the class vote again."""
        self.classes.reopen(request["token"])
        self.training.wake()
        return {"done": True}

    def set_door(self, request: dict[str, Any]) -> dict[str, bool]:
        """Let students join (`open`), or refuse new ones; students who have joined stay."""
        self.classes.set_door(request["token"], bool(request["open"]))
        return {"done": True}

    def set_most_joins(self, request: dict[str, Any]) -> dict[str, bool]:
        """Set how many students (`most`) can join from one address."""
        most = _whole(request["most"], "the maximum number of students")
        self.classes.set_most_joins(request["token"], most)
        return {"done": True}

    def delete_class(self, request: dict[str, Any]) -> dict[str, bool]:
        """Delete the class: students, pairs, votes, texts, files with these, reward models.

        PPO runs stay under Runs. A running one is stopped, so that its reward model can be deleted.
        """
        collection, records = self.classes.collection_of(request["token"]), self.training.records
        self.simulations.stop(collection)
        with records.lock:  # so that nothing of the class is started meanwhile
            self.classes.delete_class(request["token"])
            shutil.rmtree(self._downloads(collection), ignore_errors=True)
            for run in records.read(collection)["ppo"].values():
                with suppress(JobError):  # it has ended, or belongs to another browser
                    self.shared.jobs.stop(run, self._proof(request))
            records.forget(collection)
        return {"done": True}

    # -- the instructor's screen -------------------------------------------------------------------

    @voting
    def class_state(self, request: dict[str, Any]) -> ClassState:
        """Return everything that the instructor's screen shows."""
        token = request["token"]
        seen = self.classes.overview(token)
        self.training.watch(seen["collection"])
        record = of_question(self.training.records.read(seen["collection"]), seen["question"])
        votes = self.classes.votes(token)
        asked = [vote for vote in votes if vote.question == seen["question"]]
        kept = [vote for vote in asked if not vote.left_out]
        of_round = [
            vote
            for vote in votes
            if vote.round == seen["round"] and (vote.kind == DUEL) == (seen["kind"] == "blind")
        ]
        training = record["training"]
        names = {row["voter"]: row["nickname"] for row in seen["voters"]}
        rows = voter_table(asked)
        blind = self.rounds.blind_result(token) if seen["kind"] == "blind" else None
        is_blind = seen["kind"] == "blind"
        expected = BLIND_EACH if is_blind else answers_for(record["each"])
        return {
            **seen,
            "each": BLIND_EACH if is_blind else record["each"],
            "expected": expected * len(seen["voters"]),
            "all_votes": len(votes),
            "preferences": len(usable(votes, [seen["question"]])),
            "coming": votes_by_time([vote.time for vote in of_round]),
            "votes": len(of_round),
            "simulated": sum(vote.simulated for vote in of_round),
            "quality": {**vote_quality(kept), "simulated": sum(vote.simulated for vote in kept)},
            "careless": [
                {**row, "nickname": names[row["voter"]]}
                for row in rows
                if row["careless"] or row["left_out"]
            ],
            "history": record["history"],
            "reward": record["reward"],
            "training": training and {**training, "row": self.training.row(training["run"])},
            "problem": record["problem"],
            "ppo": self.training.row(record["ppo"].get(str(seen["round"]))),
            "blind": blind,
            "simulation": self.simulations.running(seen["collection"]),
            "lesson": self.lessons.for_instructor(token),
        }

    def leave_out(self, request: dict[str, Any]) -> dict[str, bool]:
        """Leave a student's votes out of the reward model's data, or count them again."""
        left_out = bool(request["left_out"])
        with self.training.records.lock:  # else a training that is just starting would undo it
            self.classes.set_left_out(request["token"], int(request["voter"]), left_out)
        self.training.wake()
        return {"done": True}

    def remove_student(self, request: dict[str, Any]) -> dict[str, bool]:
        """Remove a student, the student's votes and texts, and the files that hold them.

        With `later`, all students who joined later from the same address are removed too.

        A model that learned from these votes stays in use until the next one is trained, which
        starts at once.
        """
        records = self.training.records
        with records.lock:  # else a training that is just starting would still use them
            later = bool(request.get("later"))
            self.classes.remove(request["token"], int(request["voter"]), and_later=later)
            collection = self.classes.collection_of(request["token"])
            shutil.rmtree(self._downloads(collection), ignore_errors=True)
            record = records.read(collection)
            records.drop_votes(
                collection, {record["reward"], (record["training"] or {}).get("run")}
            )
            left = {vote.voter for vote in self.classes.store.votes(collection)}
            records.keep_voters(collection, left)
        self.training.wake()
        return {"done": True}

    @heavy
    def export_class(self, request: dict[str, Any]) -> VoteFile:
        """Write the class's votes to a file, and return a link to it.

        Raises:
            DataError: there are no votes, or the format is unknown.
        """
        votes = self._revealed(request["token"])
        collection = self.classes.collection_of(request["token"])
        # The folder's name cannot be guessed: these are the class's votes.
        return vote_file(
            votes, self._downloads(collection), f"votes-class-{collection}-{len(votes)}", request
        )

    @heavy
    def export_class_texts(self, request: dict[str, Any]) -> VoteFile:
        """Write the texts of the class's students to a file, and return a link to it.

        Raises:
            DataError: there are none, or the format is unknown.
        """
        texts = self.classes.demonstrations(request["token"])
        collection = self.classes.collection_of(request["token"])
        name = f"demonstrations-class-{collection}-{len(texts)}"
        return demonstration_file(texts, self._downloads(collection), name, request)

    def _revealed(self, token: str) -> list[Vote]:
        """Return the class's votes, without those of a blind vote before its reveal."""
        seen, votes = self.classes.overview(token), self.classes.votes(token)
        if seen["round_state"] == "revealed":
            return votes
        return [vote for vote in votes if vote.kind != DUEL or vote.round != seen["round"]]

    def _downloads(self, collection: int) -> Path:
        secret = self.training.records.secret(collection)
        hidden = hmac.new(secret.encode(), str(collection).encode(), "sha256").hexdigest()[:32]
        return downloads(f"class-{hidden}")

    # -- PPO and the blind vote --------------------------------------------------------------------

    def start_ppo(self, request: dict[str, Any]) -> dict[str, str]:
        """Start PPO on the class's reward model; the instructor's browser owns the run."""
        collection = self.classes.collection_of(request["token"])
        secret = str(request.get("secret") or "")
        if not secret:
            raise ConfigError("this request has no secret: reload the page")
        return {"run": self.training.start_ppo(collection, int(request["steps"]), secret)}

    def stop_ppo(self, request: dict[str, Any]) -> dict[str, bool]:
        """Ask the class's PPO to save and stop."""
        seen = self.classes.overview(request["token"])
        run = self.training.records.read(seen["collection"])["ppo"].get(str(seen["round"]))
        if run is None:
            raise JobError("this round has no PPO run: there is nothing to stop")
        self.shared.jobs.stop(run, self._proof(request))
        return {"done": True}

    def stop_others(self, request: dict[str, Any]) -> dict[str, int]:
        """Save and stop all trainings that are not a class's; return how many there were."""
        self.classes.collection_of(request["token"])
        token = self.shared.instructor.token or self.shared.jobs.start_token or ""
        return {"stopped": self.shared.jobs.stop_others(token, set())}

    def _proof(self, request: dict[str, Any]) -> str:
        """Return the proof with which the class's instructor can stop its PPO from any browser.

        The holder of the class's token has given the page's password, if it has one.
        """
        return self.shared.instructor.token or str(request.get("secret") or "")

    def open_blind(self, request: dict[str, Any]) -> dict[str, bool]:
        """Start the blind vote: the base against this round's PPO model."""
        collection = self.classes.collection_of(request["token"])
        contender = self.training.contender(collection)
        self.rounds.open_blind(request["token"], BASE, contender)
        self.training.wake()
        return {"done": True}

    def reveal(self, request: dict[str, Any]) -> BlindResult:
        """End the blind vote and reveal the names."""
        return self.rounds.reveal(request["token"])

    def next_round(self, request: dict[str, Any]) -> dict[str, int]:
        """Start the next round of feedback, with another question if one is given.

        Args:
            request: `token`, `question`, `round` (the one that ends: two screens may ask at once).
        """
        question, ends = request.get("question") or None, request.get("round")
        number = self.rounds.next_round(
            request["token"], question, None if ends is None else int(ends)
        )
        self.training.wake()
        return {"round": number}

    # -- a lesson for the class --------------------------------------------------------------------

    def send_lesson(self, request: dict[str, Any]) -> dict[str, bool]:
        """Show a `lesson` of the Learn tab on all phones, in place of the pairs."""
        self.lessons.send(request["token"], request["lesson"])
        return {"done": True}

    def reveal_lesson(self, request: dict[str, Any]) -> dict[str, bool]:
        """Show the answer of the open lesson on all screens."""
        self.lessons.reveal(request["token"])
        return {"done": True}

    def end_lesson(self, request: dict[str, Any]) -> dict[str, bool]:
        """Let the phones show pairs again; the round goes on where it was."""
        self.lessons.end(request["token"])
        return {"done": True}

    def remove_text(self, request: dict[str, Any]) -> dict[str, bool]:
        """Delete a student's try: a `text` of the list in the open lesson, by its number."""
        return {"removed": self.lessons.remove_text(request["token"], request["text"])}

    def remove_texts(self, request: dict[str, Any]) -> dict[str, int]:
        """Delete all tries of the class."""
        return {"removed": self.lessons.remove_texts(request["token"])}

    # -- simulated students ------------------------------------------------------------------------

    def simulate(self, request: dict[str, Any]) -> dict[str, bool]:
        """Let simulated students join and vote.

        Args:
            request: `token`, `students`, `taste` (one of TASTES), `noise`, `careless` (share).
        """
        if self._is_closed:
            raise Refused(CLOSED)
        students = _whole(request["students"], "how many")
        if not 1 <= students <= MOST_STUDENTS:
            raise ConfigError(f"{students} simulated students: choose 1 to {MOST_STUDENTS}")
        self.simulations.start(
            self.classes.collection_of(request["token"]),
            request["token"],
            {
                "students": students,
                "taste": str(request["taste"]),
                "noise": _number(request["noise"], "noise"),
                "careless_share": _number(request["careless"], "careless"),
            },
        )
        self.training.wake()
        return {"done": True}

    def stop_simulation(self, request: dict[str, Any]) -> dict[str, bool]:
        """Remove the simulated students; their votes stay."""
        self.simulations.stop(self.classes.collection_of(request["token"]))
        return {"done": True}


def build(shared: Shared) -> None:
    """Lay the instructor's screen out inside the open Blocks."""
    ClassMode(shared).build()


def _number(given: Any, label: str) -> float:
    """Return the number in a field of the page.

    Raises:
        ConfigError: the field is empty.
    """
    if given in ("", None):  # a browser sends this for what is no number, too
        raise ConfigError(f"{label} is empty: give a number")
    return float(given)


def _whole(given: Any, label: str) -> int:
    """Return the whole number in a field of the page.

    Raises:
        ConfigError: the field is empty, or its number is not whole.
    """
    number = _number(given, label)
    if not number.is_integer():
        raise ConfigError(f"{label} is {number:g}: give a whole number")
    return int(number)


@lru_cache(maxsize=16)
def _qr(address: str) -> str:
    """Draw an address. The longest takes 40 ms, which block all other requests, so it is cached."""
    code = segno.make(address, error="m", micro=False)
    return code.svg_data_uri(scale=8, border=2, light="#fff", dark="#111")


def votes_by_time(times: list[float], bars: int = 30) -> Coming:
    """Count the votes in equal intervals since the first one, for a bar chart."""
    if not times:
        return {"seconds": 0.0, "counts": []}
    first, last = min(times), max(max(times), time.time())
    width = max(10.0, (last - first) / bars)
    counts = [0] * (int((last - first) / width) + 1)
    for moment in times:
        counts[int((moment - first) / width)] += 1
    return {"seconds": width, "counts": counts}
