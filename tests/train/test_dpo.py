"""DPO: its loss worked out again from plain logits, its token ids, rows, stop and resume."""

import json
import math
from functools import partial

import pytest
import torch
from transformers import AutoModelForCausalLM

from rlhf_demo.config.dpo import DPOConfig
from rlhf_demo.data.pairs import Pairs
from rlhf_demo.errors import TrainingDiverged
from rlhf_demo.files import read_json
from rlhf_demo.models.policy import load_policy
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.train import dpo as module
from rlhf_demo.train.dpo import build_trainer, encode_for_dpo, train_dpo
from rlhf_demo.train.trl_training import Recorder
from tests.equal_runs import assert_equal_runs
from tests.stepping import checksum, longer

CPU = torch.device("cpu")
STEPS = 6  # 24 pairs in batches of 4
PAIRS = Pairs(["A film", ""], [" was good", " so good"], [" bad", " was so very bad indeed"])


@pytest.fixture(scope="module")
def pairs_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    rows = [
        {"prompt": f"Film {n} was", "chosen": " so" * (n % 3) + " good", "rejected": " so, so bad"}
        for n in range(36)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def make_config(policy, data, prompts, **changes):
    options = {
        "policy": str(policy), "data": str(data), "prompts": str(prompts), "reward": "longer",
        "train_pairs": 24, "batch_size": 4, "warmup_steps": 2, "learning_rate": 1e-2,
        "lora_rank": 4, "checkpoint_every": 2, "max_new_tokens": 8, "dtype": "float32",
    }  # fmt: skip
    return DPOConfig(**options | changes)


@pytest.fixture
def config(tiny_model_folder, pairs_file, prompts_file):
    return partial(make_config, tiny_model_folder, pairs_file, prompts_file)


def trained(folder, config, **options):
    run = Run.create(folder, "dpo", config.to_dict())
    train_dpo(config, run, scorer=longer, judge=checksum, **options)
    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_model_folder, pairs_file, prompts_file):
    """Two finished runs: with LoRA and with all weights."""
    return {
        name: trained(
            tmp_path_factory.mktemp("runs") / name,
            make_config(tiny_model_folder, pairs_file, prompts_file, lora_rank=rank),
        )
        for name, rank in {"lora": 4, "full": 0}.items()
    }


# -- the loss --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [0, 4])
def test_loss_is_that_of_the_paper_at_the_policys_temperature(config, tmp_path, rank):
    """Rafailov 2023, eq. 7, from the logits of transformers, pair by pair without padding."""
    options = config(lora_rank=rank, temperature=0.7, beta=0.3)
    policy = load_policy(options.policy, device=CPU, for_training=True, lora_rank=rank)
    encoded = encode_for_dpo(options, policy, PAIRS)
    trainer = build_trainer(options, policy, encoded, Recorder(None), tmp_path, torch.float32)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # so that the policy differs from the reference
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)

    def logprob(model, prompt, response):
        logits = model(input_ids=torch.tensor([prompt + response])).logits[0].double() / 0.7
        ahead = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        return sum(float(row[token]) for row, token in zip(ahead, response, strict=True))

    plain = AutoModelForCausalLM.from_pretrained(options.policy).eval()
    expected = []
    for prompt, chosen, rejected in zip(*vars(encoded).values(), strict=True):
        with torch.no_grad():
            gain = logprob(policy.lm, prompt, chosen) - logprob(plain, prompt, chosen)
            loss = logprob(policy.lm, prompt, rejected) - logprob(plain, prompt, rejected)
        expected.append(math.log1p(math.exp(-0.3 * (gain - loss))))
    batch = trainer.data_collator(list(trainer.train_dataset))
    got = float(trainer.compute_loss(trainer.model, batch).detach())
    assert got == pytest.approx(sum(expected) / 2, rel=1e-4)
    assert abs(got - math.log(2)) > 0.01  # the policy does differ


def test_first_loss_is_that_of_a_coin_flip(finished):
    assert finished["lora"].read("metrics")[1]["dpo/loss"] == pytest.approx(math.log(2))


def test_prompt_and_both_responses_are_tokenised_by_themselves(config):
    policy = load_policy(config().policy, device=CPU)
    encoded = encode_for_dpo(config(max_new_tokens=32), policy, PAIRS)
    eos = policy.tokenizer.eos_token_id
    text = policy.tokenizer("A film was good")["input_ids"]  # as PPO's prompts begin
    assert encoded.prompt_ids[0] + encoded.chosen_ids[0] == [*text, eos]
    assert encoded.prompt_ids[1] == [eos]  # an empty prompt is the start of a text
    bad = policy.tokenizer.encode(" bad", add_special_tokens=False)
    assert encoded.rejected_ids[0] == [*bad, eos]


