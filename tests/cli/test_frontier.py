"""The command that compares methods at equal KL."""

import json
import sys

import pytest

from rlhf_demo.cli.main import main
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.runs.frontier import AGAINST, SHIPPED_FRONTIER, read_frontier
from rlhf_demo.runs.run import Run, Status
from tests.command import refused


@pytest.fixture
def finished(tmp_path, tiny_model_folder):
    """The folder of a finished run whose model is a tiny one."""
    run = Run.create(tmp_path / "mine", "ppo", PPOConfig(kl_coef=0.1).to_dict())
    run.append("metrics", [{"step": 1}, {"step": 2}])
    run.model_folder.symlink_to(tiny_model_folder)
    run.set_status(Status.FINISHED)
    return run.folder


def new(tiny_model_folder, prompts_file):
    return [
        "--record", "new", "--base", str(tiny_model_folder), "--judge", "longer,word-judge",
        "--reward", "longer", "--best-of", "2", "--prompts", str(prompts_file), "--count", "3",
        "--max-new-tokens", "3", "--dtype", "float32",
    ]  # fmt: skip


def test_without_runs_the_shipped_record_is_printed(capsys):
    assert main(["frontier", "--judge", "star-rater"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Wins against gpt2-mini by star-rater, on 256 prompts\n")
    assert "by fluency-judge" not in out
    assert "\nAt 2 nats, " in out
    assert "\nReward model " in out


def test_new_record_is_made_and_then_compared_with(
    capsys, tmp_path, finished, tiny_model_folder, prompts_file
):
    made = tmp_path / "made.json"
    asked = new(tiny_model_folder, prompts_file)
    assert main(["frontier", str(finished), "--out", str(made), *asked]) == 0
    record = read_frontier(made)
    assert [run["name"] for run in record["runs"]] == ["best-of-n, seed 0", "mine"]
    assert record["judges"] == ["longer", "word-judge"]
    assert (record["chosen_by"], len(record["prompts"])) == ("longer", 3)
    out = capsys.readouterr().out
    assert "by longer, on 3 prompts" in out
    assert "by word-judge, on 3 prompts" in out

    more = tmp_path / "more.json"
    assert main(["frontier", str(finished), "--record", str(made), "--out", str(more)]) == 0
    assert "nats, mine wins" in capsys.readouterr().out
    again = read_frontier(more)
    assert again["against"] == record["against"]
    assert [run["name"] for run in again["runs"]] == ["best-of-n, seed 0", "mine", "mine"]
    assert again["runs"][2] == again["runs"][1]  # the same prompts, seed and opponents


def test_function_of_a_record_runs_only_if_the_command_names_it(
    capsys, tmp_path, monkeypatch, finished, tiny_model_folder
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    (tmp_path / "sent.py").write_text(
        "from pathlib import Path\n"
        "def judge(prompts, responses):\n"
        "    Path('ran').touch()\n"
        "    return [0.0] * len(prompts)\n"
    )
    record = {
        "base": str(tiny_model_folder), "prompts": ["I", "We"], "max_new_tokens": 2,
        "temperature": 0.7, "judges": ["longer", "sent:judge"], "runs": [],
        "against": {name: [[0.0] * AGAINST] * 2 for name in ("longer", "sent:judge")},
    }  # fmt: skip
    (tmp_path / "sent.json").write_text(json.dumps(record))
    asked = ["frontier", str(finished), "--record", "sent.json"]
    for judges in ([], ["--judge", "longer"]):
        assert refused(capsys, *asked, *judges) == (
            "error: the record sent.json calls the Python function 'sent:judge': if you trust it, "
            "add --judge longer,sent:judge\n"
        )
    assert not (tmp_path / "ran").exists()
    main([*asked, "--judge", "longer,sent:judge"])
    assert (tmp_path / "ran").exists()


def test_texts_of_a_record_cannot_command_the_terminal(capsys, tmp_path):
    record = json.loads(SHIPPED_FRONTIER.read_text())
    record["runs"][-1] |= {"setting": "\x1b]0;title\x07", "arm": "\x1b[31m"}
    (tmp_path / "sent.json").write_text(json.dumps(record))
    assert main(["frontier", "--record", str(tmp_path / "sent.json")]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert all(line.isprintable() for line in lines)
    assert any("?]0;title?" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["x"], "x holds no run"),
        (["--record", "new"], "a new record needs runs"),
        (["--record", "x.json"], "there is no record x.json"),
        (
            ["--count", "3"],
            "--count is fixed by the record shipped: leave it out, or give --record",
        ),
        (["--judge", "me"], "--judge is 'me': the record has fluency-judge, star-rater"),
        (["--judge", "word-judge,word-judge"], "name one judge or several different ones"),
        (["--out", "/no/folder/x"], "--out is /no/folder/x"),
    ],
)
def test_mistake_is_one_sentence(capsys, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    assert sentence in refused(capsys, "frontier", *arguments)


def test_run_that_goes_on_and_a_record_that_is_none_are_refused(capsys, tmp_path, finished):
    (tmp_path / "odd.json").write_text(json.dumps({"base": 5}))
    assert "wrong type" in refused(capsys, "frontier", "--record", tmp_path / "odd.json")
    Run(finished).set_status(Status.STOPPED)
    assert "mine is stopped: wait until it has finished" in refused(capsys, "frontier", finished)
