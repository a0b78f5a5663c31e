"""The command line that a run stands for."""

from rlhf_demo.config.command_line import NOT_OFFERED, repeat_command
from rlhf_demo.config.pairs import PairsConfig
from rlhf_demo.config.ppo import PPOConfig


def command(**options):
    return repeat_command({"kind": "ppo", "options": PPOConfig(**options).to_dict()})


def test_command_names_what_is_no_default_in_the_order_of_the_declarations():
    assert command() == "python -m rlhf_demo train-ppo --run-dir runs/again"
    assert command(seed=7, clean_words=True, kl_coef=0.5).removeprefix(command()) == (
        " --kl-coef 0.5 --clean-words --seed 7"
    )


def test_folder_outside_the_repository_is_called_runs():
    assert command(reward="/srv/page/runs/reward-ab").endswith(" --reward runs/reward-ab")


def test_name_with_a_blank_is_quoted():
    assert command(prompts="my prompts.txt").endswith(" --prompts 'my prompts.txt'")


def test_command_that_would_call_a_function_is_a_comment():
    assert command(judge="payload:score") == NOT_OFFERED
    pairs = PairsConfig(rater="pack.payload:score").to_dict()
    assert repeat_command({"kind": "pairs", "options": pairs}) == NOT_OFFERED
    assert NOT_OFFERED.startswith("#")


def test_option_of_another_version_is_left_out():
    config = {"kind": "ppo", "options": {"vf_coef": 0.5, "seed": 7}}
    assert repeat_command(config) == command(seed=7)
