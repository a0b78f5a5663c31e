"""The reward model's training: rows, stop and resume, normalised scores, files that plain libraries
load.
"""

import json
import math
from functools import partial

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.data.pairs import Pairs
from rlhf_demo.errors import CheckpointError, TrainingDiverged
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.reward_model import load_reward_model, new_reward_model
from rlhf_demo.models.sampling import decode, generate
from rlhf_demo.models.tokenizer import load_tokenizer
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.train import reward as module
from rlhf_demo.train.pair_scoring import EncodedPairs, encode_pairs, normalise
from rlhf_demo.train.reward import load_both_sides, train_reward
from rlhf_demo.train.trl_training import Recorder, last_checkpoint
from tests.equal_runs import without_times

STEPS = 6  # 24 pairs in batches of 4
CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def pairs_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    rows = [
        {
            "prompt": f"Film {n} was",
            "chosen": " so" * (n % 3) + " good",
            "rejected": " so, so bad",
            "margin": n / 10,
        }
        for n in range(36)
    ]
    rows += [rows[0], {**rows[1], "prompt": "long " * 80}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def make_config(model, data, **changes):
    options = {
        "model": str(model),
        "data": str(data),
        "train_pairs": 24,
        "batch_size": 4,
        "warmup_steps": 2,
        "learning_rate": 1e-2,
        "lora_rank": 4,
        "checkpoint_every": 2,
        "dtype": "float32",
    }
    return RewardConfig(**options | changes)


@pytest.fixture
def config(tiny_model_folder, pairs_file):
    return partial(make_config, model=tiny_model_folder, data=pairs_file)


def new_run(folder, config):
    return Run.create(folder, "train-reward", config.to_dict())


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_model_folder, pairs_file):
    """Two finished runs: with LoRA and with all weights."""
    runs = {}
    for name, rank in {"lora": 4, "full": 0}.items():
        config = make_config(tiny_model_folder, pairs_file, lora_rank=rank)
        runs[name] = new_run(tmp_path_factory.mktemp("runs") / name, config)
        train_reward(config, runs[name])
    return runs


def weights(run):
    path = next(run.model_folder.glob("*.safetensors"))
    return path.read_bytes()


def plain_model(run, kind, base):
    """Load as somebody would who has never heard of us."""
    if kind == "full":
        return AutoModelForSequenceClassification.from_pretrained(run.model_folder).eval()
    from peft import PeftModel

    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    return PeftModel.from_pretrained(model, run.model_folder).eval()


# -- a finished run --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_finished_run_has_one_row_a_step_and_held_out_looks_from_start_to_end(finished, kind):
    rows = finished[kind].read("metrics")
    assert [row["step"] for row in rows] == list(range(STEPS + 1))
    for row in rows[1:]:
        assert {
            "reward/loss",
            "reward/accuracy",
            "reward/margin",
            "time/step_seconds",
        } <= row.keys()
    looks = [row["step"] for row in rows if "heldout/loss" in row]
    assert looks[0] == 0 and looks[-1] == STEPS and len(looks) == module.EVALUATIONS + 1
    assert finished[kind].status["status"] == Status.FINISHED
    assert not (finished[kind].folder / "checkpoints").exists()


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_training_learns_what_the_pairs_tell(finished, kind):
    rows = finished[kind].read("metrics")
    assert rows[-1]["heldout/loss"] < 0.6 < rows[0]["heldout/loss"]
    assert rows[-1]["heldout/accuracy"] > 0.9


def test_label_noise_turns_round_the_training_pairs_but_no_held_out_ones(config, tmp_path):
    """A model that learned all of them the wrong way round is wrong on the held-out pairs."""
    noisy = config(label_noise=1.0)
    run = new_run(tmp_path / "run", noisy)
    train_reward(noisy, run)
    assert run.read("metrics")[-1]["heldout/accuracy"] < 0.1


