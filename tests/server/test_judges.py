"""What the page says about a judge: its unit, and whether it had a part in the training."""

import pytest

from rlhf_demo.config.dpo import DPOConfig
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.pretrain import BaseConfig
from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.config.rloo import RLOOConfig
from rlhf_demo.errors import ConfigError
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.server import judges as judges_module
from rlhf_demo.server.judges import Taught, judges, teachers, unit
from rlhf_demo.server.settings import Settings
from rlhf_demo.ui.shared import Shared

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Gradio's unclosed event loops


@pytest.fixture
def shared(tmp_path):
    return Shared.open(Settings(runs=tmp_path / "runs"))


@pytest.fixture
def choices(shared):
    return shared.choices


def add_run(shared, run_id, kind, config):
    run = Run.create(shared.settings.runs / run_id, kind, config.to_dict())
    run.set_status(Status.FINISHED)
    run.model_folder.mkdir(parents=True)
    (run.model_folder / "adapter_config.json").write_text("{}")
    return str(run.folder)


def titles(found):
    return [judge["title"] for judge in found]


def test_shipped_comparison_says_that_the_first_judge_labelled_the_pairs(choices):
    found = judges(choices, "gpt2-mini", "gpt2-mini-ppo", "star-rater", "star-rater")
    assert [judge["name"] for judge in found] == ["star-rater", "word-judge"]
    assert titles(found) == [
        "the simulated judge that labelled the pairs",
        "a simulated judge of another kind, which only adds up weights of words",
    ]
    assert found[0]["note"].startswith("star-rater labelled the pairs that this training used")
    assert "share its network" in found[0]["note"]
    assert "had no part in their training" in found[1]["note"]
    swapped = judges(choices, "gpt2-mini-ppo", "gpt2-mini", "star-rater", "star-rater")
    assert swapped == found  # whichever side the trained one is on


def test_judge_that_was_the_reward_is_called_that(choices):
    found = judges(choices, "gpt2-mini", "gpt2-mini-ppo", "reward-mini", "reward-mini")
    assert found[0]["note"].startswith("The PPO model was trained to please reward-mini")
    assert found[0]["unit"].startswith("standard deviations")


def test_run_whose_reward_learned_from_shipped_pairs_was_taught_by_the_star_rater(shared, choices):
    reward = add_run(shared, "reward-aaaaaa", "reward", RewardConfig())
    add_run(shared, "ppo-aaaaaa", "ppo", PPOConfig(reward=reward))
    assert teachers(choices, "ppo-aaaaaa") == ("PPO", reward, "star-rater")
    assert teachers(choices, "ppo-aaaaaa@20") == ("PPO", reward, "star-rater")


def test_run_whose_reward_learned_from_votes_was_not(shared, choices):
    reward = add_run(shared, "reward-bbbbbb", "reward", RewardConfig(data="votes.jsonl"))
    add_run(shared, "ppo-bbbbbb", "ppo", PPOConfig(reward=reward))
    assert teachers(choices, "ppo-bbbbbb") == ("PPO", reward, None)
    found = judges(choices, "gpt2-mini", "ppo-bbbbbb", "star-rater", "star-rater")
    assert titles(found)[0] == "a simulated judge"
    assert found[0]["note"] == ""
    assert found[1]["note"] == "word-judge shares no network with the models."


def test_run_that_followed_the_word_judge_does_not_hear_that_it_had_no_part(shared, choices):
    add_run(shared, "ppo-cccccc", "ppo", PPOConfig(reward="word-judge"))
    assert teachers(choices, "ppo-cccccc") == ("PPO", "word-judge", None)
    found = judges(choices, "gpt2-mini", "ppo-cccccc", "star-rater", "star-rater")
    assert found[1]["note"].startswith("The PPO model was trained to please word-judge")


