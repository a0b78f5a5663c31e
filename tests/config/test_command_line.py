"""The command line that a run stands for."""

from pathlib import Path

from rlhf_demo.config.command_line import NOT_OFFERED, repeat_command
from rlhf_demo.config.pairs import PairsConfig
from rlhf_demo.config.ppo import PPOConfig

RUNS = Path("/srv/page/kept")


def command(**options):
    return repeat_command({"kind": "ppo", "options": PPOConfig(**options).to_dict()}, RUNS)


def test_command_names_what_is_no_default_in_the_order_of_the_declarations():
    assert command() == "python -m rlhf_demo train-ppo --run-dir runs/again"
    assert command(seed=7, clean_words=True, kl_coef=0.5).removeprefix(command()) == (
        " --kl-coef 0.5 --clean-words --seed 7"
    )


def test_folder_of_runs_is_called_runs_and_what_lies_in_it_keeps_its_path():
    assert command(reward="/srv/page/kept/reward-ab").endswith(" --reward runs/reward-ab")
    prompts = "/srv/page/kept/uploads/upload-ab/rows.jsonl"
    assert command(prompts=prompts).endswith(" --prompts runs/uploads/upload-ab/rows.jsonl")


def test_path_of_another_machine_is_called_by_its_name():
    assert command(reward="/home/ann/runs/reward-ab").endswith(" --reward runs/reward-ab")


def test_name_with_a_blank_is_quoted():
    assert command(prompts="my prompts.txt").endswith(" --prompts 'my prompts.txt'")


def test_command_that_would_call_a_function_is_a_comment():
    assert command(judge="payload:score") == NOT_OFFERED
    pairs = PairsConfig(rater="pack.payload:score").to_dict()
    assert repeat_command({"kind": "pairs", "options": pairs}, RUNS) == NOT_OFFERED
    assert NOT_OFFERED.startswith("#")


def test_option_of_another_version_is_left_out():
    config = {"kind": "ppo", "options": {"vf_coef": 0.5, "seed": 7}}
    assert repeat_command(config, RUNS) == command(seed=7)
