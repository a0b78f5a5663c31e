"""What the microscope's server functions answer, and what they refuse."""

from types import SimpleNamespace

import pytest

from rlhf_demo.errors import ConfigError, DataError, JobError
from rlhf_demo.explain import ppo_step
from rlhf_demo.files import write_json
from rlhf_demo.paths import REPOSITORY
from rlhf_demo.server.payloads import ResponseTrace, TracedQuantity
from rlhf_demo.ui.panels.microscope import MOST_RESPONSES, MOST_TOKENS, MicroscopePanel
from rlhf_demo.ui.shared import EXAMPLES
from tests.declared import misfits
from tests.fake_jobs import fake, new_jobs, start  # noqa: F401  (two are fixtures)


@pytest.fixture
def panel(new_jobs):  # noqa: F811
    jobs = new_jobs(scheduling=False, examples=EXAMPLES)
    return MicroscopePanel(SimpleNamespace(jobs=jobs, model_cache=SimpleNamespace(warm=bool)))


ASKED = {"run": "ppo-quick", "step": 1, "sample": 0}


def test_a_response_of_a_shipped_run_is_traced(panel):
    found = panel.trace_response(ASKED)
    assert list(misfits(found, ResponseTrace)) == []
    assert found["prompt"] == "This thriller is" and found["tokens"][1] == " complete"
    assert found["samples"] == 8
    assert found["columns"]["reward"][-1] == pytest.approx(-1.8461, abs=1e-4)
    assert found["standardised"] == pytest.approx(found["earned"], abs=1e-3)
    assert found["columns"]["total"] is None  # the shipped run did not note what it needs
    assert found["stopped"][1] and not any(found["clipped"])
    assert found["settings"]["kl_coef"] == 0.25 and found["settings"]["with_values"]


def test_a_visitor_may_change_five_things(panel):
    asked = {"kl_coef": 1, "gamma": 0.5, "gae_lambda": 0.0, "clip_range": 0.3, "with_values": False}
    found = panel.trace_response(ASKED | {"step": 20} | asked)
    assert {name: found["settings"][name] for name in asked} == asked
    before = panel.trace_response(ASKED | {"step": 20})
    assert found["columns"]["log_ratio"] == before["columns"]["log_ratio"]
    assert found["columns"]["reward"] != before["columns"]["reward"]


def test_every_row_has_its_function(panel):
    functions = panel.trace_functions({})
    assert list(functions) == list(panel.trace_response(ASKED)["columns"])
    for found in functions.values():
        assert list(misfits(found, TracedQuantity)) == []
        lines = (REPOSITORY / found["file"]).read_text().splitlines()
        assert lines[found["line"] - 1] == found["source"].splitlines()[0]
        assert found["function"].endswith(found["source"].split("(")[0].removeprefix("def "))


@pytest.mark.parametrize(
    ("odd", "sentence"),
    [
        ({"run": "ppo-none"}, "ppo-none"),
        ({"run": "../ppo-quick"}, "ppo-quick"),
        ({"run": None}, "None"),
        ({"run": "reward-shipped"}, "the microscope shows PPO"),
        ({"step": 0}, "step 0 of this run has no kept responses"),
        ({"step": 41}, "step 41 of this run has no kept responses"),
        ({"step": "1"}, "step is '1'"),
        ({"step": True}, "step is 'True'"),
        ({"step": -1}, "step is '-1'"),
        ({"step": 10**400}, "step is"),
        ({"sample": 8}, "has 8 kept responses: there is no number 8"),
        ({"sample": None}, "sample is 'None'"),
        ({"sample": 0.0}, "sample is '0.0'"),
        ({"kl_coef": -0.1}, "kl_coef is '-0.1'"),
        ({"kl_coef": 10.1}, "kl_coef is '10.1'"),
        ({"gamma": float("nan")}, "gamma is 'nan'"),
        ({"gamma": 1.01}, "gamma is '1.01'"),
        ({"gae_lambda": "1"}, "gae_lambda is '1'"),
        ({"clip_range": True}, "clip_range is 'True'"),
        ({"clip_range": 10**400}, "clip_range is"),
        ({"with_values": 0}, "with_values is '0'"),
        ({"with_values": []}, "with_values is"),
    ],
)
def test_what_cannot_be_traced_gets_a_sentence(panel, odd, sentence):
    with pytest.raises((ConfigError, JobError), match=sentence):
        panel.trace_response(ASKED | odd)


