"""Rankings in a reward model's batches (Ouyang et al. 2022, section 3.5, equation 1).

A ranking of K texts is K(K-1)/2 pairs that share their texts. If these were shuffled with all
others, each text would be in K-1 of an epoch's steps, and the model would overfit. So all pairs of
a ranking are one row of the training data, and its loss is their mean:

    -1 / (K(K-1)/2) * the sum over its pairs of log sigmoid(score of better - score of worse)

A vote is a row with one pair. The loss of a batch is the mean over its rows, so a pair's weight is
1 for a vote and 1/6 in a ranking of four. The model reads each text of a row once, not K-1 times.

Source: Ouyang et al. 2022, "InstructGPT" (https://arxiv.org/abs/2203.02155).
"""

from collections.abc import Hashable, Sequence
from typing import Any, Literal, TypedDict

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid
from torch.nn.utils.rnn import pad_sequence

from rlhf_demo.train.pair_scoring import EncodedPairs


class RankedRow(TypedDict):
    """The pairs of a ranking, or the pair of one vote."""

    texts: list[list[int]]  # token ids of each different text
    better: list[int]  # for each pair, the places in `texts` of its two
    worse: list[int]


ROW_COLUMNS: tuple[Literal["texts", "better", "worse"], ...] = ("texts", "better", "worse")


def ranked_rows(pairs: EncodedPairs) -> list[RankedRow]:
    """Return the pairs with those of each ranking in one row, in the order of their first pairs."""
    members: dict[Hashable, list[int]] = {}
    for index, ranking in enumerate(pairs.rankings or [None] * len(pairs.chosen_ids)):
        members.setdefault(index if ranking is None else ranking, []).append(index)
    rows: list[RankedRow] = []
    for indices in members.values():
        places: dict[tuple[int, ...], int] = {}
        better, worse = (
            [places.setdefault(tuple(side[index]), len(places)) for index in indices]
            for side in (pairs.chosen_ids, pairs.rejected_ids)
        )
        rows.append({"texts": [list(text) for text in places], "better": better, "worse": worse})
    return rows


def collate(rows: Sequence[RankedRow], pad_id: int) -> dict[str, Tensor]:
    """Join rows to a batch.

    Returns:
        `input_ids` and `attention_mask`, int64 [texts, time], padded at the right; `sides`, int64
        [2 * pairs], the text of each pair's better side and then of each pair's worse side;
        `weights`, float32 [pairs], which sum to the number of rows.
    """
    texts = [torch.tensor(text) for row in rows for text in row["texts"]]
    better: list[int] = []
    worse: list[int] = []
    weights: list[float] = []
    first = 0  # text of the row, in the batch
    for row in rows:
        better += [first + place for place in row["better"]]
        worse += [first + place for place in row["worse"]]
        weights += [1 / len(row["better"])] * len(row["better"])
        first += len(row["texts"])
    return {
        "input_ids": pad_sequence(texts, batch_first=True, padding_value=pad_id),
        "attention_mask": pad_sequence([torch.ones_like(t) for t in texts], batch_first=True),
        "sides": torch.tensor(better + worse),
        "weights": torch.tensor(weights),
    }


def ranking_loss(better: Tensor, worse: Tensor, weights: Tensor) -> Tensor:
    """Return the loss of a batch, nats per row.

    Args:
        better: [pairs], the scores of the preferred texts.
        worse: [pairs], the scores of the others.
        weights: [pairs], as of `collate`.
    """
    return -(weights * logsigmoid(better - worse)).sum() / weights.sum()


def ranking_trainer() -> Any:
    """Return TRL's RewardTrainer, changed to take rows of rankings and to weight their pairs."""
    from trl.trainer.reward_trainer import RewardTrainer  # noqa: PLC0415  (seconds and 470 MiB)

    class RankingTrainer(RewardTrainer):
        def _prepare_dataset(
            self, dataset: Any, processing_class: Any, args: Any, dataset_name: str
        ) -> Any:
            return dataset  # its texts are token ids already

        def _set_signature_columns_if_needed(self) -> None:
            self._signature_columns = list(ROW_COLUMNS)

        def compute_loss(
            self,
            model: Any,
            inputs: dict[str, Any],
            return_outputs: bool = False,
            num_items_in_batch: Any = None,
        ) -> Any:
            sides, weights = inputs.pop("sides"), inputs.pop("weights")

            def score_sides(**given: Any) -> Any:
                outputs = model(**given)
                outputs.logits = outputs.logits[sides]
                return outputs

            # For its metrics; its loss is the mean over all pairs.
            compute: Any = super().compute_loss
            _, outputs = compute(score_sides, inputs, return_outputs=True)
            better, worse = outputs.logits.squeeze(-1).chunk(2)
            loss = ranking_loss(better, worse, weights)
            return (loss, outputs) if return_outputs else loss

    return RankingTrainer
