"""The policy that a KL penalty asks for: the best one there is, in a formula.

PPO maximises the mean reward minus beta times the KL from the reference. Of all policies, the one
that does this best gives each response the probability reference * exp(reward / beta), divided by
the sum over all responses (Ziegler et al. 2019, https://arxiv.org/abs/1909.08593, section 2;
Rafailov et al. 2023, https://arxiv.org/abs/2305.18290, equation 4). Here a response is one token.
"""

import torch
from torch import Tensor


def optimum(reference: Tensor, rewards: Tensor, beta: float) -> Tensor:
    """Return the probabilities [responses] of the best policy.

    Args:
        reference: [responses] probabilities of the reference, which sum to 1.
        rewards: [responses] in reward units.
        beta: of the KL penalty, reward units per nat, above 0.
    """
    return torch.softmax(reference.log() + rewards / beta, dim=-1)
