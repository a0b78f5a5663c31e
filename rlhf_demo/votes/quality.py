"""The quality of votes: ties, sides, agreement between and within people, carelessness.

Pure functions on votes, without a database. The unit of the intervals is the pair, since votes on
one pair resemble each other. The intervals are about further pairs judged by these people, not
about other people.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from statistics import median
from typing import NotRequired, TypedDict

from rlhf_demo.intervals import cluster_interval, watched_interval
from rlhf_demo.votes.vote import ATTENTION_CHECK, DUEL, Vote

SLIPS = 0.05
"""Highest probability that a careful reader prefers one of two identical texts by mistake."""

CARELESS_SLIPS = 0.7
"""The same for a careless reader: a typical value; the test works for others too."""

HABIT = (0.4, 0.6)
"""Range of the share of left texts for careful readers with a habit: sides are drawn at random."""

FALSE_ALARMS = 0.05
"""Probability that any careful voter is ever called careless, among all present voters. It grows
slowly as more voters come one after another.
"""


class Share(TypedDict):
    """A share with its 95% interval, all from 0 to 1; `share` is None if nothing was counted."""

    share: float | None
    low: float
    high: float
    count: int
    units: int  # number of independent units: pairs, if a pair has several votes


class Quality(TypedDict):
    """The quality of some votes; accuracy and alpha are at most 1."""

    votes: int
    ties: Share
    left: Share
    alpha: float | None
    self_agreement: Share
    caught: Share
    with_others: Share
    highest_accuracy: float | None
    simulated: NotRequired[int]  # number of these votes


class VoterRow(TypedDict):
    """How careful one voter's answers are."""

    voter: int
    simulated: bool
    left_out: bool
    votes: int
    ties: Share
    left: Share
    self_agreement: Share
    caught: Share
    with_others: Share  # of the preferences that the majority of the others has too
    seconds: float | None  # median for an answer; None if unknown
    careless: list[str]  # reasons in words; empty for a careful voter
    nickname: NotRequired[str]  # in a class


class WinRate(TypedDict):
    """How often one model beats another; the rate is None without votes."""

    rate: float | None  # 0 to 1
    low: float  # of the 95% interval
    high: float
    votes: int
    pairs: int  # number of pairs with votes
    wins: int
    losses: int
    ties: int
    both_bad: int


def share_of(values: Sequence[float], units: Sequence[Hashable]) -> Share:
    """Make a share from values of 0 to 1 (a tie may be half) and the unit of each value."""
    low, high = cluster_interval(values, units)
    share = sum(values) / len(values) if values else None
    return {
        "share": share,
        "low": low,
        "high": high,
        "count": len(values),
        "units": len(set(units)),
    }


# -- all votes together ----------------------------------------------------------------------------


def tie_share(votes: Iterable[Vote]) -> Share:
    """Return the share of ties among all answers except skips."""
    answers = [vote for vote in _first_words(votes) if vote.choice != "skip"]
    return share_of([vote.choice == "tie" for vote in answers], [vote.pair for vote in answers])


def left_share(votes: Iterable[Vote]) -> Share:
    """Return how often the left text was preferred: half the time if the side does not matter.

    Attention checks and repeats count too; votes whose side is not known do not. The unit is the
    vote: sides are drawn for each assignment, so the pair's texts have no influence.
    """
    sides = [vote.left for vote in votes if vote.decided and vote.left is not None]
    return share_of(sides, range(len(sides)))