def test_report_agrees_with_the_last_look_and_counts_what_was_left_out(finished, pairs_file):
    report = json.loads((finished["lora"].folder / "report.json").read_text())
    last = finished["lora"].read("metrics")[-1]
    assert report["accuracy"] == pytest.approx(last["heldout/accuracy"])
    assert report["loss"] == pytest.approx(last["heldout/loss"])
    assert report["accuracy_low"] < report["accuracy"] <= report["accuracy_high"]
    assert report["train_pairs"] + report["pairs"] == 37
    assert report["dropped"] == {"duplicate": 1}
    assert report["cut"] == 2  # both texts of the pair with the long prompt


def test_factor_in_the_report_turns_the_saved_models_scores_into_what_it_stated(finished, config):
    run = finished["lora"]
    report = json.loads((run.folder / "report.json").read_text())
    model, (_, held_out) = load_reward_model(str(run.folder), device=CPU), load_both_sides(config())
    chosen = model(held_out.prompts, held_out.chosen)
    differences = (chosen - model(held_out.prompts, held_out.rejected)).abs()
    stated = torch.sigmoid(report["score_std"] * differences).mean()
    assert report["stated"] == pytest.approx(float(stated), abs=1e-4)
    assert abs(torch.sigmoid(differences).mean() - stated) > 1e-3  # else any factor would do


@pytest.mark.parametrize("kind", ["lora", "full"])
@torch.no_grad()
def test_score_is_the_same_alone_in_a_batch_padded_left_or_right_and_by_plain_libraries(
    finished, kind, tiny_model_folder
):
    model = plain_model(finished[kind], kind, tiny_model_folder)
    tokenizer = AutoTokenizer.from_pretrained(finished[kind].model_folder)
    texts = ["Film 1 was good.", "Film 2 was bad, so bad. I left early and went home.", "Well."]
    alone = torch.stack(
        [model(**tokenizer(text, return_tensors="pt")).logits[0, 0] for text in texts]
    )
    right = model(
        **tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
    ).logits[:, 0]
    batch = tokenizer(texts, padding=True, padding_side="left", return_tensors="pt")
    positions = (batch["attention_mask"].cumsum(-1) - 1).clamp_min(0)
    left = model(**batch, position_ids=positions).logits[:, 0]
    ours = load_reward_model(str(finished[kind].folder), device=CPU).score_texts(texts)
    for other in (right, left, ours):
        assert torch.allclose(alone, other, rtol=0, atol=1e-5)
    assert alone.std() > 0.1  # and not because they are all the same


