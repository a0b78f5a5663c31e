"""Limits on joining a class: wrong codes, joins, and students from one address.

A school's phones share one address, so a phone that sends wrong codes must not keep the others out.
Wrong codes are counted separately, and no longer once a student has joined the class from there,
because the code is no secret at that address. Addresses are kept in memory only, so a restart sets
the counts to zero.
"""

import threading
from collections import Counter
from collections.abc import Callable, Set

from rlhf_demo.errors import Refused
from rlhf_demo.rate_limit import RateLimit

# Six letters out of 23 give 148 million codes. In a class of 90 minutes, these rates find a certain
# code with a probability of 0.01% (one address) and 0.1% (all addresses together).
# WRONG_BY_ITSELF adds 0.1% for every 1,500 addresses that guess.
WRONG_BY_ITSELF = (5, 1 / 60)
"""Wrong codes of one address (burst, per second) that do not count towards the limits below. A
student mistypes a code a few times at most, so a flood from elsewhere keeps no student out."""
WRONG_EACH = (60, 3.0)
"""Further wrong codes of one address: burst, per second."""
WRONG_TOGETHER = (600, 30.0)
"""Further wrong codes of all addresses together."""
JOINS_EACH = (40, 1.0)
"""Joins from one address: a school's thirty phones join within a minute."""
ASKS_AGAIN = 10.0
"""A student who had to wait keeps the place in the queue by trying again within these seconds."""
MOST_ASKING = 1000
"""Maximum places in the queue of one address, and maximum queues."""
UNSEEN_SECONDS = 20.0
"""A student without an answer who has not been seen for so long can lose the seat. Phones ask for
news every few seconds, and the store notes it every ten."""


class Arrivals:
    """The joins of all classes of one store."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._wrong_by_itself = RateLimit(*WRONG_BY_ITSELF, clock)
        self._wrong = RateLimit(*WRONG_EACH, clock)
        self._wrong_together = RateLimit(*WRONG_TOGETHER, clock)
        self._joins = RateLimit(*JOINS_EACH, clock)
        self._clock = clock
        self._asking: dict[str, dict[str, float]] = {}  # address -> nickname -> time
        self._came_from: dict[int, dict[int, str]] = {}  # collection -> voter -> address
        self._lock = threading.Lock()

    def check_code(self, collection: int | None, address: str) -> None:
        """Count a code that may have been guessed.

        Args:
            collection: the class with this code; None if there is none.
            address: the visitor's.

        Raises:
            Refused: too many codes were tried; the message does not say whether this one is right.
        """
        known = address in self._addresses(collection).values()
        if not known and not self._wrong_by_itself.allow(address):
            self._wrong.require(address, "wrong codes from this address")
            self._wrong_together.require("all", "wrong codes")

    def check_pace(self, address: str, nickname: str) -> None:
        """Count a join. Students who had to wait go first, in the order in which they came.

        So a script that tries a hundred times a second under new names stays behind the classmates.

        Raises:
            Refused: they come too fast.
        """
        with self._lock:
            now = self._clock()
            if len(self._asking) > MOST_ASKING:
                self._asking.clear()
            queue = {
                name: asked
                for name, asked in self._asking.get(address, {}).items()
                if now - asked < ASKS_AGAIN
            }
            ahead = list(queue).index(nickname) if nickname in queue else len(queue)
            if len(queue) < MOST_ASKING or nickname in queue:
                queue[nickname] = now
            self._asking[address] = queue
            what = "students joining from this address"
            self._joins.check(address, what, reserved=ahead)
            self._joins.require(address, what)
            queue.pop(nickname, None)

    def check_address(
        self, collection: int, address: str, most: int, present: Set[int], unseen: Set[int]
    ) -> int | None:
        """Return the voter who loses the seat to a new student; None if there is room.

        Args:
            collection: the class that the student joins.
            address: the student's.
            most: maximum number of students from one address.
            present: the voters of the class, without removed ones.
            unseen: the voters among them who may lose their seats.

        Raises:
            Refused: the address has as many students as it may have.
        """
        came_from = self._addresses(collection)
        here = {voter for voter in present & came_from.keys() if came_from[voter] == address}
        if len(here) < most:
            return None
        if here & unseen:
            return max(here & unseen)  # the newest
        raise Refused(
            f"{len(here)} students have already joined from this address: "
            "ask the instructor to raise the limit"
        )

    def voter_to_displace(
        self, collection: int, address: str, idle: Set[int], present: Set[int]
    ) -> int | None:
        """Return the voter who loses the seat to a new student in a full class.

        Args:
            collection: the class.
            address: the new student's.
            idle: the voters who may lose their seats.
            present: all voters of the class.

        Returns:
            The newest of `idle` at the address with most students; None unless that address has at
            least two more than the new student's.
        """
        came_from = self._addresses(collection)
        sizes = Counter(came_from[voter] for voter in present & came_from.keys())
        crowd = [(sizes[came_from[voter]], voter) for voter in idle & came_from.keys()]
        size, voter = max(crowd, default=(0, None))
        return voter if size > sizes[address] + 1 else None

    def record(self, collection: int, voter: int, address: str) -> None:
        """Record a student's address."""
        with self._lock:
            self._came_from.setdefault(collection, {})[voter] = address

    def address_numbers(self, collection: int) -> dict[int, int]:
        """Return a number for each voter's address; equal addresses have equal numbers.

        Voters who joined before a restart, and simulated ones, have none.
        """
        came_from = self._addresses(collection)
        numbers = {address: number for number, address in enumerate(set(came_from.values()))}
        return {voter: numbers[address] for voter, address in came_from.items()}

    def forget(self, collection: int) -> None:
        """Forget a class that has been deleted."""
        with self._lock:
            self._came_from.pop(collection, None)

    def _addresses(self, collection: int | None) -> dict[int, str]:
        with self._lock:
            return {} if collection is None else dict(self._came_from.get(collection, {}))
