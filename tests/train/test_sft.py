"""SFT: its loss worked out again from plain logits, its labels, rows, stop and resume."""

import json
import math
from functools import partial

import pytest
import torch
from transformers import AutoModelForCausalLM

from rlhf_demo.config.sft import SFTConfig
from rlhf_demo.data.demonstrations import Demonstrations
from rlhf_demo.errors import DataError, TrainingDiverged
from rlhf_demo.files import read_json
from rlhf_demo.models.policy import load_policy
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.train import sft as module
from rlhf_demo.train.sft import (
    IGNORED,
    build_trainer,
    chat_renderer,
    demonstrations_of,
    encode_for_sft,
    token_loss,
    train_sft,
)
from rlhf_demo.train.trl_training import Recorder
from tests.equal_runs import assert_equal_runs
from tests.stepping import checksum, longer

CPU = torch.device("cpu")
STEPS = 6  # 24 texts in batches of 4
TEXTS = Demonstrations(["A film", ""], [" was good", " so so good"])


@pytest.fixture(scope="module")
def texts_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    rows = [{"prompt": f"Film {n} was", "completion": " so" * (n % 3) + " good"} for n in range(36)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def make_config(policy, data, prompts, **changes):
    options = {
        "policy": str(policy), "data": str(data), "prompts": str(prompts), "reward": "longer",
        "train_texts": 24, "batch_size": 4, "warmup_steps": 2, "learning_rate": 1e-2,
        "lora_rank": 4, "checkpoint_every": 2, "max_new_tokens": 8, "dtype": "float32",
    }  # fmt: skip
    return SFTConfig(**options | changes)


@pytest.fixture
def config(tiny_model_folder, texts_file, prompts_file):
    return partial(make_config, tiny_model_folder, texts_file, prompts_file)


def trained(folder, config, **options):
    run = Run.create(folder, "sft", config.to_dict())
    train_sft(config, run, scorer=longer, judge=checksum, **options)
    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_model_folder, texts_file, prompts_file):
    """Two finished runs: with LoRA and with all weights."""
    return {
        name: trained(
            tmp_path_factory.mktemp("runs") / name,
            make_config(tiny_model_folder, texts_file, prompts_file, lora_rank=rank),
        )
        for name, rank in {"lora": 4, "full": 0}.items()
    }


# -- the loss --------------------------------------------------------------------------------------


