"""Train the rater: does the writer of a text about a film give the film 7 stars of 10 or more?

A LoRA adapter and a scoring head on the base model, fitted to film reviews by binary cross-entropy.
The score of a text is the logit. The rater will score one to three sentences, so it learns from
snippets. Because the model reads from left to right, one pass over a snippet of 64 tokens gives a
prediction after every token, so it learns all lengths from a few words up at the cost of one.

Every random choice depends on the seed and the step alone, so a run that was stopped or killed and
then resumed gives the same numbers as an uninterrupted one.

Sources: Maas et al. 2011, https://aclanthology.org/P11-1015 (reviews and labels); Hu et al. 2021,
https://arxiv.org/abs/2106.09685 (LoRA).
"""

import json
import math
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm
from transformers import PreTrainedModel

from rlhf_demo.config.rater import RaterConfig
from rlhf_demo.data import corpus
from rlhf_demo.data.reviews import LIKED_STARS, load_reviews
from rlhf_demo.errors import TrainingDiverged
from rlhf_demo.files import replacing_folder, write_json, write_text
from rlhf_demo.intervals import wilson_interval
from rlhf_demo.models.device import autocast, pick_device, pick_dtype
from rlhf_demo.models.reward_model import RewardModel, load_reward_model, new_reward_model
from rlhf_demo.runs.run import Run, StopRequested
from rlhf_demo.train.checkpoint import load_state, save_state
from rlhf_demo.train.schedule import cosine_rate

SNIPPET_WORDS = 40
"""Length of the texts in the report, about that of a prompt with its response."""
SHORT_TOKENS, LONG_TOKENS = 64, 256
"""Lengths of training texts: snippets, and the ends of whole reviews."""
LONG_EVERY = 4
"""Every fourth step takes whole reviews, the others snippets."""
FIRST_TOKEN = 6
"""Predictions count from this token on, after about five words; fewer say next to nothing."""
ANYWHERE_SHARE = 0.2
"""Share of snippets that begin at any word; the others begin a sentence, as the rated texts do."""
NEVER_PRETRAINED = 2500
"""The first N test reviews were held out of the base model's pretraining too."""
ADAM_BETAS = (0.9, 0.99)
REPORT_CHUNK = 256
"""Reviews to score between two checks for a stop request."""


def train_rater(config: RaterConfig, run: Run, *, resume: bool = False) -> None:
    """Train until the last step or a stop request, then report on the test split.

    Raises:
        ConfigError: no reviews are named, or the saved state belongs to a run with other options.
        DataError: the reviews cannot be read, or lack a column.
        CheckpointError: the base model, or the saved state of a resumed run, cannot be used.
        TrainingDiverged: the loss is no longer finite.
    """
    with run.recording():
        trainer = RaterTrainer(config, run)
        trainer.train(resume)
        trainer.report()


def summary(run: Run) -> str:
    """Return a finished run's report as indented JSON."""
    report = run.report()
    return "" if report is None else json.dumps(report, indent=2)


# -- texts ----------------------------------------------------------------------------------------


def words_from(words: list[str], rng: np.random.Generator, count: int = SNIPPET_WORDS) -> str:
    """Return `count` consecutive words from a random position; a shorter text is returned whole."""
    start = int(rng.integers(0, max(0, len(words) - count) + 1))
    return " ".join(words[start : start + count])


def training_snippet(sentences: list[str], rng: np.random.Generator) -> str:
    """Return up to SHORT_TOKENS words from the start of a random sentence, or from any word."""
    if rng.random() < ANYWHERE_SHARE:
        return words_from(" ".join(sentences).split(), rng, SHORT_TOKENS)
    start = int(rng.integers(0, max(1, len(sentences))))  # a review of HTML tags has no sentence
    # A word has at least one token, so more words are never needed.
    return " ".join(" ".join(sentences[start:]).split()[:SHORT_TOKENS])


# -- training -------------------------------------------------------------------------------------


