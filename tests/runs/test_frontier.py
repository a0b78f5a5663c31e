"""A frontier's record: what is read, and what is refused with one sentence."""

import copy
import json

import pytest

from rlhf_demo.errors import DataError
from rlhf_demo.runs.frontier import AGAINST, DIGITS, SHIPPED_FRONTIER, FrontierRecord, read_frontier
from tests.declared import misfits

COST = {"generated": 0, "reward_calls": 0, "read": 0}
POINT = {"step": 4, "kl": 1.5, "wins": {"j": "0g"}}
RUN = {"name": "r", "arm": "ppo", "setting": "", "seed": 0, "cost": COST, "points": [POINT]}
RECORD = {
    "base": "b", "prompts": ["P", "Q"], "max_new_tokens": 4, "temperature": 0.7, "judges": ["j"],
    "against": {"j": [[0.5] * AGAINST] * 2}, "runs": [RUN],
}  # fmt: skip


def write(tmp_path, record):
    path = tmp_path / "frontier.json"
    path.write_text(json.dumps(record))
    return path


def test_shipped_record_is_what_is_declared_and_has_every_method():
    record = read_frontier()
    assert list(misfits(json.loads(SHIPPED_FRONTIER.read_text()), FrontierRecord)) == []
    assert len(record["prompts"]) == 256
    assert {"ppo", "rloo", "grpo", "dpo", "best-of-n"} <= {run["arm"] for run in record["runs"]}
    assert SHIPPED_FRONTIER.stat().st_size < 2**19


def test_a_digit_for_each_half_win():
    assert len(DIGITS) == 2 * AGAINST + 1 == len(set(DIGITS))


def test_record_is_read_as_it_was_written(tmp_path):
    assert read_frontier(write(tmp_path, RECORD)) == RECORD


def changed(path, value):
    """Return the record with a value changed; None deletes it."""
    record = copy.deepcopy(RECORD)
    inside = record
    for key in path[:-1]:
        inside = inside[key]
    if value is None:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    return record


RUN_0, POINT_0 = ("runs", 0), ("runs", 0, "points", 0)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("judges",), None, "'judges' is missing"),
        ((*RUN_0, "seed"), None, "'seed' is missing"),
        ((*POINT_0, "kl"), None, "'kl' is missing"),
        ((*RUN_0, "cost", "read"), None, "'read' is missing"),
        (("judges",), [], "it needs a judge and two prompts"),
        (("prompts",), ["P"], "it needs a judge and two prompts"),
        (("judges",), ["j", "k"], "k lacks scores of the base"),
        (("against", "j", 1), [0.5] * (AGAINST - 1), "j lacks scores of the base"),
        (("prompts",), ["P", "Q", "R"], "j lacks scores of the base"),
        ((*POINT_0, "wins"), {}, "the wins of r do not fit the prompts"),
        ((*POINT_0, "wins", "j"), "0", "the wins of r do not fit the prompts"),
        ((*POINT_0, "wins", "j"), "0h", "the wins of r do not fit the prompts"),
        ((*POINT_0, "kl"), -0.5, "the KL of r is below 0"),
        ((*RUN_0, "points"), [], "r has no point"),
        (("temperature",), "hot", "wrong type"),
        ((*POINT_0, "wins", "j"), 5, "wrong type"),
    ],
)
def test_damaged_record_is_refused_with_one_sentence(tmp_path, path, value, sentence):
    with pytest.raises(DataError) as error:
        read_frontier(write(tmp_path, changed(path, value)))
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "5", '{"base"'])
def test_file_that_is_no_record_is_refused(tmp_path, text):
    path = tmp_path / "frontier.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"restore or delete"):
        read_frontier(path)
