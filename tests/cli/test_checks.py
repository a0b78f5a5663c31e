"""What is looked at before the slow imports."""

import pytest

from rlhf_demo.cli.checks import NO_MODELS, check_models, check_out
from rlhf_demo.config.scorers import RULES
from rlhf_demo.errors import CheckpointError, ConfigError


def test_rules_are_not_looked_for_among_the_models():
    assert set(RULES) <= set(NO_MODELS)


def test_model_is_looked_for_and_a_function_or_no_name_is_not():
    check_models(None, "none", "auto", "no.module:function", "gpt2-mini")
    with pytest.raises(CheckpointError, match="there is no folder /no/model"):
        check_models("gpt2-mini", "/no/model")


def test_file_to_write_must_lie_in_a_folder_that_is_there(tmp_path):
    check_out(None)
    check_out(str(tmp_path / "new.json"))
    for wrong in (tmp_path, tmp_path / "gone" / "new.json"):
        with pytest.raises(ConfigError, match="name a file in a folder that you can write to"):
            check_out(str(wrong))
    assert not list(tmp_path.iterdir())
