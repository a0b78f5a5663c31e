"""Make the word judge: logistic regression on the words of film reviews.

    python -m rlhf_demo.cli.ship word-judge imdb.parquet    writes checkpoints/word-judge

Reviews are cut into pieces of PIECE_WORDS words, which have the review's label: liked, or not. Only
this needs scikit-learn; the judge itself does not. The file is read as `train-rater` reads it, and
the figures of the card are measured on the same snippets as the simulated rater's.

Source: Pang, Lee and Vaithyanathan 2002, https://aclanthology.org/W02-1011 (words that are there or
not tell a review's sentiment better than how often they are there).
"""

from pathlib import Path
from typing import Any

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
from rlhf_demo.train.rater import SNIPPET_WORDS, share, words_from

PIECE_WORDS = 15
"""About the length of a text that the judge is asked about."""
MOST_FEATURES = 8000
"""So many of the commonest words and pairs of words are kept: 84 KB."""
INVERSE_PENALTY = 0.1
"""scikit-learn's C. This, the features and the pieces were chosen on 5,000 reviews of the train
split."""
SAME_REVIEWS = 6000
"""So many test reviews, the first of the file, the simulated rater's card reports on too."""


def make_word_judge(data: str, folder: Path = FOLDER) -> dict[str, Any]:
    """Fit the judge to the train split, write its folder, and report on the test split.

    Raises:
        DataError: the reviews cannot be read or lack what is needed.
    """
    words, weights, bias = fit(load_reviews(data, "train"))
    with replacing_folder(folder) as temporary:
        write_text(temporary / WORDS, "".join(f"{word}\n" for word in words))
        tensors = {"weights": torch.tensor(weights), "bias": torch.tensor([bias])}
        save_file({name: one.half() for name, one in tensors.items()}, temporary / WEIGHTS)
        found = report(WordJudge(temporary), load_reviews(data, "test"))
        write_text(temporary / "README.md", card(found, len(words)))
    return found


def fit(reviews: Reviews) -> tuple[list[str], list[float], float]:
    """Return the words and pairs that count, the weight of each, and the bias; coarse ones do not
    count.
    """
    pieces, liked = [], []
    for text, label in zip(reviews.texts, reviews.liked, strict=True):
        cut = pieces_of(" ".join(corpus.sentences(text)))
        pieces += cut
        liked += [label] * len(cut)
    counter = CountVectorizer(
        analyzer=lambda text: {one for one in features(text) if not has_coarse_word(one)},
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


def report(judge: WordJudge, reviews: Reviews) -> dict[str, Any]:
    """Return how many snippets of the reviews the judge is right about, with 95% intervals."""
    rng = np.random.default_rng(0)  # the same snippets that raters are asked about
    snippets = [
        words_from(" ".join(corpus.sentences(text)).split(), rng, SNIPPET_WORDS)
        for text in reviews.texts
    ]
    right = (judge([""] * len(snippets), snippets) > 0) == torch.tensor(reviews.liked)
    return {"same": share(right[:SAME_REVIEWS]), "all": share(right)}


CARD = """# Word judge

A logistic regression on words, and no neural network: {features:,} weights, one for each of the
commonest words and pairs of neighbouring words of film reviews (`{words}`; `{weights}`, float16,
in the same order). A text's score is the sum of the weights of those that stand in it, each counted
once, and of a bias: the log-odds that the writer gave the film 7 stars of 10 or more. It reads the
prompt and the response, as the simulated rater does; no weight knows where its word stands.

Made by `python -m rlhf_demo.cli.ship word-judge imdb.parquet` (scikit-learn) from the train split
of the Large Movie Review Dataset v1.0 (Maas et al. 2011), cut into pieces of {piece_words} words,
which have the star rating of their review. Coarse words are left out. How well a text is written is
not what it judges.

Its use is to differ from `star-rater`: that one is an adapter on the network that it judges the
texts of, and labelled the pairs. A gain that this judge sees too is no blind spot of that network.
Both learned from the same star ratings, so what those do not tell, neither knows.

On snippets of 40 words from the test split, which is about other films; the first row's are those
of `star-rater`'s card:

| snippets of | accuracy | 95% interval |
|---|---|---|
"""


def card(found: dict[str, Any], count: int) -> str:
    """Return the model card with the report's figures."""
    rows = [
        f"| {one['reviews']:,} reviews | {one['accuracy']:.3f} "
        f"| {one['accuracy_low']:.3f} to {one['accuracy_high']:.3f} |\n"
        for one in found.values()
    ]
    head = CARD.format(features=count, words=WORDS, weights=WEIGHTS, piece_words=PIECE_WORDS)
    return head + "".join(rows)
