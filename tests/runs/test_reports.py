"""The shipped examples' reports are what is declared, key by key; odd ones are refused soon."""

import json
import time

import pytest

from rlhf_demo.errors import DataError
from rlhf_demo.files import write_json
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.runs.reports import MOST_RECORDS, PPOReport, RewardReport, read_figures
from rlhf_demo.runs.run import Run
from tests.declared import misfits


@pytest.mark.parametrize(
    ("example", "declared"),
    [("reward-shipped", RewardReport)]
    + [(name, PPOReport) for name in ("ppo-quick", "ppo-fast", "ppo-no-kl")],
)
def test_shipped_report_is_what_is_declared(example, declared):
    assert list(misfits(Run(CHECKPOINTS / "examples" / example).report(), declared)) == []


def test_of_a_text_that_a_browser_cannot_draw_only_the_first_letters_are_read(tmp_path):
    path, pair = tmp_path / "report.json", {"chosen": "", "rejected": "", "margin": 1.0}
    write_json(path, {"most_wrong": [pair | {"prompt": "a\u05d0" * 5_001}]})
    assert read_figures(path, RewardReport)["most_wrong"] == [pair | {"prompt": "a\u05d0" * 5_000}]


def test_report_of_too_many_records_is_refused_without_going_through_them(tmp_path):
    path = tmp_path / "report.json"
    write_json(path, {"reliability": [{}] * MOST_RECORDS})
    assert len(read_figures(path, RewardReport)["reliability"]) == MOST_RECORDS
    rows = [{"pairs": 1}] * 86_000
    path.write_text(json.dumps({"reliability": rows}, separators=(",", ":")))
    start = time.process_time()
    with pytest.raises(DataError, match="values of the wrong type, or too many"):
        read_figures(path, RewardReport)
    assert time.process_time() - start < 1.0  # 0.02 s; 12 s when each record was checked


def test_keys_that_no_report_has_do_not_reach_the_page(tmp_path):
    """A copied run brought 900 kB of them to each poll of its board."""
    path = tmp_path / "report.json"
    write_json(path, {"score": 0.5, "x": [[]] * 1000, "reliability": [{"pairs": 3, "y": [[]]}]})
    assert read_figures(path, RewardReport) == {"reliability": [{"pairs": 3}]}
