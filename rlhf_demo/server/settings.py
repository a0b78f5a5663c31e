"""What the owner of a Space or a classroom sets, read once from the environment at the start.

VARIABLES describes every variable that this program reads; docs/settings.md is printed from it.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rlhf_demo.errors import ConfigError
from rlhf_demo.hub.repositories import check_name

LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")
"""Addresses that only programs on this very machine can reach."""
SHORTEST_PASSWORD = 8
"""Characters; the limit on tries (server/instructor.py) makes so many enough."""


@dataclass(frozen=True)
class Variable:
    """One environment variable.

    Attributes:
        name: as the owner writes it.
        home: its value on one's own machine if it is not set.
        limited: its value where the limits are on; empty: the same.
        meaning: what it sets.
    """

    name: str
    home: str
    limited: str
    meaning: str


VARIABLES = (
    Variable(
        "RLHF_DEMO_PASSWORD", "none", "",
        "the instructor's password, 8 characters or more: with it you can open classes, and "
        "stop and delete any run",
    ),
    Variable(
        "RLHF_DEMO_PUBLIC", "off", "on", "1 turns the limits on, 0 turns them off; if it is not "
        "set, they are on if there is a password, if others can reach the address that the page "
        "listens on, and on a Space; 1 also lets the page answer under any host name",
    ),
    Variable(
        "RLHF_DEMO_HUB", "`gpt2,distilgpt2`", "none",
        "ids of the Hub models that the lists offer, separated by commas; with limits, the page "
        "uses no others",
    ),
    Variable(
        "RLHF_DEMO_HOSTS", "none", "", "further host names of the page, separated by commas, such "
        "as `*.school.example`; behind a proxy that changes Host, list the name that visitors use, "
        "without a star",
    ),
    Variable(
        "RLHF_DEMO_PROXIES", "0", "0; 1 on a Space",
        "how many proxies stand in front of the page; it trusts X-Forwarded-For only from these",
    ),
    Variable("RLHF_DEMO_RUNS", "`runs`", "", "folder of the runs, the votes and the uploads"),
    Variable("RLHF_DEMO_JOBS", "1", "", "runs that train at the same time on this device"),
    Variable("RLHF_DEMO_STEPS", "no limit", "200", "maximum number of steps of one run"),
    Variable("RLHF_DEMO_MINUTES", "no limit", "20", "maximum minutes of one run, which then stops"),
    Variable("RLHF_DEMO_WAITING", "no limit", "8", "runs in the queue; a loop's two count as one"),
    Variable(
        "DATABASE_URL", "SQLite in the folder of the runs", "",
        "database of the votes: `postgresql://user:password@host/name`",
    ),
    Variable(
        "RLHF_DEMO_BACKUP", "none", "", "private data set of the Hub, `OWNER/NAME`, to which the "
        "page copies runs and votes, and from which it restores them where its folder is empty; "
        "needs `HF_TOKEN`",
    ),
    Variable("GRADIO_SERVER_NAME", "`127.0.0.1`", "", "address that the page listens on"),
    Variable(
        "GRADIO_SERVER_PORT", "the first free one from 7860 on", "",
        "port that the page listens on",
    ),
    Variable(
        "GRADIO_ROOT_PATH", "none", "", "path under which a proxy serves the page: `/lab/rlhf`"
    ),
    Variable(
        "GRADIO_TEMP_DIR", "the folder of the runs", "",
        "where the page makes a folder for arriving uploads and for files to download",
    ),
    Variable(
        "HF_TOKEN", "none", "",
        "token for the Hugging Face Hub; the page uses it for RLHF_DEMO_BACKUP, and of the "
        "training runs only those that name a Hub id get it",
    ),
)  # fmt: skip
"""Every variable that an owner may set, in the order in which they are asked for."""


@dataclass(frozen=True)
class Settings:
    """The owner's settings; the defaults are those of a page on one's own machine.

    Attributes:
        public: the limits are on.
        server_name: the address that the page listens on.
        port: the port that it listens on; None for the first free one.
        any_host: the page answers under every host name, as a page for strangers must.
        space: the page is a Space, which the Hub shows in a frame.
        backup: data set of the Hub to which runs and votes are copied.
    """

    runs: Path = Path("runs")
    public: bool = False
    hub: tuple[str, ...] = ("gpt2", "distilgpt2")
    password: str | None = None
    server_name: str = "127.0.0.1"
    port: int | None = None
    any_host: bool = False
    space: bool = False
    hosts: tuple[str, ...] = ()
    proxies: int = 0
    jobs_at_once: int = 1
    most_steps: int | None = None
    most_minutes: int | None = None
    most_waiting: int | None = None
    backup: str | None = None

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
            port=_number("GRADIO_SERVER_PORT", None),
            any_host=bool(said) or space,
            space=space,
            hosts=_list("RLHF_DEMO_HOSTS", ()),
            proxies=_number("RLHF_DEMO_PROXIES", 1 if space else 0, least=0),
            jobs_at_once=_number("RLHF_DEMO_JOBS", 1),
            most_steps=_number("RLHF_DEMO_STEPS", 200 if public else None),
            most_minutes=_number("RLHF_DEMO_MINUTES", 20 if public else None),
            most_waiting=_number("RLHF_DEMO_WAITING", 8 if public else None),
            backup=_backup(),
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


def _backup() -> str | None:
    name = os.environ.get("RLHF_DEMO_BACKUP") or None
    try:
        return name and check_name(name)
    except ConfigError as error:
        raise ConfigError(f"RLHF_DEMO_BACKUP: {error}") from None


def _yes_or_no(name: str) -> bool | None:
    text = os.environ.get(name, "")
    if text not in ("", "0", "1"):
        raise ConfigError(f"{name} is {text!r}: give 1 or 0, or leave it out")
    return text == "1" if text else None


def _list(name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    text = os.environ.get(name)
    if text is None:
        return default
    return tuple(part.strip() for part in text.split(",") if part.strip())


D = TypeVar("D", bound=int | None)


def _number(name: str, default: D, *, least: int = 1) -> int | D:
    text = os.environ.get(name)
    if text is None:
        return default
    if not text.isdigit() or int(text) < least:
        raise ConfigError(f"{name} is {text!r}: give a whole number from {least} up")
    return int(text)
