"""Write pairs, and texts to rank, in the background, ahead of the voters.

Each model in use writes one batch at a time. A request for the next pair also requests a batch if
more pairs are needed. If a batch fails, the next request gets the reason and can ask again.
"""

import random
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

from rlhf_demo.data.pairs import SHIPPED, load_pairs
from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.errors import DemoError, Refused
from rlhf_demo.rate_limit import RateLimit
from rlhf_demo.server.choices import Choices
from rlhf_demo.server.compute_lock import ComputeLock, Priority
from rlhf_demo.server.model_cache import ModelCache
from rlhf_demo.server.pair_choice import four_that_differ, makes_a_pair
from rlhf_demo.votes.store import Store
from rlhf_demo.votes.vote import DUEL, PLAIN, NewFour, NewPair

AHEAD = 12
"""Unseen pairs that a voter should have; with fewer, more are written."""
PROMPTS_AT_ONCE = 8
"""Prompts of a batch: about a second of a small model, so other work does not wait long."""
PROMPTS = {PLAIN: "train", DUEL: "test"}
"""Splits of the shipped prompts. A blind vote uses prompts that no model is trained on."""
FOURS_AHEAD = 3
"""Four texts that should wait to be ranked; with fewer, more are written."""
FOURS_AT_ONCE = 6
"""Prompts of a batch of texts to rank."""
WRITTEN_FOR_FOUR = 6
"""Responses to a prompt, of which four that differ enough are ranked."""
OWN_PAIRS = 3
"""Pairs written for a visitor's own prompt."""
MOST_WAITING = 20
"""Batches that may wait."""
MOST_EACH = 5
"""Batches of one address that may wait, so that some are left for others. One at a time is
written, besides those that all voters wait for."""
FROM_ADDRESS = (8, 1 / 10)
"""Batches of one address on a public page: this many at once, then this many a second. Two
models that write the same could be asked for batches without end."""
TEMPERATURE = 0.7
MOST_TOKENS = 32
SHIPPED_MODEL = "gpt2-mini"
"""The shipped pairs are samples of it, so the first voter need not wait."""


@dataclass(frozen=True)
class PairRequest:
    """Pairs to write. Two different models make a blind pair, whose second is the contender."""

    first: str
    second: str
    prompt: str | None = None  # a visitor's own; else shipped ones
    owner: str | None = None  # that visitor's secret: only they see the pairs
    # True: in place of pairs, four texts of the first model to each prompt.
    to_rank: bool = field(default=False, kw_only=True)

    @property
    def kind(self) -> str:
        """Say what kind of pair comes out."""
        return PLAIN if self.first == self.second else DUEL

    @property
    def for_all(self) -> bool:
        """Say whether all voters wait for it, as for texts of the shipped model.

        One visitor waits for any other: a visitor can think of new prompts, and name the models of
        new runs, without end.
        """
        return self.prompt is None and self.first == self.second == SHIPPED_MODEL

    @property
    def priority(self) -> Priority:
        """Let voters wait for no visitor."""
        return Priority.VOTERS if self.for_all else Priority.VISITORS