def test_method_that_followed_the_judge_is_named(shared, choices):
    add_run(shared, "rloo-aaaaaa", "rloo", RLOOConfig())
    found = judges(choices, "gpt2-mini", "rloo-aaaaaa", "reward-mini", "reward-mini")
    assert found[0]["note"] == (
        "The RLOO model was trained to please reward-mini, so a win by its judgement only shows "
        "that RLOO worked."
    )


def test_base_that_was_trained_here_learned_from_no_judge(shared, choices):
    add_run(shared, "base-aaaaaa", "base", BaseConfig())
    assert teachers(choices, "base-aaaaaa") == ("", None, None)


def test_reward_that_dpo_only_measures_did_not_train_it_but_the_labeller_did(shared, choices):
    add_run(shared, "dpo-aaaaaa", "dpo", DPOConfig(reward="reward-mini"))
    add_run(shared, "dpo-bbbbbb", "dpo", DPOConfig(reward="reward-mini", data="votes.jsonl"))
    assert teachers(choices, "dpo-aaaaaa") == ("DPO", None, "star-rater")
    assert teachers(choices, "dpo-bbbbbb") == ("DPO", None, None)
    found = judges(choices, "gpt2-mini", "dpo-aaaaaa", "star-rater", "star-rater")
    assert found[0]["note"].startswith("star-rater labelled the pairs that this training used")
    for run in ("dpo-aaaaaa", "dpo-bbbbbb"):
        found = judges(choices, "gpt2-mini", run, "reward-mini", "reward-mini")
        assert found[0]["note"] == ""


def test_two_models_that_no_reward_trained_have_no_teacher(choices):
    assert teachers(choices, "gpt2-mini") == ("", None, None)
    found = judges(choices, "gpt2-mini", "gpt2-mini", "longer", "longer")
    assert titles(found)[0] == "a rule: the longer text wins"


def test_scorer_that_chose_is_no_independent_judge_and_its_labeller_is_named(choices):
    model = "gpt2-mini"
    found = judges(choices, model, model, "reward-mini", "reward-mini", chosen_by="reward-mini")
    assert found[0]["note"].startswith("reward-mini chose the best responses, so a win")
    found = judges(choices, model, model, "star-rater", "star-rater", chosen_by="reward-mini")
    assert found[0]["note"].startswith("star-rater labelled the pairs that this training used")
    assert "had no part in their training" in found[1]["note"]


def test_fluency_judge_is_said_to_share_the_network(choices):
    found = judges(choices, "gpt2-mini", "gpt2-mini-ppo", "fluency-judge", "fluency-judge")
    assert [judge["name"] for judge in found] == ["fluency-judge", "word-judge"]
    assert titles(found)[0] == "a simulated judge of sentiment and writing"
    assert found[0]["note"].startswith("fluency-judge takes star-rater\u2019s score")
    assert found[0]["unit"].endswith("liked the film, less penalties")


def test_judge_that_is_in_no_list_is_refused(choices):
    with pytest.raises(ConfigError):
        judges(choices, "gpt2-mini", "gpt2-mini-ppo", "os:system", "os:system")


def test_units_are_named(shared, choices):
    add_run(shared, "reward-aaaaaa", "reward", RewardConfig())
    assert unit(choices, "longer") == "characters"
    assert unit(choices, "star-rater") == unit(choices, "word-judge")
    assert unit(choices, "reward-aaaaaa") == unit(choices, "reward-mini")
    assert unit(choices, "owner/classifier") == "logits"


@pytest.mark.parametrize(
    ("judge", "shared"), [("star-rater", True), ("fluency-judge", True), ("longer", False)]
)
def test_only_a_network_is_said_to_share_one(judge, shared):
    note = judges_module._note(Nobody(), judge, Taught("PPO", "another", judge))
    assert note.startswith("{judge} labelled the pairs")
    assert ("share its network" in note) == shared


class Nobody:
    """Choices in which every id means itself."""

    def reward(self, chosen):
        return chosen
