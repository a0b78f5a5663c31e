"""What the stages that TRL trains share: the trainer's arguments, and a callback.

TRL's trainers make the loop and the loss. Ours are the metrics rows, stop and resume.
"""

import math
import re
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback

from rlhf_demo.config.offline import OfflineConfig
from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.errors import TrainingDiverged
from rlhf_demo.files import read_json, write_json
from rlhf_demo.models.device import pick_device
from rlhf_demo.runs.run import Run, StopRequested

MAX_GRAD_NORM = 1.0
ROW_FILE = "row.json"
"""The metrics row of a checkpoint's step. It is written last, so an incomplete checkpoint lacks it.
"""


STEP = re.compile(r"checkpoint-[0-9]{1,9}")
"""How the trainer names a checkpoint's folder."""


def trl_arguments(
    config: RewardConfig | OfflineConfig, checkpoints: Path, dtype: torch.dtype
) -> dict[str, Any]:
    """Return the arguments that all TRL trainers get: no outside reports or prints.

    Args:
        checkpoints: the folder of the run's saved states.
        dtype: of matrix products.
    """
    return {
        "output_dir": str(checkpoints),
        "num_train_epochs": config.epochs,
        "per_device_train_batch_size": config.batch_size,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": config.warmup_steps,
        "max_grad_norm": MAX_GRAD_NORM,
        "max_length": None,  # already cut
        "pad_to_multiple_of": None,
        "gradient_checkpointing": False,  # TRL's default, True, takes a third longer
        "bf16": dtype == torch.bfloat16,
        "use_cpu": pick_device(config.device).type == "cpu",
        "dataloader_pin_memory": False,
        "seed": config.seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # its default hides a diverged loss
        "save_steps": config.checkpoint_every,
        "save_total_limit": 2,  # the checkpoint that is being written, and the last complete one
        "report_to": "none",
        "disable_tqdm": True,  # the recorder has its own bar
    }


def train_with_trl(trainer: Any, recorder: "Recorder", checkpoints: Path, *, resume: bool) -> None:
    """Run a TRL trainer from its start or from the last complete checkpoint.

    Raises:
        StopRequested: the run was asked to stop; its state is saved.
        TrainingDiverged: a loss or gradient is no longer finite. The last checkpoint is kept.
    """
    trainer.remove_callback(PrinterCallback)
    last = last_checkpoint(checkpoints) if resume else None
    if last is None:
        shutil.rmtree(checkpoints, ignore_errors=True)
        recorder.run.rewind(-1)
    trainer.train(resume_from_checkpoint=None if last is None else str(last))
    if recorder.stopped:
        raise StopRequested


class Recorder(TrainerCallback):
    """Writes each step's metrics row, measures at intervals, and checks for a stop request.

    A stage says in `metrics` what it takes from the trainer's log, and in `measure` what it
    measures `measurements` times after the start, evenly spaced to the last step.

    Attributes:
        stopped: whether the run was asked to stop.
        row: the row of the last finished step.
    """

    kind = ""
    measurements = 0

    def __init__(self, run: Run) -> None:
        self.run = run
        self.stopped = False
        self.step_started = time.perf_counter()
        self.row: dict[str, float] = {}
        self.bar: tqdm  # while it trains

    def metrics(self, logs: dict[str, float]) -> dict[str, float]:
        """Return the step's metrics from the trainer's log."""
        raise NotImplementedError

    def measure(self, step: int, *, last: bool) -> dict[str, float]:
        """Return what is measured after this step; it must not be empty."""
        raise NotImplementedError

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Drop rows that are newer than the checkpoint, and measure before the first step."""
        self.bar = tqdm(
            total=state.max_steps, initial=state.global_step, desc=self.kind, unit="step"
        )
        self.row = (
            {"step": 0, f"{self.kind}/total_steps": state.max_steps}
            if state.global_step == 0
            else read_json(_checkpoint_folder(args, state) / ROW_FILE)
        )
        self.run.rewind(state.global_step)
        # At the start, or if a stop cut short the measurement after the checkpoint's step.
        if self._is_due(state) and "time/measuring_seconds" not in self.row:
            self.run.rewind(state.global_step - 1)
            self.row |= self._measure(state)
            self.run.append("metrics", [self.row])

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self.step_started = time.perf_counter()

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write the step's row, before the trainer saves its checkpoint."""
        logs: dict[str, float] = kwargs["logs"]
        if "loss" not in logs:  # the trainer's own summary at the end
            return
        row = {"step": state.global_step} | self.metrics(logs)
        for metric, value in [*row.items(), (f"{self.kind}/gradient_norm", logs["grad_norm"])]:
            if not math.isfinite(value):
                raise TrainingDiverged(state.global_step, metric, value)
        row["time/step_seconds"] = time.perf_counter() - self.step_started
        try:
            self.run.check_stop()
            if self._is_due(state):
                row |= self._measure(state)
        except StopRequested:
            self.stopped = control.should_save = control.should_training_stop = True
        if state.global_step == state.max_steps:
            control.should_save = True  # so that a stop after the last step can be resumed too
        self.row = row
        self.run.append("metrics", [row])
        self.bar.update()
        self.bar.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Mark the checkpoint as complete."""
        write_json(_checkpoint_folder(args, state) / ROW_FILE, self.row)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close the progress bar."""
        self.bar.close()

    def _is_due(self, state: Any) -> bool:
        """Return whether the stage measures after this step."""
        return state.global_step in {
            round(state.max_steps * number / self.measurements)
            for number in range(self.measurements + 1)
        }

    def _measure(self, state: Any) -> dict[str, float]:
        started = time.perf_counter()
        measured = self.measure(state.global_step, last=state.global_step == state.max_steps)
        return measured | {"time/measuring_seconds": time.perf_counter() - started}


def _checkpoint_folder(args: Any, state: Any) -> Path:
    """Return the folder of the checkpoint of the trainer's present step."""
    return Path(args.output_dir) / f"checkpoint-{state.global_step}"


def last_checkpoint(checkpoints: Path) -> Path | None:
    """Return the newest complete checkpoint, or None, and remove incomplete ones.

    A checkpoint with a folder inside was not written here. The trainer would load each such folder
    as one more adapter, with a configuration that nothing has checked.
    """
    folders = [path for path in checkpoints.glob("checkpoint-*") if STEP.fullmatch(path.name)]
    by_step = {int(folder.name.split("-")[1]): folder for folder in folders}
    for step, folder in list(by_step.items()):
        if not (folder / ROW_FILE).is_file() or any(path.is_dir() for path in folder.iterdir()):
            shutil.rmtree(by_step.pop(step))
    return by_step[max(by_step)] if by_step else None
