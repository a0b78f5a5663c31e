"""Stage 0 learns, keeps segments apart, and resumes to the very same numbers."""

import json

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from rlhf_demo.config.pretrain import BaseConfig
from rlhf_demo.data.packing import Stream
from rlhf_demo.errors import CheckpointError, ConfigError, DataError, TrainingDiverged
from rlhf_demo.files import read_json
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.train import pretrain as module
from rlhf_demo.train.pretrain import (
    LAST_RATE,
    BaseTrainer,
    batch_loss,
    set_dropout,
    split_parameters,
    train_base,
)
from rlhf_demo.train.schedule import cosine_rate
from tests.tiny import read_rows

DOCUMENTS = [
    f"The film was good and I liked it very much. Nobody saw Zorblax number {number}. "
    "It was a very good film, and we liked the end.<br /><br />We saw it and the film was good."
    for number in range(40)
]


@pytest.fixture(scope="session")
def texts_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in DOCUMENTS))
    return path


@pytest.fixture
def options(tiny_model_folder, texts_file):
    return {
        "model": str(tiny_model_folder),
        "data": str(texts_file),
        "total_steps": 7,
        "batch_tokens": 128,
        "warmup_steps": 2,
        "evaluate_every": 2,
        "checkpoint_every": 3,
        "dtype": "float32",
        "device": "cpu",
    }


def new_run(folder, config):
    return Run.create(folder, "base", config.to_dict())


def train(folder, **options):
    config = BaseConfig(**options)
    run = new_run(folder, config)
    train_base(config, run)
    return run


def rows_without_times(run):
    return [
        {key: value for key, value in row.items() if not key.startswith("time/")}
        for row in read_rows(run.folder / "metrics.jsonl")
    ]


def assert_same(run, other):
    assert rows_without_times(run) == rows_without_times(other)
    weights, other_weights = (
        load_file(found.model_folder / "model.safetensors") for found in (run, other)
    )
    assert all(torch.equal(weights[name], other_weights[name]) for name in other_weights)
    assert read_json(run.folder / "report.json") == read_json(other.folder / "report.json")


# -- the whole stage -------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["packed", "segments", "plain"])
def test_train_base_lowers_the_held_out_loss(tmp_path, options, unit):
    run = train(tmp_path, **options | {"text_unit": unit, "total_steps": 8, "learning_rate": 0.02})
    rows = run.read("metrics")
    assert [row["step"] for row in rows] == list(range(9))
    key = "base/held_out_plain_loss" if unit == "plain" else "base/held_out_loss"
    assert rows[-1][key] < rows[0][key] - 0.3
    report = read_json(run.folder / "report.json")
    assert report[key] == rows[-1][key] and report[f"{key}_before"] == rows[0][key]
    assert (report["documents"], report["held_out_documents"]) == (36, 4)
    assert run.status["status"] == Status.FINISHED


def test_train_base_writes_a_model_that_loads_plainly(tmp_path, options):
    run = train(tmp_path, **options | {"total_steps": 1})
    model = AutoModelForCausalLM.from_pretrained(run.model_folder)
    assert model.dtype == torch.float32
    assert AutoTokenizer.from_pretrained(run.model_folder)("A film")["input_ids"][0] == 0
    sizes = [path.stat().st_size for path in run.model_folder.glob("*.safetensors")]
    assert sizes and max(sizes) < 9_000_000


def test_train_base_makes_a_new_model(tmp_path, options):
    run = train(tmp_path, **options | {"model": "new", "total_steps": 1, "batch_tokens": 64})
    config = read_json(run.model_folder / "config.json")
    assert (config["n_layer"], config["n_embd"], config["pad_token_id"]) == (6, 256, 189)
    assert config["dtype"] == "float32"