def krippendorff_alpha(ratings: Iterable[tuple[Hashable, Hashable, Hashable]]) -> float | None:
    """Return Krippendorff's alpha for nominal labels: 1 for full agreement, 0 for chance agreement.

    From coincidences within units, as in Krippendorff 2011, "Computing Krippendorff's
    Alpha-Reliability", https://repository.upenn.edu/asc_papers/43, section C.

    Args:
        ratings: (unit, voter, label), one for each label given; a voter labels a unit once.

    Returns:
        None if no unit has two labels, or if all labels are the same: chance agreement is then
        full, and alpha is undefined.
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
    """Return alpha over pairs that several people answered; a unit is a pair and a question."""
    return krippendorff_alpha(
        ((vote.pair, vote.question), vote.voter, vote.choice)
        for vote in _first_words(votes)
        if vote.choice != "skip"
    )


def self_agreement(votes: Iterable[Vote]) -> Share:
    """Return how often people answered a repeated pair as before; skips do not count."""
    answers: dict[tuple[int, str, int], dict[bool, str]] = defaultdict(dict)
    for vote in votes:
        if vote.kind != ATTENTION_CHECK and vote.choice != "skip":
            answers[vote.pair, vote.question, vote.voter][vote.repeat] = vote.choice
    both = {key: choices for key, choices in answers.items() if len(choices) == 2}
    return share_of(
        [choices[False] == choices[True] for choices in both.values()], [pair for pair, *_ in both]
    )


def caught_share(votes: Iterable[Vote]) -> Share:
    """Return how often people preferred one of two identical texts."""
    checks = [vote for vote in votes if vote.kind == ATTENTION_CHECK]
    return share_of([vote.decided for vote in checks], [vote.pair for vote in checks])


def agreement_with_others(votes: Iterable[Vote]) -> Share:
    """Return how well the other voters on a pair predict a voter's preference.

    The majority of the others on the same pair predicts each vote (leave one out). If they are
    split, a coin decides, which is right half the time. This is no upper limit for a reward model:
    a few people are a noisy guide to the taste that they share, and a model that has learned the
    taste from many pairs predicts better. `highest_accuracy` is such a limit.
    """
    votes = list(votes)
    return _with_others(votes, _tallies(votes))


def highest_accuracy(votes: Iterable[Vote], single: int = 0) -> float | None:
    """Return the share of these votes that the best possible predictor gets right.

    A predictor with one answer for all votes on a pair, like a reward model, gets at most the
    larger side of the pair's votes right, which is half of them if they are split.

    Args:
        votes: any votes.
        single: number of further pairs with one preference each, as those of rankings.

    Returns:
        None if no pair has two preferences, because the limit is then 1 and says nothing.
    """
    tallies = _tallies(votes).values()
    if all(tally.total() < 2 for tally in tallies):
        return None
    right = single + sum(max(tally.values()) for tally in tallies)
    return right / (single + sum(tally.total() for tally in tallies))


def vote_quality(votes: Sequence[Vote]) -> Quality:
    """Return all of the above."""
    return {
        "votes": len(votes),
        "ties": tie_share(votes),
        "left": left_share(votes),
        "alpha": votes_alpha(votes),
        "self_agreement": self_agreement(votes),
        "caught": caught_share(votes),
        "with_others": agreement_with_others(votes),
        "highest_accuracy": highest_accuracy(votes),
    }


# -- one voter -------------------------------------------------------------------------------------


def voter_table(votes: Sequence[Vote]) -> list[VoterRow]:
    """Describe how careful each voter's answers are: one row per voter, by number."""
    by_voter: dict[int, list[Vote]] = defaultdict(list)
    for vote in votes:
        by_voter[vote.voter].append(vote)
    tallies = _tallies(votes)
    rows: list[VoterRow] = []
    for voter, own in sorted(by_voter.items()):
        times = [vote.seconds for vote in own if vote.seconds is not None]
        rows.append(
            {
                "voter": voter,
                "simulated": own[0].simulated,
                "left_out": own[0].left_out,
                "votes": len(own),
                "ties": tie_share(own),
                "left": left_share(own),
                "self_agreement": self_agreement(own),
                "caught": caught_share(own),
                "with_others": _with_others(own, tallies),
                "seconds": median(times) if times else None,
                "careless": careless_reasons(own, len(by_voter)),
            }
        )
    return rows


