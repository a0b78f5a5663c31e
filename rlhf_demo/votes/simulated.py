"""Simulated students, for trying class mode at home and for studying the effect of noisy votes.

They join and vote through the same functions as people, within the same limits. The store and all
files mark them as simulated. A simulated student prefers the text with the higher score and makes
mistakes with a given probability, or is careless and does not read at all.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rlhf_demo.errors import ConfigError, Refused
from rlhf_demo.votes.classes import Classes
from rlhf_demo.votes.vote import Assignment

LONGER = "longer"
"""The taste for the text with more characters."""

CARELESS_LEFT = 0.8
"""How often a careless student taps the left text, out of habit."""

Scorer = Callable[[list[str], list[str]], Sequence[float]]
"""(prompts, responses) -> one finite score a response, higher is better."""


@dataclass
class SimulatedStudent:
    """One simulated student of a class."""

    voter: int
    secret: str
    careless: bool


class SimulatedClass:
    """Simulated students; each gives one answer per `step`."""

    def __init__(
        self,
        classes: Classes,
        token: str,
        *,
        students: int,
        taste: str = LONGER,
        scorer: Scorer | None = None,
        noise: float = 0.1,
        careless_share: float = 0.0,
        seed: int = 0,
    ) -> None:
        """Let them join the instructor's class.

        Args:
            classes: has the class.
            token: the instructor's.
            students: number of students.
            taste: their preference in a word, for the store.
            scorer: they prefer the text that it scores higher; by default, the longer one.
            noise: probability that a careful student gives the opposite answer.
            careless_share: share of students who do not read.
            seed: random seed of their errors.

        Raises:
            ConfigError: a number is out of range.
            Refused: the token is unknown, or the class is full.
        """
        if students < 1:
            raise ConfigError(f"{students} simulated students: choose at least 1")
        if not 0 <= noise <= 0.5:
            raise ConfigError(f"noise is {noise}: choose 0 to 0.5 (a half is guessing)")
        if not 0 <= careless_share <= 1:
            raise ConfigError(f"the share of careless students is {careless_share}: choose 0 to 1")
        self._classes, self._noise = classes, noise
        self._scorer = scorer or _length_scores
        self._rng = random.Random(seed)
        careless = round(careless_share * students)
        self.students: list[SimulatedStudent] = []
        for number in range(students):
            is_careless = number < careless
            joined = classes.join_simulated(
                token, "Simulated", taste=taste, noise=noise, careless=is_careless
            )
            student = SimulatedStudent(joined.voter, joined.secret, is_careless)
            self.students.append(student)

    def step(self) -> int:
        """Let every student answer one pair, if there is one; return how many answered.

        A student waits if the class refuses the answer (it is paused, or answers come too fast).
        """
        answered = 0
        for student in self._rng.sample(self.students, len(self.students)):
            try:
                assignment = self._classes.store.next_pair(student.secret)
                if assignment is not None:
                    choice = self._choose(student, assignment)
                    answered += self._classes.store.vote(student.secret, assignment.id, choice)
            except Refused:
                continue
        return answered

    def _choose(self, student: SimulatedStudent, assignment: Assignment) -> str:
        if student.careless:
            return "left" if self._rng.random() < CARELESS_LEFT else "right"
        prompts, texts = [assignment.prompt] * 2, [assignment.left, assignment.right]
        left, right = (float(score) for score in self._scorer(prompts, texts))
        if left == right:
            return "tie"
        reversed_ = self._rng.random() < self._noise
        return "left" if (left > right) != reversed_ else "right"


def _length_scores(prompts: list[str], responses: list[str]) -> list[float]:
    return [float(len(response)) for response in responses]
