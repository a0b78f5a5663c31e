"""The Start tab: what it shows before anybody has trained, and the loop that it starts."""

import pytest

from rlhf_demo.errors import ConfigError
from rlhf_demo.server.settings import Settings
from rlhf_demo.ui.shared import Shared
from rlhf_demo.ui.tabs.compare import example_report
from rlhf_demo.ui.tabs.start import StartTab, example
from tests.fake_jobs import HERE

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Gradio's unclosed event loops


@pytest.fixture
def shared(tmp_path):
    return Shared.open(Settings(runs=tmp_path / "runs"))


@pytest.fixture
def choices(shared):
    return shared.choices


def test_start_page_shows_both_judges_of_the_shipped_comparison(shared, choices):
    record, shown = example_report(choices), example(shared)
    assert [judge["name"] for judge in shown["judges"]] == ["star-rater", "word-judge"]
    for judge, verdict in zip(shown["judges"], record["report"]["judges"], strict=True):
        assert judge["win_rate"] == verdict["win_rate"]
    # The three shown are the quartiles: of 256 differences, 64, 128 and 192 are smaller.
    differences = sorted(b - a for a, b in (row["scores"][0] for row in record["report"]["rows"]))
    quartiles = [b - a for a, b in (row["scores"][0] for row in shown["rows"])]
    assert len(differences) == 256
    assert quartiles == [differences[64], differences[128], differences[192]]


def test_loop_is_two_runs_of_which_the_second_waits_for_the_first(shared):
    tab = StartTab(shared)
    loop = tab.start_loop({"secret": "ann"}, HERE)
    reward, ppo = (shared.jobs.find(loop[kind]) for kind in ("reward", "ppo"))
    assert (reward.config["kind"], ppo.config["kind"]) == ("reward", "ppo")
    assert ppo.config["options"]["reward"].endswith(loop["reward"])
    told = tab.loop_state(loop | {"more": 1})["runs"]
    assert [(row["id"], row["status"]) for row in told] == [
        (loop["reward"], "queued"), (loop["ppo"], "queued")
    ]  # fmt: skip
    assert tab.loop_state({"reward": "gone", "ppo": loop["ppo"]})["runs"][0] is None


def test_loop_of_nobody_is_refused(shared):
    with pytest.raises(ConfigError, match="has no secret: reload the page"):
        StartTab(shared).start_loop({}, HERE)
    assert not [row for row in shared.jobs.overview() if not row["example"]]
