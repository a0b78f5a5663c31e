"""Cosines and sinusoids, worked by hand."""

import math

import pytest
import torch

from rlhf_demo.explain.vectors import nearest, similarities, sinusoids

ROWS = torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 5.0], [-3.0, 0.0], [9.0, 1.0]])


def test_similarities_worked_by_hand():
    found = similarities(ROWS[:4])
    root = 1 / math.sqrt(2)
    expected = [[1, root, 0, -1], [root, 1, root, -root], [0, root, 1, 0], [-1, -root, 0, 1]]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_nearest_worked_by_hand():
    cosines, rows = nearest(ROWS, 0, 3)
    assert rows.tolist() == [4, 1, 2]
    assert cosines.tolist() == pytest.approx([9 / math.sqrt(82), 1 / math.sqrt(2), 0], abs=1e-6)


def test_sinusoids_worked_by_hand():
    found = sinusoids(3, 4)
    assert found.shape == (3, 4)
    expected = [math.sin(2), math.cos(2), math.sin(0.02), math.cos(0.02)]
    assert found[2].tolist() == pytest.approx(expected, abs=1e-6)
    assert found[0].tolist() == [0, 1, 0, 1]
