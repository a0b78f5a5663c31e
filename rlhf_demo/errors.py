"""Error classes. Each message is one sentence for the person at the keyboard.

    DemoError               the base, never raised; the command line prints these and exits with 2
    |- ConfigError          an option is out of range, unknown, or does not fit another one
    |- DataError            a data file or a row of it cannot be used
    |- CheckpointError      a model or a saved state is missing, damaged or does not fit
    |- HubError             the Hub refuses, fails or does not answer
    |- JobError             a run folder is in use, or cannot be started, resumed or stopped
    |- Refused              a person may not do this: it is not theirs, or not now, or too often
    |  `- Unknown           the page does not know this person
    |- TrainingDiverged     a number stopped being finite; names the step and the metric
    `- ShapeError           tensors that belong together differ in shape

A message says what is wrong, with which value, and what to do about it.
"""


class DemoError(Exception):
    """Base of every error that is shown to a person as one sentence."""


class ConfigError(DemoError):
    """An option is out of range, unknown, or does not fit another one."""


class DataError(DemoError):
    """A data file or a row of it cannot be used."""


class CheckpointError(DemoError):
    """A model or a saved state is missing, damaged or does not fit."""


class HubError(DemoError):
    """The Hub refuses, fails or does not answer."""


class JobError(DemoError):
    """A run folder is in use, or cannot be started, resumed or stopped."""


class Refused(DemoError):
    """A person may not do this: it is not theirs, or not now, or too often."""


class Unknown(Refused):
    """The page does not know this person."""


class TrainingDiverged(DemoError):
    """A number stopped being finite during training."""

    def __init__(self, step: int, metric: str, value: float) -> None:
        super().__init__(
            f"training diverged at step {step}: {metric} became {value}; "
            "the last saved state is kept; try a lower learning rate or a higher KL coefficient"
        )
        self.step, self.metric = step, metric


class ShapeError(DemoError):
    """Tensors that belong together differ in shape."""
