"""The command line: instant help, one sentence for every mistake, and the whole loop once."""

import json
import os
import subprocess
import sys

import pytest

from rlhf_demo.cli.checks import NO_MODELS
from rlhf_demo.cli.main import main
from rlhf_demo.config.scorers import RULES
from rlhf_demo.errors import TrainingDiverged
from rlhf_demo.files import write_json
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.runs.run import Run, Status
from tests.tiny import read_rows

COMMANDS = [
    "quickstart", "train-base", "train-rater", "make-pairs", "train-reward", "train-ppo",
    "generate", "compare", "runs",
]  # fmt: skip

HELP = """
import resource, sys
from rlhf_demo.cli.main import main
for name in sys.argv[1:]:
    try:
        main([name, "--help"])
    except SystemExit as end:
        assert end.code == 0
slow = {"torch", "transformers", "numpy", "huggingface_hub", "trl", "peft", "datasets"}
usage = resource.getrusage(resource.RUSAGE_SELF)
print(sorted(slow & set(sys.modules)), usage.ru_utime + usage.ru_stime, file=sys.stderr)
"""


def refused(capsys, *arguments):
    """Run a command that must fail; return its one sentence."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    return err


@pytest.fixture
def small(tiny_model_folder, prompts_file):
    """Options that keep a PPO run down to a second."""
    return [
        "--policy", str(tiny_model_folder), "--prompts", str(prompts_file), "--reward", "longer",
        "--total-steps", "1", "--batch-size", "4", "--minibatch-size", "2", "--ppo-epochs", "1",
        "--max-new-tokens", "4", "--dtype", "float32", "--kl-budget", "1000",
    ]  # fmt: skip


# -- help ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [*COMMANDS, ""])
def test_help_needs_no_slow_library_and_half_a_second(command):
    """Processor time, not the clock's: the machine may be busy with something else."""
    arguments = [command] if command else []
    result = subprocess.run(
        [sys.executable, "-c", HELP, *arguments], capture_output=True, text=True, check=True
    )
    loaded, seconds = result.stderr.split("] ")
    assert loaded == "["
    assert float(seconds) < 0.5
    assert not command or "usage: python -m rlhf_demo " + command in result.stdout


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(f"  {command}" in out for command in COMMANDS)


def test_module_runs_as_a_program_and_hands_its_code_on():
    result = subprocess.run(
        [sys.executable, "-m", "rlhf_demo", "runs", "/no/such/folder"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(CHECKPOINTS.parent)},
    )  # fmt: skip
    assert result.returncode == 2
    assert result.stderr == (
        "error: there is no folder /no/such/folder: name the folder that holds your runs\n"
    )


