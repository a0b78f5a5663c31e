"""Simulated students who vote in a class while the app runs, each once every two seconds.

The store marks them as simulated for good, and so does every place that shows their votes.
"""

import logging
import threading
from typing import TypedDict

from rlhf_demo.config.scorers import STAR_RATER
from rlhf_demo.errors import ConfigError, DemoError, Refused
from rlhf_demo.server.compute_lock import ComputeLock, Priority
from rlhf_demo.server.model_cache import ModelCache
from rlhf_demo.votes.classes import Classes
from rlhf_demo.votes.rounds import Rounds
from rlhf_demo.votes.simulated import LONGER, SimulatedClass

log = logging.getLogger(__name__)

TASTES = {LONGER: "longer texts", STAR_RATER: "texts that sound pleased with a film"}
ANSWER_SECONDS = 2.0


class Simulation(TypedDict):
    """The simulated students who vote in a class."""

    students: int
    taste: str  # one of TASTES
    noise: float  # probability, 0 to 0.5, that a careful student gives the opposite answer
    careless_share: float  # share, 0 to 1, of students who do not read


class Simulations:
    """The simulated classes of this app; at most one for each class."""

    def __init__(
        self, classes: Classes, model_cache: ModelCache, compute_lock: ComputeLock
    ) -> None:
        self.classes, self.model_cache, self.compute_lock = classes, model_cache, compute_lock
        self.rounds = Rounds(classes.store)
        self._running: dict[int, tuple[Simulation, threading.Event]] = {}
        self._lock = threading.Lock()

    def running(self, collection: int) -> Simulation | None:
        """Return a class's simulated students, or None if it has none."""
        with self._lock:
            running = self._running.get(collection)
        return running and running[0]

    def start(self, collection: int, token: str, students: Simulation) -> None:
        """Let simulated students join a class and vote until they are stopped.

        Raises:
            DemoError: the class already has some, a trait is out of range, or the class is full.
        """
        taste = students["taste"]
        if taste not in TASTES:
            raise ConfigError(f"there is no taste {taste!r}: choose one of {', '.join(TASTES)}")
        ended = threading.Event()
        with self._lock:  # registered before any student joins, so that a second click is refused
            if collection in self._running:
                raise ConfigError("simulated students vote here already: stop them first")
            self._running[collection] = students, ended
        try:
            scorer = None if taste == LONGER else self._pleased
            simulated = SimulatedClass(
                self.classes, token, scorer=scorer, seed=collection, **students
            )
            threading.Thread(
                target=self._vote,
                args=(collection, simulated, ended),
                name="simulated",
                daemon=True,
            ).start()
        except BaseException:
            self._leave(collection, ended)
            raise

    def stop(self, collection: int) -> None:
        """Stop the simulated students of a class; does nothing if it has none."""
        with self._lock:
            _, ended = self._running.pop(collection, (None, threading.Event()))
        ended.set()

    def _leave(self, collection: int, ended: threading.Event) -> None:
        """Unregister these simulated students, unless others have started since."""
        with self._lock:
            if collection in self._running and self._running[collection][1] is ended:
                del self._running[collection]

    def _vote(self, collection: int, simulated: SimulatedClass, ended: threading.Event) -> None:
        while not ended.wait(ANSWER_SECONDS):
            try:
                self.rounds.class_status(collection)
            except Refused:  # the class has been deleted
                break
            try:
                simulated.step()
            except DemoError as error:
                log.warning("simulated students of class %d: %s", collection, error)
        self._leave(collection, ended)

    def _pleased(self, prompts: list[str], responses: list[str]) -> list[float]:
        with self.compute_lock.hold(Priority.VOTERS):
            scores = self.model_cache.scorer(STAR_RATER)(prompts, responses)
            return [float(score) for score in scores]
