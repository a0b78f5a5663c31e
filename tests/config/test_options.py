"""Options: what a config accepts, and that no option is declared in vain."""

import ast
import inspect
import math
import textwrap
from dataclasses import fields
from pathlib import Path

import pytest

import rlhf_demo
from rlhf_demo.cli.main import build_parser
from rlhf_demo.config.evaluation import CompareConfig, GenerateConfig
from rlhf_demo.config.grpo import GRPOConfig
from rlhf_demo.config.options import Options, declarations
from rlhf_demo.config.pairs import PairsConfig
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.pretrain import BaseConfig
from rlhf_demo.config.rater import RaterConfig
from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.config.rloo import RLOOConfig
from rlhf_demo.errors import ConfigError
from rlhf_demo.train.schedule import Scheduled, cosine_rate, linear_rate

PACKAGE = Path(rlhf_demo.__file__).parent

COMMANDS = {
    BaseConfig: "train-base",
    RewardConfig: "train-reward",
    PPOConfig: "train-ppo",
    RLOOConfig: "train-rloo",
    GRPOConfig: "train-grpo",
    PairsConfig: "make-pairs",
    RaterConfig: "train-rater",
    GenerateConfig: "generate",
    CompareConfig: "compare",
}
OPTIONS = [(cls, declared.name) for cls in COMMANDS for declared in fields(cls)]

NO_READERS = ("config/stages.py", "train/quickstart.py")
"""Modules that name the classes and read no option."""


def options_read(cls):
    """Names read as `config.NAME` (or `self.config.NAME`) in the modules that mention the class.

    In cli/models.py, which knows two of the classes, only what the command's own function reads
    counts, and what `scoring_options` does for both. A schedule of the learning rate reads what it
    says.
    """
    names = set()
    classes = {one.__name__ for one in cls.__mro__ if issubclass(one, Options)} - {"Options"}
    for path in PACKAGE.rglob("*.py"):
        module = path.relative_to(PACKAGE).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if module in NO_READERS or not classes & named_in(tree):
            continue
        parts = [tree]
        if module == "cli/models.py":
            functions = [n for n in tree.body if isinstance(n, ast.FunctionDef)]
            parts = [n for n in functions if n.name in (COMMANDS[cls], "scoring_options")]
        for part in parts:
            names |= attributes(part, is_config)
        if named_in(tree) & {linear_rate.__name__, cosine_rate.__name__}:
            names |= vars(Scheduled).keys() & {declared.name for declared in fields(cls)}
    for name in names & set(dir(cls)):  # a property that is read reads options in its turn
        if isinstance(getattr(cls, name), property):
            source = textwrap.dedent(inspect.getsource(getattr(cls, name).fget))
            names |= attributes(ast.parse(source), lambda node: getattr(node, "id", "") == "self")
    return names


def attributes(tree, of):
    return {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and of(n.value)}


def is_config(node):
    return (isinstance(node, ast.Name) and node.id == "config") or (
        isinstance(node, ast.Attribute)
        and node.attr == "config"
        and isinstance(node.value, ast.Name)
    )


def named_in(tree):
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}


# -- what is accepted ------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", COMMANDS)
def test_defaults_lie_within_their_own_ranges(cls):
    config = cls()
    assert cls.from_dict(config.to_dict()) == config


@pytest.mark.parametrize("value", [1e-9, 0.0499, 5.001, -1.0])
def test_number_outside_its_range_is_refused_with_flag_and_value(value):
    with pytest.raises(ConfigError, match=r"--temperature is .*: the (lowest|highest) value is"):
        PPOConfig(temperature=value)


@pytest.mark.parametrize(
    ("make", "flag"),
    [(lambda n: PairsConfig(train_pairs=n), "--train-pairs"),
     (lambda n: BaseConfig(batch_tokens=n), "--batch-tokens"),
     (lambda n: RaterConfig(batch_tokens=n), "--batch-tokens")],
)  # fmt: skip
@pytest.mark.parametrize("value", [99999999999999999999, 2**31])
def test_count_that_libraries_do_not_take_is_refused(make, flag, value):
    with pytest.raises(ConfigError, match=f"{flag} is {value}: the highest value is"):
        make(value)


def test_ends_of_a_range_belong_to_it():
    assert PPOConfig(temperature=0.05).temperature == 0.05
    assert PPOConfig(temperature=5.0).temperature == 5.0
    assert PPOConfig(gae_lambda=1, total_steps=100_000).gae_lambda == 1


@pytest.mark.parametrize("cls", COMMANDS)
def test_every_range_is_enforced_at_both_ends(cls):
    for declared, kind, _ in declarations(cls):
        low, high = declared.metadata["low"], declared.metadata["high"]
        for value in [low - 1 if low is not None else None, high + 1 if high is not None else None]:
            if value is not None:
                with pytest.raises(ConfigError, match="--" + declared.name.replace("_", "-")):
                    cls(**{declared.name: kind(value)})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["learning_rate", "kl_coef", "kl_budget", "entropy_coef"])
def test_nan_and_infinity_are_refused(name, value):
    with pytest.raises(ConfigError, match="give a finite number"):
        PPOConfig(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("total_steps", 2.0),
        ("total_steps", "2"),
        ("total_steps", True),  # bool is an int to Python, not to a reader
        ("kl_coef", "0.1"),
        ("kl_coef", True),
        ("policy", 3),
        ("policy", None),
        ("seed", None),
    ],
)
def test_wrong_type_is_refused(name, value):
    kind = {"kl_coef": "a number", "policy": "a text"}.get(name, "a whole number")
    flag = f"--{name.replace('_', '-')}"
    with pytest.raises(ConfigError, match=f"^{flag} is {value!r}: give {kind}$"):
        PPOConfig(**{name: value})


def test_whole_number_serves_as_float():
    assert PPOConfig(kl_coef=1).kl_coef == 1


def test_none_is_taken_only_where_the_declaration_says_so():
    assert PPOConfig(label=None).label is None
    assert BaseConfig(dropout=None).dropout is None
    with pytest.raises(ConfigError, match=r"--dropout is 0\.95"):
        BaseConfig(dropout=0.95)


def test_choice_that_is_none_of_them_is_refused_and_the_others_named():
    with pytest.raises(ConfigError, match=r"'float16': choose one of auto, float32, bfloat16"):
        RewardConfig(dtype="float16")


def test_unknown_saved_option_is_named():
    with pytest.raises(ConfigError, match="unknown option 'vf_coef': this run was made by another"):
        PPOConfig.from_dict({"seed": 1, "vf_coef": 0.1})


def test_config_cannot_be_changed_after_it_was_checked():
    with pytest.raises(AttributeError):
        PPOConfig().kl_coef = -1.0


# -- nothing declared in vain ----------------------------------------------------------------------


@pytest.mark.parametrize("cls", COMMANDS)
def test_every_option_has_help(cls):
    for declared in fields(cls):
        text = declared.metadata["help"]
        assert len(text) > 3 and not text.endswith("."), declared.name


@pytest.mark.parametrize("cls", COMMANDS)
def test_every_option_is_read_outside_config(cls):
    unread = {declared.name for declared in fields(cls)} - options_read(cls)
    assert not unread, f"{cls.__name__} declares options that nothing reads: {sorted(unread)}"


@pytest.mark.parametrize("cls", COMMANDS)
def test_every_option_is_a_flag_with_its_help_in_its_command(cls, capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args([COMMANDS[cls], "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for declared in fields(cls):
        assert f" --{declared.name.replace('_', '-')} " in text
        assert " ".join(declared.metadata["help"].split()[:2]) in text