class Sampler:
    """Writes pairs into a store; safe to ask from several threads."""

    def __init__(
        self, store: Store, choices: Choices, model_cache: ModelCache, compute_lock: ComputeLock
    ) -> None:
        self.store, self.choices = store, choices
        self.model_cache, self.compute_lock = model_cache, compute_lock
        self._under_way: dict[PairRequest, str] = {}  # and the address that asked for it
        self._problems: dict[PairRequest, str] = {}
        self._lock = threading.Lock()  # held for a moment, around the two above
        self._shipped: list[NewPair] = []
        self._limit = RateLimit(*FROM_ADDRESS, time.monotonic)
        self._served: set[str] = set()  # addresses whose batch is written, or next
        self._written = threading.Condition()

    def want(self, pair_request: PairRequest, address: str) -> None:
        """Have a batch written, unless the same batch is already being written.

        Raises:
            Refused: too many batches are waiting, in all or from this address.
            DemoError: a model is in no list.
        """
        names = (self.choices.policy(pair_request.first), self.choices.policy(pair_request.second))
        with self._lock:
            if pair_request in self._under_way:
                return
            addresses = list(self._under_way.values())
            if len(addresses) >= MOST_WAITING or addresses.count(address) >= MOST_EACH:
                raise Refused("many texts are waiting to be written: try again in a minute")
            if self.choices.settings.public:
                self._limit.require(address, "texts are written for this address")
            self._under_way[pair_request] = address
        threading.Thread(
            target=self._fill, args=(pair_request, address, *names), daemon=True
        ).start()

    def want_more(self, pair_request: PairRequest, address: str) -> str | None:
        """Have a batch written ahead; return the reason if too many are waiting, else None.

        Raises:
            DemoError: a model is in no list.
        """
        try:
            self.want(pair_request, address)
        except Refused as error:  # meanwhile, voters can answer the pairs that are there
            return str(error)
        return None

    def problem(self, pair_request: PairRequest) -> str | None:
        """Return why the last such batch failed, once."""
        with self._lock:
            return self._problems.pop(pair_request, None)

    def under_way(self, pair_request: PairRequest) -> bool:
        """Say whether such a batch is being written or waits for the lock."""
        with self._lock:
            return pair_request in self._under_way

    def add_shipped(self) -> None:
        """Give the voters some shipped pairs, without the shipped preferences."""
        with self._lock:
            if not self._shipped:
                self._shipped = _shipped_pairs()
            batch = [self._shipped.pop() for _ in range(min(AHEAD, len(self._shipped)))]
        self.store.add_pairs(batch)

    def _fill(self, pair_request: PairRequest, address: str, first: str, second: str) -> None:
        try:
            for name in (first, second):
                self.model_cache.policy(name)  # before the lock: it may come from the Hub
            turn = nullcontext() if pair_request.for_all else self._one_of(address)
            with turn, self.compute_lock.hold(pair_request.priority):
                keep = self._written_for(pair_request, first, second)
            keep()
        except DemoError as error:
            self._note(pair_request, str(error))
        except Exception:
            self._note(
                pair_request, "the texts could not be written: the reason is in the server's log"
            )
            raise
        finally:
            with self._lock:
                del self._under_way[pair_request]

    def _written_for(
        self, pair_request: PairRequest, first: str, second: str
    ) -> Callable[[], None]:
        """Write a batch; return what puts it into the store.

        Raises:
            Refused: the texts are too much alike for every prompt.
        """
        if pair_request.to_rank:
            fours = self._write_fours(pair_request, first)
            if not fours:
                raise Refused(
                    "the model's texts differ too little to rank four of them for any prompt: "
                    "choose another model, or compare two"
                )
            return lambda: self.store.rankings.add_fours(fours)
        pairs = self._write(pair_request, first, second)
        if not pairs:
            raise Refused(
                "for every prompt, the two texts came out nearly the same or empty: choose another "
                "model"
            )
        return lambda: self.store.add_pairs(
            pairs, kind=pair_request.kind, owner_secret=pair_request.owner
        )

    @contextmanager
    def _one_of(self, address: str) -> Generator[None]:
        """Wait until no other batch of this address is written or next."""
        with self._written:
            self._written.wait_for(lambda: address not in self._served)
            self._served.add(address)
        try:
            yield
        finally:
            with self._written:
                self._served.remove(address)
                self._written.notify_all()

    def _note(self, pair_request: PairRequest, problem: str) -> None:
        with self._lock:
            self._problems[pair_request] = problem

    def _write(self, pair_request: PairRequest, first: str, second: str) -> list[NewPair]:
        if pair_request.prompt is None:
            prompts = random.sample(
                load_prompts(SHIPPED, PROMPTS[pair_request.kind]), PROMPTS_AT_ONCE
            )
        else:
            prompts = [pair_request.prompt] * OWN_PAIRS
        seed = random.getrandbits(31)
        one, other = map(self.choices.author, (pair_request.first, pair_request.second))
        if pair_request.kind == PLAIN:
            both = self._responses(first, [*prompts, *prompts], seed)
            firsts, seconds = both[: len(prompts)], both[len(prompts) :]
        else:
            firsts = self._responses(first, prompts, seed)
            seconds = self._responses(second, prompts, seed)
        return [
            NewPair(prompt, left, right, one, other, seed, TEMPERATURE)
            for prompt, left, right in zip(prompts, firsts, seconds, strict=True)
            if makes_a_pair(left, right, blind=pair_request.kind == DUEL)
        ]

    def _write_fours(self, pair_request: PairRequest, model: str) -> list[NewFour]:
        prompts = random.sample(load_prompts(SHIPPED, PROMPTS[PLAIN]), FOURS_AT_ONCE)
        seed, author = random.getrandbits(31), self.choices.author(pair_request.first)
        asked = [prompt for prompt in prompts for _ in range(WRITTEN_FOR_FOUR)]
        written = self._responses(model, asked, seed)
        return [
            NewFour(prompt, four, author, seed, TEMPERATURE)
            for number, prompt in enumerate(prompts)
            if (four := four_that_differ(written[number * WRITTEN_FOR_FOUR :][:WRITTEN_FOR_FOUR]))
        ]

    def _responses(self, name: str, prompts: list[str], seed: int) -> list[str]:
        self.model_cache.warm()
        from rlhf_demo.models.sampling import decode, generate  # noqa: PLC0415  (torch)

        policy = self.model_cache.policy(name)
        written = generate(
            policy, prompts, max_new_tokens=MOST_TOKENS, temperature=TEMPERATURE, seed=seed
        )
        return decode(policy, written)


def _shipped_pairs() -> list[NewPair]:
    """Return the shipped training pairs in random order, each in random order."""
    pairs = load_pairs(SHIPPED, "train")
    rows: list[NewPair] = []
    for prompt, *texts in zip(pairs.prompts, pairs.chosen, pairs.rejected, strict=True):
        first, second = random.sample(texts, 2)
        if not makes_a_pair(first, second, blind=False):
            continue
        rows.append(NewPair(prompt, first, second, SHIPPED_MODEL, SHIPPED_MODEL, 0, TEMPERATURE))
    random.shuffle(rows)
    return rows