def test_a_damaged_or_long_response_gets_a_sentence(panel):
    run = panel.jobs.find(start(panel.jobs))
    metrics = {"step": 1, "objective/kl_coef": 0.1}
    run.append("metrics", [metrics])
    run.append("samples", [{"step": 1, "token": "abc"}, {"step": 1, "token": [" a"] * 257}])
    asked = {"run": run.folder.name, "step": 1}
    with pytest.raises(DataError, match="has no tokens"):
        panel.trace_response(asked | {"sample": 0})
    with pytest.raises(ConfigError, match="257 tokens"):
        panel.trace_response(asked | {"sample": 1})


def long_run(panel, rows):
    """Return the request for the first response of an older run whose step has these rows."""
    run = panel.jobs.find(start(panel.jobs))
    run.append("metrics", [{"step": 1, "objective/kl_coef": 0.1}])
    run.append("samples", rows)
    return {"run": run.folder.name, "step": 1, "sample": 0}


def response(tokens):
    """Return a row of samples.jsonl with so many tokens, whose advantages differ."""
    some = [0.5, -0.5] * tokens
    names = ("logprob", "ref_logprob", "value", "reward", "advantage")
    row = dict.fromkeys(names, some[:tokens])
    return {"step": 1, "token": [" a"] * tokens, "ratio": [1.0] * tokens, **row}


def test_a_step_with_far_more_responses_than_a_run_keeps_is_refused(panel):
    """1.9 MB of them took 16 s at each click."""
    asked = long_run(panel, [response(2)] * (MOST_RESPONSES + 1))
    with pytest.raises(
        ConfigError, match=f"has {MOST_RESPONSES + 1} kept responses, and the micro"
    ):
        panel.trace_response(asked)


def test_a_step_is_whitened_by_its_responses_of_bounded_length(panel, monkeypatch):
    asked = long_run(panel, [response(MOST_TOKENS + 1), response(2), response(10_000)])
    read, trace = [], ppo_step.trace
    monkeypatch.setattr(
        ppo_step, "trace", lambda rows, *given: read.extend(rows) or trace(rows, *given)
    )
    found = panel.trace_response(asked | {"sample": 1})
    assert found["mean"] is not None and (found["sample"], found["samples"]) == (1, 3)
    assert [len(row["token"]) for row in read] == [2]


@pytest.mark.parametrize(
    ("scale", "score"),
    [
        ({"mean": 0.0, "std": 0}, 1.0),
        ({"mean": 0.0, "std": -1.0}, 1.0),
        ({"mean": 0.0, "std": 5e-324}, 1.0),
        ({"mean": 0.0, "std": 1.0}, 1e308),
        ({"mean": 1.0}, 1.0),
        ({}, 1.0),
    ],
)
def test_a_score_without_a_usable_scale_is_left_out(panel, scale, score):
    asked = long_run(panel, [response(2) | {"score": score}])
    folder = panel.jobs.find(asked["run"]).folder
    write_json(folder / "reward_scale.json", {"reward": scale})
    assert panel.trace_response(asked)["standardised"] is None


def test_a_figure_too_large_to_compute_with_is_damaged(panel):
    asked = long_run(panel, [response(2) | {"value": [1e308, -1e308]}])
    with pytest.raises(DataError, match="this response's value is missing or damaged"):
        panel.trace_response(asked)
