"""A scoring head learned from a few votes, on a body that stays as it is.

The score of a text is w . f, where f is the body's last vector at the text's last token. A pair's
probability that A wins is sigmoid(score of A - score of B): Bradley and Terry 1952. Only w is
learned: by maximum likelihood with a penalty on its length (ridge), which has one solution.
"""

import torch
from torch import Tensor

from rlhf_demo.models.policy import Policy

STEPS = 12
"""Of Newton's method; it stands still after about six."""


@torch.no_grad()
def last_vectors(policy: Policy, ids: list[list[int]]) -> Tensor:
    """Return the body's last vector at the last token of each text: [texts, D]."""
    longest = max(map(len, ids))
    rows = torch.tensor([row + [0] * (longest - len(row)) for row in ids])
    lengths = torch.tensor([len(row) for row in ids])
    mask = torch.arange(longest) < lengths[:, None]
    hidden = policy.hidden(rows, mask).last_hidden_state
    return hidden[torch.arange(len(ids)), lengths - 1].float()


def fit_head(differences: Tensor, ridge: float) -> Tensor:
    """Return the weights [D] that explain the votes best: the least

        sum of -log sigmoid(w . d), plus ridge / 2 |w|^2

    Args:
        differences: [votes, D] vector of the chosen text less that of the other.
        ridge: above 0; the larger, the shorter are the weights.
    """
    weights = torch.zeros(differences.shape[1])
    for _ in range(STEPS):
        wins = torch.sigmoid(differences @ weights)
        gradient = ridge * weights - (1 - wins) @ differences
        spread = wins * (1 - wins)
        curvature = (differences.T * spread) @ differences + ridge * torch.eye(len(weights))
        weights = weights - torch.linalg.solve(curvature, gradient)
    return weights
