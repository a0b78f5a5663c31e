"""The command of a stage: a new run, a resumed one, and what is refused."""

import pytest

from rlhf_demo.cli.main import main
from rlhf_demo.errors import TrainingDiverged
from rlhf_demo.runs.run import Run, Status
from tests.command import refused


@pytest.fixture
def small(tiny_model_folder, prompts_file):
    """Options that keep a PPO run down to a second."""
    return [
        "--policy", str(tiny_model_folder), "--prompts", str(prompts_file), "--reward", "longer",
        "--total-steps", "1", "--batch-size", "4", "--minibatch-size", "2", "--ppo-epochs", "1",
        "--max-new-tokens", "4", "--dtype", "float32", "--kl-budget", "1000",
    ]  # fmt: skip


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
    again = refused(capsys, "train-ppo", "--run-dir", run.folder, *small)
    assert "already holds a ppo run" in again
    assert run.config["options"] == {"seed": 7}


def test_resume_of_another_kind_with_changed_options_or_of_a_finished_run_is_refused(
    capsys, tmp_path
):
    run = Run.create(tmp_path / "run", "pairs", {})
    resume = ["--run-dir", run.folder, "--resume"]
    assert "holds a pairs run" in refused(capsys, "train-ppo", *resume)
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
    sentence = f"evil calls the Python function 'payload:score': if you trust it, add --{option} payload:score"  # noqa: E501
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
