"""How often the intervals of votes contain the truth, on simulated classes with a known truth.

    python -m bench.vote_intervals [--classes 1000]

The votes of two voters on one pair are correlated; `alike` is the correlation. A blind vote has
three votes on each pair, as in classes until 2026-11-27; `print_designs` compares that with one
vote on each pair, as in a class today. Takes half a minute.
"""

import argparse
import math
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from types import SimpleNamespace

from rlhf_demo.intervals import cluster_interval, watched_interval, wilson_interval
from rlhf_demo.votes.pairs import FEWEST_TO_TELL, LastRated, split_last_rated
from rlhf_demo.votes.quality import FALSE_ALARMS, check_evidence, share_of, side_evidence
from rlhf_demo.votes.rounds import RETRAIN_EVERY

VOTES_EACH, OVERLAP = 8, 3
"""Blind pairs that a student answers, and students who see each pair."""

DESIGNS = ((3, 8), (1, 8), (3, 12), (1, 12))
"""Students who see each pair of a blind vote, and pairs that each answers."""

RIGHT = 0.77
"""Probability that a student of bench.class_lesson prefers the better text: a tenth are careless
and right half the time, the others are wrong in 20%."""

ALIKE = 0.6
"""Correlation of two votes on a pair of two equal models whose voters agree in 80%."""

Stream = tuple[list[float], list[int]]
"""Votes for the first model (1) or the second (0), in their order, and the pair of each."""

Interval = Callable[[Sequence[float], Sequence[int]], tuple[float, float]]


def votes_alone(values: Sequence[float], groups: Sequence[int]) -> tuple[float, float]:
    """Return the interval that treats votes as independent, as the page did before."""
    return wilson_interval(sum(values), len(values))


def judged(
    rng: random.Random, pairs: int, votes: int, share: float, alike: float, at_once: int = 10
) -> Stream:
    """Let several people vote on each pair.

    Args:
        rng: draws everything.
        pairs: number of pairs.
        votes: votes on each pair.
        share: expected share of votes for the first side.
        alike: correlation of two votes on a pair, 0 to 1. Each pair has its own share, from a beta
            distribution with that variance.
        at_once: pairs that are answered at the same time, with mixed votes.
    """
    stream = []
    for start in range(0, pairs, at_once):
        block = []
        for pair in range(start, min(start + at_once, pairs)):
            of_pair = pair_share(rng, share, alike)
            block += [(float(rng.random() < of_pair), pair) for _ in range(votes)]
        rng.shuffle(block)
        stream += block
    return [value for value, _ in stream], [pair for _, pair in stream]


def pair_share(rng: random.Random, share: float, alike: float) -> float:
    """Draw the share of a pair's votes for the first side."""
    if alike in (0, 1):
        return share if alike == 0 else float(rng.random() < share)
    spread = (1 - alike) / alike
    return rng.betavariate(share * spread, (1 - share) * spread)


def coverage(
    interval: Interval,
    rng: random.Random,
    classes: int,
    pairs: int,
    votes: int,
    share: float,
    alike: float,
) -> float:
    """Return the share of classes in which the interval of all votes contains the true share."""
    held = 0
    for _ in range(classes):
        low, high = interval(*judged(rng, pairs, votes, share, alike))
        held += low <= share <= high
    return held / classes


def called_different(interval: Interval, stream: Stream, first_look: int | None = None) -> bool:
    """Say whether the interval excludes 50%: at the end, or at any look from a vote on."""
    values, groups = stream
    for stop in range(first_look or len(values), len(values) + 1):
        low, high = interval(values[:stop], groups[:stop])
        if not low <= 0.5 <= high:
            return True
    return False


