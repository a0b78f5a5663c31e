"""The Start tab: the loop as a picture that shows its progress, and a button that runs it."""

from typing import Any

import gradio as gr

from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.errors import ConfigError
from rlhf_demo.jobs.queue import Order
from rlhf_demo.jobs.run_rows import RunRow
from rlhf_demo.runs.reports import ComparedRow
from rlhf_demo.server.payloads import LoopExample
from rlhf_demo.ui.parts import part
from rlhf_demo.ui.shared import Shared
from rlhf_demo.ui.tabs.compare import example_report
from rlhf_demo.web.addresses import address_of


class StartTab:
    """The tab's one part and its server functions."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared

    def build(self, demo: gr.Blocks) -> None:
        """Lay the tab out inside the open Blocks."""
        shown = {"example": example(self.shared)}
        part(
            "tabs/start",
            [self.start_loop, self.loop_state],
            value=shown,
            css_class="whole-loop",
        )

    def start_loop(self, request: dict[str, Any], http: gr.Request) -> dict[str, str]:
        """Queue the two trainings of the loop: a reward model, and PPO that follows it.

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
        orders = [
            lambda _: Order("reward", RewardConfig(), "The loop's reward model"),
            lambda before: Order("ppo", PPOConfig(reward=choices.path(before)), "The loop's PPO"),
        ]
        reward, ppo = jobs.start_in_turn(orders, secret=secret, address=address_of(http))
        return {"reward": reward, "ppo": ppo}

    def loop_state(self, request: dict[str, Any]) -> dict[str, list[RunRow | None]]:
        """Return the state of the loop's two runs."""
        wanted = [str(request["reward"]), str(request["ppo"])]
        rows = {row["id"]: row for row in self.shared.jobs.overview()}
        return {"runs": [rows.get(run_id) for run_id in wanted]}


def example(shared: Shared) -> LoopExample | None:
    """Return each judge's verdict on the shipped comparison, and the answers at the quartiles of
    the first judge's differences.
    """
    record = example_report(shared.choices)
    if record is None or "report" not in record:
        return None
    report = record["report"]
    by_difference = sorted(report["rows"], key=_difference)
    return {
        "prompts": report["prompts"],
        "judges": [
            judge | verdict
            for judge, verdict in zip(record["settings"]["judges"], report["judges"], strict=True)
        ],
        "rows": [by_difference[len(by_difference) * quarter // 4] for quarter in (1, 2, 3)],
    }


def _difference(row: ComparedRow) -> float:
    left, right = row["scores"][0]
    return right - left
