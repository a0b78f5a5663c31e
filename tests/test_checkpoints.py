"""What is shipped: sizes, formats, plain loading anywhere, prompts and pairs that do not leak."""

import json
from collections import Counter
from difflib import SequenceMatcher

import pytest
import torch
from peft import AutoPeftModelForCausalLM, PeftModel
from safetensors import safe_open
from torch.testing import assert_close
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.hub.locate import shipped_models
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.reward_model import load_reward_model
from rlhf_demo.paths import CHECKPOINTS

CPU = torch.device("cpu")
TEXTS = ["This film is wonderful.", "This film is awful and I want my money back.", "It was"]


def rows(name):
    return [json.loads(line) for line in (CHECKPOINTS / name).read_text().splitlines()]


def test_shipped_models_are_the_four_of_the_loop_and_a_classifier():
    loop = ["gpt2-mini", "gpt2-mini-ppo", "reward-mini", "star-rater"]
    assert shipped_models() == sorted([*loop, "harshness"])


def test_checkpoints_fit_a_plain_push_to_a_space():
    sizes = {
        path: path.stat().st_size
        for path in CHECKPOINTS.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert max(sizes.values()) < 9_000_000
    assert sum(sizes.values()) < 30_000_000


def test_base_is_stored_in_half_and_loads_in_float32():
    folder = CHECKPOINTS / "gpt2-mini"
    for shard in folder.glob("*.safetensors"):
        with safe_open(shard, "pt") as tensors:
            assert {tensors.get_slice(key).get_dtype() for key in tensors.keys()} == {"F16"}
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.float32
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.pad_token_id not in (None, tokenizer.eos_token_id)
    assert model.config.pad_token_id == tokenizer.pad_token_id


@pytest.mark.parametrize("name", ["reward-mini", "star-rater"])
def test_reward_models_load_with_plain_transformers_from_any_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINTS / "gpt2-mini")
    plain = AutoModelForSequenceClassification.from_pretrained(CHECKPOINTS / name).eval()
    base = AutoModelForSequenceClassification.from_pretrained(
        CHECKPOINTS / "gpt2-mini", num_labels=1
    )
    by_peft = PeftModel.from_pretrained(base, CHECKPOINTS / name).eval()
    ours = load_reward_model(name, device=CPU).score_texts(TEXTS)
    for model in (plain, by_peft):
        with torch.no_grad():
            alone = [model(**tokenizer(text, return_tensors="pt")).logits.item() for text in TEXTS]
        assert_close(ours, torch.tensor(alone), atol=1e-5, rtol=1e-5)


def test_ppo_model_loads_with_plain_transformers_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = AutoModelForCausalLM.from_pretrained(CHECKPOINTS / "gpt2-mini-ppo").eval()
    ours = load_policy("gpt2-mini-ppo", device=CPU)
    base = load_policy("gpt2-mini", device=CPU)
    ids = ours.tokenizer(TEXTS[1], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        expected = plain(input_ids=ids).logits
        assert_close(ours.lm(input_ids=ids).logits, expected, atol=1e-4, rtol=1e-4)
        assert (base.lm(input_ids=ids).logits - expected).abs().max() > 0.1


def test_prompts_stand_in_one_split_each():
    prompts = rows("prompts.jsonl")
    assert len({row["prompt"].lower() for row in prompts}) == len(prompts)
    count = Counter(row["split"] for row in prompts)
    assert count == {"train": 382, "heldout": 280, "test": 256}
    by_split = {split: load_prompts("shipped", split) for split in count}
    assert {split: len(texts) for split, texts in by_split.items()} == count
    assert not set(by_split["test"]) & {*by_split["train"], *by_split["heldout"]}


def test_no_test_prompt_resembles_another():
    prompts = [row["prompt"].lower() for row in rows("prompts.jsonl")]
    test = [row["prompt"].lower() for row in rows("prompts.jsonl") if row["split"] == "test"]
    close = [
        (one, other)
        for one in test
        for other in prompts
        if one != other and likeness(one, other) > 0.8
    ]
    assert not close


def likeness(one, other):
    """The share of letters that two texts have in common in the same order, 0..1."""
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return matcher.ratio() if matcher.quick_ratio() > 0.8 else 0.0


def test_pairs_stand_on_the_prompts_of_their_split():
    split = {row["prompt"]: row["split"] for row in rows("prompts.jsonl")}
    pairs = rows("pairs.jsonl")
    assert len(pairs) == 2500
    for pair in pairs:
        assert split[pair["prompt"]] == pair["split"]
        assert pair["chosen"] != pair["rejected"]
        assert pair["margin"] > 0  # no errors, no ties
    assert sum(pair["split"] == "train" for pair in pairs) == 1242


def test_shipped_scores_have_mean_0_and_variance_1_on_samples_of_the_base():
    # 1,200 texts: the mean's standard error is 0.03, the variance's about 0.04; five of each.
    pairs = [pair for pair in rows("pairs.jsonl") if pair["split"] == "train"][:600]
    texts = [pair["prompt"] + pair[side] for pair in pairs for side in ("chosen", "rejected")]
    scores = load_reward_model("reward-mini", device=CPU).score_texts(texts)
    assert abs(float(scores.mean())) < 0.15
    assert abs(float(scores.var()) - 1.0) < 0.2


@pytest.mark.parametrize("name", ["gpt2-mini-ppo", "reward-mini", "star-rater"])
def test_adapters_bring_their_tokenizer(name):
    text = "The film was wonderful."
    base = AutoTokenizer.from_pretrained(CHECKPOINTS / "gpt2-mini")
    assert AutoTokenizer.from_pretrained(CHECKPOINTS / name)(text) == base(text)


def test_peft_finds_the_base_from_the_top_folder(monkeypatch):
    monkeypatch.chdir(CHECKPOINTS.parent)
    model = AutoPeftModelForCausalLM.from_pretrained(CHECKPOINTS / "gpt2-mini-ppo").eval()
    ours = load_policy("gpt2-mini-ppo", device=CPU)
    ids = ours.tokenizer(TEXTS[1], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        expected = model(input_ids=ids).logits
        assert_close(ours.lm(input_ids=ids).logits, expected, atol=1e-4, rtol=1e-4)
