"""Named sets of options of PPO, RLOO and GRPO, and what each of them shows."""

from dataclasses import dataclass
from typing import Any

from rlhf_demo.config.scorers import HARSHNESS


@dataclass(frozen=True)
class Preset:
    """Named changes to a stage's defaults, with what they show."""

    label: str
    shows: str
    options: dict[str, Any]


PPO_PRESETS: dict[str, Preset] = {
    "quick": Preset("quick", "a complete training run in about a minute on two CPU cores", {}),
    "thorough": Preset(
        "thorough",
        "three times the steps, with 60% of the learning rate",
        {"total_steps": 120, "learning_rate": 3e-4},
    ),
    "no-kl": Preset(
        "no KL penalty",
        "nothing keeps the policy near the base: it repeats the few words that score highest",
        {"kl_coef": 0.0, "kl_target": 0.0, "kl_budget": 200.0},
    ),
    "high-kl": Preset(
        "high KL penalty",
        "moving away from the base costs so much that the policy hardly changes",
        {"kl_coef": 2.0, "kl_target": 0.0},
    ),
    "high-learning-rate": Preset(
        "learning rate too high",
        "updates so large that they destroy what the model has learned",
        {"learning_rate": 1e-2, "kl_budget": 200.0},
    ),
    "less-harsh": Preset(
        "less harsh",
        "the reward is a text classifier\u2019s logit for \u201cnot harsh\u201d; it counts reviews "
        "with 1 or 2 stars out of 10 as harsh",
        {"reward": HARSHNESS, "label": "not harsh"},
    ),
    "gpt2": Preset(
        "GPT-2 124 M with LoRA",
        "the real GPT-2; needs a GPU, and downloads the model from the Hub",
        {"policy": "gpt2", "learning_rate": 1e-4},
    ),
}
"""`quick` has the defaults."""
