"""Rankings in a reward model's batches: the weights, the loss, and each text read once."""

import json
import math
from functools import partial

import pytest
import torch
from torch.nn.functional import logsigmoid

from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.models.reward_model import new_reward_model
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.train.pair_scoring import EncodedPairs, encode_pairs
from rlhf_demo.train.ranking_batches import collate, ranked_rows, ranking_loss
from rlhf_demo.train.reward import (
    RewardRecorder,
    build_trainer,
    load_both_sides,
    train_reward,
)
from tests.equal_runs import without_times

CPU = torch.device("cpu")
A, B, C, D = [20, 7], [21, 7, 9], [22], [23, 8]
KEY = ("p", "1")
SIX = [(A, B), (A, C), (A, D), (B, C), (B, D), (C, D)]
VOTE = ([30, 7], [31])


def encoded(pairs, keys):
    return EncodedPairs([c for c, _ in pairs], [r for _, r in pairs], 0, keys)


MIXED = encoded([SIX[0], VOTE, *SIX[1:]], [KEY, None, *[KEY] * 5])
"""A ranking, and a vote between its rows."""


def test_pairs_of_a_ranking_are_one_row_with_each_text_once():
    assert ranked_rows(MIXED) == [
        {"texts": [A, B, C, D], "better": [0, 0, 0, 1, 1, 2], "worse": [1, 2, 3, 2, 3, 3]},
        {"texts": [*VOTE], "better": [0], "worse": [1]},
    ]


def test_pair_of_a_ranking_of_four_weighs_a_sixth_of_a_vote():
    batch = collate(ranked_rows(MIXED), pad_id=0)
    assert batch["weights"].tolist() == pytest.approx([1 / 6] * 6 + [1.0])
    assert batch["input_ids"].tolist() == [
        [20, 7, 0], [21, 7, 9], [22, 0, 0], [23, 8, 0], [30, 7, 0], [31, 0, 0],
    ]  # fmt: skip
    assert batch["attention_mask"].sum(1).tolist() == [2, 3, 1, 2, 2, 1]
    assert batch["sides"].tolist() == [0, 0, 0, 1, 1, 2, 4, 1, 2, 3, 2, 3, 3, 5]


def test_loss_of_a_ranking_and_a_vote_equals_hand_working():
    # Scores 2, 1, 0, 0 of the ranking: margins 1, 2, 2, 1, 1, 0; the vote's margin is -1.
    better, worse = torch.tensor([2.0, 2, 2, 1, 1, 0, 0]), torch.tensor([1.0, 0, 0, 0, 0, 0, 1])
    weights = collate(ranked_rows(MIXED), pad_id=0)["weights"]
    one, two, none = math.log(1 + 1 / math.e), math.log(1 + math.exp(-2)), math.log(2)
    ranking, vote = (3 * one + 2 * two + none) / 6, math.log(1 + math.e)
    assert float(ranking_loss(better, worse, weights)) == pytest.approx((ranking + vote) / 2)


# -- TRL's trainer ---------------------------------------------------------------------------------


@pytest.fixture
def build(tiny_model_folder, tmp_path):
    """Make a trainer of one batch, always with the same new weights."""

    def build(pairs):
        config = RewardConfig(model=str(tiny_model_folder), batch_size=len(pairs.chosen_ids))
        torch.manual_seed(0)
        model, tokenizer = new_reward_model(config.model, lora_rank=0, device=CPU)
        recorder = RewardRecorder(None, None, pairs)
        return build_trainer(config, model, tokenizer, pairs, recorder, tmp_path, torch.float32)

    return build


def loss_of(trainer):
    [batch] = trainer.get_train_dataloader()
    return trainer.compute_loss(trainer.model, batch)


