"""Who comes to the door of a class: wrong codes, joins, and how many from one address.

A school's phones share one address. So a phone that sends wrong codes may not keep the others out:
wrong codes are counted apart, and no more where somebody has joined the class, as its code is no
secret there. Addresses are kept in memory only; after a restart the count begins anew.
"""

import threading
from collections import Counter
from collections.abc import Callable, Set

from rlhf_demo.errors import Refused
from rlhf_demo.rate_limit import RateLimit

# Six letters of 23 are 148 million codes. In a class of 90 minutes these rates find a certain one
# with a chance of 0.01% (one address) and 0.1% (all addresses together). What counts by itself adds
# 0.1% for every 1,500 addresses that guess.
WRONG_BY_ITSELF = (5, 1 / 60)
"""Wrong codes of one address that do not count with those of all: so no flood from elsewhere keeps
a student out, who mistypes a code a few times at most."""
WRONG_EACH = (60, 3.0)
"""Those beyond: so many at once, then so many a second."""
WRONG_TOGETHER = (600, 30.0)
"""Those beyond of all addresses."""
JOINS_EACH = (40, 1.0)
"""Joins from one address: thirty phones of a school come within a minute."""
ASKS_AGAIN = 10.0
"""Seconds in which somebody who was told to wait asks once more, and keeps the place."""
MOST_ASKING = 1000
"""Places in the line of one address, and lines."""
UNSEEN_SECONDS = 20.0
"""After which who has joined and neither answers nor asks for anything makes room; phones ask every
few seconds, and that is noted every ten."""


class Arrivals:
    """The doors of all classes of one store."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._wrong_by_itself = RateLimit(*WRONG_BY_ITSELF, clock)
        self._wrong = RateLimit(*WRONG_EACH, clock)
        self._wrong_together = RateLimit(*WRONG_TOGETHER, clock)
        self._joins = RateLimit(*JOINS_EACH, clock)
        self._clock = clock
        self._asking: dict[str, dict[str, float]] = {}  # by address: who was told to wait, and when
        self._came_from: dict[int, dict[int, str]] = {}  # of a collection's voters
        self._turn = threading.Lock()

    def check_code(self, collection: int | None, address: str) -> None:
        """Count a code that may have been guessed.

        Args:
            collection: of the code; None where no class has it.
            address: where the visitor comes from.

        Raises:
            Refused: too many were tried; whether this one is right is not said.
        """
        known = address in self._addresses(collection).values()
        if not known and not self._wrong_by_itself.allow(address):
            self._wrong.require(address, "wrong codes from this address")
            self._wrong_together.require("all", "wrong codes")

    def check_pace(self, address: str, nickname: str) -> None:
        """Count a join; those who were told to wait go first, in the order in which they came.

        So whoever asks a hundred times a second under new names is behind the classmates.

        Raises:
            Refused: they come too fast.
        """
        with self._turn:
            now = self._clock()
            if len(self._asking) > MOST_ASKING:
                self._asking.clear()
            line = {
                name: asked
                for name, asked in self._asking.get(address, {}).items()
                if now - asked < ASKS_AGAIN
            }
            ahead = list(line).index(nickname) if nickname in line else len(line)
            if len(line) < MOST_ASKING or nickname in line:
                line[nickname] = now
            self._asking[address] = line
            what = "students joining from this address"
            self._joins.check(address, what, reserved=ahead)
            self._joins.require(address, what)
            line.pop(nickname, None)

    def check_place(
        self, collection: int, address: str, most: int, present: Set[int], unseen: Set[int]
    ) -> int | None:
        """Return who makes room for one more from an address; None where nobody has to.

        Args:
            collection: whose code was right.
            address: where the student comes from.
            most: students that may come from one address.
            present: the voters of the class; who has been removed does not count.
            unseen: those of them who may go.

        Raises:
            Refused: so many are there already.
        """
        came_from = self._addresses(collection)
        here = {voter for voter in present & came_from.keys() if came_from[voter] == address}
        if len(here) < most:
            return None
        if here & unseen:
            return max(here & unseen)  # the last to come
        raise Refused(
            f"{len(here)} students have already joined from this address: "
            "ask the instructor to raise the limit"
        )

    def crowding(
        self, collection: int, address: str, idle: Set[int], present: Set[int]
    ) -> int | None:
        """Return who makes room in a full class for one more from an address.

        Args:
            collection: the class.
            address: where the newcomer is.
            idle: the voters who may go.
            present: all of the class.

        Returns:
            The last of `idle` from the address that most have joined from; None where no address
            has more than the newcomer's.
        """
        came_from = self._addresses(collection)
        sizes = Counter(came_from[voter] for voter in present & came_from.keys())
        crowd = [(sizes[came_from[voter]], voter) for voter in idle & came_from.keys()]
        size, voter = max(crowd, default=(0, None))
        return voter if size > sizes[address] + 1 else None

    def note(self, collection: int, voter: int, address: str) -> None:
        """Remember where a student has joined from."""
        with self._turn:
            self._came_from.setdefault(collection, {})[voter] = address

    def places(self, collection: int) -> dict[int, int]:
        """Return a number for each voter's address, in place of it: equal where that is equal.

        Who has joined before a restart, and who is simulated, has none.
        """
        came_from = self._addresses(collection)
        numbers = {address: number for number, address in enumerate(set(came_from.values()))}
        return {voter: numbers[address] for voter, address in came_from.items()}

    def forget(self, collection: int) -> None:
        """Forget a class that has been deleted."""
        with self._turn:
            self._came_from.pop(collection, None)

    def _addresses(self, collection: int | None) -> dict[int, str]:
        with self._turn:
            return dict(self._came_from.get(collection, {}))
