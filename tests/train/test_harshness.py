"""Making the harshness classifier: what counts as harsh, and what the network learns from it."""

import json

import pyarrow
import pyarrow.parquet
import pytest
import torch

from rlhf_demo.data.reviews import Reviews
from rlhf_demo.models.reward_model import load_reward_model
from rlhf_demo.train.harshness import make_harshness, report, snippets


def test_each_review_gives_a_snippet_with_its_label_and_two_stars_are_harsh():
    texts, harsh = snippets(Reviews(["One two three four five six seven."] * 3, [1, 2, 3]))
    assert harsh == [1, 1, 0]
    assert all(5 <= len(text.split()) <= 7 for text in texts)


def test_report_counts_pairs_that_are_in_the_right_order():
    class Lengths:
        def score_texts(self, texts):
            return torch.tensor([float(len(text)) for text in texts])

    # Two pairs: "awful film" is longer than "fun", "bad" is not longer than "a delight".
    reviews = Reviews(["Fun.", "Awful film.", "A delight.", "Bad."], [9, 1, 8, 2])
    found = report(Lengths(), reviews)
    assert (found["accuracy"], found["reviews"]) == (0.5, 2)


def test_made_classifier_tells_harsh_from_mild_and_loads_by_its_labels(tmp_path):
    mild, harsh = "We had a truly wonderful evening.", "We had a truly awful evening."
    columns = {
        "split": ["train"] * 80 + ["test"] * 4,
        "stars": [9, 2] * 42,
        "text": [mild, harsh] * 42,
    }
    data = str(tmp_path / "reviews.parquet")
    pyarrow.parquet.write_table(pyarrow.table(columns), data)
    found = make_harshness(data, tmp_path / "harshness", epochs=8.0)
    assert (found["accuracy"], found["reviews"]) == (1.0, 2)
    kind = load_reward_model(
        str(tmp_path / "harshness"), device=torch.device("cpu"), label="not harsh"
    )
    assert kind([""] * 2, [mild, harsh]).diff() < -1
    config = json.loads((tmp_path / "harshness" / "config.json").read_text())
    assert config["id2label"] == {"0": "not harsh", "1": "harsh"}
    card = (tmp_path / "harshness" / "README.md").read_text()
    assert "on 2 pairs" in card and "100.0%" in card


def test_trainer_needs_one_of_the_labels(tmp_path):
    with pytest.raises(Exception, match="choose one of harshness's labels, not harsh, harsh"):
        load_reward_model("harshness", device=torch.device("cpu"))
