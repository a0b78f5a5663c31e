"""Train the harshness classifier: a small network with two labels, harsh and not harsh.

    python -m rlhf_demo.cli.ship harshness imdb.parquet    writes checkpoints/harshness

A reward need not be a reward model: the logit of one label of a text classifier serves as well.
This one starts from the base's embeddings and first layers, and learns from snippets of film
reviews; those with HARSH_STARS stars or fewer count as harsh.

The loop is the Trainer of transformers.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import (
    DataCollatorWithPadding,
    GPT2ForSequenceClassification,
    Trainer,
    TrainingArguments,
)

from rlhf_demo.config.scorers import BASE, HARSHNESS
from rlhf_demo.data import corpus
from rlhf_demo.data.reviews import Reviews, load_reviews
from rlhf_demo.files import replacing_folder, write_text
from rlhf_demo.models.reward_model import RewardModel
from rlhf_demo.models.tokenizer import load_tokenizer
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.train.rater import Accuracy, share, words_from

FOLDER = CHECKPOINTS / HARSHNESS
HARSH_STARS = 2
"""A review with so many stars of 10 or fewer counts as harsh: 29% of them."""
LABELS = {0: "not harsh", 1: "harsh"}
SHORTEST, LONGEST = 5, 30
"""Words of a snippet: about the lengths of a prompt with its response."""
TEST_REVIEWS = 6_000
TEST_WORDS = 20
LAYERS = 2
"""Of the base's six: enough to tell harsh words and their negation, and 7 MB."""


class Rows(Dataset[dict[str, Any]]):
    """Token ids with their label, as the Trainer of transformers reads them."""

    def __init__(self, ids: list[list[int]], labels: list[int]) -> None:
        self.ids, self.labels = ids, labels

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_ids": self.ids[index], "labels": self.labels[index]}


def make_harshness(data: str, folder: Path = FOLDER, *, epochs: float = 1.0) -> Accuracy:
    """Train the classifier on the train split, write its folder, and report on the test split.

    Raises:
        DataError: the reviews cannot be read, or lack a column.
    """
    torch.manual_seed(0)
    tokenizer = load_tokenizer(CHECKPOINTS / BASE)
    model = new_classifier()
    texts, harsh = snippets(load_reviews(data, "train"))
    rows = Rows(tokenizer(texts)["input_ids"], harsh)
    with TemporaryDirectory() as temporary:
        arguments = TrainingArguments(
            temporary, num_train_epochs=epochs, per_device_train_batch_size=64,
            learning_rate=5e-4, warmup_steps=10, lr_scheduler_type="cosine", weight_decay=0.1,
            save_strategy="no", report_to=[], disable_tqdm=True, logging_steps=50,
            use_cpu=True, seed=0,
        )  # fmt: skip
        padding = DataCollatorWithPadding(tokenizer)
        Trainer(model, arguments, train_dataset=rows, data_collator=padding).train()
    accuracy = report(RewardModel(model, tokenizer, 1, torch.float32), load_reviews(data, "test"))
    with replacing_folder(folder) as temporary:
        model.half().save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        write_text(Path(temporary) / "README.md", card(accuracy, model.num_parameters()))
    return accuracy


def new_classifier() -> GPT2ForSequenceClassification:
    """Return the base's embeddings and first layers with a new head for the labels."""
    return GPT2ForSequenceClassification.from_pretrained(
        CHECKPOINTS / BASE, n_layer=LAYERS, id2label=LABELS, dtype=torch.float32,
        label2id={label: number for number, label in LABELS.items()},
    )  # fmt: skip


def snippets(reviews: Reviews) -> tuple[list[str], list[int]]:
    """Return a snippet of each review, and whether its review is harsh (1) or not (0)."""
    rng = np.random.default_rng(0)
    texts: list[str] = []
    for text in reviews.texts:
        words = " ".join(corpus.sentences(text)).split()
        texts.append(words_from(words, rng, int(rng.integers(SHORTEST, LONGEST + 1))))
    return texts, [int(stars <= HARSH_STARS) for stars in reviews.stars]


def report(classifier: RewardModel, reviews: Reviews) -> Accuracy:
    """Return how often the classifier puts a snippet of a harsh review above one of another.

    A classifier that says "not harsh" of everything would have 71% right. So it is tested on pairs:
    guessing gets half of them right, whatever the shares of the labels.
    """
    rng = np.random.default_rng(1)
    sides: list[list[str]] = [[], []]
    for text, stars in zip(reviews.texts[:TEST_REVIEWS], reviews.stars, strict=False):
        words = " ".join(corpus.sentences(text)).split()
        sides[stars <= HARSH_STARS].append(words_from(words, rng, TEST_WORDS))
    count = min(map(len, sides))
    mild, harsh = (classifier.score_texts(side[:count]) for side in sides)
    return share(harsh > mild)


CARD = """# Harshness classifier

A text classifier with the labels "harsh" and "not harsh": GPT-2's architecture with {weights:,}
weights. It started from the embeddings and the first {layers} layers of `gpt2-mini`, and learned
from snippets of film reviews. A review with {stars} stars of 10 or fewer counts as harsh. That is
all it knows of harshness: it is no person's judgement of a text.

The logit of "not harsh" is the reward of the PPO preset "less harsh".

Made by `python -m rlhf_demo.cli.ship harshness imdb.parquet` from the train split of the Large
Movie Review Dataset v1.0 (Maas et al. 2011), with one snippet of {shortest} to {longest} words from
each review.

We tested it on {count:,} pairs: a snippet of {words} words from a harsh review, and one from
another (test split, other films). It gives the harsh one the higher logit for "harsh"
in {accuracy:.1%}
[{low:.1%}, {high:.1%}] of them; guessing does so in half.
"""


def card(accuracy: Accuracy, weights: int) -> str:
    """Return the model card."""
    return CARD.format(
        weights=weights, layers=LAYERS, stars=HARSH_STARS, shortest=SHORTEST, longest=LONGEST,
        count=accuracy["reviews"], words=TEST_WORDS, accuracy=accuracy["accuracy"],
        low=accuracy["accuracy_low"], high=accuracy["accuracy_high"],
    )  # fmt: skip
