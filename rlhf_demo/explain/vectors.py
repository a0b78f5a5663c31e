"""The vectors that a model gives to tokens and to positions, compared by their direction.

Sources: Vaswani et al. 2017, section 3.5 (sinusoids); Radford et al. 2018, section 4.1 (GPT learns
its vectors of positions instead).
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

LONGEST_WAVE = 10_000.0
"""The slowest sinusoid's length, in positions, over 2 pi."""


def similarities(vectors: Tensor) -> Tensor:
    """Return the cosine of the angle between each two rows of [N, D], as [N, N]: 1 for the same."""
    directions = normalize(vectors, dim=-1)
    return directions @ directions.T


def nearest(vectors: Tensor, row: int, count: int) -> tuple[Tensor, Tensor]:
    """Return the rows whose direction is closest to that of one row, which is left out.

    Args:
        vectors: [N, D].
        row: of N.
        count: of the nearest.

    Returns:
        Their cosines [count], the highest first, and their numbers [count].
    """
    directions = normalize(vectors, dim=-1)
    cosines = directions @ directions[row]
    cosines[row] = -2.0  # below every cosine
    found = cosines.topk(count)
    return found.values, found.indices


def sinusoids(count: int, width: int) -> Tensor:
    """Return [count, width]: of each position, sines and cosines of waves of growing length."""
    positions = torch.arange(count)[:, None]
    angles = positions / LONGEST_WAVE ** (torch.arange(0, width, 2) / width)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
