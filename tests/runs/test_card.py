"""The card of a run's model."""

import pytest

from rlhf_demo.runs.card import Subject, card, without_folders

CONFIG = {"kind": "reward", "options": {"data": "votes-1"}, "created_at": "2026-01-31T09:00:00Z"}
SUBJECT = Subject(
    repository="a/b", title="Mine", base="gpt2-mini", base_on_hub=False, licence="apache-2.0",
    adapter=False, value_head=False,
)  # fmt: skip


def test_figures_have_their_intervals_and_texts_stay_out():
    report = {
        "accuracy": 0.87, "accuracy_low": 0.85, "accuracy_high": 0.89, "watched_low": 0.8,
        "watched_high": 0.9, "pairs": 1256, "baseline_side": "longer", "reliability": [{}],
    }  # fmt: skip
    text = card(SUBJECT, CONFIG, report, [])
    assert (
        "| share of held-out pairs in the right order (a tie counts half) | 0.87 | 0.85 to" in text
    )
    assert "| held-out pairs | 1,256 |  |" in text
    assert "watched |" not in text and "reliability" not in text
    assert "The run noted no metrics." in text
    assert "print(model(**inputs).logits)" in text


def test_long_curve_is_a_short_table_with_its_first_and_last_step():
    rows = [{"step": step, "heldout/loss": 1 / step} for step in range(1, 101)]
    lines = card(SUBJECT, CONFIG, None, rows).splitlines()
    head = next(index for index, line in enumerate(lines) if line.startswith("| step |"))
    steps = [line.split(" | ")[0].strip("| ") for line in lines[head + 2 : head + 11]]
    assert steps == ["1", "13", "26", "38", "51", "63", "75", "88", "100"]
    assert "The run measured nothing of itself" in "\n".join(lines)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"licence": None}, "license: other\nlicense_name: unknown"),
        ({"base": None, "licence": None}, "trained from scratch"),
        ({"base": "o/base", "base_on_hub": True, "adapter": True}, "base_model: o/base"),
        ({"adapter": True}, "AutoPeftModelForSequenceClassification"),
    ],
)
def test_card_says_where_the_model_comes_from(changes, words):
    subject = Subject(**{**vars(SUBJECT), **changes})
    assert words in card(subject, CONFIG, None, [])


def test_paths_of_this_machine_stay_here():
    options = {"data": "/home/me/pairs.jsonl", "policy": "owner/name", "model": "~/m", "seed": 1}
    assert without_folders(options, on_hub="owner/name".__eq__) == {
        "data": "pairs.jsonl", "policy": "owner/name", "model": "m", "seed": 1
    }  # fmt: skip