def test_adapter_names_its_base_and_holds_head_and_last_norm(finished, tiny_model_folder):
    from safetensors.torch import load_file

    adapter = json.loads((finished["lora"].model_folder / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == str(tiny_model_folder.resolve())
    names = load_file(finished["lora"].model_folder / "adapter_model.safetensors")
    assert any("score" in name for name in names) and any("ln_f.bias" in name for name in names)


# -- stop and resume -------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the trainer may catch it."""


def assert_equal_runs(run, other):
    assert without_times(run.read("metrics")) == without_times(other.read("metrics"))
    assert weights(run) == weights(other)
    assert (run.folder / "report.json").read_bytes() == (other.folder / "report.json").read_bytes()


@pytest.mark.parametrize("step", [1, 3])  # 1 is before the first checkpoint
def test_killed_run_resumed_equals_one_that_ran_through(
    finished, config, tmp_path, monkeypatch, step
):
    run = new_run(tmp_path / "run", config())
    append = Run.append

    def append_and_die(self, name, rows):
        append(self, name, rows)
        if rows[0]["step"] == step:
            raise Killed

    monkeypatch.setattr(Run, "append", append_and_die)
    with pytest.raises(Killed):
        train_reward(config(), run)
    monkeypatch.setattr(Run, "append", append)
    (run.folder / "checkpoints" / "checkpoint-5").mkdir(parents=True)  # one that a kill cut short
    train_reward(config(), run, resume=True)
    assert_equal_runs(run, finished["lora"])


def test_stopped_run_resumed_equals_one_that_ran_through(finished, config, tmp_path, monkeypatch):
    run = new_run(tmp_path / "run", config(lora_rank=0))
    append = Run.append

    def append_and_ask(self, name, rows):
        append(self, name, rows)
        if rows[0]["step"] == 2:
            self.request_stop()

    monkeypatch.setattr(Run, "append", append_and_ask)
    train_reward(config(lora_rank=0), run)
    assert run.status["status"] == Status.STOPPED
    assert run.read("metrics")[-1]["step"] == 3  # asked after step 2, seen after step 3
    assert last_checkpoint(run.folder / "checkpoints").name == "checkpoint-3"  # saved
    monkeypatch.setattr(Run, "append", append)
    train_reward(config(lora_rank=0), run, resume=True)
    assert_equal_runs(run, finished["full"])


def test_run_stopped_while_scoring_and_resumed_equals_one_that_ran_through(
    finished, config, tmp_path, monkeypatch
):
    run = new_run(tmp_path / "run", config())
    scores = module.PairScorer.scores
    # Looks come at steps 0, 2, 4, 6, then the normalisation. Which scoring of a session is
    # interrupted, and the last step: # the look at 0; the look at 2; that same look made up for;
    # all looks done, the normalisation.
    for interrupted, step in [(1, 0), (2, 2), (1, 2), (4, 6)]:
        calls = []

        def scores_or_stop(self, ids, calls=calls, interrupted=interrupted):
            calls.append(1)
            if len(calls) == interrupted:
                run.request_stop()
            return scores(self, ids)

        monkeypatch.setattr(module.PairScorer, "scores", scores_or_stop)
        train_reward(config(), run, resume=True)
        assert run.status["status"] == Status.STOPPED
        last = last_checkpoint(run.folder / "checkpoints")
        assert (0 if last is None else int(last.name.split("-")[1])) == step
    monkeypatch.setattr(module.PairScorer, "scores", scores)
    train_reward(config(), run, resume=True)
    assert_equal_runs(run, finished["lora"])


# -- divergence ------------------------------------------------------------------------------------


def test_loss_that_is_not_finite_ends_the_run_with_step_and_metric(config, tmp_path, monkeypatch):
    on_log = Recorder.on_log

    def diverge(self, args, state, control, logs, **kwargs):
        seen = {**logs, "loss": math.nan} if state.global_step == 3 else logs
        on_log(self, args, state, control, logs=seen, **kwargs)

    monkeypatch.setattr(Recorder, "on_log", diverge)
    run = new_run(tmp_path / "run", config())
    with pytest.raises(TrainingDiverged, match="step 3: reward/loss became nan"):
        train_reward(config(), run)
    assert run.status["status"] == Status.FAILED
    assert [row["step"] for row in run.read("metrics")] == [0, 1, 2]
    assert last_checkpoint(run.folder / "checkpoints").name == "checkpoint-2"


def test_model_with_broken_weights_ends_before_the_first_step(config, tmp_path, tiny_model_folder):
    broken = tmp_path / "broken"
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    model.transformer.ln_f.weight.data[:] = math.nan
    model.save_pretrained(broken)
    load_tokenizer(tiny_model_folder).save_pretrained(broken)
    run = new_run(tmp_path / "run", config())
    with pytest.raises(TrainingDiverged, match="step 0: heldout/loss became nan"):
        train_reward(config(model=str(broken)), run)


# -- parts -----------------------------------------------------------------------------------------


def test_encode_pairs_appends_nothing_and_cuts_at_the_left_with_a_count(tiny_model_folder):
    tokenizer = load_tokenizer(tiny_model_folder)
    pairs = Pairs(["Film was", "One two three four"], [" good", " five"], [" bad", " six"])
    whole = [
        tokenizer(p + c)["input_ids"] for p, c in zip(pairs.prompts, pairs.chosen, strict=True)
    ]
    assert encode_pairs(pairs, tokenizer, 64).chosen_ids == whole
    encoded = encode_pairs(pairs, tokenizer, len(whole[0]))
    assert encoded.chosen_ids == [whole[0], whole[1][-len(whole[0]) :]]
    assert encoded.cut == 2


@pytest.mark.parametrize("rank", [0, 4])
@torch.no_grad()
def test_normalise_moves_every_score_by_mean_and_scale(tiny_model_folder, rank):
    torch.manual_seed(0)
    model, tokenizer = new_reward_model(str(tiny_model_folder), lora_rank=rank, device=CPU)
    model.eval()
    batch = tokenizer(
        ["Film was good.", "Film was bad.", "Well."], padding=True, return_tensors="pt"
    )
    before = model(**batch).logits[:, 0]
    mean, std = normalise(model, torch.tensor([1.0, 3.0]))
    assert (mean, std) == (2.0, 1.0)  # of 1 and 3
    assert torch.allclose(model(**batch).logits[:, 0], before - 2.0, atol=1e-5)
    assert normalise(model, torch.tensor([-4.0, 4.0])) == (0.0, 4.0)
    assert torch.allclose(model(**batch).logits[:, 0], (before - 2.0) / 4.0, atol=1e-5)


def test_scores_of_other_peoples_pairs_are_normalised_on_the_bases_own_answers(finished, config):
    """The pairs of this file are not what the tiny model writes; its answers are."""
    for run in finished.values():
        scorer = load_reward_model(str(run.folder), device=CPU)
        base = load_policy(config().model, device=CPU)
        pairs, _ = module.load_both_sides(config())
        prompts = (pairs.prompts * 6)[:128]  # 24 pairs: five or six answers to each prompt
        ids = generate(base, prompts, max_new_tokens=32, temperature=0.7, seed=0)
        scores = scorer(prompts, decode(base, ids))
        assert abs(float(scores.mean())) < 1e-3
        assert abs(float(scores.std(correction=0)) - 1) < 1e-3


def test_pairs_that_the_base_wrote_are_normalised_on_themselves(config, tmp_path):
    (tmp_path / "pairs.jsonl").touch()  # what makes a folder one of make-pairs
    encoded = EncodedPairs([[1]], [[2]], 0)
    for of_base in (config(data=str(tmp_path)), config(data="shipped")):
        own = module.samples_of_base(of_base, Pairs([], [], []), encoded, 64, lambda: None)
        assert own == [[1], [2]]


def test_base_that_cannot_write_leaves_the_pairs_own_texts(config, monkeypatch, caplog):
    def refuse(name, device):
        raise CheckpointError("it is an encoder")

    monkeypatch.setattr(module, "load_policy", refuse)
    pairs, _ = module.load_both_sides(config())
    encoded = EncodedPairs([[1]], [[2]], 0)
    assert module.samples_of_base(config(), pairs, encoded, 64, lambda: None) == [[1], [2]]
    assert "normalising the scores on the pairs' own texts, because it is an encoder" in caplog.text


def test_finished_run_resumed_stays_as_it_is(finished, config):
    before = (finished["lora"].folder / "metrics.jsonl").read_bytes()
    train_reward(config(), finished["lora"], resume=True)
    assert (finished["lora"].folder / "metrics.jsonl").read_bytes() == before


def test_looks_before_the_last_step_take_evenly_spaced_pairs(config, tmp_path, monkeypatch):
    looked = []
    margins = module.PairScorer.margins

    def record(self, pairs):
        looked.append(len(pairs.chosen_ids))
        return margins(self, pairs)

    monkeypatch.setattr(module.PairScorer, "margins", record)
    monkeypatch.setattr(module, "EVALUATION_PAIRS", 5)
    train_reward(config(), new_run(tmp_path / "run", config()))
    assert looked == [5, 5, 5, 13]  # of 13 every third: 0, 3, 6, 9, 12