def surprise(model, prompt, response, temperature):
    """Return -log p of each token of a response, from the logits of transformers, unpadded."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt + response])).logits[0].double()
    ahead = (logits / temperature).log_softmax(-1)[len(prompt) - 1 : -1]
    return [-float(row[token]) for row, token in zip(ahead, response, strict=True)]


@pytest.mark.parametrize("rank", [0, 4])
def test_loss_is_the_mean_over_the_tokens_of_the_responses(config, tmp_path, rank):
    options = config(lora_rank=rank, temperature=0.7)
    policy = load_policy(options.policy, device=CPU, for_training=True, lora_rank=rank)
    plain = AutoModelForCausalLM.from_pretrained(options.policy).eval()
    encoded = encode_for_sft(options, policy, TEXTS)
    expected = []
    for row, labels in zip(encoded.input_ids, encoded.labels, strict=True):
        prompt_length = labels.count(IGNORED)
        expected += surprise(plain, row[:prompt_length], row[prompt_length:], 0.7)
    trainer = build_trainer(options, policy, encoded, Recorder(None), tmp_path, torch.float32)
    batch = trainer.data_collator(list(trainer.train_dataset))
    got = float(trainer.compute_loss(trainer.model, batch).detach())
    assert got == pytest.approx(sum(expected) / len(expected), rel=1e-4)
    assert token_loss(policy, TEXTS, 8, 0.7) == pytest.approx(got, rel=1e-4)
    at_1 = [
        value
        for row, labels in zip(encoded.input_ids, encoded.labels, strict=True)
        for value in surprise(plain, row[: labels.count(IGNORED)], row[labels.count(IGNORED) :], 1)
    ]
    assert abs(got - sum(at_1) / len(at_1)) > 0.01  # the temperature matters


def test_only_the_response_and_its_end_are_learned(config):
    policy = load_policy(config().policy, device=CPU)
    tokenizer, encoded = policy.tokenizer, encode_for_sft(config(), policy, TEXTS)
    prompt = tokenizer("A film")["input_ids"]
    answer = [*tokenizer.encode(" was good", add_special_tokens=False), tokenizer.eos_token_id]
    assert encoded.input_ids[0] == prompt + answer
    assert encoded.labels[0] == [IGNORED] * len(prompt) + answer
    assert encoded.labels[1][0] == IGNORED != encoded.labels[1][1]  # the start of a text


# -- data ------------------------------------------------------------------------------------------


def test_shipped_pairs_keep_their_own_split(tiny_model_folder):
    policy = load_policy(str(tiny_model_folder), device=CPU)
    train, held_out = demonstrations_of(SFTConfig(train_texts=50), policy)
    assert len(train) == 50 and len(held_out) > 50
    assert not set(train.prompts) & set(held_out.prompts)


def test_conversation_is_written_by_the_models_chat_template(tiny_model_folder):
    policy = load_policy(str(tiny_model_folder), device=CPU)
    messages = [{"role": "user", "content": "Hi"}]
    render = chat_renderer(policy, "tiny")
    with pytest.raises(DataError, match="the tokenizer of tiny has no chat template: give rows"):
        render(messages, True)
    policy.tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    assert render(messages, True) == "[user] Hi[assistant]"
    assert render(messages, False) == "[user] Hi"
    policy.tokenizer.chat_template = "{{ raise_exception('only one message') }}"
    with pytest.raises(DataError, match=r"refuses a conversation \(only one message\)"):
        render(messages, True)


# -- a finished run --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_every_step_has_a_row_and_some_measure_the_policy(finished, kind):
    rows = finished[kind].read("metrics")
    assert [row["step"] for row in rows] == list(range(STEPS + 1))
    assert all("sft/loss" in row and "policy/gradient_norm" in row for row in rows[1:])
    assert rows[0]["sft/total_steps"] == STEPS
    assert all({"objective/kl", "sft/heldout_loss"} <= row.keys() for row in rows)
    assert rows[0]["objective/kl"] == pytest.approx(0.0, abs=1e-5)
    for absent in ("value/loss", "objective/reward", "dpo/loss", "policy/clip_fraction"):
        assert not any(absent in row for row in rows)


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_policy_learns_to_write_texts_that_it_has_not_seen(finished, kind):
    first, *_, last = finished[kind].read("metrics")
    assert last["sft/heldout_loss"] < 0.7 * first["sft/heldout_loss"]
    assert last["objective/kl"] > 1
    assert kind == "lora" or last["sft/accuracy"] > 0.3  # 0 before; LoRA takes longer


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_saved_model_is_the_trained_one(finished, kind):
    run = finished[kind]
    policy = load_policy(str(run.folder), device=CPU)
    _, held_out = demonstrations_of(SFTConfig(**run.config["options"]), policy)
    last = run.read("metrics")[-1]["sft/heldout_loss"]
    assert token_loss(policy, held_out, 8, 0.7) == pytest.approx(last, abs=1e-3)
    assert not (run.folder / "checkpoints").exists()
    assert read_json(run.folder / "report.json")["prompts"] > 0


# -- stop, resume, divergence ----------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "rank"), [("lora", 4), ("full", 0)])
def test_stopped_run_has_a_model_and_resumed_equals_one_that_ran_through(
    finished, config, tmp_path, monkeypatch, kind, rank
):
    append = Run.append

    def append_and_ask(self, name, rows):
        append(self, name, rows)
        if name == "metrics" and rows[0]["step"] == 3:
            self.request_stop()

    monkeypatch.setattr(Run, "append", append_and_ask)
    run = trained(tmp_path / "run", config(lora_rank=rank))
    assert run.status["status"] == Status.STOPPED
    assert load_policy(str(run.folder), device=CPU)
    monkeypatch.setattr(Run, "append", append)
    train_sft(config(lora_rank=rank), run, scorer=longer, judge=checksum, resume=True)
    assert_equal_runs(run, finished[kind])


def test_finished_run_is_left_as_it_is(finished):
    before = finished["lora"].read("metrics")
    train_sft(SFTConfig(policy="none of that name"), finished["lora"], resume=True)
    assert finished["lora"].read("metrics") == before


def test_loss_that_is_not_finite_ends_the_run_with_step_and_metric(config, tmp_path, monkeypatch):
    metrics = module.SFTRecorder.metrics

    def diverge(self, logs):
        return metrics(self, logs | ({"loss": math.nan} if self.row["step"] == 2 else {}))

    monkeypatch.setattr(module.SFTRecorder, "metrics", diverge)
    with pytest.raises(TrainingDiverged, match="step 3: sft/loss became nan"):
        trained(tmp_path / "run", config())
