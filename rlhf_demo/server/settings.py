"""What the owner of a Space or a classroom sets, read once from the environment at the start.

RLHF_DEMO_RUNS       folder of the runs (default: runs)
RLHF_DEMO_PUBLIC     1 = strangers use this page: limits, Hub ids only from the list, any host name
                     0 = no limits. Unset: limits where there is a password, where the page listens
                     on another address than this machine's own (GRADIO_SERVER_NAME), on a Space
RLHF_DEMO_HUB        Hub ids that may be used where there are limits, separated by commas
                     (default: none)
RLHF_DEMO_PASSWORD   the instructor's password: who gives it may stop and delete every run
RLHF_DEMO_HOSTS      further host names of this page, separated by commas, e.g. *.school.example;
                     behind a proxy that changes Host, the outer name, without a star
RLHF_DEMO_PROXIES    proxies in front of this page that may be believed (default 0; on a Space 1)
RLHF_DEMO_JOBS       trainings at once on this device (default 1)
RLHF_DEMO_STEPS, RLHF_DEMO_MINUTES, RLHF_DEMO_WAITING
                     limits: steps and minutes of a run, runs that wait
"""

import os
from dataclasses import dataclass
from pathlib import Path

from rlhf_demo.errors import ConfigError

LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")
"""Addresses that only programs on this very machine can reach."""
SHORTEST_PASSWORD = 8
"""Characters; the limit on tries (server/instructor.py) makes so many enough."""


@dataclass(frozen=True)
class Settings:
    """The owner's settings; the defaults are those of a page on one's own machine.

    Attributes:
        public: the limits are on.
        server_name: the address that the page listens on.
        any_host: the page answers under every host name, as a page for strangers must.
        space: the page is a Space, which the Hub shows in a frame.
    """

    runs: Path = Path("runs")
    public: bool = False
    hub: tuple[str, ...] = ("gpt2", "distilgpt2")
    password: str | None = None
    server_name: str = "127.0.0.1"
    any_host: bool = False
    space: bool = False
    hosts: tuple[str, ...] = ()
    proxies: int = 0
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
        password, space = _password(), bool(os.environ.get("SPACE_ID"))
        server_name = os.environ.get("GRADIO_SERVER_NAME") or cls.server_name
        said = _yes_or_no("RLHF_DEMO_PUBLIC")
        usual = password is not None or space or server_name not in LOOPBACK
        public = usual if said is None else said
        return cls(
            runs=Path(os.environ.get("RLHF_DEMO_RUNS", "runs")),
            public=public,
            hub=_list("RLHF_DEMO_HUB", () if public else cls.hub),
            password=password,
            server_name=server_name,
            any_host=bool(said) or space,
            space=space,
            hosts=_list("RLHF_DEMO_HOSTS", ()),
            proxies=_number("RLHF_DEMO_PROXIES", 1 if space else 0, least=0),
            jobs_at_once=_number("RLHF_DEMO_JOBS", 1),
            most_steps=_number("RLHF_DEMO_STEPS", 200 if public else None),
            most_minutes=_number("RLHF_DEMO_MINUTES", 20 if public else None),
            most_waiting=_number("RLHF_DEMO_WAITING", 8 if public else None),
        )

    @property
    def loopback(self) -> bool:
        """Whether the page listens on this machine's own address only."""
        return self.server_name in LOOPBACK


def _password() -> str | None:
    password = os.environ.get("RLHF_DEMO_PASSWORD") or None
    if password is not None and len(password) < SHORTEST_PASSWORD:
        raise ConfigError(
            f"RLHF_DEMO_PASSWORD has {len(password)} characters: "
            f"choose a password of {SHORTEST_PASSWORD} or more"
        )
    return password


def _yes_or_no(name: str) -> bool | None:
    text = os.environ.get(name, "")
    if text not in ("", "0", "1"):
        raise ConfigError(f"{name} is {text!r}: give 1 or 0, or leave it out")
    return text == "1" if text else None


def _list(name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    text = os.environ.get(name)
    if text is None:
        return default
    return tuple(one.strip() for one in text.split(",") if one.strip())


def _number(name: str, default: int | None, *, least: int = 1) -> int | None:
    text = os.environ.get(name)
    if text is None:
        return default
    if not text.isdigit() or int(text) < least:
        raise ConfigError(f"{name} is {text!r}: give a whole number from {least} up")
    return int(text)
