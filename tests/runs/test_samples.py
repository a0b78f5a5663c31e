"""Sampled texts, cut to what a browser can draw, whatever a copied folder holds."""

import json

import pytest

from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.runs.samples import drawn, left_out

ROW = {
    "step": 3, "prompt": "The film", "response": " was good.", "score": 0.5,
    "token": [" was", " good", "."], "kl": [0.1, 0.2, None], "clipped": [True, False, False],
}  # fmt: skip


def test_our_own_rows_are_drawn_whole():
    lines = (CHECKPOINTS / "examples" / "ppo-quick" / "samples.jsonl").read_text().splitlines()
    rows = [ROW, *map(json.loads, lines)]
    assert [drawn(row) for row in rows] == rows
    assert left_out(rows) == []


def test_letters_of_two_directions_by_turns_come_as_far_as_a_tab_can_draw_them():
    long = "a\u05d0" * 80_000
    row = drawn(ROW | {"prompt": long, "response": long, "token": [long, "b"]})
    assert (row["prompt"], row["response"]) == (long[-2000:], long[:2000])
    assert row["token"] == [long[:100], "b"]
    assert left_out([ROW, ROW | {"prompt": long}]) == [
        "Of each prompt, the last 2,000 characters are shown."
    ]


def test_tokens_and_figures_are_cut_together():
    row = drawn(ROW | {"token": ["a"] * 300, "kl": [0.5] * 300})
    assert (len(row["token"]), len(row["kl"])) == (256, 256)
    assert left_out([ROW, ROW | {"token": ["a"] * 257}]) == [
        "Of each text, the first 256 tokens are shown."
    ]


@pytest.mark.parametrize(
    ("odd", "expected"),
    [
        ({"token": "abc"}, {"token": []}),
        ({"token": ["a", 5, ["b"]]}, {"token": ["a", "", ""]}),
        ({"token": [5, 6]}, {"token": ["", ""]}),
        (
            {"prompt": [5], "response": [], "score": [0.5]},
            {"prompt": "", "response": "", "score": None},
        ),
        ({"prompt": 5, "response": {"a": 1}}, {"prompt": "", "response": ""}),
        ({"score": "much"}, {"score": None}),
        ({"score": 10**400}, {"score": None}),
    ],
)
def test_what_is_no_text_and_no_figure_is_empty(odd, expected):
    assert drawn(ROW | odd) == ROW | expected


@pytest.mark.parametrize("odd", ["x" * 10**6, {"x": 1}, [[]], ["x"], [{}], [10**400], 5, None])
def test_other_keys_than_columns_of_figures_are_left_out(odd):
    assert drawn(ROW | {"x": odd}) == ROW


def test_no_row_brings_more_columns_than_a_page_knows():
    row = drawn({"step": 1} | {f"c{number}": [0.5] for number in range(1000)})
    assert len(row) == 5 + 32


def test_column_with_a_long_name_is_left_out():
    assert drawn(ROW | {"n" * 101: [0.5]}) == ROW
    assert drawn(ROW | {"n" * 100: [0.5]})["n" * 100] == [0.5]
