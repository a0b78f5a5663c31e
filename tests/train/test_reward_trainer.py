"""What the reward model's training hands to TRL's trainer, and what it makes of a look."""

import math
from types import SimpleNamespace

import pytest
import torch

from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.models.reward_model import new_reward_model
from rlhf_demo.train.pair_scoring import EncodedPairs
from rlhf_demo.train.reward import RewardRecorder, build_trainer

PAIRS = EncodedPairs([[n, 7] for n in range(20, 44)], [[n, 8] for n in range(20, 44)], cut=0)


@pytest.fixture
def build(tiny_model_folder, tmp_path):
    """Make a trainer on 24 pairs in batches of 4."""

    def build(**options):
        config = RewardConfig(
            model=str(tiny_model_folder), batch_size=4, warmup_steps=2, epochs=1, **options
        )
        model, tokenizer = new_reward_model(config.model, lora_rank=0, device=torch.device("cpu"))
        recorder = RewardRecorder(None, None, PAIRS)
        return build_trainer(
            config, model, tokenizer, PAIRS, recorder, tmp_path / "checkpoints", torch.float32
        )

    return build


def test_learning_rate_rises_over_the_warm_up_and_then_falls_in_a_line(build):
    trainer = build(learning_rate=8e-3)
    trainer.create_optimizer_and_scheduler(num_training_steps=6)
    rates = []
    for _ in range(6):
        rates.append(trainer.optimizer.param_groups[0]["lr"])
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
    assert rates == pytest.approx([0.0, 4e-3, 8e-3, 6e-3, 4e-3, 2e-3])


def test_gradients_are_cut_to_norm_1(build):
    assert build().args.max_grad_norm == 1.0


def test_order_of_the_pairs_depends_on_the_seed(build):
    def order(seed):
        return [row for batch in build(seed=seed).get_train_dataloader() for row in first(batch)]

    def first(batch):
        return batch["input_ids"][:, 0].tolist()

    assert order(1) == order(1) != order(2)
    assert sorted(order(1)) == sorted([*range(20, 44)] * 2)  # chosen and rejected of each


def test_ties_of_a_look_count_half():
    scorer = SimpleNamespace(margins=lambda pairs: [1.0, 0.0, -1.0, 0.0, 0.0])
    recorder = RewardRecorder(None, scorer, PAIRS)
    row = recorder.measure(6, last=True)
    assert row["heldout/accuracy"] == 0.5  # 1 + 3 halves of 5
    # -log sigmoid: ln(1 + 1/e) + ln(1 + e) + 3 ln 2.
    expected = math.log(1 + math.exp(-1)) + math.log(1 + math.e) + 3 * math.log(2)
    assert row["heldout/loss"] == pytest.approx(expected / 5)