# -- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "COMMAND"),
        (["train-everything"], "invalid choice: 'train-everything'"),
        (["train-ppo"], "--run-dir"),
        (["train-ppo", "--run-dir", "x", "--vf-coef", "1"], "unrecognized arguments: --vf-coef"),
        (["train-ppo", "--run-dir", "x", "--seed", "one"], "invalid int value: 'one'"),
        (["train-ppo", "--run-dir", "x", "--temperature", "9"], "--temperature is 9.0"),
        (["train-ppo", "--run-dir", "x", "--kl-coef", "nan"], "--kl-coef is nan"),
        (["train-ppo", "--run-dir", "x", "--batch-size", "10"], "multiple of --minibatch-size"),
        (["train-ppo", "--run-dir", "x", "--preset", "huge"], "invalid choice: 'huge'"),
        (["train-ppo", "--run-dir", "x", "--policy", "/no/model"], "there is no folder /no/model"),
        (["train-ppo", "--run-dir", "x", "--reward", "/no/model"], "there is no folder /no/model"),
        (["make-pairs", "--run-dir", "x", "--rater", "/no/model"], "there is no folder /no/model"),
        (["make-pairs", "--run-dir", "x", "--error-rate", "0.6"], "--error-rate is 0.6"),
        (["train-reward", "--run-dir", "x", "--model", ""], "name is empty"),
        (["generate", "--model", "/no/model"], "there is no folder /no/model"),
        (["generate", "--reward", "/no/model"], "there is no folder /no/model"),
        (["compare", "gpt2-mini", "/no/model"], "there is no folder /no/model"),
        (["compare", "gpt2-mini", "gpt2-mini", "--base", "/no/model"], "there is no folder"),
        (["compare", "gpt2-mini"], "right"),
        (["quickstart", "--out", "x", "--dtype", "float16"], "--dtype is 'float16'"),
        (["quickstart", "--out", "x", "--seed", "-1"], "--seed is -1"),
        (["runs", "x"], "there is no folder x"),
        (["runs", "x", "--stop"], "holds no run"),
        (["train-ppo", "--run-dir", "x", "--resume"], "x holds no run"),
    ],
)
def test_mistake_is_one_sentence_and_leaves_no_folder(
    capsys, tmp_path, monkeypatch, arguments, sentence
):
    monkeypatch.chdir(tmp_path)
    assert sentence in refused(capsys, *arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "arguments", "sentence"),
    [
        ("train-ppo", ["--reward", "longer", "--prompts", "no.txt"], "there is no file no.txt"),
        ("train-ppo", ["--reward", "no.module:function"], "importing no.module failed"),
        ("train-reward", ["--data", "no.jsonl"], "there is no file no.jsonl"),
        ("make-pairs", ["--rater", "longer", "--prompts", "no.txt"], "there is no file no.txt"),
    ],
)
def test_missing_file_is_named_and_the_command_can_be_given_again(
    capsys, tmp_path, monkeypatch, tiny_model_folder, command, arguments, sentence
):
    monkeypatch.chdir(tmp_path)
    model = "--policy" if command == "train-ppo" else "--model"
    for _ in range(2):  # the first mistake does not block the folder
        assert sentence in refused(
            capsys, command, "--run-dir", "run", model, tiny_model_folder, *arguments
        )
    assert not list(tmp_path.iterdir())


def test_existing_run_is_refused_and_kept(capsys, tmp_path, small):
    run = Run.create(tmp_path / "run", "ppo", {"seed": 7})
    assert "already holds a run" in refused(capsys, "train-ppo", "--run-dir", run.folder, *small)
    assert run.config["options"] == {"seed": 7}


def test_resume_of_another_kind_with_changed_options_or_of_a_finished_run_is_refused(
    capsys, tmp_path
):
    run = Run.create(tmp_path / "run", "pairs", {})
    resume = ["--run-dir", run.folder, "--resume"]
    assert "holds a run of pairs" in refused(capsys, "train-ppo", *resume)
    assert "--seed cannot be changed" in refused(capsys, "make-pairs", *resume, "--seed", "0")
    run.set_status(Status.FINISHED)
    assert "nothing to resume" in refused(capsys, "make-pairs", *resume)
    ppo = Run.create(tmp_path / "ppo", "ppo", {})
    arguments = ["train-ppo", "--run-dir", ppo.folder, "--resume", "--preset", "gpt2"]
    assert "--preset cannot be changed" in refused(capsys, *arguments)
    assert ppo.exists()


@pytest.mark.parametrize(
    ("command", "option"),
    [("train-ppo", "reward"), ("train-ppo", "judge"), ("make-pairs", "rater")],
)
def test_function_that_a_copied_run_names_is_run_only_when_it_is_named_once_more(
    capsys, tmp_path, monkeypatch, command, option
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "payload.py").write_text("import os\nos.mkdir('ran')\nraise ValueError\n")
    options = {"reward": "longer"} if command == "train-ppo" else {}
    kind = "ppo" if command == "train-ppo" else "pairs"
    run = Run.create(tmp_path / "evil", kind, options | {option: "payload:score"})
    resume = [command, "--run-dir", run.folder, "--resume"]
    sentence = f"evil runs the Python function 'payload:score': if you trust it, name it once more, --{option} payload:score"  # noqa: E501
    assert sentence in refused(capsys, *resume)
    assert sentence in refused(capsys, *resume, f"--{option}", "payload:other")
    assert not (tmp_path / "ran").exists()
    assert "importing payload failed" in refused(capsys, *resume, f"--{option}", "payload:score")
    assert (tmp_path / "ran").exists()


