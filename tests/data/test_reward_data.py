"""Which pairs a reward model is trained on and which are held out: never the same prompt twice."""

import json
from dataclasses import replace

import pytest

from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.data import pairs
from rlhf_demo.data.pairs import load_pairs
from rlhf_demo.errors import DataError
from rlhf_demo.train.reward import load_both_sides
from rlhf_demo.votes.pairs import split_last_rated, write_split
from tests.votes.test_pairs import votes_on


def write_rows(folder, rows):
    """Write pairs.jsonl with rows of prompt, chosen, rejected, split; return the folder."""
    names = ("prompt", "chosen", "rejected", "split")
    lines = [json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows]
    (folder / "pairs.jsonl").write_text("".join(lines))
    return folder


def split_of_ten():
    """Return ten rows on ten prompts: seven to train on, three held out."""
    return [(f"p{n}", "a", "b", "train" if n < 7 else "heldout") for n in range(10)]


def test_folder_of_pairs_keeps_its_split(tmp_path):
    folder = write_rows(tmp_path, split_of_ten())
    train, held_out = load_both_sides(RewardConfig(data=str(folder), train_pairs=5))
    assert (train.prompts, held_out.prompts) == (["p0", "p1", "p2", "p3", "p4"], ["p7", "p8", "p9"])


def test_shipped_pairs_keep_their_split(tmp_path, monkeypatch):
    monkeypatch.setattr(pairs, "CHECKPOINTS", write_rows(tmp_path, split_of_ten()))
    train, held_out = load_both_sides(RewardConfig(data="shipped", train_pairs=5))
    assert (train.prompts, held_out.prompts) == (["p0", "p1", "p2", "p3", "p4"], ["p7", "p8", "p9"])


def test_own_file_is_split_by_prompt(tmp_path):
    rows = [(f"p{n % 5}", f"a{n}", "b", "train") for n in range(20)]
    path = write_rows(tmp_path, rows) / "pairs.jsonl"
    train, held_out = load_both_sides(RewardConfig(data=str(path), train_pairs=12))
    assert (len(train), len(held_out)) == (12, 8)
    assert not set(train.prompts) & set(held_out.prompts)


def test_votes_are_split_by_prompt(tmp_path):
    """Two pairs on each of six prompts, six pairs apart: the newest prompts are held out whole."""
    votes = [vote for pair in range(12) for vote in votes_on(pair, ["first"] * 2, at=float(pair))]
    votes = [replace(vote, prompt=f"Prompt {vote.pair % 6}") for vote in votes]
    write_split(split_last_rated(votes), tmp_path)
    train, held_out = load_both_sides(RewardConfig(data=str(tmp_path)))
    assert len(set(train.prompts)) + len(set(held_out.prompts)) == 6
    assert len(set(held_out.prompts)) == 2  # eight of 24 votes: a fifth at least
    assert not set(train.prompts) & set(held_out.prompts)


def test_shipped_pairs_share_no_prompt_and_count_each_duplicate_once():
    train, held_out = load_both_sides(RewardConfig())
    assert not set(train.prompts) & set(held_out.prompts)
    assert len(train) > 1000 < len(held_out)
    assert train.dropped == held_out.dropped == load_pairs("shipped").dropped


def test_folder_with_a_prompt_on_both_sides_is_refused(tmp_path):
    folder = write_rows(tmp_path, [*split_of_ten(), ("p8", "c", "d", "train")])
    with pytest.raises(DataError, match="has the prompt 'p8' in both splits"):
        load_both_sides(RewardConfig(data=str(folder)))
