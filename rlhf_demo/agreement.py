"""How good votes are: ties, sides, agreement between people and with themselves, carelessness.

Pure functions on votes; knows no database. Shares come with Wilson's interval, which takes votes to
be independent; several votes on one pair are not quite, so the true intervals are a little wider.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rlhf_demo.ballots import CATCH, DUEL, Vote
from rlhf_demo.reliability import wilson_interval

FEWEST_CATCHES = 2
"""Catch pairs a rater must have seen before they tell: one may be a slip of the thumb."""

MOST_CAUGHT = 0.5
"""From this share of catch pairs with a preference on, a rater counts as careless."""

FEWEST_SIDES = 10
ONE_SIDE = 0.9
"""With ten preferences, nine on one side: for a careful rater a chance of 2 in 100 (22 in 1024,
either side), and catch pairs to look at as well.
"""


@dataclass(frozen=True)
class Share:
    """A share with its 95% interval; `share` is None where nothing was counted."""

    share: float | None
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, successes: float, count: int) -> "Share":
        """Make it from successes (a tie may be half) among `count`."""
        low, high = wilson_interval(successes, count)
        return cls(successes / count if count else None, low, high, count)


# -- all votes together ----------------------------------------------------------------------------


def tie_share(votes: Iterable[Vote]) -> Share:
    """Return how often people saw no difference, of all answers but skips."""
    answers = [vote.choice for vote in _first_words(votes) if vote.choice != "skip"]
    return Share.of(answers.count("tie"), len(answers))


def left_share(votes: Iterable[Vote]) -> Share:
    """Return how often the left text was preferred: a half where the side plays no part.

    Catch pairs and repeats count too; votes whose side is not known do not.
    """
    sides = [vote.left for vote in votes if vote.decided and vote.left is not None]
    return Share.of(sum(sides), len(sides))


def krippendorff_alpha(ratings: Iterable[tuple[Hashable, Hashable, Hashable]]) -> float | None:
    """Return Krippendorff's alpha for nominal labels: 1 full agreement, 0 what chance would give.

    From coincidences within units, as in Krippendorff 2011, "Computing Krippendorff's
    Alpha-Reliability", https://repository.upenn.edu/asc_papers/43, section C.

    Args:
        ratings: (unit, rater, label), one for each label given; a rater labels a unit once.

    Returns:
        None where no unit has two labels, or all labels are the same: chance agreement is then
        full, and nothing can be said.
    """
    units: dict[Hashable, list[Hashable]] = defaultdict(list)
    for unit, _, label in ratings:
        units[unit].append(label)
    totals: Counter[Hashable] = Counter()
    agreeing = 0.0  # coincidences of equal labels
    for labels in units.values():
        if len(labels) < 2:
            continue
        counts = Counter(labels)
        totals.update(counts)
        agreeing += sum(n * (n - 1) for n in counts.values()) / (len(labels) - 1)
    n = sum(totals.values())
    by_chance = sum(count * (count - 1) for count in totals.values())
    if n * (n - 1) == by_chance:
        return None
    return ((n - 1) * agreeing - by_chance) / (n * (n - 1) - by_chance)


def votes_alpha(votes: Iterable[Vote]) -> float | None:
    """Return alpha over pairs shown to several people, each question for itself."""
    return krippendorff_alpha(
        ((vote.pair, vote.question), vote.rater, vote.choice)
        for vote in _first_words(votes)
        if vote.choice != "skip"
    )


def self_agreement(votes: Iterable[Vote]) -> Share:
    """Return how often people answered a repeated pair as they did before; skips do not count."""
    answers: dict[Hashable, dict[bool, str]] = defaultdict(dict)
    for vote in votes:
        if vote.kind != CATCH and vote.choice != "skip":
            answers[vote.pair, vote.question, vote.rater][vote.repeat] = vote.choice
    both = [found for found in answers.values() if len(found) == 2]
    return Share.of(sum(found[False] == found[True] for found in both), len(both))


def caught_share(votes: Iterable[Vote]) -> Share:
    """Return how often somebody preferred one of two identical texts."""
    caught = [vote.decided for vote in votes if vote.kind == CATCH]
    return Share.of(sum(caught), len(caught))


def human_ceiling(votes: Iterable[Vote]) -> Share:
    """Return how well a rater's preference is foretold by the majority of the other raters.

    Each vote is foretold by the others on the same pair (leave one out); where they are split, a
    coin is tossed, which is right half the time. A reward model is judged on the same kind of
    votes, so its accuracy can be read beside this.
    """
    votes = list(votes)
    return _with_others(votes, _tallies(votes))


def vote_quality(votes: Sequence[Vote]) -> dict[str, Any]:
    """Return all of the above, JSON-ready: shares as share, low, high, count."""
    return {
        "votes": len(votes),
        "ties": asdict(tie_share(votes)),
        "left": asdict(left_share(votes)),
        "alpha": votes_alpha(votes),
        "self_agreement": asdict(self_agreement(votes)),
        "caught": asdict(caught_share(votes)),
        "human_ceiling": asdict(human_ceiling(votes)),
    }


# -- one rater -------------------------------------------------------------------------------------


def rater_table(votes: Sequence[Vote]) -> list[dict[str, Any]]:
    """Say of each rater how careful the answers are.

    Returns:
        One JSON-ready row a rater, by number: `rater`, `simulated`, `left_out`, `votes`, `ties`,
        `left`, `self_agreement`, `caught` (each with share, low, high, count), `with_others` (share
        of preferences that the majority of the others has too), `seconds` (median, None if
        unknown), `careless` (reasons in words; empty for a careful rater).
    """
    by_rater: dict[int, list[Vote]] = defaultdict(list)
    for vote in votes:
        by_rater[vote.rater].append(vote)
    tallies = _tallies(votes)
    rows = []
    for rater, own in sorted(by_rater.items()):
        times = [vote.seconds for vote in own if vote.seconds is not None]
        rows.append(
            {
                "rater": rater,
                "simulated": own[0].simulated,
                "left_out": own[0].left_out,
                "votes": len(own),
                "ties": asdict(tie_share(own)),
                "left": asdict(left_share(own)),
                "self_agreement": asdict(self_agreement(own)),
                "caught": asdict(caught_share(own)),
                "with_others": asdict(_with_others(own, tallies)),
                "seconds": median(times) if times else None,
                "careless": careless_reasons(own),
            }
        )
    return rows


def careless_reasons(votes: Sequence[Vote]) -> list[str]:
    """Say in words why one rater's votes look careless; nothing where they do not."""
    reasons = []
    caught = caught_share(votes)
    failed = round((caught.share or 0) * caught.count)
    if caught.count >= FEWEST_CATCHES and failed >= MOST_CAUGHT * caught.count:
        reasons.append(f"preferred one of two identical texts {failed} times of {caught.count}")
    left = left_share(votes)
    if left.count >= FEWEST_SIDES:
        on_left = round(left.share * left.count)
        most, side = max((on_left, "left"), (left.count - on_left, "right"))
        if most >= ONE_SIDE * left.count:
            reasons.append(f"chose the {side} text {most} times of {left.count}")
    return reasons


