"""Options of commands: what was given, and nothing else."""

import pytest

from rlhf_demo.cli.main import build_parser
from rlhf_demo.cli.options import given_options
from rlhf_demo.config.stages import STAGES


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_option_that_is_not_given_leaves_no_trace(stage):
    args = build_parser().parse_args([stage.command, "--run-dir", "run"])
    assert given_options(args, stage.config) == {}