# -- a finished run --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_every_step_has_a_row_and_some_measure_the_policy(finished, kind):
    rows = finished[kind].read("metrics")
    assert [row["step"] for row in rows] == list(range(STEPS + 1))
    assert all("dpo/loss" in row and "policy/gradient_norm" in row for row in rows[1:])
    assert rows[0]["dpo/total_steps"] == STEPS
    assert all("objective/kl" in row for row in rows)  # 6 steps, up to 10 measurements
    assert rows[0]["objective/kl"] == pytest.approx(0.0, abs=1e-5)
    assert rows[-1]["objective/kl"] > 0.1
    for absent in ("value/loss", "objective/reward", "objective/kl_coef", "policy/clip_fraction"):
        assert not any(absent in row for row in rows)


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_policy_learns_what_the_pairs_tell(finished, kind):
    rows = finished[kind].read("metrics")
    assert rows[-1]["dpo/accuracy"] == 1.0 and rows[-1]["dpo/loss"] < 0.3
    last = rows[-1]
    assert last["dpo/margin"] == pytest.approx(last["dpo/chosen"] - last["dpo/rejected"], abs=1e-4)


def test_texts_are_kept_token_by_token_without_what_dpo_lacks(finished):
    rows = finished["lora"].read("samples")
    assert {row["step"] for row in rows} == set(range(STEPS + 1))
    for row in rows:
        assert len(row["token"]) == len(row["kl"]) == len(row["logprob"])
        assert not {"value", "reward", "advantage", "return", "ratio", "clipped"} & row.keys()


def test_measurements_read_the_same_prompts(finished, prompts_file):
    rows = finished["lora"].read("samples")
    by_step = [[row["prompt"] for row in rows if row["step"] == step] for step in (0, STEPS)]
    assert by_step[0] == by_step[1] and len(set(by_step[0])) > 1


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_saved_model_is_the_trained_one(finished, kind, tiny_model_folder):
    run = finished[kind]
    policy = load_policy(str(run.folder), device=CPU)
    base = load_policy(str(tiny_model_folder), device=CPU)
    moved = [
        float((now - before).abs().max())
        for now, before in zip(policy.lm.parameters(), base.lm.parameters(), strict=True)
    ]
    assert max(moved) > 1e-3 and policy.value_head is None
    assert not (run.folder / "checkpoints").exists()
    report = read_json(run.folder / "report.json")
    assert report["kl"] > 0.1 and report["prompts"] > 0


def test_order_of_the_pairs_depends_on_the_seed(config, tmp_path):
    losses = [
        trained(tmp_path / str(seed), config(seed=seed)).read("metrics")[3]["dpo/loss"]
        for seed in (1, 2)
    ]
    assert losses[0] != losses[1]


# -- stop, resume, divergence ----------------------------------------------------------------------


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the trainer may catch it."""


@pytest.mark.parametrize("step", [1, 3])  # 1 is before the first checkpoint
def test_killed_run_resumed_equals_one_that_ran_through(
    finished, config, tmp_path, monkeypatch, step
):
    append = Run.append

    def append_and_die(self, name, rows):
        append(self, name, rows)
        if name == "metrics" and rows[0]["step"] == step:
            raise Killed

    monkeypatch.setattr(Run, "append", append_and_die)
    run = Run.create(tmp_path / "run", "dpo", config().to_dict())
    with pytest.raises(Killed):
        train_dpo(config(), run, scorer=longer, judge=checksum)
    monkeypatch.setattr(Run, "append", append)
    train_dpo(config(), run, scorer=longer, judge=checksum, resume=True)
    assert_equal_runs(run, finished["lora"])


def test_stopped_run_has_a_model_and_resumed_equals_one_that_ran_through(
    finished, config, tmp_path, monkeypatch
):
    append = Run.append

    def append_and_ask(self, name, rows):
        append(self, name, rows)
        if name == "metrics" and rows[0]["step"] == 2:
            self.request_stop()

    monkeypatch.setattr(Run, "append", append_and_ask)
    run = trained(tmp_path / "run", config(lora_rank=0))
    assert run.status["status"] == Status.STOPPED
    assert load_policy(str(run.folder), device=CPU)
    monkeypatch.setattr(Run, "append", append)
    train_dpo(config(lora_rank=0), run, scorer=longer, judge=checksum, resume=True)
    assert_equal_runs(run, finished["full"])


def test_finished_run_is_left_as_it_is(finished):
    before = finished["lora"].read("metrics")
    train_dpo(DPOConfig(policy="none of that name"), finished["lora"], resume=True)
    assert finished["lora"].read("metrics") == before


def test_loss_that_is_not_finite_ends_the_run_with_step_and_metric(config, tmp_path, monkeypatch):
    metrics = module.DPORecorder.metrics

    def diverge(self, logs):
        return metrics(self, logs | ({"loss": math.nan} if self.row["step"] == 2 else {}))

    monkeypatch.setattr(module.DPORecorder, "metrics", diverge)
    with pytest.raises(TrainingDiverged, match="step 3: dpo/loss became nan"):
        trained(tmp_path / "run", config())
