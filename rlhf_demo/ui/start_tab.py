"""The Start tab: the loop as a picture that shows where you are, one button for the lesson."""

from typing import Any

import gradio as gr

from rlhf_demo.config import PPOConfig, RewardConfig
from rlhf_demo.errors import ConfigError
from rlhf_demo.files import read_json
from rlhf_demo.ui.parts import part
from rlhf_demo.ui.shared import EXAMPLES, Shared

SHOWN = 3
"""Prompts of the shipped comparison that are shown: the middle ones by difference of scores."""


class StartTab:
    """The tab's one part and its server functions."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared

    def build(self, demo: gr.Blocks) -> None:
        """Lay the tab out inside the Blocks that is open."""
        part("lesson", [self.start_lesson, self.lesson_state], value={"example": example()})

    def start_lesson(self, request: dict[str, Any]) -> dict[str, Any]:
        """Queue the two trainings of the lesson: a reward model, and PPO that follows it.

        Raises:
            DemoError: no secret is given, or the queue is full.
        """
        secret, jobs, choices = (
            str(request.get("secret") or ""),
            self.shared.jobs,
            self.shared.choices,
        )
        if not secret:
            raise ConfigError("this request has no secret: reload the page")
        reward = jobs.start(
            "reward", RewardConfig(), title="The lesson's reward model", secret=secret
        )
        config = PPOConfig(reward=choices.path(jobs.find(reward).folder))
        ppo = jobs.start("ppo", config, title="The lesson's PPO", secret=secret, after=reward)
        return {"reward": reward, "ppo": ppo}

    def lesson_state(self, request: dict[str, Any]) -> dict[str, Any]:
        """Say how the two runs of a lesson stand."""
        wanted = [str(request["reward"]), str(request["ppo"])]
        rows = {row["id"]: row for row in self.shared.jobs.overview()}
        return {"runs": [rows.get(one) for one in wanted]}


def example() -> dict[str, Any]:
    """Return the shipped comparison's win rate, and its answers of the most typical difference."""
    path = EXAMPLES / "compare.json"
    if not path.is_file():
        return {}
    report = read_json(path)
    by_difference = sorted(report["rows"], key=lambda row: row["scores"][1] - row["scores"][0])
    middle = (len(by_difference) - SHOWN) // 2
    figures = ("win_rate", "win_rate_low", "win_rate_high", "prompts")
    return {name: report[name] for name in figures} | {
        "rows": by_difference[middle : middle + SHOWN]
    }
