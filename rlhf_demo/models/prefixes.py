"""The scores of a text and of all its prefixes, in one forward pass.

At each token, a model that reads from left to right has seen exactly the prefix that ends there. So
its score at that token is the score of the prefix.
"""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor
from transformers import PreTrainedModel

CHECKED = 6
"""Tokens of the text on which reads_left_to_right tries a model."""


def whole_rows(ids: list[list[int]]) -> list[int]:
    """Return for each row of token ids the index of a row that gives its score too.

    That is a row of which it is a prefix and which is itself no prefix of a longer one; the row
    itself if there is none.
    """
    # In this order a row comes right before the rows that begin with it.
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
    return model.get_submodule("score")(hidden)[..., label]


@torch.no_grad()
def reads_left_to_right(model: PreTrainedModel) -> bool:
    """Return whether `scores_everywhere` gives the same scores as the model on each prefix.

    It does for decoders with a linear head named `score`, as transformers builds them. An encoder
    also reads what follows a token.
    """
    if not hasattr(model, "score"):
        return False
    probe = [token for token in range(2, 20) if token != model.config.pad_token_id][:CHECKED]
    ids = torch.tensor([probe], device=model.device)
    ours = scores_everywhere(model, {"input_ids": ids}, 0)[0]
    theirs = [model(input_ids=ids[:, :end]).logits[0, 0] for end in range(1, CHECKED + 1)]
    return torch.allclose(ours, torch.stack(theirs), atol=1e-3, rtol=1e-3)
