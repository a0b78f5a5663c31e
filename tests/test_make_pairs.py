"""Pairs: prompts of both splits stay apart, whoever wrote them."""

import pytest

from rlhf_demo.config import PairsConfig
from rlhf_demo.errors import DataError
from rlhf_demo.make_pairs import split_prompts


def test_own_prompts_without_a_split_are_divided(prompts_file):
    sides = split_prompts(PairsConfig(prompts=str(prompts_file)))
    assert (len(sides["train"]), len(sides["heldout"])) == (4, 2)  # a third of six is held out
    assert not set(sides["train"]) & set(sides["heldout"])


def test_all_own_prompts_serve_where_one_side_is_wanted(prompts_file):
    sides = split_prompts(PairsConfig(prompts=str(prompts_file), heldout_pairs=0))
    assert len(sides["train"]) == 6


def test_one_prompt_cannot_be_divided(tmp_path):
    path = tmp_path / "one.txt"
    path.write_text("The film was\n")
    with pytest.raises(DataError, match="holds 1 prompt"):
        split_prompts(PairsConfig(prompts=str(path)))


def test_shipped_prompts_keep_their_split():
    sides = split_prompts(PairsConfig())
    assert (len(sides["train"]), len(sides["heldout"])) == (382, 280)
