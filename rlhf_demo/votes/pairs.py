"""Turn votes into a reward model's training data and held-out data.

Pure functions on votes. Votes on different questions are mixed only if the caller names both.
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
"""With fewer held-out pairs, the page says nothing about the reward model: the interval of its
accuracy would be about 50 points wide. With more, the interval itself shows whether the model beats
a coin; `python -m bench.vote_intervals` computes how often it does."""


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
        questions: the questions to use. Votes on all of them are mixed.
        rounds: numbers of the rounds to use; None for all.
        without_voters: voters to leave out, besides those left out in the store.
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
    """Cancel opposite votes on a pair one to one, so that the remaining ones agree.

    Three to nothing leaves three votes, two to one leaves one, one to one leaves none. At a margin
    of 0, the Bradley-Terry gradient of k votes against l equals the gradient of k - l votes. So a
    short training loses nothing, and avoids steps that undo each other. But it makes the model more
    confident than split votes are, so held-out votes are never cancelled.
    """
    by_pair: dict[tuple[int, str], list[Vote]] = defaultdict(list)
    for vote in votes:
        by_pair[vote.pair, vote.question].append(vote)
    kept: list[Vote] = []
    for group in by_pair.values():
        first = [vote for vote in group if vote.choice == "first"]
        second = [vote for vote in group if vote.choice == "second"]
        more, fewer = (first, second) if len(first) > len(second) else (second, first)
        kept += more[len(fewer) :]
    return sorted(kept, key=lambda vote: (vote.time, vote.id))


@dataclass(frozen=True)
class LastRated:
    """Votes split by time: all votes on the prompts rated last are held out."""

    train: list[Vote]  # after cancelling
    held_out: list[Vote]  # every vote, also those that contradict each other

    @property
    def held_out_pairs(self) -> int:
        """Return the number of pairs with held-out votes."""
        return len({vote.pair for vote in self.held_out})

    @property
    def too_few_to_tell(self) -> bool:
        """True if there are too few held-out votes for the accuracy to mean anything."""
        return self.held_out_pairs < FEWEST_TO_TELL


def split_last_rated(votes: Sequence[Vote]) -> LastRated:
    """Hold out a fifth of the votes: those on the prompts rated last.

    Whole prompts are held out, the one with the newest vote first, until a fifth of the votes is
    held out. With single pairs, the model would be tested on prompts from its training.

    Args:
        votes: usable votes, in order of time.

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
            f"all {len(votes)} preferences are held out or cancel each other out: "
            "wait for more votes"
        )
    return LastRated(train, sorted(held_out, key=_moment))


def write_split(split: LastRated, folder: Path) -> None:
    """Write pairs.jsonl with a column `split`, for `train-reward --data FOLDER`."""
    rows = [preference_row(vote) | {"split": "train"} for vote in split.train]
    rows += [preference_row(vote) | {"split": "heldout"} for vote in split.held_out]
    write_text(folder / PAIRS_FILE, row_lines(rows))


def _moment(vote: Vote) -> tuple[float, int]:
    return vote.time, vote.id