def test_held_out_documents_are_not_trained_on(tmp_path, options):
    config = BaseConfig(**options | {"text_unit": "segments", "held_out": 2})
    trainer = BaseTrainer(config, new_run(tmp_path, config))
    decode = trainer.tokenizer.decode
    seen = ""
    while trainer.stream.epoch == 0:
        seen += "".join(decode(row) for row in trainer.stream.next().ids)
    held = "".join(decode(row) for batch in trainer.held_out[""] for row in batch.ids)
    for number in range(len(DOCUMENTS)):
        name = f"Zorblax number {number}."
        assert (name in held) == (number < 2), name
        assert (name in seen) == (number >= 2), name


# -- stop, kill, resume ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_model_folder, texts_file):
    """An uninterrupted run with dropout, more than one pass long."""
    options = {
        "model": str(tiny_model_folder),
        "data": str(texts_file),
        "total_steps": 12,
        "batch_tokens": 256,
        "warmup_steps": 2,
        "evaluate_every": 5,
        "checkpoint_every": 4,
        "dropout": 0.1,
        "dtype": "float32",
        "device": "cpu",
    }
    return train(tmp_path_factory.mktemp("runs") / "finished", **options)


def interrupted(folder, config, monkeypatch, at, how):
    """Train until something happens when batch number `at` is asked for."""
    run = new_run(folder, config)
    take, asked = Stream.next, []

    def next_batch(stream):
        asked.append(stream)
        if len(asked) == at:
            how(run)
        return take(stream)

    with monkeypatch.context() as patch:
        patch.setattr(Stream, "next", next_batch)
        try:
            train_base(config, run)
        except MemoryError:
            pass
    return run


def crash(run):
    raise MemoryError


@pytest.mark.parametrize("at", [1, 9])
def test_stopped_run_resumed_equals_one_that_was_not(tmp_path, monkeypatch, finished, at):
    config = BaseConfig(**finished.config["options"])
    run = interrupted(tmp_path, config, monkeypatch, at, Run.request_stop)
    assert run.status["status"] == Status.STOPPED
    assert run.read("metrics")[-1]["step"] == at  # the step under way is finished, then it stops
    train_base(config, run, resume=True)
    assert_same(run, finished)


@pytest.mark.parametrize("at", [1, 8])
def test_killed_run_resumed_equals_one_that_was_not(tmp_path, monkeypatch, finished, at):
    config = BaseConfig(**finished.config["options"])
    run = interrupted(tmp_path, config, monkeypatch, at, crash)
    assert run.status["status"] == Status.FAILED
    train_base(config, run, resume=True)
    assert_same(run, finished)


def test_finished_run_resumed_changes_nothing(tmp_path, options):
    run = train(tmp_path, **options | {"total_steps": 3})
    before = rows_without_times(run)
    train_base(BaseConfig(**run.config["options"]), run, resume=True)
    assert rows_without_times(run) == before


def test_finished_run_keeps_no_state(tmp_path, options):
    run = train(tmp_path, **options | {"total_steps": 3})
    assert not run.checkpoint_path.exists()


def unfinished(tmp_path, **options):
    """A run that was stopped at its start."""
    config = BaseConfig(**options)
    run = Run.create(tmp_path / "stopped", "base", config.to_dict())
    BaseTrainer(config, run).save_state()
    return run


def test_resume_with_other_options_says_so(tmp_path, options):
    run = unfinished(tmp_path, **options | {"total_steps": 3})
    with pytest.raises(ConfigError, match="other options: resume it with the options it has"):
        train_base(BaseConfig(**options | {"total_steps": 3, "seed": 1}), run, resume=True)


def test_resume_from_a_damaged_state_says_so(tmp_path, options):
    run = unfinished(tmp_path, **options | {"total_steps": 3})
    run.checkpoint_path.write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"checkpoint.pt cannot be read"):
        train_base(BaseConfig(**run.config["options"]), run, resume=True)


# -- what goes wrong -------------------------------------------------------------------------------


def test_train_base_without_its_file_fails_with_one_sentence(tmp_path, options):
    with pytest.raises(DataError, match="there is no file") as caught:
        train(tmp_path, **options | {"data": str(tmp_path / "none.parquet")})
    assert Run(tmp_path).status["message"] == str(caught.value)


