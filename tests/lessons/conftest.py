"""The shipped models, as the lessons get them."""

import pytest
import torch

from rlhf_demo.lessons.request import Models
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.reward_model import load_reward_model


@pytest.fixture(scope="session")
def models():
    cpu = torch.device("cpu")
    return Models(
        load_policy("gpt2-mini", device=cpu),
        load_policy("gpt2-mini-ppo", device=cpu),
        load_reward_model("reward-mini", device=cpu),
    )
