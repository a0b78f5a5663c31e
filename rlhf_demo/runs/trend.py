"""Whether a noisy series of figures has changed, or only seems to.

The figures of a step come from one batch of texts, so they jump. A series counts as changed only if
the means of its first and last steps differ by more than such jumps explain.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from rlhf_demo.files import Row

FEWEST = 6
"""Fewest steps for a trend: before, the learning rate still rises."""
END_STEPS = 5
"""Steps in the mean at each end of a series; fewer if the series has under 15 steps."""
NOISE = 2.0
"""Standard errors above which a change counts: few flat series exceed it by chance."""


@dataclass(frozen=True)
class Trend:
    """The start, the newest and the best value of a series (means of a few steps), and its noise.

    With too few steps nothing is known: all values but the noise are NaN, so every comparison is
    false.
    """

    start: float
    now: float
    best: float
    best_step: int
    noise: float

    @property
    def gain(self) -> float:
        """How much higher the series is than at its start; negative if it fell."""
        return self.now - self.start

    @property
    def ratio(self) -> float:
        """Its value now as a multiple of its start (NaN for a start at 0)."""
        return self.now / self.start if self.start else math.nan

    @property
    def rose(self) -> bool:
        """Whether it is higher than at its start by more than noise."""
        return self.gain > self.noise

    @property
    def fell(self) -> bool:
        """Whether it is lower than at its start by more than noise."""
        return -self.gain > self.noise

    def words(self, unit: str) -> str:
        """Describe the change: "rose by 0.90 nats", or "moved by -0.03 nats (noise: 0.12)"."""
        if self.rose or self.fell:
            return f"{'rose' if self.rose else 'fell'} by {number(abs(self.gain))} {unit}"
        return f"moved by {number(self.gain, sign='+')} {unit} (noise: {number(self.noise)})"


def trend(rows: Sequence[Row], name: str) -> Trend:
    """Return the trend of the series `name`.

    The variance of single steps comes from the jumps between neighbours, which a slow rise hardly
    changes (von Neumann 1941): variance = mean squared jump / 2.
    """
    if len(rows) < FEWEST:
        return Trend(math.nan, math.nan, math.nan, 0, math.inf)
    values = [row[name] for row in rows]
    width = min(END_STEPS, len(values) // 3)
    means = [fmean(values[first : first + width]) for first in range(len(values) - width + 1)]
    variance = fmean([(after - before) ** 2 for before, after in pairwise(values)]) / 2
    best = max(range(len(means)), key=means.__getitem__)
    # Both ends are means of `width` steps, and their variances add up.
    noise = NOISE * math.sqrt(2 * variance / width)
    return Trend(means[0], means[-1], means[best], rows[best + width // 2]["step"], noise)


def number(x: float, sign: str = "") -> str:
    """Write two or three significant digits, never -0; with sign="+", also a plus."""
    digits = 2 if abs(x) < 1 else 1 if abs(x) < 100 else 0
    return f"{round(x, digits) + 0.0:{sign}.{digits}f}"