def test_train_base_on_text_without_sentences_says_so(tmp_path, options):
    (tmp_path / "a.txt").write_text("<br />\n\n<br />\n\n<br />")
    with pytest.raises(DataError, match="no row for the text unit"):
        train(tmp_path / "run", **options | {"data": str(tmp_path / "a.txt")})


def test_train_base_on_a_model_with_too_few_positions_says_so(tmp_path, options):
    short = AutoModelForCausalLM.from_pretrained(options["model"]).config
    short.n_positions = 32
    GPT2LMHeadModel(short).save_pretrained(tmp_path / "short")
    AutoTokenizer.from_pretrained(options["model"]).save_pretrained(tmp_path / "short")
    with pytest.raises(CheckpointError, match="reads 32 tokens at once"):
        train(tmp_path / "run", **options | {"model": str(tmp_path / "short")})


def test_train_base_with_a_loss_that_is_not_finite_names_the_step(tmp_path, options, monkeypatch):
    real = batch_loss

    def broken(model, *tensors):
        loss = real(model, *tensors)
        return loss * float("nan") if model.training else loss

    monkeypatch.setattr(module, "batch_loss", broken)
    with pytest.raises(TrainingDiverged, match="step 1: base/loss became nan"):
        train(tmp_path, **options)


# -- parts -----------------------------------------------------------------------------------------


def test_batch_loss_of_shared_rows_equals_that_of_the_segments_alone(tiny_model_folder):
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder).eval()
    parts = [torch.tensor([0, 5, 6, 7]), torch.tensor([0, 9, 8]), torch.tensor([0, 3, 4, 2, 1])]
    # One row of the first two and a place left over, one row of the third and three left over.
    rows = [[parts[0], parts[1]], [parts[2]]]
    ids, segments, positions = torch.zeros(3, 2, 8, dtype=torch.long)
    for row, found in enumerate(rows):
        end = 0
        for number, part in enumerate(found, start=1):
            span = slice(end, end + len(part))
            ids[row, span], segments[row, span] = part, number
            positions[row, span] = torch.arange(len(part))
            end += len(part)
    with torch.no_grad():
        loss = batch_loss(model, ids, segments, positions)
        alone = [
            functional.cross_entropy(model(part[None]).logits[0, :-1], part[1:], reduction="sum")
            for part in parts
        ]
    # 3 + 2 + 4 predicted tokens.
    assert loss.item() == pytest.approx(sum(alone).item() / 9, rel=1e-5)


def test_learning_rate_rises_evenly_then_falls_to_three_percent():
    config = BaseConfig(total_steps=110, warmup_steps=10, learning_rate=0.01)
    assert cosine_rate(config, 1, LAST_RATE) == pytest.approx(0.001)
    assert cosine_rate(config, 10, LAST_RATE) == pytest.approx(0.01)
    # Half way down the cosine is the mean of the peak and 3% of it.
    assert cosine_rate(config, 60, LAST_RATE) == pytest.approx(0.01 * 1.03 / 2)
    assert cosine_rate(config, 110, LAST_RATE) == pytest.approx(0.0003)


def test_split_parameters_gives_muon_the_matrices_of_the_blocks_only():
    model = GPT2LMHeadModel(GPT2Config(n_layer=2, n_head=2, n_embd=8, n_positions=8, vocab_size=9))
    matrices, rest = split_parameters(model)
    names = {parameter: name for name, parameter in model.named_parameters()}
    # Four matrices a block: two of attention, two of the feed-forward part.
    assert len(matrices) == 2 * 4
    assert all(".h." in names[matrix] for matrix in matrices)
    assert len(matrices) + len(rest) == len(names)


def test_set_dropout_changes_all_but_attention_and_not_the_config():
    model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=8, n_positions=8, vocab_size=9))
    set_dropout(model, 0.25)
    block = model.transformer.h[0]
    assert model.transformer.drop.p == block.mlp.dropout.p == block.attn.resid_dropout.p == 0.25
    assert block.attn.attn_dropout.p == 0.0
    assert model.config.resid_pdrop == 0.1