def _tallies(votes: Iterable[Vote]) -> dict[Hashable, Counter[str]]:
    """Count the preferences on each pair under each question."""
    tallies: dict[Hashable, Counter[str]] = defaultdict(Counter)
    for vote in votes:
        if vote.teaches:
            tallies[vote.pair, vote.question][vote.choice] += 1
    return tallies


def _with_others(own: Iterable[Vote], tallies: dict[Hashable, Counter[str]]) -> Share:
    """Return how often the others' majority has the same preference; where split, a half."""
    right, count = 0.0, 0
    for vote in own:
        if not vote.teaches:
            continue
        tally = tallies[vote.pair, vote.question]
        same, other = tally[vote.choice] - 1, tally.total() - tally[vote.choice]
        if same or other:
            right += 1.0 if same > other else 0.5 if same == other else 0.0
            count += 1
    return Share.of(right, count)


# -- blind votes -----------------------------------------------------------------------------------


def win_rate(votes: Iterable[Vote], winner: str = "second") -> dict[str, Any]:
    """Return how often one model beats the other in blind votes.

    Ties stay in: they, and pairs where both are bad, count half for each; skips do not count.

    Args:
        votes: any votes; those on duels count.
        winner: whose wins: "second" is the contender in a duel, "first" the base.

    Returns:
        JSON-ready: `rate`, `low`, `high` (None, 0, 1 without votes), `votes`, `wins`, `losses`,
        `ties`, `both_bad`.
    """
    counts = Counter(vote.choice for vote in votes if vote.kind == DUEL and vote.choice != "skip")
    loser = "first" if winner == "second" else "second"
    share = Share.of(counts[winner] + (counts["tie"] + counts["both_bad"]) / 2, counts.total())
    return {
        "rate": share.share,
        "low": share.low,
        "high": share.high,
        "votes": share.count,
        "wins": counts[winner],
        "losses": counts[loser],
        "ties": counts["tie"],
        "both_bad": counts["both_bad"],
    }


def _first_words(votes: Iterable[Vote]) -> Iterable[Vote]:
    """Leave out catch pairs and repeats, which are there to check the rater."""
    return (vote for vote in votes if vote.kind != CATCH and not vote.repeat)