def test_run_of_another_version_is_refused(capsys, tmp_path):
    run = Run.create(tmp_path / "run", "ppo", {"vf_coef": 0.1})
    arguments = ["train-ppo", "--run-dir", run.folder, "--resume"]
    assert "unknown option 'vf_coef'" in refused(capsys, *arguments)


def test_failure_after_work_was_done_keeps_the_folder(capsys, tmp_path, monkeypatch, small):
    def fail(config, run, *, resume):
        with run.recording():
            run.append("metrics", [{"step": 1}])
            raise TrainingDiverged(2, "policy/loss", float("nan"))

    monkeypatch.setattr("rlhf_demo.train.ppo.train_ppo", fail)
    arguments = ["train-ppo", "--run-dir", tmp_path / "run", *small]
    assert "diverged at step 2: policy/loss became nan" in refused(capsys, *arguments)
    assert Run(tmp_path / "run").status["status"] == Status.FAILED


def test_file_that_cannot_be_written_is_one_sentence(
    capsys, tmp_path, tiny_model_folder, prompts_file
):
    (tmp_path / "file").write_text("")
    err = refused(
        capsys, "generate", "--model", tiny_model_folder, "--prompts", prompts_file,
        "--max-new-tokens", "1", "--out", tmp_path / "file" / "out.jsonl",
    )  # fmt: skip
    assert str(tmp_path / "file") in err


def test_rules_are_not_looked_for_among_the_models():
    assert set(RULES) <= set(NO_MODELS)


# -- runs ------------------------------------------------------------------------------------------


