"""Settings of PPO under a name, and what each of them shows."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preset:
    """Named changes to PPOConfig's defaults, with what they show."""

    label: str
    shows: str
    options: dict[str, Any]


PPO_PRESETS: dict[str, Preset] = {
    "quick": Preset("quick", "the whole of PPO in about a minute on two CPU cores", {}),
    "thorough": Preset(
        "thorough",
        "three times the steps, each a third of the size",
        {"total_steps": 120, "learning_rate": 3e-4},
    ),
    "no-kl": Preset(
        "no KL penalty",
        "nothing holds the policy near the base: the score wins, and a few words fill the texts",
        {"kl_coef": 0.0, "kl_target": 0.0, "kl_budget": 200.0},
    ),
    "high-kl": Preset(
        "high KL penalty",
        "drift costs so much that the policy hardly dares to move",
        {"kl_coef": 2.0, "kl_target": 0.0},
    ),
    "high-learning-rate": Preset(
        "too high learning rate",
        "steps so large that they break what they build on",
        {"learning_rate": 1e-2, "kl_budget": 200.0},
    ),
    "gpt2": Preset(
        "GPT-2 124 M with LoRA",
        "the real GPT-2; wants a GPU and the model from the Hub",
        {"policy": "gpt2", "learning_rate": 1e-4},
    ),
}
"""`quick` is the defaults."""
