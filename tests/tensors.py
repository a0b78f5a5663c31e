"""Tensors as tests write them down."""

import torch

T, F = True, False
"""For masks, so that their rows stand under each other."""


def tensor(rows):
    return torch.tensor(rows, dtype=torch.float64)
