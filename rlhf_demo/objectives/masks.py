"""Means, whitening and explained variance over real response tokens; the check of shapes.

Shapes: `batch` responses, `time` tokens of a response. `response_mask` is True at real response
tokens, the first EOS included.
"""

import torch
from torch import Tensor

from rlhf_demo.errors import ShapeError


def check_shapes(**tensors: Tensor) -> None:
    """Make sure that all tensors have the same shape.

    Raises:
        ShapeError: they do not; the message gives each name with its shape.
    """
    if len({tensor.shape for tensor in tensors.values()}) > 1:
        shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in tensors.items())
        raise ShapeError(f"these tensors must have the same shape: {shapes}")


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Average x [any shape] where the mask is True; 0 if it is True nowhere."""
    return (x * mask).sum() / mask.sum().clamp_min(1)


def whiten(x: Tensor, mask: Tensor) -> Tensor:
    """Shift and scale x [batch, time] to mean 0 and variance 1 over the mask; 0 outside it.

    Huang et al. 2023 whiten the advantages so.

    Raises:
        ShapeError: x and mask differ in shape.
    """
    check_shapes(x=x, mask=mask)
    return standardise(x, *moments(x, mask)) * mask


def moments(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of x [any shape] over the mask."""
    mean = masked_mean(x, mask)
    return mean, masked_mean((x - mean) ** 2, mask)


def standardise(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Return x in deviations from a mean. Equal numbers, of variance 0, give 0."""
    return (x - mean) * torch.rsqrt(variance + 1e-8)


def explained_variance(values: Tensor, returns: Tensor, response_mask: Tensor) -> Tensor:
    """Return the fraction of the variance of the returns that the values explain.

        1 - var(R - V) / var(R)

    1 is perfect; 0 is no better than guessing the mean; below 0 is worse than that.

    Args:
        values, returns, response_mask: [batch, time].
    """
    error = returns - values
    mean_error, mean_return = masked_mean(error, response_mask), masked_mean(returns, response_mask)
    unexplained = masked_mean((error - mean_error) ** 2, response_mask)
    variance = masked_mean((returns - mean_return) ** 2, response_mask)
    return 1.0 - unexplained / variance.clamp_min(1e-8)
