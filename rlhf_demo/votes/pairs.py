"""What a reward model learns from votes, and what is held out to test it.

Pure functions on votes. Votes on different questions are mixed only where both are named.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlhf_demo.data.pairs import PAIRS_FILE
from rlhf_demo.errors import DataError
from rlhf_demo.files import write_text
from rlhf_demo.votes.files import preference_row, row_lines
from rlhf_demo.votes.vote import Vote

HELD_OUT_SHARE = 0.2
FEWEST_TO_TELL = 10
"""Held-out pairs below which nothing is said of the reward model: the interval of an accuracy is
then some 50 points wide. It shows by itself whether more pairs tell the model from a coin:
`python -m bench.vote_intervals` works out how often."""


def usable(
    votes: Iterable[Vote],
    questions: Collection[str],
    *,
    rounds: Collection[int] | None = None,
    without_voters: Collection[int] = (),
) -> list[Vote]:
    """Return the votes a reward model may learn from.

    Args:
        votes: any votes.
        questions: whose answers to take. To name two is to ask for them to be mixed.
        rounds: numbers of the rounds to take; all when None.
        without_voters: voters to leave out, beside those left out in the store.
    """
    return [
        vote
        for vote in votes
        if vote.teaches
        and vote.question in questions
        and (rounds is None or vote.round in rounds)
        and vote.voter not in without_voters
        and not vote.left_out
        and vote.first != vote.second
        and vote.chosen.strip()
        and vote.rejected.strip()
    ]


def uncancelled(votes: Iterable[Vote]) -> list[Vote]:
    """Let opposite votes on a pair cancel one to one; what is left points one way.

    Three to nothing leaves three votes, two to one leaves one, one to one none. At a margin of 0
    the Bradley-Terry gradient of k votes against l is that of k - l one way, so a short training
    loses nothing by it and is spared steps that undo each other. It does make the model surer than
    split votes are; what is held out is therefore never cancelled.
    """
    by_pair: dict[tuple[int, str], list[Vote]] = defaultdict(list)
    for vote in votes:
        by_pair[vote.pair, vote.question].append(vote)
    kept = []
    for group in by_pair.values():
        first = [vote for vote in group if vote.choice == "first"]
        second = [vote for vote in group if vote.choice == "second"]
        more, fewer = (first, second) if len(first) > len(second) else (second, first)
        kept += more[len(fewer) :]
    return sorted(kept, key=lambda vote: (vote.time, vote.id))


@dataclass(frozen=True)
class LastRated:
    """Votes split by time: the prompts that were rated last are held out whole."""

    train: list[Vote]  # after cancelling
    held_out: list[Vote]  # every vote, also those that contradict each other

    @property
    def held_out_pairs(self) -> int:
        """Return how many pairs the held-out votes are on."""
        return len({vote.pair for vote in self.held_out})

    @property
    def too_few_to_tell(self) -> bool:
        """True if there are too few held-out votes for the accuracy to mean anything."""
        return self.held_out_pairs < FEWEST_TO_TELL


def split_last_rated(votes: Sequence[Vote]) -> LastRated:
    """Hold out the fifth of the votes that belongs to the prompts rated last.

    Whole prompts are moved, newest last vote first, until a fifth of the votes is held out: were
    pairs moved, the model would be tested on prompts it has trained on.

    Args:
        votes: usable ones, in the order they came.

    Raises:
        DataError: there are votes on fewer than two prompts.
    """
    by_prompt: dict[str, list[Vote]] = defaultdict(list)
    for vote in votes:
        by_prompt[vote.prompt].append(vote)
    if len(by_prompt) < 2:
        raise DataError(
            f"all {len(votes)} preferences are on one prompt, and testing needs another one: "
            "vote on at least 2"
        )
    newest_first = sorted(by_prompt.values(), key=lambda group: _moment(group[-1]), reverse=True)
    held_out: list[Vote] = []
    while len(held_out) < HELD_OUT_SHARE * len(votes) and len(newest_first) > 1:
        held_out += newest_first.pop(0)
    train = uncancelled(vote for group in newest_first for vote in group)
    if not train:
        raise DataError(
            f"all {len(votes)} preferences are held out or cancel each other: wait for more votes"
        )
    return LastRated(train, sorted(held_out, key=_moment))


def write_split(split: LastRated, folder: Path) -> None:
    """Write pairs.jsonl with a column `split`; `train-reward --data FOLDER` takes it as it is."""
    rows = [preference_row(vote) | {"split": "train"} for vote in split.train]
    rows += [preference_row(vote) | {"split": "heldout"} for vote in split.held_out]
    write_text(folder / PAIRS_FILE, row_lines(rows))


def _moment(vote: Vote) -> tuple[float, int]:
    return vote.time, vote.id
