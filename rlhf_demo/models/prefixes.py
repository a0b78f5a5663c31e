"""A text's score, and those of its beginnings, in one reading.

A model that reads from left to right has, at each token, read what a text that ends there holds.
So its score there is the score of that shorter text.
"""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor
from transformers import PreTrainedModel

CHECKED = 6
"""Tokens on which it is checked whether a model reads from left to right."""


def whole_rows(ids: list[list[int]]) -> list[int]:
    """Return for each row of token ids the row in whose reading it can be scored.

    That is a row which begins with it and begins no longer one; itself where there is none.
    """
    # In this order a row stands right before the rows that begin with it.
    order = sorted(range(len(ids)), key=ids.__getitem__)
    wholes = list(range(len(ids)))
    for row, after in reversed(list(pairwise(order))):
        if ids[after][: len(ids[row])] == ids[row]:
            wholes[row] = wholes[after]
    return wholes


def scores_everywhere(model: PreTrainedModel, batch: Mapping[str, Tensor], label: int) -> Tensor:
    """Return the score at each token, [batch, time].

    Args:
        batch: `input_ids` and `attention_mask`, padded on the right.
    """
    hidden = model.base_model(**batch, use_cache=False).last_hidden_state
    return model.score(hidden)[..., label]


@torch.no_grad()
def reads_left_to_right(model: PreTrainedModel) -> bool:
    """Say whether `scores_everywhere` gives the scores that the model itself gives each beginning.

    It does for decoders with a linear head named `score`, as transformers builds them; encoders
    also read what follows.
    """
    if not hasattr(model, "score"):
        return False
    some = [one for one in range(2, 20) if one != model.config.pad_token_id][:CHECKED]
    ids = torch.tensor([some], device=model.device)
    ours = scores_everywhere(model, {"input_ids": ids}, 0)[0]
    theirs = [model(input_ids=ids[:, :end]).logits[0, 0] for end in range(1, CHECKED + 1)]
    return torch.allclose(ours, torch.stack(theirs), atol=1e-3, rtol=1e-3)
