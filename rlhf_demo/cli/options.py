"""Options of commands, made from their declarations in config/."""

import argparse
from typing import Any, NoReturn

from rlhf_demo.config.options import Options, declarations
from rlhf_demo.errors import ConfigError


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage."""
        raise ConfigError(f"{message}; see '{self.prog} --help'")


def folder(name: str) -> str:
    """Check a folder's name; an empty name would mean the current folder."""
    if not name.strip():
        raise argparse.ArgumentTypeError("is empty: name a folder")
    return name


def add_options(parser: argparse.ArgumentParser, config_class: type[Options]) -> None:
    """Add one flag for each declared option; a flag that is not given sets nothing."""
    for declared, kind, _ in declarations(config_class):
        flag, default = f"--{declared.name.replace('_', '-')}", declared.default
        help_text = f"{declared.metadata['help']} (default {default})".replace("%", "%%")
        if kind is bool:
            parser.add_argument(
                flag, action="store_true", default=argparse.SUPPRESS, help=help_text
            )
        else:
            parser.add_argument(
                flag,
                type=kind,
                default=argparse.SUPPRESS,
                help=help_text,
                metavar=kind.__name__.upper(),
            )


def given_options(args: argparse.Namespace, config_class: type[Options]) -> dict[str, Any]:
    """Return the options that were given on the command line."""
    return {
        declared.name: getattr(args, declared.name)
        for declared, _, _ in declarations(config_class)
        if declared.name in args
    }
