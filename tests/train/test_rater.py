"""The simulated rater: what it learns, that it stops and resumes exactly."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from rlhf_demo.config.rater import RaterConfig
from rlhf_demo.errors import CheckpointError, ConfigError, TrainingDiverged
from rlhf_demo.models.reward_model import load_reward_model, new_reward_model
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.train import rater as module
from rlhf_demo.train.rater import (
    prefix_logits,
    prefix_loss,
    share,
    train_rater,
    training_snippet,
    words_from,
)
from rlhf_demo.train.schedule import cosine_rate
from tests.equal_runs import without_times
from tests.reviews import write_reviews

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def reviews_path(tmp_path_factory):
    """Twelve reviews of two kinds: ten to train on, half of each liked, and two to test on."""
    path = tmp_path_factory.mktemp("data") / "reviews.parquet"
    write_reviews(path, split=["train"] * 10 + ["test"] * 2, stars=[10, 1] * 6)
    return path


@pytest.fixture
def options(tiny_model_folder, reviews_path):
    """Return options of a run of seconds."""
    return {
        "model": str(tiny_model_folder), "data": str(reviews_path), "lora_rank": 4,
        "total_steps": 6, "batch_tokens": 128, "learning_rate": 0.01, "warmup_steps": 2,
        "checkpoint_every": 2, "dtype": "float32", "device": "cpu",
    }  # fmt: skip


def start(folder, options):
    config = RaterConfig(**options)
    return config, Run.create(folder, "rater", config.to_dict())


# -- texts ----------------------------------------------------------------------------------------


def test_words_from_gives_forty_words_in_a_row_from_anywhere():
    words = [str(number) for number in range(50)]
    rng = np.random.default_rng(0)
    starts = set()
    for _ in range(300):
        found = [int(word) for word in words_from(words, rng).split()]
        assert found == list(range(found[0], found[0] + 40))
        starts.add(found[0])
    assert starts == set(range(11))  # 50 - 40 = 10 is the last place with forty words left
    assert words_from(words[:30], rng) == " ".join(words[:30])


def test_training_snippets_mostly_begin_a_sentence():
    sentences = ["One two three.", "Four five six.", "Seven " + "word " * 99 + "end."]
    rng = np.random.default_rng(0)
    found = [training_snippet(sentences, rng) for _ in range(1000)]
    begins = [text.split()[0] for text in found]
    # 0.8 begin a sentence of three, the others one of about 44 words: 0.2 * 3 / 44 = 0.01 more.
    assert abs(sum(word in ("One", "Four", "Seven") for word in begins) / 1000 - 0.81) < 0.05
    assert abs(begins.count("Seven") / 1000 - 0.27) < 0.05
    assert max(len(text.split()) for text in found) == 64
    assert {training_snippet([], rng) for _ in range(20)} == {""}


# -- maths ----------------------------------------------------------------------------------------


def test_prefix_loss_is_the_mean_over_counted_places():
    logits = torch.tensor([[0.0, 2.0, 9.0], [0.0, 9.0, -1.0]])
    counted = torch.tensor([[True, True, False], [True, False, True]])
    liked = torch.tensor([True, False])
    # -log sigmoid(0) = log 2 twice; liked at 2: log(1 + e^-2); disliked at -1: log(1 + e^-1)
    expected = (2 * math.log(2) + math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1))) / 4
    assert prefix_loss(logits, counted, liked).item() == pytest.approx(expected, abs=1e-6)


def test_prefix_logits_are_the_scores_of_the_prefixes(tiny_model_folder):
    model, tokenizer = new_reward_model(str(tiny_model_folder), lora_rank=0, device=CPU)
    model.eval()
    batch = tokenizer(
        ["It was good.", "It was a bad film, and long."], padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        logits = prefix_logits(model, batch["input_ids"], batch["attention_mask"].bool())
        for length in (2, 4):
            alone = model(input_ids=batch["input_ids"][:, :length]).logits[:, 0]
            torch.testing.assert_close(logits[:, length - 1], alone, atol=1e-5, rtol=0)


def test_learning_rate_rises_then_falls_by_a_cosine():
    config = RaterConfig(learning_rate=1.0, warmup_steps=2, total_steps=6)
    rates = [cosine_rate(config, step) for step in range(1, 7)]
    # 1/2, 2/2, then (1 + cos(pi * t)) / 2 at t = 1/4, 2/4, 3/4, 1
    assert rates == pytest.approx([0.5, 1.0, 0.853553, 0.5, 0.146447, 0.0], abs=1e-6)


def test_share_has_the_wilson_interval():
    found = share(torch.tensor([True] * 8 + [False] * 2))
    # Wilson for 8 of 10, z = 1.96: centre (0.8 + 0.19207) / 1.38415 = 0.71673, half 0.22660
    assert found == {
        "accuracy": 0.8,
        "accuracy_low": pytest.approx(0.4902, abs=1e-4),
        "accuracy_high": pytest.approx(0.9433, abs=1e-4),
        "reviews": 10,
    }


# -- runs -----------------------------------------------------------------------------------------


def test_rater_learns_and_its_files_are_a_plain_adapter(tmp_path, options, tiny_model_folder):
    config, run = start(tmp_path / "run", options | {"total_steps": 40})
    train_rater(config, run)

    rows = run.read("metrics")
    assert [row["step"] for row in rows] == list(range(1, 41))
    assert rows[0]["rater/loss"] > 0.6 and rows[-1]["rater/loss"] < 0.3
    assert rows[-1]["rater/accuracy"] == 1.0
    assert run.status["status"] == Status.FINISHED

    report = json.loads((run.folder / "report.json").read_text())
    assert report["steps"] == 40 and report["snippet_words"] == 40
    for name in ("snippets", "whole_reviews"):
        # 2 of 2; Wilson's lower end is n / (n + z^2) = 2 / 5.8415
        assert report[name]["accuracy"] == 1.0 and report[name]["reviews"] == 2
        assert report[name]["accuracy_low"] == pytest.approx(0.3424, abs=1e-3)
        assert report[f"{name}_never_pretrained"] == report[name]
    assert (
        "| snippets | 1.000 | 0.342 to 1.000 | 2 |" in (run.model_folder / "README.md").read_text()
    )

    # No tokenizer of its own, half precision, the base named: and yet it loads by the run's name.
    assert {path.name for path in run.model_folder.iterdir()} == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    tensors = load_file(run.model_folder / "adapter_model.safetensors").values()
    assert {tensor.dtype for tensor in tensors} == {torch.float16}
    settings = json.loads((run.model_folder / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == str(tiny_model_folder)
    scorer = load_reward_model(str(run.folder), device=CPU)
    liked, disliked = scorer(
        ["It was", "It was"], [" good fun to watch.", " bad and dull to watch."]
    )
    assert liked > 0 > disliked


def test_rater_stopped_or_killed_and_resumed_equals_an_uninterrupted_run(
    tmp_path, options, monkeypatch
):
    config, whole = start(tmp_path / "whole", options)
    train_rater(config, whole)

    # Killed in step 4, after the state of step 2 was saved and step 3 was written.
    _, run = start(tmp_path / "run", options)
    step = module.RaterTrainer._train_step
    with monkeypatch.context() as patch:
        patch.setattr(module.RaterTrainer, "_train_step", lambda self: killed(self, step, 3))
        with pytest.raises(MemoryError):
            train_rater(config, run)
    assert [row["step"] for row in run.read("metrics")] == [1, 2, 3]
    assert run.status["status"] == Status.FAILED

    # Resumed from step 2, then asked to stop during step 5: that state is saved.
    with monkeypatch.context() as patch:
        patch.setattr(module.RaterTrainer, "_train_step", lambda self: stopped(self, step, 5))
        train_rater(config, run, resume=True)
    assert [row["step"] for row in run.read("metrics")] == [1, 2, 3, 4, 5]
    assert run.status["status"] == Status.STOPPED

    train_rater(config, run, resume=True)
    assert run.status["status"] == Status.FINISHED
    assert without_times(run.read("metrics")) == without_times(whole.read("metrics"))
    for file in ("report.json", "model/adapter_model.safetensors"):
        assert (run.folder / file).read_bytes() == (whole.folder / file).read_bytes()


def killed(trainer, step, after):
    if trainer.step == after:
        raise MemoryError
    return step(trainer)


def stopped(trainer, step, at):
    if trainer.step + 1 == at:
        trainer.run.request_stop()
    return step(trainer)


def test_rater_killed_before_its_first_state_begins_again(tmp_path, options, monkeypatch):
    config, run = start(tmp_path / "run", options | {"total_steps": 2, "checkpoint_every": 50})
    step = module.RaterTrainer._train_step
    with monkeypatch.context() as patch:
        patch.setattr(module.RaterTrainer, "_train_step", lambda self: killed(self, step, 1))
        with pytest.raises(MemoryError):
            train_rater(config, run)
    train_rater(config, run, resume=True)
    assert [row["step"] for row in run.read("metrics")] == [1, 2]


def test_rater_does_not_resume_from_what_is_not_its_own_state(tmp_path, options, monkeypatch):
    config, run = start(tmp_path / "run", options | {"total_steps": 3, "checkpoint_every": 1})
    step = module.RaterTrainer._train_step
    with monkeypatch.context() as patch:
        patch.setattr(module.RaterTrainer, "_train_step", lambda self: killed(self, step, 1))
        with pytest.raises(MemoryError):
            train_rater(config, run)
    state = run.checkpoint_path.read_bytes()
    other = RaterConfig(**config.to_dict() | {"seed": 7})
    with pytest.raises(ConfigError, match="belongs to a run with other options"):
        train_rater(other, run, resume=True)
    run.checkpoint_path.write_bytes(state[: len(state) // 2])
    with pytest.raises(CheckpointError, match=r"checkpoint.pt cannot be read \(\w+\)"):
        train_rater(config, run, resume=True)


def test_rater_resumes_from_a_state_of_before_its_options_were_in_it(
    tmp_path, options, monkeypatch
):
    config, run = start(tmp_path / "run", options | {"total_steps": 3, "checkpoint_every": 1})
    step = module.RaterTrainer._train_step
    with monkeypatch.context() as patch:
        patch.setattr(module.RaterTrainer, "_train_step", lambda self: killed(self, step, 2))
        with pytest.raises(MemoryError):
            train_rater(config, run)
    state = torch.load(run.checkpoint_path, weights_only=True)
    del state["options"]
    state["optimiser"] = state.pop("optimizer")
    torch.save(state, run.checkpoint_path)
    train_rater(config, run, resume=True)
    assert [row["step"] for row in run.read("metrics")] == [1, 2, 3]


def test_rater_whose_loss_is_not_finite_keeps_the_last_state(tmp_path, options, monkeypatch):
    config, run = start(tmp_path / "run", options)
    real = module.prefix_loss
    monkeypatch.setattr(
        module,
        "prefix_loss",
        lambda *given: real(*given) * (math.nan if steps_done(run) == 2 else 1),
    )
    with pytest.raises(TrainingDiverged, match="step 3: rater/loss became nan"):
        train_rater(config, run)
    assert torch.load(run.checkpoint_path, weights_only=True)["step"] == 2
    assert [row["step"] for row in run.read("metrics")] == [1, 2]
    assert "step 3" in run.status["message"]


def steps_done(run):
    return len(run.read("metrics"))


def test_rater_draws_other_texts_each_step_and_long_ones_every_fourth(tmp_path, options):
    config, run = start(tmp_path / "run", options | {"batch_tokens": 512})
    trainer = module.RaterTrainer(config, run)
    drawn = {}
    for trainer.step in (1, 2, 4):
        ids, mask, liked = trainer._draw()
        assert ids.shape == mask.shape and liked.dtype == torch.bool
        drawn[trainer.step] = trainer.scorer.tokenizer.batch_decode(ids, skip_special_tokens=True)
    # 512 tokens are 8 texts of 64 or 2 of 256.
    assert [len(texts) for texts in drawn.values()] == [8, 8, 2]
    assert drawn[1] != drawn[2]
    # A whole review: no tags, no accents, both sentences.
    assert set(drawn[4]) <= {
        "It was good fun to watch. A cafe scene is lovely.",
        "It was bad and dull to watch. A long scene is awful.",
    }
