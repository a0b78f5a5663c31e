"""Scores of tokenised pairs by a model in training, and their normalisation inside its weights.

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
"""Tokens to score at once, padding included; more overflow a CPU's caches and are slower."""


@dataclass(frozen=True)
class EncodedPairs:
    """Token ids of prompt + response for each pair, cut at the left to the model's positions."""

    chosen_ids: list[list[int]]
    rejected_ids: list[list[int]]
    cut: int  # number of texts that lost their beginning
    rankings: list[tuple[str, str] | None] | None = None  # as of `Pairs.ranking_keys`, if any

    def evenly_spaced(self, count: int) -> "EncodedPairs":
        """Return at most `count` of the pairs, evenly spaced."""
        step = math.ceil(len(self.chosen_ids) / count)
        rankings = None if self.rankings is None else self.rankings[::step]
        return EncodedPairs(self.chosen_ids[::step], self.rejected_ids[::step], self.cut, rankings)


def encode_pairs(
    pairs: Pairs, tokenizer: PreTrainedTokenizerBase, most_tokens: int
) -> EncodedPairs:
    """Tokenise prompt + response of both sides, with nothing appended, cut at the left.

    Raises:
        DataError: a text has no token.
    """
    chosen, chosen_cut = encode_texts(pairs.prompts, pairs.chosen, tokenizer, most_tokens)
    rejected, rejected_cut = encode_texts(pairs.prompts, pairs.rejected, tokenizer, most_tokens)
    if not all(chosen) or not all(rejected):
        raise DataError(
            "the tokenizer turns a text of a pair into no token at all: remove texts that it does "
            "not know"
        )
    rankings = pairs.ranking_keys if pairs.rankings else None
    return EncodedPairs(chosen, rejected, chosen_cut + rejected_cut, rankings)


def encode_texts(
    prompts: list[str],
    responses: list[str],
    tokenizer: PreTrainedTokenizerBase,
    most_tokens: int,
) -> tuple[list[list[int]], int]:
    """Return the ids of prompt + response, cut at the left, and the number of cut texts."""
    texts = [prompt + response for prompt, response in zip(prompts, responses, strict=True)]
    ids = tokenizer(texts, truncation=False, verbose=False)["input_ids"]
    return [row[-most_tokens:] for row in ids], sum(len(row) > most_tokens for row in ids)


class PairScorer:
    """Scores token ids with a model in training; checks for a stop request between batches."""

    def __init__(
        self, model: nn.Module, pad_id: int, dtype: torch.dtype, check_stop: Callable[[], None]
    ) -> None:
        self.model, self.pad_id, self.dtype, self.check_stop = model, pad_id, dtype, check_stop

    @torch.no_grad()
    def scores(self, ids: list[list[int]]) -> torch.Tensor:
        """Score rows of token ids: float32 [rows] on the CPU, in the model's present units.

        Raises:
            StopRequested: the run was asked to stop.
        """
        device = next(self.model.parameters()).device
        scores = torch.empty(len(ids))
        # Batches of rows of similar length have half the padding, which is half the work.
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
            for index, row in enumerate(rows):
                batch[index, : len(ids[row])] = torch.tensor(ids[row])
                mask[index, : len(ids[row])] = 1
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
    """Change the weights so that these scores get mean 0 and variance 1 (Ziegler et al. 2019).

    score = w . (norm(h) + b), with the head w and the bias b of the last norm. With w' = w / std
    and b' = b + delta, where w . delta = -mean, the score becomes (score - mean) / std. The
    smallest such delta lies along w. A norm without bias (RMSNorm) leaves the mean where it is;
    PPO shifts scores to mean 0 anyway.

    Args:
        model: a sequence classifier with one label, plain or wrapped by peft.
        scores: float32 [responses], as the model gives them now.

    Returns:
        Mean and standard deviation of the scores before.

    Raises:
        CheckpointError: the scores are all equal, so the model has learned nothing.
    """
    mean, std = scores.double().mean().item(), scores.double().std(correction=0).item()
    if not std > 0:
        raise CheckpointError(
            f"every score is {mean:.3g}, so the scores cannot be scaled to variance 1: "
            "train longer or on other data"
        )
    head = _last(model, "score").weight  # [1, width]
    bias = dict(model.get_submodule(last_norm_name(model)).named_parameters()).get("bias")
    if bias is not None:
        bias -= mean * head[0] / head[0].square().sum()
    head /= std
    return mean, std


def _last(model: nn.Module, name: str) -> nn.Linear:
    """Return the last linear layer of this name; with peft, that is the trained copy."""
    return [
        module
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear) and name in path.split(".")
    ][-1]
