"""What the owner of a Space or a classroom sets, read once from the environment at the start.

RLHF_DEMO_RUNS       folder of the runs (default: runs)
RLHF_DEMO_PUBLIC     1 = strangers use this page: limits, and Hub ids only from the list
RLHF_DEMO_HUB        Hub ids that may be used in public mode, separated by commas
RLHF_DEMO_PASSWORD   the instructor's password: who gives it may stop and delete every run
RLHF_DEMO_JOBS       trainings at once on this device (default 1)
RLHF_DEMO_STEPS, RLHF_DEMO_MINUTES, RLHF_DEMO_WAITING
                     limits of a public page: steps and minutes of a run, runs that wait
"""

import os
from dataclasses import dataclass
from pathlib import Path

from rlhf_demo.errors import ConfigError


@dataclass(frozen=True)
class Settings:
    """The owner's settings; the defaults are those of a page on one's own machine."""

    runs: Path = Path("runs")
    public: bool = False
    hub: tuple[str, ...] = ("gpt2", "distilgpt2")
    password: str | None = None
    jobs_at_once: int = 1
    most_steps: int | None = None
    most_minutes: int | None = None
    most_waiting: int | None = None

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read the settings.

        Raises:
            ConfigError: one of them is not what it should be.
        """
        public = os.environ.get("RLHF_DEMO_PUBLIC", "") not in ("", "0")
        hub = os.environ.get("RLHF_DEMO_HUB")
        return cls(
            runs=Path(os.environ.get("RLHF_DEMO_RUNS", "runs")),
            public=public,
            hub=cls.hub
            if hub is None
            else tuple(one.strip() for one in hub.split(",") if one.strip()),
            password=os.environ.get("RLHF_DEMO_PASSWORD") or None,
            jobs_at_once=_number("RLHF_DEMO_JOBS", 1),
            most_steps=_number("RLHF_DEMO_STEPS", 200 if public else None),
            most_minutes=_number("RLHF_DEMO_MINUTES", 20 if public else None),
            most_waiting=_number("RLHF_DEMO_WAITING", 8 if public else None),
        )


def _number(name: str, default: int | None) -> int | None:
    text = os.environ.get(name)
    if text is None:
        return default
    if not text.isdigit() or int(text) < 1:
        raise ConfigError(f"{name} is {text!r}: give a whole number from 1 up")
    return int(text)