def calls(
    interval: Interval,
    rng: random.Random,
    classes: int,
    students: int,
    *,
    share: float = 0.5,
    first_look: int | None = None,
) -> float:
    """Return the share of classes in which a blind vote calls two models different.

    Args:
        interval: the interval on which the verdict is based.
        rng: draws the classes.
        classes: number of classes.
        students: students in each class.
        share: true share of votes for the first model; a half: the models are equal.
        first_look: the vote from which the result is checked after every vote; None: only at the
            end.
    """
    pairs = -(-VOTES_EACH * students // OVERLAP)
    called = sum(
        called_different(
            interval, judged(rng, pairs, OVERLAP, share, ALIKE, students // OVERLAP), first_look
        )
        for _ in range(classes)
    )
    return called / classes


def blind_vote(rng: random.Random, share: float, students: int, each: int, seats: int) -> Stream:
    """Let students vote who all have the same taste and make mistakes.

    Args:
        rng: draws everything.
        share: of the pairs whose first text is the better one.
        students: number of students.
        each: pairs that each answers.
        seats: students who see each pair.
    """
    better = [rng.random() < share for _ in range(each * students // seats)]
    votes = [(float((rng.random() < RIGHT) == better[pair]), pair)
             for pair in range(len(better)) for _ in range(seats)]  # fmt: skip
    return [value for value, _ in votes], [pair for _, pair in votes]


def tells_apart(
    rng: random.Random, classes: int, share: float, students: int, each: int, seats: int
) -> float:
    """Return the share of classes whose blind vote's interval lies above 50%."""
    votes = (blind_vote(rng, share, students, each, seats) for _ in range(classes))
    return sum(cluster_interval(*stream)[0] > 0.5 for stream in votes) / classes


def better_than_chance(
    rng: random.Random, classes: int, pairs: int, votes: int, right: float
) -> float:
    """Return the share of classes in which the interval of an accuracy is above 50%."""
    streams = (judged(rng, pairs, votes, right, ALIKE) for _ in range(classes))
    return sum(share_of(*stream)["low"] > 0.5 for stream in streams) / classes


def better_than_chance_at_some_look(
    interval: Interval, rng: random.Random, classes: int, votes: int, right: float | None = None
) -> float:
    """Return the share of classes in which the interval of some model's accuracy is above 50%.

    As in a class, a new model is trained after every ten votes and tested on the votes on the pairs
    rated last, a fifth of all votes, once they are enough to show an accuracy.

    Args:
        interval: the interval of each accuracy.
        rng: draws the classes.
        classes: number of classes.
        votes: votes of each class in the end, three on each pair.
        right: share of votes that every model gets right; None for models that guess, with one
            guess for each pair.
    """
    share = 0.5 if right is None else right
    above = 0
    for _ in range(classes):
        stream = zip(*judged(rng, -(-votes // OVERLAP), OVERLAP, share, ALIKE), strict=True)
        cast = [
            SimpleNamespace(
                id=number, time=number, prompt=pair, pair=pair, question="", value=value,
                choice="first" if value else "second",
            )
            for number, (value, pair) in enumerate(stream)
        ]  # fmt: skip
        stops = range(5 * FEWEST_TO_TELL, votes + 1, RETRAIN_EVERY)  # nothing is shown before
        looks = (split_last_rated(cast[:stop]) for stop in stops)
        above += any(above_chance(interval, rng, look, right) for look in looks)
    return above / classes


def above_chance(
    interval: Interval, rng: random.Random, look: LastRated, right: float | None
) -> bool:
    """Say whether the interval of a model's accuracy on the held-out votes is above 50%."""
    if look.too_few_to_tell:
        return False
    groups = [vote.pair for vote in look.held_out]
    values = [vote.value for vote in look.held_out]
    if right is None:
        guesses = {pair: rng.random() < 0.5 for pair in sorted(set(groups))}
        values = [float(value == guesses[pair]) for value, pair in zip(values, groups, strict=True)]
    return interval(values, groups)[0] > 0.5


def named_within(answers: int, voters: int, *, left: float = 0.5, slips: float = 0.05) -> float:
    """Return the probability that a voter is named careless at any of their answers.

    Exact, from the binomial: it follows all paths of sides and attention checks. A tenth of the
    answers, the fifth of each ten, are on attention checks.

    Args:
        answers: number of answers; all are preferences, except on passed attention checks.
        voters: number of voters who are tested.
        left: probability of the left text.
        slips: probability of a preference on an attention check.
    """
    paths, named = {(0, 0, 0, 0): 1.0}, 0.0
    for answer in range(answers):
        further: dict[tuple[int, int, int, int], float] = defaultdict(float)
        for (lefts, sides, caught, catches), p in paths.items():
            if answer % 10 == 4:
                further[lefts, sides, caught + 1, catches + 1] += p * slips
                further[lefts, sides, caught, catches + 1] += p * (1 - slips)
            else:
                further[lefts + 1, sides + 1, caught, catches] += p * left
                further[lefts, sides + 1, caught, catches] += p * (1 - left)
        paths = {}
        for state, p in further.items():
            evidence = side_evidence(*state[:2]) + check_evidence(*state[2:])
            if evidence >= math.log(voters / FALSE_ALARMS):
                named += p
            else:
                paths[state] = p
    return named


# -- the tables ------------------------------------------------------------------------------------


def print_coverage(rng: random.Random, classes: int) -> None:
    """Print how often 95% intervals contain the truth, for several shares and sizes of class."""
    print("| true share | alike | pairs x votes | votes as units | pairs as units |")
    print("|---|---|---|---|---|")
    for share in (0.5, 0.8, 0.95):
        for alike in (0.0, 0.3, 0.6):
            for pairs, votes in ((10, 3), (20, 1), (20, 5), (40, 3), (80, 3)):
                held = [
                    coverage(interval, rng, classes, pairs, votes, share, alike)
                    for interval in (votes_alone, cluster_interval)
                ]
                print(f"| {share} | {alike} | {pairs} x {votes} | {held[0]:.3f} | {held[1]:.3f} |")


def print_calls(rng: random.Random, classes: int) -> None:
    """Print how often a blind vote calls models different, by interval and time of the look."""
    print("\n| students | models | interval | at the end | at any look from vote 10 on |")
    print("|---|---|---|---|---|")
    named = {
        "votes as units": votes_alone,
        "pairs as units": cluster_interval,
        "watched": watched_interval,
    }
    for students in (10, 20, 30):
        for name, interval in named.items():
            end = calls(interval, rng, classes, students)
            looks = calls(interval, rng, classes // 3, students, first_look=10)
            print(f"| {students} | equal | {name} | {end:.3f} | {looks:.3f} |")
    for students in (10, 20, 30):
        for share in (0.65, 0.75):
            for name in ("pairs as units", "watched"):
                called = calls(named[name], rng, classes, students, share=share)
                print(f"| {students} | {share:.0%} prefer one | {name} | {called:.3f} | |")
    one_voter = [judged(rng, 100, 1, 0.5, 0.0) for _ in range(classes // 3)]
    for name in ("pairs as units", "watched"):
        called = sum(called_different(named[name], votes, 10) for votes in one_voter)
        share = called / len(one_voter)
        print(f"| one visitor, 100 pairs | equal | {name} | | {share:.3f} |")


def print_accuracy(rng: random.Random, classes: int) -> None:
    """Print how often a reward model's accuracy on held-out votes is above chance."""
    print("\n| right on | held-out pairs x votes | above chance |")
    print("|---|---|---|")
    for right in (0.7, 0.8):
        for pairs, votes in ((8, 1), (10, 1), (10, 3), (20, 1), (20, 3), (40, 1), (40, 3)):
            above = better_than_chance(rng, classes, pairs, votes, right)
            print(f"| {right:.0%} of votes | {pairs} x {votes} | {above:.2f} |")


def print_curve(rng: random.Random, classes: int) -> None:
    """Print how often a class's curve of accuracies is above chance at one of its points."""
    print("\n| reward models | votes in the end | pairs as units | watched |")
    print("|---|---|---|---|")
    for right in (None, 0.7, 0.8, 0.9):
        for votes in (100, 200, 400):
            shares = [
                better_than_chance_at_some_look(interval, rng, classes, votes, right)
                for interval in (cluster_interval, watched_interval)
            ]
            named = "guess" if right is None else f"right on {right:.0%} of votes"
            print(f"| {named} | {votes} | {shares[0]:.3f} | {shares[1]:.3f} |")


def print_careless() -> None:
    """Print who is named careless in a class of 30."""
    print("\n| voter, in a class of 30 | 15 answers | 25 | 40 |")
    print("|---|---|---|---|")
    for who, traits in {
        "careful, a slip on 5% of attention checks": {},
        "careful, left in 60%": {"left": 0.6},
        "always left": {"left": 1.0, "slips": 1.0},
        "always left, but sees that texts are identical": {"left": 1.0, "slips": 0.0},
        "either side, also of identical texts": {"slips": 1.0},
        "left in 80%, also of identical texts": {"left": 0.8, "slips": 1.0},
        "prefers one of identical texts in half of all cases": {"slips": 0.5},
    }.items():
        named = [named_within(answers, 30, **traits) for answers in (15, 25, 40)]
        print(f"| {who} | {' | '.join(f'{p:.4f}' for p in named)} |")


def print_designs(rng: random.Random, classes: int) -> None:
    """Print how often twenty students find out that a model is better, for each design."""
    heads = " | ".join(f"{seats} on each pair, {each} each" for seats, each in DESIGNS)
    print(f"\n| better on | {heads} |")
    for share in (0.7, 0.75, 0.8):
        found = (tells_apart(rng, classes, share, 20, each, seats) for seats, each in DESIGNS)
        print(f"| {share:.0%} of pairs | {' | '.join(f'{one:.2f}' for one in found)} |")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, default=1000, help="simulated for each figure")
    classes = parser.parse_args().classes
    rng = random.Random(0)
    print_coverage(rng, classes)
    print_calls(rng, classes)
    print_accuracy(rng, classes)
    print_curve(rng, classes)
    print_careless()
    print_designs(rng, classes)


if __name__ == "__main__":
    main()