class RaterTrainer:
    """The state of a rater's training, and the loop."""

    def __init__(self, config: RaterConfig, run: Run) -> None:
        self.config, self.run, self.step = config, run, 0
        self.device = pick_device(config.device)
        self.dtype = pick_dtype(self.device, config.dtype)

        # 1. Read the reviews; each is cleaned and cut into sentences when it is first drawn.
        self.reviews = load_reviews(config.data, "train")
        self.test = load_reviews(config.data, "test")
        self.sentences = lru_cache(maxsize=None)(corpus.sentences)
        run.check_stop()

        # 2. Put an adapter and a scoring head on the base.
        torch.manual_seed(config.seed)
        self.model, tokenizer = new_reward_model(
            config.model, lora_rank=config.lora_rank, device=self.device
        )
        self.scorer = RewardModel(self.model.get_base_model(), tokenizer, 0, self.dtype)
        self.trainable = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.AdamW(
            self.trainable.values(), lr=0.0, betas=ADAM_BETAS, weight_decay=0.01
        )

    def train(self, resume: bool) -> None:
        """Run the remaining steps, then save the adapter."""
        if resume and self.run.checkpoint_path.is_file():
            self._load()
        self.run.rewind(self.step)
        for _ in tqdm(range(self.step, self.config.total_steps), "rater", disable=None):
            try:
                self.run.check_stop()
            except StopRequested:
                self._save()
                raise
            self.run.append("metrics", [self._train_step()])
            if self.step % self.config.checkpoint_every == 0:
                self._save()
        self._save()
        with replacing_folder(self.run.model_folder) as temporary:
            save_adapter(self.model, temporary)

    def _train_step(self) -> dict[str, Any]:
        """Make one step of the optimizer, and return its metrics row."""
        started = time.perf_counter()
        self.step += 1
        rate = cosine_rate(self.config, self.step)
        ids, mask, liked = self._draw()
        with autocast(self.device, self.dtype):
            logits = prefix_logits(self.scorer.model, ids, mask)
        counted = mask & (
            torch.arange(ids.shape[1], device=self.device) >= min(FIRST_TOKEN, ids.shape[1] - 1)
        )
        loss = prefix_loss(logits, counted, liked)
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingDiverged(self.step, "rater/loss", value)
        loss.backward()
        nn.utils.clip_grad_norm_(self.trainable.values(), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        last = logits[torch.arange(len(ids)), mask.sum(1) - 1]  # [batch], the texts' scores
        return {
            "step": self.step,
            "rater/loss": value,
            "rater/accuracy": ((last > 0) == liked).float().mean().item(),
            "rater/learning_rate": rate,
            "time/step_seconds": round(time.perf_counter() - started, 4),
        }

    def _draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Draw this step's texts.

        Returns:
            ids: [batch, time], padded right.
            mask: [batch, time], True = real token.
            liked: bool [batch].
        """
        rng = np.random.default_rng([self.config.seed, self.step])
        tokens = LONG_TOKENS if self.step % LONG_EVERY == 0 else SHORT_TOKENS
        drawn = rng.integers(
            0, len(self.reviews.texts), max(1, self.config.batch_tokens // tokens)
        ).tolist()
        rows = []
        for index in drawn:
            sentences = self.sentences(self.reviews.texts[index])
            if tokens == LONG_TOKENS:
                rows.append(self.scorer.encode(" ".join(sentences))[-LONG_TOKENS:])
            else:
                rows.append(self.scorer.encode(training_snippet(sentences, rng))[:SHORT_TOKENS])
        batch = self.scorer.tokenizer.pad(
            {"input_ids": rows}, padding_side="right", return_tensors="pt"
        ).to(self.device)
        return (
            batch["input_ids"],
            batch["attention_mask"].bool(),
            torch.tensor([self.reviews.liked[index] for index in drawn], device=self.device),
        )

    def _save(self) -> None:
        state = {
            "step": self.step,
            "weights": self.trainable,
            "optimizer": self.optimizer.state_dict(),
        }
        save_state(self.run.checkpoint_path, self.config, state)

    def _load(self) -> None:
        state = load_state(self.run.checkpoint_path, self.config, self.device)
        self.model.load_state_dict(state["weights"], strict=False)
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    # -- report -----------------------------------------------------------------------------------

    def report(self) -> None:
        """Score test reviews, whole and as snippets, with the saved model; write report, card."""
        scorer = load_reward_model(str(self.run.folder), device=self.device, dtype=self.dtype)
        texts = self.test.texts[: self.config.report_reviews]
        # Not the run's seed, so that all raters are tested on the same snippets.
        rng = np.random.default_rng(0)
        right: dict[str, list[Tensor]] = {"snippets": [], "whole_reviews": []}
        for start in tqdm(range(0, len(texts), REPORT_CHUNK), "report", disable=None):
            self.run.check_stop()
            cleaned = [
                " ".join(corpus.sentences(text)) for text in texts[start : start + REPORT_CHUNK]
            ]
            liked = torch.tensor(self.test.liked[start : start + len(cleaned)])
            snippets = [words_from(text.split(), rng) for text in cleaned]
            right["snippets"].append((scorer.score_texts(snippets) > 0) == liked)
            right["whole_reviews"].append((scorer.score_texts(cleaned) > 0) == liked)
        report: dict[str, int | Accuracy] = {"steps": self.step, "snippet_words": SNIPPET_WORDS}
        for name, chunks in right.items():
            report[name] = share(torch.cat(chunks))
            report[f"{name}_never_pretrained"] = share(torch.cat(chunks)[:NEVER_PRETRAINED])
        write_json(self.run.folder / "report.json", report)
        write_text(self.run.model_folder / "README.md", model_card(report))


# -- parts ----------------------------------------------------------------------------------------


def prefix_logits(classifier: PreTrainedModel, ids: Tensor, mask: Tensor) -> Tensor:
    """Return the logit after every token, as if the text ended there.

    Args:
        classifier: sequence classifier with one label.
        ids: [batch, time], padded right.
        mask: [batch, time], True = real token.

    Returns:
        [batch, time], float32.
    """
    hidden = classifier.base_model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    with torch.autocast(ids.device.type, enabled=False):  # bfloat16 logits would have three digits
        return classifier.get_submodule("score")(hidden.float()).squeeze(-1)


def prefix_loss(logits: Tensor, counted: Tensor, liked: Tensor) -> Tensor:
    """Return the mean binary cross-entropy over the counted tokens, nats.

    Args:
        logits: [batch, time], log-odds that the reviewer liked the film.
        counted: [batch, time], True = the prediction after this token counts.
        liked: bool [batch].
    """
    targets = liked.to(logits.dtype)[:, None].expand_as(logits)
    return functional.binary_cross_entropy_with_logits(logits[counted], targets[counted])


class Accuracy(TypedDict):
    """A share of right answers with its 95% interval, all from 0 to 1."""

    accuracy: float
    accuracy_low: float
    accuracy_high: float
    reviews: int


def share(right: Tensor) -> Accuracy:
    """Return the share of right answers [reviews] with its 95% interval."""
    low, high = wilson_interval(int(right.sum()), len(right))
    return {
        "accuracy": int(right.sum()) / len(right),
        "accuracy_low": low,
        "accuracy_high": high,
        "reviews": len(right),
    }


def save_adapter(model: Any, folder: Path) -> None:
    """Write adapter, head and last norm as peft does, in float16; the tokenizer is the base's."""
    halves = {name: tensor.half() for name, tensor in model.state_dict().items()}
    model.save_pretrained(folder, state_dict=halves)
    (folder / "README.md").unlink()  # peft's empty form; model_card replaces it


CARD = """# Simulated rater

A LoRA adapter with a scoring head (peft, float16) on a small GPT-2. It reads a text about a film;
its one logit is the log-odds that the writer gave the film {liked_stars} stars of 10 or more.
Trained by `train-rater` in {steps:,} steps on the train split of the Large Movie Review Dataset
v1.0 (Maas et al. 2011), whose test split is about other films. It is not a person, and it does not
judge how well a text is written.

Accuracy on the test split. A snippet is {snippet_words} consecutive words from a random position;
a whole review is cut at the left to the model's length; "never pretrained" means that the base was
not pretrained on these reviews either:

| texts | accuracy | 95% interval | reviews |
|---|---|---|---|
"""


def model_card(report: Mapping[str, int | Accuracy]) -> str:
    """Return the model card with the numbers of the report."""
    rows = [
        f"| {name.replace('_', ' ')} | {row['accuracy']:.3f} "
        f"| {row['accuracy_low']:.3f} to {row['accuracy_high']:.3f} | {row['reviews']:,} |\n"
        for name, row in report.items()
        if isinstance(row, dict)
    ]
    return CARD.format(liked_stars=LIKED_STARS, **report) + "".join(rows)
