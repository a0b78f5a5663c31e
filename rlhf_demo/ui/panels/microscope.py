"""The PPO microscope: a dialog with every number of one response, from sampling to gradient.

The tabs PPO and Learn both have this part; the one that is opened first makes the dialog.
"""

import math
from typing import Any, cast

from rlhf_demo.config.stages import STAGES
from rlhf_demo.errors import ConfigError
from rlhf_demo.files import Row, is_figure
from rlhf_demo.runs.reports import read_figures
from rlhf_demo.runs.run import Run
from rlhf_demo.runs.samples import MOST_TOKENS, prompt_text, token_text
from rlhf_demo.server.learn import code_of
from rlhf_demo.server.payloads import ResponseTrace, RewardScales, TracedQuantity, TraceSettings
from rlhf_demo.ui.parts import part
from rlhf_demo.ui.shared import Shared

MOST_RESPONSES = 16
"""Kept responses of a step; a run keeps 8."""
RANGES = {
    "kl_coef": (0.0, 10.0),
    "gamma": (0.0, 1.0),
    "gae_lambda": (0.0, 1.0),
    "clip_range": (0.0, 10.0),
}
"""What a visitor may change, and how far."""
DIGITS = 6


class MicroscopePanel:
    """The dialog's part and its server functions."""

    def __init__(self, shared: Shared) -> None:
        self.jobs, self.model_cache = shared.jobs, shared.model_cache

    def build(self) -> None:
        """Add the part to the open tab."""
        part("panels/microscope", [self.trace_response, self.trace_functions])

    def trace_response(self, request: dict[str, Any]) -> ResponseTrace:
        """Return every term of PPO's loss for each token of a response.

        Args:
            request: `run` id, `step`, `sample` (which of the step's kept responses, from 0); and,
                to ask "what if", `kl_coef`, `gamma`, `gae_lambda`, `clip_range`, `with_values`.

        Raises:
            DemoError: there is no such response, a number is outside its range, or the run's files
                are damaged.
        """
        run = self.jobs.find(str(request.get("run")))
        if run.config["kind"] != "ppo":
            raise ConfigError(
                f"this run's method is {STAGES[run.config['kind']].title}, and the microscope "
                "shows PPO: choose a PPO run"
            )
        step = _whole(request, "step")
        rows = self._rows(run, "samples", step)
        sample = _whole(request, "sample")
        if len(rows) > MOST_RESPONSES:
            raise ConfigError(
                f"step {step} has {len(rows)} kept responses, and the microscope reads at most "
                f"{MOST_RESPONSES}: choose another step"
            )
        if sample >= len(rows):
            raise ConfigError(
                f"step {step} has {len(rows)} kept responses: there is no number {sample}"
            )
        (metrics, *_) = self._rows(run, "metrics", step)
        row = rows[sample]
        count = _tokens(row)
        if count > MOST_TOKENS:
            raise ConfigError(
                f"this response has {count} tokens, and the microscope shows at most "
                f"{MOST_TOKENS}: choose another one"
            )
        changed = _changed(request)
        self.model_cache.warm()
        from rlhf_demo.explain import ppo_step  # noqa: PLC0415  (imports torch)

        options = run.config["options"]
        settings = ppo_step.settings_of(metrics, options)
        others = [other for other in rows if other is not row and _tokens(other) <= MOST_TOKENS]
        found = ppo_step.trace([row, *others], 0, metrics, options, changed)
        mean, deviation = found.whitening or (None, None)
        return {
            "run": run.folder.name,
            "step": step,
            "sample": sample,
            "samples": len(rows),
            "prompt": prompt_text(row),
            "tokens": [token_text(token) for token in row["token"]],
            "columns": {name: _figures(column) for name, column in found.columns.items()},
            "stopped": None if found.stopped is None else found.stopped[0].tolist(),
            "clipped": _noted(row, count),
            "mean": mean,
            "deviation": deviation,
            "earned": found.earned,
            "standardised": _standardised(run, row),
            "settings": cast("TraceSettings", vars(settings) | changed),
        }

    def trace_functions(self, request: dict[str, Any]) -> dict[str, TracedQuantity]:
        """Return, for each row of the microscope, its function as it stands in its file.

        Args:
            request: nothing of it is read.
        """
        self.model_cache.warm()
        from rlhf_demo.explain.ppo_step import QUANTITIES  # noqa: PLC0415  (imports torch)

        return {
            name: {
                **code_of(quantity.function),
                "function": f"{quantity.function.__module__}.{quantity.function.__name__}",
                "sources": list(quantity.sources),
            }
            for name, quantity in QUANTITIES.items()
        }

    def _rows(self, run: Run, name: str, step: int) -> list[Row]:
        found = self.jobs.tails.rows_of(run.folder / f"{name}.jsonl", step)
        if not found:
            raise ConfigError(f"step {step} of this run has no kept responses: choose another step")
        return found


def _tokens(row: Row) -> int:
    return len(row["token"]) if isinstance(row.get("token"), list) else 0


def _whole(request: dict[str, Any], name: str) -> int:
    value = request.get(name)
    if type(value) is not int or not 0 <= value < 10**9:
        raise ConfigError(f"{name} is {str(value)[:40]!r}: it must be a whole number from 0 on")
    return value


def _changed(request: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that a visitor changes.

    Raises:
        ConfigError: one is outside its range.
    """
    changed: dict[str, Any] = {}
    for name, (low, high) in RANGES.items():
        value = request.get(name)
        if value is None:
            continue
        if type(value) not in (int, float) or not low <= value <= high:
            raise ConfigError(
                f"{name} is {str(value)[:40]!r}: it must be a number, {low:g} to {high:g}"
            )
        changed[name] = float(value)
    with_values = request.get("with_values", True)
    if type(with_values) is not bool:
        raise ConfigError(f"with_values is {str(with_values)[:40]!r}: it must be true or false")
    return changed if with_values else changed | {"with_values": False}


def _figures(column: Any) -> list[float | None] | None:
    """Return the numbers of a tensor [1, time]; None for one that is too small to be known."""
    if column is None:
        return None
    numbers = column[0].tolist()
    return [round(value, DIGITS) if math.isfinite(value) else None for value in numbers]


def _noted(row: Row, count: int) -> list[bool] | None:
    clipped = row.get("clipped")
    if not isinstance(clipped, list) or len(clipped) != count:
        return None
    return [bool(each) for each in clipped]


def _standardised(run: Run, row: Row) -> float | None:
    """Return the score in standard deviations of the base's scores.

    None for older runs, and where the numbers make no sense.
    """
    path, score = run.folder / "reward_scale.json", row.get("score")
    if not path.is_file() or not is_figure(score):
        return None
    reward = read_figures(path, RewardScales).get("reward", {})
    mean, deviation = reward.get("mean"), reward.get("std", 0)
    if mean is None or deviation <= 0:
        return None
    standardised = (score - mean) / deviation
    return standardised if is_figure(standardised) else None