def careless_reasons(votes: Sequence[Vote], voters: int) -> list[str]:
    """Say in words why one voter's votes look careless; return nothing if they do not.

    Votes look careless if they are 20 * `voters` times likelier from a careless reader than from a
    careful one (product of the binomial likelihoods of sides and of attention checks). For a
    careful reader, this ratio is bounded by a process that does not rise on average. So it reaches
    the threshold at any moment of the voting with a probability of at most 1 / (20 voters) (Ville
    1939; Ramdas et al. 2023, https://arxiv.org/abs/2210.01948). Among so many voters, the
    probability that any careful one is ever named is therefore at most 5%, however often the
    instructor looks.

    Args:
        votes: the voter's, in any order.
        voters: number of voters who are checked in this way.
    """
    read = [vote for vote in votes if vote.decided and vote.kind != ATTENTION_CHECK]
    sides = [vote.left for vote in read if vote.left is not None]
    caught = [vote.decided for vote in votes if vote.kind == ATTENTION_CHECK]
    by_side = side_evidence(sum(sides), len(sides))
    by_check = check_evidence(sum(caught), len(caught))
    if by_side + by_check < math.log(voters / FALSE_ALARMS):
        return []
    reasons: list[str] = []
    if by_check > 0:
        reasons.append(
            f"preferred one of two identical texts {sum(caught)} times out of {len(caught)}"
        )
    if by_side > 0:
        most, side = max((sum(sides), "left"), (len(sides) - sum(sides), "right"))
        reasons.append(f"chose the {side} text {most} times out of {len(sides)}")
    return reasons


def side_evidence(left: int, count: int) -> float:
    """Return the log likelihood ratio of these sides: careless reader over careful reader.

    A careless reader takes the left text with a probability that is uniform on 0 to 1, so each
    order has the likelihood 1 / ((count + 1) (count choose left)). A careful reader has the
    probability within HABIT that fits best.
    """
    habit = min(max(left / count if count else 0.5, HABIT[0]), HABIT[1])
    careful = left * math.log(habit) + (count - left) * math.log(1 - habit)
    return -math.log((count + 1) * math.comb(count, left)) - careful


def check_evidence(caught: int, count: int) -> float:
    """Return the log likelihood ratio of these slips: careless reader over careful reader."""
    passed = count - caught
    return caught * math.log(CARELESS_SLIPS / SLIPS) + passed * math.log(
        (1 - CARELESS_SLIPS) / (1 - SLIPS)
    )


def _tallies(votes: Iterable[Vote]) -> dict[Hashable, Counter[str]]:
    """Count the preferences on each pair under each question."""
    tallies: dict[Hashable, Counter[str]] = defaultdict(Counter)
    for vote in _first_words(votes):
        if vote.decided:
            tallies[vote.pair, vote.question][vote.choice] += 1
    return tallies


def _with_others(own: Iterable[Vote], tallies: dict[Hashable, Counter[str]]) -> Share:
    """Return how often the others' majority has the same preference; a split counts half."""
    right: list[float] = []
    units: list[Hashable] = []
    for vote in _first_words(own):
        tally = tallies[vote.pair, vote.question]
        same, other = tally[vote.choice] - 1, tally.total() - tally[vote.choice]
        if vote.decided and (same or other):
            right.append(1.0 if same > other else 0.5 if same == other else 0.0)
            units.append((vote.pair, vote.question))
    return share_of(right, units)


# -- blind votes -----------------------------------------------------------------------------------


def win_rate(votes: Iterable[Vote], winner: str = "second", *, watched: bool = False) -> WinRate:
    """Return how often one model beats the other in blind votes.

    Ties stay in: they, and pairs where both are bad, count half for each; skips do not count.

    Args:
        votes: any votes; only blind votes count.
        winner: whose wins to count: "second" is the contender, "first" the base.
        watched: people see the figure while votes come in, and may stop when they like it; the
            interval then holds at all times together. Otherwise it holds for one look, at a moment
            that does not depend on the figure.
    """
    duels = [vote for vote in votes if vote.kind == DUEL and vote.choice != "skip"]
    counts = Counter(vote.choice for vote in duels)
    points = [1.0 if vote.choice == winner else 0.5 * (not vote.decided) for vote in duels]
    pairs = [vote.pair for vote in duels]
    low, high = (watched_interval if watched else cluster_interval)(points, pairs)
    return {
        "rate": sum(points) / len(points) if points else None,
        "low": low,
        "high": high,
        "votes": len(points),
        "pairs": len(set(pairs)),
        "wins": counts[winner],
        "losses": counts["first" if winner == "second" else "second"],
        "ties": counts["tie"],
        "both_bad": counts["both_bad"],
    }


def _first_words(votes: Iterable[Vote]) -> Iterable[Vote]:
    """Leave out attention checks and repeats, which only check the voter."""
    return (vote for vote in votes if vote.kind != ATTENTION_CHECK and not vote.repeat)
