"""95% intervals of shares: for independent trials, for pairs with several votes each, and for votes
that people watch as they come in.

Votes on one pair resemble each other: three people who agree say little more than one. So the unit
is the pair, and an interval that treats votes as independent is too narrow. With three voters per
pair who agree 80% of the time, it covers the truth in 82% of cases instead of 95%.
`python -m bench.vote_intervals` measures the coverage of each interval here.
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from statistics import NormalDist

Z_95 = 1.959964
"""Standard normal quantile: 95% of a normal distribution is within so many standard deviations."""

TIGHTEST_AT = 40
"""Number of pairs for which the watched interval is relatively narrowest: one voter's half hour."""


def wilson_interval(successes: float, trials: float) -> tuple[float, float]:
    """Return the 95% interval of a share (Wilson 1927). It holds near 0 and 1 and for few trials.

    Args:
        successes: number of successful trials; a tie may count as half.
        trials: number of independent trials, at least 0. An effective number may be a fraction.
            Without trials the interval is 0 to 1.
    """
    if not trials:
        return 0.0, 1.0
    share, z2 = successes / trials, Z_95**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z_95 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def cluster_interval(values: Sequence[float], groups: Sequence[Hashable]) -> tuple[float, float]:
    """Return the 95% interval of a mean whose values come in independent groups.

    It is Wilson's interval for the effective number of values: their number divided by the design
    effect. The design effect is estimated from the groups' sums (Kish 1965; the variance is the
    cluster-robust one) and kept between 1 and its value when all values of a group are equal.
    Student's t replaces the normal quantile to allow for the estimate (Korn and Graubard 1998).
    With one value in each group, the result is Wilson's interval itself.

    Args:
        values: 0 to 1 each; a tie may be a half.
        groups: the group of each value; for votes, the pair. As many as values.
    """
    count, sums = len(values), _sums(values, groups)
    if len(sums) == count:
        return wilson_interval(sum(values), count)
    share = sum(values) / count
    fewest = count**2 / sum(size**2 for size, _ in sums)
    if len(sums) == 1:
        return wilson_interval(share * fewest, fewest)
    scatter = sum((total - size * share) ** 2 for size, total in sums)
    variance = len(sums) / (len(sums) - 1) * scatter / count**2
    worth = share * (1 - share) / variance if variance else fewest
    worth = min(max(worth, fewest), count) * (Z_95 / t_95(len(sums) - 1)) ** 2
    return wilson_interval(share * worth, worth)


def watched_interval(values: Sequence[float], groups: Sequence[Hashable]) -> tuple[float, float]:
    """Return a confidence sequence: people may check it after every value, and with a probability
    of 95% it contains the mean at all these times together.

    Robbins' normal mixture for sums of bounded values (Howard, Ramdas, McAuliffe and Sekhon 2021,
    https://arxiv.org/abs/1810.08240, equation 14). A group counts as one value, its mean, whose
    variance is at most 1/4, as for a coin. Nothing is estimated, so it also holds for few groups.
    It is about 1.6 times as wide as an interval that is checked once.

    At a single moment it misses with a probability of at most 0.25% (its boundary in standard
    deviations of a normal sum). So it also holds if every check has its own values, like the
    held-out votes of a class's reward models: over 20 checks the misses add up to 5% at most.

    Args:
        values: 0 to 1 each; a tie may be a half.
        groups: the group of each value; for votes, the pair. As many as values.
    """
    if not values:
        return 0.0, 1.0
    count, sums = len(values), _sums(values, groups)
    weights = [size * len(sums) / count for size, _ in sums]  # 1 on average
    variance = sum(weight**2 for weight in weights) / 4
    mixing = TIGHTEST_AT / 4 / 8  # the boundary is lowest when the variance is 8 times this
    reach = math.sqrt((variance + mixing) * math.log((variance + mixing) / (mixing * 0.05**2)))
    mean, half = sum(values) / count, reach / len(sums)
    return max(0.0, mean - half), min(1.0, mean + half)


def t_95(freedom: int) -> float:
    """Return the 97.5% quantile of Student's t (Abramowitz and Stegun 26.7.5).

    Args:
        freedom: degrees of freedom, at least 1. From 3 on the error is below 1%. At 1 the result is
            10 instead of 13, but an interval of a share says almost nothing in either case.
    """
    return _student(Z_95, freedom)


def t_quantile(freedom: int, misses: float) -> float:
    """Return the t beyond which Student's t lies with a probability, on both sides together.

    Args:
        freedom: degrees of freedom, at least 1.
        misses: the probability. From 3 degrees on, the error is below 1% at 0.05, and below 6% at
            0.005; for 1 and 2 there is none.
    """
    if freedom == 1:
        return 1 / math.tan(math.pi * misses / 2)
    if freedom == 2:
        return math.sqrt(2 / (misses * (2 - misses)) - 2)
    return _student(NormalDist().inv_cdf(1 - misses / 2), freedom)


def _student(z: float, freedom: int) -> float:
    """Return the quantile of Student's t at a quantile of the normal distribution."""
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )


def _sums(values: Iterable[float], groups: Iterable[Hashable]) -> list[tuple[int, float]]:
    """Return (number of values, their sum) of each group."""
    by_group: dict[Hashable, list[float]] = defaultdict(list)
    for value, group in zip(values, groups, strict=True):
        by_group[group].append(value)
    return [(len(members), sum(members)) for members in by_group.values()]