def test_loss_of_a_batch_is_the_mean_over_votes_and_rankings(build):
    trainer = build(MIXED)
    with torch.no_grad():
        score = {
            tuple(text): float(trainer.model(torch.tensor([text])).logits)
            for text in (A, B, C, D, *VOTE)
        }
    losses = [
        -float(logsigmoid(torch.tensor(score[tuple(better)] - score[tuple(worse)])))
        for better, worse in [*SIX, VOTE]
    ]
    assert max(losses) - min(losses) > 0.01  # so that a wrong weight would show
    expected = (sum(losses[:6]) / 6 + losses[6]) / 2
    assert loss_of(trainer).item() == pytest.approx(expected, abs=1e-5)


def test_rankings_of_two_have_trls_own_loss_and_gradient(build):
    pairs = [(A, B), (C, D), VOTE]
    plain, ranked = (
        build(encoded(pairs, None)),
        build(encoded(pairs, [("p", "1"), ("p", "2"), None])),
    )
    assert type(plain).__name__ == "RewardTrainer" != type(ranked).__name__
    gradients = []
    for trainer in (plain, ranked):
        loss = loss_of(trainer)
        loss.backward()
        gradients.append((loss.item(), trainer.model.score.weight.grad.clone()))
    assert gradients[0][0] == pytest.approx(gradients[1][0], abs=1e-6)
    assert torch.allclose(gradients[0][1], gradients[1][1], atol=1e-6)


# -- a run -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Twelve votes and twelve rankings of four, on 24 prompts."""
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    texts = [" so good", " good", " so, so bad", " bad"]
    rows = [
        {"prompt": f"Film {n} was", "chosen": texts[0], "rejected": texts[3]} for n in range(12)
    ]
    rows += [
        {"prompt": f"Film {n} was", "chosen": texts[i], "rejected": texts[j], "ranking": n}
        for n in range(12, 24)
        for i in range(4)
        for j in range(i + 1, 4)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def config(tiny_model_folder, data):
    return partial(
        RewardConfig, model=str(tiny_model_folder), data=str(data), train_pairs=60, batch_size=4,
        warmup_steps=1, lora_rank=4, checkpoint_every=2, dtype="float32",
    )  # fmt: skip


def new_run(folder, config):
    return Run.create(folder, "train-reward", config.to_dict())


def test_run_on_rankings_trains_in_rows_and_resumes_bit_for_bit(config, tmp_path, monkeypatch):
    through = new_run(tmp_path / "through", config())
    train_reward(config(), through)
    train, held_out = load_both_sides(config())
    rows = len(set(train.ranking_keys) - {None}) + train.ranking_keys.count(None)
    metrics = through.read("metrics")
    assert metrics[-1]["step"] == math.ceil(rows / 4) < len(train) / 4
    assert through.report()["train_pairs"] == len(train)
    assert set(train.ranking_keys).isdisjoint(set(held_out.ranking_keys) - {None})

    run, append = new_run(tmp_path / "stopped", config()), Run.append

    def append_and_ask(self, name, rows):
        append(self, name, rows)
        if rows[0]["step"] == 1:
            self.request_stop()

    monkeypatch.setattr(Run, "append", append_and_ask)
    train_reward(config(), run)
    assert run.status["status"] == Status.STOPPED
    monkeypatch.setattr(Run, "append", append)
    train_reward(config(), run, resume=True)
    assert without_times(run.read("metrics")) == without_times(metrics)
    weights = [next(one.model_folder.glob("*.safetensors")).read_bytes() for one in (run, through)]
    assert weights[0] == weights[1]


def test_encoded_pairs_keep_their_rankings(config, tiny_model_folder):
    _, tokenizer = new_reward_model(str(tiny_model_folder), lora_rank=0, device=CPU)
    train, _ = load_both_sides(config())
    encoded_pairs = encode_pairs(train, tokenizer, 64)
    assert encoded_pairs.rankings == train.ranking_keys
    assert (
        encoded_pairs.evenly_spaced(7).rankings == train.ranking_keys[:: math.ceil(len(train) / 7)]
    )
