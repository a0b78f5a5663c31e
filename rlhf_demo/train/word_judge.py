"""Train the word judge: a logistic regression on the words of film reviews.

    python -m rlhf_demo.cli.ship word-judge imdb.parquet    writes checkpoints/word-judge

Reviews are cut into pieces of PIECE_WORDS words, each with the label of its review: liked, or not.
Only the training needs scikit-learn; the judge does not. The file is the one that `train-rater`
takes, and the card's accuracy is measured on the same snippets as the star rater's.

Source: Pang, Lee and Vaithyanathan 2002, https://aclanthology.org/W02-1011 (whether a word occurs
predicts a review's sentiment better than how often it occurs).
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from rlhf_demo.data import corpus
from rlhf_demo.data.coarse_words import has_coarse_word
from rlhf_demo.data.reviews import Reviews, load_reviews
from rlhf_demo.files import replacing_folder, write_text
from rlhf_demo.models.word_judge import FOLDER, WEIGHTS, WORDS, WordJudge, features
from rlhf_demo.train.rater import SNIPPET_WORDS, Accuracy, share, words_from

PIECE_WORDS = 15
"""About the length of the texts that it will judge."""
MOST_FEATURES = 8000
"""Of the commonest words and pairs of neighbours: 84 KB."""
INVERSE_PENALTY = 0.1
"""scikit-learn's C. All three were chosen on 5,000 reviews of the train split."""
SAME_REVIEWS = 6000
"""The star rater's card reports on the first so many test reviews too."""


def make_word_judge(data: str, folder: Path = FOLDER) -> dict[str, Accuracy]:
    """Fit the judge to the train split, write its folder, and report on the test split.

    Raises:
        DataError: the reviews cannot be read, or lack a column.
    """
    words, weights, bias = fit(load_reviews(data, "train"))
    with replacing_folder(folder) as temporary:
        write_text(temporary / WORDS, "".join(f"{word}\n" for word in words))
        tensors = {"weights": torch.tensor(weights), "bias": torch.tensor([bias])}
        halves = {name: tensor.half() for name, tensor in tensors.items()}
        save_file(halves, temporary / WEIGHTS)
        accuracies = report(WordJudge(temporary), load_reviews(data, "test"))
        write_text(temporary / "README.md", card(accuracies, len(words)))
    return accuracies


def _clean_features(text: str) -> set[str]:
    return {word for word in features(text) if not has_coarse_word(word)}


def fit(reviews: Reviews) -> tuple[list[str], list[float], float]:
    """Return the words and pairs, without coarse ones; the weight of each; and the bias."""
    pieces, liked = [], []
    for text, label in zip(reviews.texts, reviews.liked, strict=True):
        of_review = pieces_of(" ".join(corpus.sentences(text)))
        pieces += of_review
        liked += [label] * len(of_review)
    counter = CountVectorizer(
        analyzer=_clean_features,  # pyright: ignore[reportArgumentType]  (untyped, default a str)
        max_features=MOST_FEATURES,
    )
    counts = counter.fit_transform(pieces)
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000).fit(counts, liked)
    words = counter.get_feature_names_out().tolist()
    return words, model.coef_[0].tolist(), float(model.intercept_[0])


def pieces_of(text: str) -> list[str]:
    """Cut a text into pieces of PIECE_WORDS words; the last one may be shorter."""
    words = text.split()
    return [
        " ".join(words[start : start + PIECE_WORDS]) for start in range(0, len(words), PIECE_WORDS)
    ]


def report(judge: WordJudge, reviews: Reviews) -> dict[str, Accuracy]:
    """Return the judge's accuracy on a snippet of each review, with 95% intervals."""
    rng = np.random.default_rng(0)  # train/rater.py draws the same snippets
    snippets = [
        words_from(" ".join(corpus.sentences(text)).split(), rng, SNIPPET_WORDS)
        for text in reviews.texts
    ]
    right = (judge([""] * len(snippets), snippets) > 0) == torch.tensor(reviews.liked)
    return {"same": share(right[:SAME_REVIEWS]), "all": share(right)}


CARD = """# Word judge

A logistic regression on words, not a neural network: {features:,} weights, one for each of the
commonest words and pairs of neighbouring words in film reviews (`{words}`; `{weights}`, float16,
in the same order). A text's score is a bias plus the weights of its words, each counted once: the
log-odds that the writer gave the film 7 stars of 10 or more. It reads the prompt and the response,
as the star rater does; the position of a word does not matter.

Made by `python -m rlhf_demo.cli.ship word-judge imdb.parquet` (scikit-learn) from the train split
of the Large Movie Review Dataset v1.0 (Maas et al. 2011), cut into pieces of {piece_words} words,
each with the star rating of its review. Coarse words are left out. It does not judge how well a
text is written.

Its purpose is to differ from `star-rater`, which labelled the pairs and is an adapter on the same
network that writes the texts. If this judge sees a gain too, the gain is not a blind spot of that
network. Both judges learned from the same star ratings, so neither knows more than those say.

Accuracy on snippets of 40 words from the test split, which is about other films; the first row is
on the reviews of `star-rater`'s card:

| snippets of | accuracy | 95% interval |
|---|---|---|
"""


def card(accuracies: dict[str, Accuracy], count: int) -> str:
    """Return the model card.

    Args:
        accuracies: as `report` returns them.
        count: number of weights.
    """
    rows = [
        f"| {row['reviews']:,} reviews | {row['accuracy']:.3f} "
        f"| {row['accuracy_low']:.3f} to {row['accuracy_high']:.3f} |\n"
        for row in accuracies.values()
    ]
    head = CARD.format(features=count, words=WORDS, weights=WEIGHTS, piece_words=PIECE_WORDS)
    return head + "".join(rows)
