"""The shipped examples' reports are what is declared, key by key."""

import pytest

from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.runs.reports import PPOReport, RewardReport
from rlhf_demo.runs.run import Run
from tests.declared import misfits


@pytest.mark.parametrize(
    ("example", "declared"),
    [("reward-shipped", RewardReport)]
    + [(name, PPOReport) for name in ("ppo-quick", "ppo-fast", "ppo-no-kl")],
)
def test_shipped_report_is_what_is_declared(example, declared):
    assert list(misfits(Run(CHECKPOINTS / "examples" / example).report(), declared)) == []
