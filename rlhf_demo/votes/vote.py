"""The records of votes, rankings and demonstrations, and limits on what people type.

Standard library only, so that code that counts votes does not depend on the database. A pair always
has the same `first` and `second` text; the sides are drawn each time it is shown. A vote is stored
for a text, not for a side, so that the two cannot be confused.
"""

import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypedDict

from rlhf_demo.errors import Refused

CHOICES = ("left", "right", "tie", "both_bad", "skip")
"""The possible answers about the two texts on the screen."""

KEPT_CHOICES = ("first", "second", "tie", "both_bad", "skip")
"""The same answers as they are stored: for the text, not for the side."""

DECIDED = ("first", "second")
"""Answers that prefer one text."""

PLAIN, ATTENTION_CHECK, DUEL = "plain", "catch", "duel"
"""Kinds of pair: two samples to learn from, one text twice, two models in a blind vote."""

LETTERS = "ABCD"
"""The texts of a ranking, as the page and the files name them."""

RANKED_PAIRS = len(LETTERS) * (len(LETTERS) - 1) // 2
"""The pairs of one ranking: six."""

TO_READ = "Which would you rather read?"
QUESTIONS = ("Which sounds happier?", TO_READ, "Which is better English?")
"""The questions to choose from; people may also type their own.

The first one is the easiest to learn: thirty simulated students who preferred what sounds happier
once chose the PPO model in 75% [70, 80] of their blind votes; docs/experiments.md has more
classes. A model of 6.9 M weights can hardly learn from one class's votes which text is the better
English."""

LONGEST_NICKNAME = 20
LONGEST_QUESTION = 120
LONGEST_PROMPT = 300
LONGEST_DEMONSTRATION = 600
"""Characters. A longer text is refused; a longer nickname is cut. 600 characters are about 150
tokens: four times what the shipped models write."""

LONGEST_TEXT = 4000
LONGEST_MODEL = 200
"""Characters of a prompt or response, and of a model's name, in a file."""


@dataclass(frozen=True)
class NewPair:
    """Two texts for one prompt, as sampled. In a duel `second` is the contender's."""

    prompt: str
    first: str
    second: str
    first_model: str
    second_model: str
    seed: int = 0
    temperature: float = 1.0


@dataclass(frozen=True)
class NewFour:
    """Four different texts for one prompt, as one model sampled them."""

    prompt: str
    texts: tuple[str, str, str, str]
    model: str
    seed: int = 0
    temperature: float = 1.0


class ShownFour(TypedDict):
    """Four texts that a voter ranks, as JSON; their letters are A to D, in this order."""

    id: int
    question: str
    prompt: str
    texts: list[str]


class ShownAssignment(TypedDict):
    """An `Assignment` as JSON."""

    id: int
    question: str
    prompt: str
    left: str
    right: str
    written: str | None


@dataclass(frozen=True)
class Assignment:
    """A pair as one voter sees it. It does not reveal which model wrote which text."""

    id: int
    question: str
    prompt: str
    left: str
    right: str
    written: str | None = None  # the voter's own text for this pair

    def to_dict(self) -> ShownAssignment:
        """Return everything as values for JSON."""
        return {
            "id": self.id,
            "question": self.question,
            "prompt": self.prompt,
            "left": self.left,
            "right": self.right,
            "written": self.written,
        }


@dataclass(frozen=True)
class Vote:
    """One answer with all its details; ids are the store's."""

    id: int
    collection: int
    round: int  # number within the collection, from 1
    kind: str  # PLAIN, ATTENTION_CHECK or DUEL
    pair: int
    prompt: str
    first: str
    second: str
    first_model: str
    second_model: str
    question: str
    voter: int
    choice: str  # one of KEPT_CHOICES
    swapped: bool | None  # True: the second text stood on the left; None: not known (imported)
    repeat: bool  # True: the same person had answered this pair before
    time: float  # seconds since 1970, UTC
    seconds: float | None  # from when it was shown to the answer
    simulated: bool
    left_out: bool  # True: the instructor excluded this voter
    own: bool = False  # True: the voter wrote the prompt, and only the voter may see it

    @property
    def decided(self) -> bool:
        """Say whether one text was preferred."""
        return self.choice in DECIDED

    @property
    def chosen(self) -> str:
        """The preferred text of a decided vote."""
        return self.first if self.choice == "first" else self.second

    @property
    def rejected(self) -> str:
        """The other text of a decided vote."""
        return self.second if self.choice == "first" else self.first

    @property
    def left(self) -> bool | None:
        """Say whether a decided vote went to the left side; None if the side is not known."""
        return None if self.swapped is None else (self.choice == "second") == self.swapped

    @property
    def teaches(self) -> bool:
        """Say whether a reward model may learn from it: it is a voter's first decision on a pair.

        Blind votes are excluded, because their prompts test models, in later rounds too.
        """
        return self.decided and not self.repeat and self.kind == PLAIN


