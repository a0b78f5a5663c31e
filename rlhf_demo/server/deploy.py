"""Create or update a Space of the Hub that runs this program, and the data set that keeps its data.

The Space gets the project's tracked files, as they are in the working folder. What it is called,
and which kind of Space it is, stands at the top of README.md.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rlhf_demo.errors import ConfigError
from rlhf_demo.hub import repositories
from rlhf_demo.paths import REPOSITORY
from rlhf_demo.server.settings import VARIABLES

FILES = (
    "README.md", "LICENSE", "requirements.txt", "app.py", "rlhf_demo", "checkpoints",
    "docs/board-light.png",
)  # fmt: skip
"""What a Space needs: the program, its models, and the card with its picture."""
REPLACED = [*(f"{name}/*" for name in ("rlhf_demo", "checkpoints", "docs")), "*.py", "*.txt"]
"""Patterns of files of an earlier version, which are removed if this version does not have them."""

SECRETS = "RLHF_DEMO_PASSWORD", "DATABASE_URL", "HF_TOKEN"
"""Variables that a Space must get as secrets, which nobody can read."""
BACKUP = "RLHF_DEMO_BACKUP"


@dataclass(frozen=True)
class Deployment:
    """What was made.

    Attributes:
        address: of the Space.
        data: the data set's name; None if there is none.
        secrets: names of the secrets that the Space got.
    """

    address: str
    data: str | None
    secrets: list[str] = field(default_factory=list[str])


def deploy_space(
    repository: str,
    *,
    private: bool = False,
    data: str | None = None,
    variables: Mapping[str, str] | None = None,
    with_token: bool = False,
) -> Deployment:
    """Create a Space, or update the one of that name.

    Args:
        repository: OWNER/NAME.
        private: of a new Space; a new data set is always private.
        data: OWNER/NAME of the data set to which the Space copies runs and votes; None: no copies.
        variables: settings of the page.
        with_token: whether the Space gets the token in HF_TOKEN, as a secret.

    Raises:
        DemoError: a name or a variable is wrong, or the Hub refuses.
    """
    repositories.check_name(repository)
    values = dict(variables or {})
    if data is not None:
        values[BACKUP] = repositories.check_name(data)
    _check(values)
    api = repositories.open_hub()
    address = repositories.create(api, repository, "space", private=private, sdk=_sdk())
    if data is not None:
        repositories.create(api, data, "dataset", private=True)
    wanted = ["RLHF_DEMO_PASSWORD", *(["HF_TOKEN"] if with_token else [])]
    secrets = {name: value for name in wanted if (value := os.environ.get(name))}
    if with_token:
        secrets["HF_TOKEN"] = api.token
    with repositories.explained(f"the settings of the space {repository} cannot be written"):
        for name, value in values.items():
            api.add_space_variable(repository, name, value)
        for name, value in secrets.items():
            api.add_space_secret(repository, name, value)
    with tempfile.TemporaryDirectory(prefix="rlhf-demo-") as made:
        copy_files(Path(made))
        message = "Update the program"
        repositories.upload(api, repository, "space", Path(made), message, REPLACED)
    return Deployment(address, data, list(secrets))


def _check(values: Mapping[str, str]) -> None:
    """Check the names of variables.

    Raises:
        ConfigError: one is no setting, or is a secret.
    """
    known = {variable.name for variable in VARIABLES}
    for name in values:
        if name in SECRETS:
            raise ConfigError(
                f"{name} is a secret: set it in your environment or in the Space's settings"
            )
        if name not in known:
            raise ConfigError(f"{name[:60]!r} is no setting: docs/settings.md lists them")


def _sdk() -> str:
    """Return the kind of Space that README.md asks for."""
    head = (REPOSITORY / "README.md").read_text(encoding="utf-8").split("---")[1]
    return next(line.split()[1] for line in head.splitlines() if line.startswith("sdk:"))


def copy_files(folder: Path) -> None:
    """Copy what a Space needs into a folder."""
    for name in _tracked():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, target)


def _tracked() -> list[str]:
    """List the files: those that git knows, or all if this is no checkout."""
    command = ["git", "-C", str(REPOSITORY), "ls-files", "-z", "--", *FILES]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        names = [name for name in result.stdout.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names: list[str] = []
    if not names:
        paths = [
            path for name in FILES for path in (REPOSITORY / name, *REPOSITORY.glob(f"{name}/**/*"))
        ]
        names = [
            str(path.relative_to(REPOSITORY)) for path in paths if "__pycache__" not in path.parts
        ]
    return [name for name in names if (REPOSITORY / name).is_file()]
