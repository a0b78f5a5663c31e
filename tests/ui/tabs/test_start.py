"""The Start tab: what it shows before anybody has trained."""

import pytest

from rlhf_demo.server.settings import Settings
from rlhf_demo.ui.shared import Shared
from rlhf_demo.ui.tabs.compare import example_report
from rlhf_demo.ui.tabs.start import example

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