@dataclass(frozen=True)
class Demonstration:
    """A text that a voter wrote to continue a prompt; ids are the store's. It is no vote."""

    id: int
    collection: int
    round: int  # number within the collection, from 1
    prompt: str
    completion: str  # TRL's word for a response; begins with the space that joins the two
    question: str  # that was asked about the pair on the screen
    voter: int
    time: float  # seconds since 1970, UTC
    left_out: bool  # True: the instructor excluded this voter


@dataclass(frozen=True)
class Ranking:
    """Four texts that a voter ranked; ids are the store's."""

    id: int
    collection: int
    round: int  # number within the collection, from 1
    prompt: str
    first: str  # A on the screen; the letters do not say how good a text is
    second: str
    third: str
    fourth: str
    order: str  # the letters of the texts, best first, such as "CADB"
    model: str
    seed: int
    question: str
    voter: int
    time: float  # seconds since 1970, UTC
    left_out: bool  # True: the instructor excluded this voter

    @property
    def texts(self) -> tuple[str, str, str, str]:
        """The texts A to D."""
        return self.first, self.second, self.third, self.fourth

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The better and the worse text of each of its six pairs."""
        best_first = [self.texts[LETTERS.index(letter)] for letter in self.order]
        return list(combinations(best_first, 2))


def check_order(order: Any) -> str:
    """Return the order of a ranking.

    Raises:
        Refused: it does not name each text once.
    """
    if isinstance(order, str) and sorted(order) == list(LETTERS):
        return order
    given = repr(order)[:40]
    raise Refused(
        f"the order {given} is not a ranking: name each of A, B, C and D once, best first"
    )


def check_different(texts: Sequence[str]) -> None:
    """Check that the texts of a ranking are different.

    Raises:
        Refused: two are the same but for their spaces.
    """
    plain = [" ".join(text.split()) for text in texts]
    for one, other in combinations(range(len(plain)), 2):
        if plain[one] == plain[other]:
            raise Refused(
                f"the texts {LETTERS[one]} and {LETTERS[other]} are the same: rank four different "
                "texts"
            )


def for_text(choice: str, swapped: bool) -> str:
    """Translate an answer about sides into the stored answer about texts."""
    if choice not in ("left", "right"):
        return choice
    return "second" if (choice == "left") == swapped else "first"


MOST_MARKS = 30
"""Marks on one letter, as in Unicode's Stream-Safe Text Format (UAX #15, section 13). Normalising
sorts them by insertion: 2,390 take 8 ms, in which no other thread of Python runs."""


def clean_text(text: Any, most: int, what: str) -> str:
    """Return typed text as one line of plain text.

    Control and format characters are removed, because a direction mark could reverse the page's
    text. Markup stays, as text for the page to escape.

    Args:
        text: any value that an endpoint received.
        most: maximum characters.
        what: its name in messages.

    Raises:
        Refused: it is not a text, is empty after cleaning, is too long, or heaps marks on a letter.
    """
    if not isinstance(text, str):
        raise Refused(f"the {what} is {type(text).__name__}, not text: type it again")
    if len(text) > 4 * most:  # far too long: not worth normalising
        raise Refused(f"the {what} has {len(text)} characters: use at most {most}")
    marks = "".join("m" if unicodedata.combining(c) else " " for c in text)
    if "m" * (MOST_MARKS + 1) in marks:
        raise Refused(f"the {what} has a letter with over {MOST_MARKS} marks: type it without them")
    spaced = " ".join(unicodedata.normalize("NFC", text).split())
    cleaned = "".join(c for c in spaced if unicodedata.category(c)[0] != "C").strip()
    if not cleaned:
        raise Refused(f"the {what} is empty: type one")
    if len(cleaned) > most:
        raise Refused(f"the {what} has {len(cleaned)} characters: use at most {most}")
    return cleaned


def plain_text(text: str, most: int, what: str) -> str:
    """Return a text from a file without control and format characters; line breaks stay.

    Args:
        text: the text, possibly empty.
        most: maximum characters.
        what: its name in messages.

    Raises:
        Refused: it is too long.
    """
    if len(text) > most:
        raise Refused(f"the {what} has {len(text)} characters: use at most {most}")
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c)[0] != "C")


def written_time(seconds: float) -> str:
    """Return seconds since 1970 as UTC in ISO 8601, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
