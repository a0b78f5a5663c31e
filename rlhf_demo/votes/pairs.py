"""Turn votes and rankings into a reward model's training data and held-out data.

Pure functions. Votes on different questions are mixed only if the caller names both. A ranking
counts as one vote, because training gives each of its six pairs the weight 1/6 (Ouyang et al. 2022,
https://arxiv.org/abs/2203.02155, section 3.5).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rlhf_demo.data.pairs import PAIRS_FILE
from rlhf_demo.errors import DataError
from rlhf_demo.files import write_text
from rlhf_demo.votes.files import preference_row, ranking_pair_rows, row_lines
from rlhf_demo.votes.vote import Ranking, Vote

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


def usable_rankings(
    rankings: Iterable[Ranking],
    questions: Collection[str],
    *,
    without_voters: Collection[int] = (),
) -> list[Ranking]:
    """Return the rankings a reward model may learn from; arguments are as in `usable`."""
    return [
        ranking
        for ranking in rankings
        if ranking.question in questions
        and ranking.voter not in without_voters
        and not ranking.left_out
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
    """Votes and rankings split by time: all those on the prompts rated last are held out."""

    train: list[Vote]  # after cancelling
    held_out: list[Vote]  # every vote, also those that contradict each other
    train_rankings: list[Ranking] = field(default_factory=list[Ranking])
    held_out_rankings: list[Ranking] = field(default_factory=list[Ranking])

    @property
    def held_out_pairs(self) -> int:
        """Return the number of pairs with held-out votes."""
        return len({vote.pair for vote in self.held_out})

    @property
    def too_few_to_tell(self) -> bool:
        """True if too little is held out for the accuracy to mean anything.

        A ranking counts as one pair, because its six are about the same four texts.
        """
        return self.held_out_pairs + len(self.held_out_rankings) < FEWEST_TO_TELL


def split_last_rated(votes: Sequence[Vote], rankings: Sequence[Ranking] = ()) -> LastRated:
    """Hold out a fifth of the votes and rankings: those on the prompts rated last.

    Whole prompts are held out, the one with the newest vote or ranking first, until a fifth is held
    out. With single pairs, the model would be tested on prompts from its training, and a text of a
    ranking could be in both.

    Args:
        votes: usable votes, in order of time.
        rankings: usable rankings, in order of time.

    Raises:
        DataError: they are on fewer than two prompts.
    """
    by_prompt: dict[str, list[Vote | Ranking]] = defaultdict(list)
    for one in sorted((*votes, *rankings), key=_moment):
        by_prompt[one.prompt].append(one)
    count = len(votes) + len(rankings)
    if len(by_prompt) < 2:
        raise DataError(
            f"all {count} preferences are on one prompt, and testing needs another one: "
            "vote on texts for a second prompt"
        )
    newest_first = sorted(by_prompt.values(), key=lambda group: _moment(group[-1]), reverse=True)
    held_out: list[Vote | Ranking] = []
    while len(held_out) < HELD_OUT_SHARE * count and len(newest_first) > 1:
        held_out += newest_first.pop(0)
    held_out.sort(key=_moment)
    train = sorted((one for group in newest_first for one in group), key=_moment)
    split = LastRated(
        uncancelled(one for one in train if not isinstance(one, Ranking)),
        [one for one in held_out if not isinstance(one, Ranking)],
        [one for one in train if isinstance(one, Ranking)],
        [one for one in held_out if isinstance(one, Ranking)],
    )
    if not split.train and not split.train_rankings:
        raise DataError(
            f"all {count} preferences are held out or cancel each other out: wait for more votes"
        )
    return split


def write_split(split: LastRated, folder: Path) -> None:
    """Write pairs.jsonl with a column `split`, for `train-reward --data FOLDER`."""
    train = [preference_row(vote) for vote in split.train]
    train += [row for ranking in split.train_rankings for row in ranking_pair_rows(ranking)]
    held_out = [preference_row(vote) for vote in split.held_out]
    held_out += [row for ranking in split.held_out_rankings for row in ranking_pair_rows(ranking)]
    rows = [row | {"split": "train"} for row in train]
    rows += [row | {"split": "heldout"} for row in held_out]
    write_text(folder / PAIRS_FILE, row_lines(rows))


def _moment(one: Vote | Ranking) -> tuple[float, int]:
    return one.time, one.id
