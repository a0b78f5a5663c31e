"""Means and whitening over real response tokens, and the shapes that go with them.

Shapes: `batch` responses, `time` tokens of a response. `response_mask` is True at real response
tokens, the first EOS included.
"""

import torch
from torch import Tensor

from rlhf_demo.errors import ShapeError


def check_shapes(**tensors: Tensor) -> None:
    """Make sure that tensors which belong together agree in shape.

    Raises:
        ShapeError: they do not; names each with its shape.
    """
    if len({tensor.shape for tensor in tensors.values()}) > 1:
        shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in tensors.items())
        raise ShapeError(f"these must have one shape: {shapes}")


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Average x [any shape] where mask is True; 0 where it is True nowhere."""
    return (x * mask).sum() / mask.sum().clamp_min(1)


def whiten(x: Tensor, mask: Tensor) -> Tensor:
    """Shift and scale x [batch, time] to mean 0 and variance 1 over the mask; 0 outside it."""
    check_shapes(x=x, mask=mask)
    mean = masked_mean(x, mask)
    variance = masked_mean((x - mean) ** 2, mask)
    return (x - mean) * torch.rsqrt(variance + 1e-8) * mask


def explained_variance(values: Tensor, returns: Tensor, response_mask: Tensor) -> Tensor:
    """Fraction of the variance of the returns that the values explain.

    1 is perfect, 0 no better than the mean.
    """
    error = returns - values
    mean_error, mean_return = masked_mean(error, response_mask), masked_mean(returns, response_mask)
    unexplained = masked_mean((error - mean_error) ** 2, response_mask)
    variance = masked_mean((returns - mean_return) ** 2, response_mask)
    return 1.0 - unexplained / variance.clamp_min(1e-8)