def test_runs_lists_kind_status_and_last_figures(capsys, tmp_path):
    done = Run.create(tmp_path / "done", "ppo", {})
    write_json(done.folder / "config.json", {**done.config, "created_at": "2026-01-01"})
    with done.recording():
        done.append("metrics", [{"step": 1, "objective/score": 0.5, "objective/kl": 2.0}])
        done.append("metrics", [{"step": 2, "objective/score": 1.25, "objective/kl": 3.0}])
    Run.create(tmp_path / "waiting", "reward", {})
    assert main(["runs", str(tmp_path)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.split("  ")[1:3] == ["ppo", "finished"]
    assert "step 2, score 1.25, KL from the reference 3" in first
    assert "waiting  reward  queued" in second


def test_runs_stop_asks_a_living_run_and_refuses_a_dead_one(capsys, tmp_path):
    run = Run.create(tmp_path / "run", "ppo", {})
    assert "nothing to stop" in refused(capsys, "runs", run.folder, "--stop")
    with run.recording():
        assert main(["runs", str(run.folder), "--stop"]) == 0
        assert (run.folder / "stop").exists()


# -- the loop --------------------------------------------------------------------------------------


def test_whole_loop_from_pairs_to_comparison(capsys, tmp_path, tiny_model_folder, prompts_file):
    """Each stage takes what the one before it made, by the name of its run folder."""
    model, prompts = str(tiny_model_folder), str(prompts_file)
    pairs, reward, ppo = (str(tmp_path / name) for name in ("pairs", "reward", "ppo"))
    same = ["--dtype", "float32"]
    sampling = ["--prompts", prompts, "--max-new-tokens", "6", *same]

    make = ["make-pairs", "--run-dir", pairs, "--model", model, "--rater", "longer", *sampling]
    assert main([*make, "--train-pairs", "12", "--heldout-pairs", "6"]) == 0
    rows = read_rows(tmp_path / "pairs" / "pairs.jsonl")
    assert [row["split"] for row in rows] == ["train"] * 12 + ["heldout"] * 6
    assert all(len(row["chosen"]) - len(row["rejected"]) == row["margin"] > 0 for row in rows)
    assert "18 pairs in" in capsys.readouterr().out

    data = ["--data", f"{pairs}/pairs.jsonl", "--train-pairs", "10", "--batch-size", "4"]
    assert main(["train-reward", "--run-dir", reward, "--model", model, *data, *same]) == 0
    report = json.loads((tmp_path / "reward" / "report.json").read_text())
    assert 0 <= report["accuracy_low"] <= report["accuracy"] <= report["accuracy_high"] <= 1

    ppo_options = [
        "--total-steps", "2", "--batch-size", "4", "--minibatch-size", "2", "--ppo-epochs", "1",
        "--kl-budget", "1000",
    ]  # fmt: skip
    train = ["train-ppo", "--run-dir", ppo, "--policy", model, "--reward", reward, *sampling]
    assert main([*train, *ppo_options]) == 0
    assert [row["step"] for row in read_rows(tmp_path / "ppo" / "metrics.jsonl")] == [1, 2]
    # Six prompts in a file that tells no splits: all were trained on, and that is said.
    assert "saved model on 6 prompts (no others are there than those trained on)" in (
        capsys.readouterr().out
    )

    judge = ["--base", model, "--rater", "longer", "--out", str(tmp_path / "compare.json")]
    assert main(["compare", model, ppo, *judge, *sampling]) == 0
    report = json.loads((tmp_path / "compare.json").read_text())
    assert [side["name"] for side in report["models"]] == [model, ppo]
    assert [one["name"] for one in report["judges"]] == ["longer", "word-judge"]
    assert "wins" in capsys.readouterr().out

    out = tmp_path / "texts.jsonl"
    write = [
        "generate",
        "--model",
        ppo,
        "--samples",
        "2",
        "--seed",
        "5",
        "--out",
        str(out),
        *sampling,
    ]
    assert main([*write, "--reward", reward]) == 0
    rows = read_rows(out)
    assert [set(row) for row in rows] == [{"prompt", "response", "score"}] * 12
    assert main(write) == 0
    assert [{k: row[k] for k in ("prompt", "response")} for row in rows] == read_rows(out)

    assert main(["runs", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()[-3:]
    assert sorted(line.split("  ")[1] for line in lines) == ["pairs", "ppo", "reward"]
    assert all("  finished  " in line for line in lines)


def test_pairs_made_twice_are_the_same_and_a_resumed_run_makes_them_anew(
    tmp_path, tiny_model_folder, prompts_file
):
    options = [
        "--model", str(tiny_model_folder), "--rater", "longer", "--prompts", str(prompts_file),
        "--max-new-tokens", "4", "--train-pairs", "8", "--heldout-pairs", "0", "--dtype", "float32",
    ]  # fmt: skip
    for name in ("one", "two"):
        assert main(["make-pairs", "--run-dir", str(tmp_path / name), *options]) == 0
    one, two = (tmp_path / name / "pairs.jsonl" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    Run(tmp_path / "two").set_status(Status.STOPPED)  # as if killed when the rows were written
    assert main(["make-pairs", "--run-dir", str(tmp_path / "two"), "--resume"]) == 0
    assert one.read_bytes() == two.read_bytes()


def test_rater_that_never_prefers_ends_with_a_sentence(
    capsys, tmp_path, monkeypatch, tiny_model_folder, prompts_file
):
    (tmp_path / "indifferent.py").write_text(
        "def same(prompts, responses): return [0] * len(prompts)"
    )
    monkeypatch.syspath_prepend(tmp_path)
    capsys.readouterr()
    make = ["make-pairs", "--run-dir", str(tmp_path / "run"), "--model", str(tiny_model_folder)]
    options = ["--rater", "indifferent:same", "--prompts", str(prompts_file)]
    assert main([*make, *options, "--max-new-tokens", "2"]) == 2
    assert "preferred neither response to any of 4 prompts" in capsys.readouterr().err
