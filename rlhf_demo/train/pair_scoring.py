"""Scores of tokenised pairs under a model in training, and their normalisation in its weights.

Knows models and tensors; knows nothing of training, files or reports.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from rlhf_demo.data.pairs import Pairs
from rlhf_demo.errors import CheckpointError, DataError
from rlhf_demo.models.device import autocast
from rlhf_demo.models.reward_model import last_norm_name

SCORING_TOKENS = 2048
"""Tokens scored at once, padding included: more are slower on a CPU, whose caches they overflow."""


@dataclass(frozen=True)
class EncodedPairs:
    """Token ids of prompt + response for each pair, cut at the left to the model's positions."""

    chosen_ids: list[list[int]]
    rejected_ids: list[list[int]]
    cut: int  # how many of the texts lost their beginning

    def spaced(self, most: int) -> "EncodedPairs":
        """Return at most so many of the pairs, evenly spaced."""
        step = math.ceil(len(self.chosen_ids) / most)
        return EncodedPairs(self.chosen_ids[::step], self.rejected_ids[::step], self.cut)


def encode_pairs(
    pairs: Pairs, tokenizer: PreTrainedTokenizerBase, most_tokens: int
) -> EncodedPairs:
    """Tokenise prompt + response of both sides, nothing appended, cut at the left."""
    chosen, chosen_cut = encode_texts(pairs.prompts, pairs.chosen, tokenizer, most_tokens)
    rejected, rejected_cut = encode_texts(pairs.prompts, pairs.rejected, tokenizer, most_tokens)
    if not all(chosen) or not all(rejected):
        raise DataError(
            "a pair has no token left after the tokenizer: remove texts that it does not know"
        )
    return EncodedPairs(chosen, rejected, chosen_cut + rejected_cut)


def encode_texts(
    prompts: list[str],
    responses: list[str],
    tokenizer: PreTrainedTokenizerBase,
    most_tokens: int,
) -> tuple[list[list[int]], int]:
    """Return the ids of prompt + response, cut at the left, and how many were cut."""
    texts = [prompt + response for prompt, response in zip(prompts, responses, strict=True)]
    ids = tokenizer(texts, truncation=False, verbose=False)["input_ids"]
    return [row[-most_tokens:] for row in ids], sum(len(row) > most_tokens for row in ids)


class PairScorer:
    """Scores token ids with the model under training, and checks for a stop
    request between batches.
    """

    def __init__(
        self, model: nn.Module, pad_id: int, dtype: torch.dtype, check_stop: Callable[[], None]
    ) -> None:
        self.model, self.pad_id, self.dtype, self.check_stop = model, pad_id, dtype, check_stop

    @torch.no_grad()
    def scores(self, ids: list[list[int]]) -> torch.Tensor:
        """Score rows of token ids: float32 [rows] on the CPU, in the model's present units.

        Raises:
            StopRequested: somebody asked, between two batches.
        """
        device = next(self.model.parameters()).device
        scores = torch.empty(len(ids))
        # Rows of similar length together: half the padding, so half the work.
        by_length = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        training = self.model.training
        self.model.eval()
        while by_length:
            self.check_stop()
            width = len(ids[by_length[-1]])
            rows = [
                by_length.pop() for _ in range(min(len(by_length), max(1, SCORING_TOKENS // width)))
            ]
            batch = torch.full((len(rows), width), self.pad_id)  # [batch, time]
            mask = torch.zeros_like(batch)
            for place, row in enumerate(rows):
                batch[place, : len(ids[row])] = torch.tensor(ids[row])
                mask[place, : len(ids[row])] = 1
            with autocast(device, self.dtype):
                logits = self.model(
                    input_ids=batch.to(device), attention_mask=mask.to(device), use_cache=False
                ).logits
            scores[rows] = logits[:, 0].float().cpu()
        self.model.train(training)
        return scores

    def margins(self, pairs: EncodedPairs) -> list[float]:
        """Return score(chosen) - score(rejected) for each pair."""
        scores = self.scores(pairs.chosen_ids + pairs.rejected_ids)
        chosen, rejected = scores.chunk(2)
        return (chosen - rejected).tolist()


@torch.no_grad()
def normalise(model: nn.Module, scores: torch.Tensor) -> tuple[float, float]:
    """Change the weights so that these scores would have mean 0 and variance 1.

    score = w . (norm(h) + b), with head w and the last norm's bias b. With w' = w / std and b' = b
    + delta, where w' . delta = -mean / std, the score becomes (score - mean) / std; delta along w
    is the smallest such change. A norm without bias (RMSNorm) leaves the mean where it is, which
    PPO's whitening does not mind.

    Args:
        model: a sequence classifier with one label, plain or wrapped by peft.
        scores: float32 [responses], of the model as it is.

    Returns:
        Mean and standard deviation of the scores before.

    Raises:
        CheckpointError: the scores are all the same, so the model has learnt nothing.
    """
    mean, std = scores.double().mean().item(), scores.double().std(correction=0).item()
    if not std > 0:
        raise CheckpointError(
            f"every score is {mean:.3g}, so they cannot be brought to variance 1: "
            "train longer or on other data"
        )
    head = _last(model, "score").weight  # [1, width]
    bias = dict(model.get_submodule(last_norm_name(model)).named_parameters()).get("bias")
    if bias is not None:
        bias -= mean * head[0] / head[0].square().sum()
    head /= std
    return mean, std


def _last(model: nn.Module, name: str) -> nn.Module:
    """Return the linear layer of this name; peft keeps the original first and the trained copy
    after it.
    """
    return [
        m
        for path, m in model.named_modules()
        if isinstance(m, nn.Linear) and name in path.split(".")
    ][-1]
