"""Who may import whom. The tables here are the architecture."""

import ast
import sys
from pathlib import Path

import pytest

import rlhf_demo

PACKAGE = Path(rlhf_demo.__file__).parent
REPOSITORY = PACKAGE.parent

# Module -> what it may import of this package, at its top or inside a function.
ALLOWED = {
    "__init__": set(),
    # Standard library only.
    "errors": set(),
    "metrics": set(),
    "config": {"errors"},
    "presets": set(),
    "saved_state": {"config", "errors", "files"},
    "files": {"errors"},
    "runs": {"errors", "files"},
    "signals": {"runs"},
    "listing": {"errors", "runs"},
    "locate": {"errors"},
    "trends": set(),
    "intervals": set(),
    "stories": {"trends"},
    "reward_stories": {"stories", "trends"},
    # Jobs: the engine's commands as processes that the page watches.
    "tails": {"errors", "files"},
    "processes": set(),
    "deaths": {"files", "processes"},
    "shapes": {"config", "errors", "runs"},
    "job_folders": {"deaths", "errors", "files", "processes", "runs", "shapes"},
    "bounds": {"errors"},
    "disk": {"bounds", "job_folders"},
    "scheduler": {
        "bounds", "deaths", "disk", "errors", "files", "job_folders", "locate", "processes", "runs",
    },
    "overview": {"errors", "job_folders", "runs", "tails"},
    "jobs": {
        "bounds", "config", "deaths", "disk", "errors", "files", "job_folders", "limits",
        "overview", "processes", "runs", "scheduler", "tails",
    },
    # Texts and data.
    "hub_data": {"data_rows", "errors", "locate"},
    "data_rows": {"errors"},
    "preferences": {"data_rows", "errors", "files", "hub_data", "locate"},
    "reliability": {"files", "intervals", "preferences"},
    "texts": {"errors", "files", "hub_data", "locate"},
    "corpus": {"errors"},
    "packing": {"errors", "corpus"},
    # People's votes: what one is, what they are worth, where they are kept, classes.
    "ballots": {"errors"},
    "agreement": {"ballots", "intervals"},
    "vote_files": {"ballots", "data_rows", "errors", "files"},
    "vote_pairs": {"ballots", "errors", "files", "preferences", "vote_files"},
    "uploads": {"data_rows", "errors", "files", "preferences", "processes", "vote_files"},
    "limits": {"ballots"},
    "coarse_words": set(),
    "tables": {"ballots", "errors"},
    "nicknames": {"ballots", "coarse_words"},
    "arrivals": {"ballots", "limits"},
    "records": {"ballots", "errors", "nicknames", "tables"},
    "assignments": {"ballots", "tables"},
    "vote_imports": {"ballots", "records", "tables"},
    "votes": {"assignments", "ballots", "limits", "records", "tables", "vote_imports"},
    "rounds": {"agreement", "ballots", "records", "tables", "vote_pairs", "votes"},
    "classes": {
        "arrivals", "assignments", "ballots", "errors", "nicknames", "records", "rounds",
        "tables", "votes",
    },
    "simulated_class": {"ballots", "classes", "errors"},
    # Models and what is done with them.
    "objectives": {"errors"},
    "loading": {"errors", "files", "locate"},
    "word_guard": {"coarse_words"},
    "prefixes": set(),
    "models": {"errors", "files", "loading", "locate", "prefixes", "word_guard"},
    "new_gpt2": {"errors", "files", "loading", "locate", "models"},
    "shipping": {"errors", "files", "locate", "runs"},
    "scoring": {"errors", "models", "preferences"},
    "word_judge": {"errors", "locate"},
    "raters": {"errors", "models", "word_judge"},
    "sampling": {"errors", "models", "objectives"},
    "rollout": {"errors", "models", "objectives", "sampling"},
    "evaluate": {"models", "objectives", "rollout"},
    "pieces": set(),
    "contributions": {"errors", "models"},
    "duel": {"config", "evaluate", "models", "pieces", "raters", "rollout", "sampling"},
    "shelf": {"locate", "models", "raters"},
    "labellers": {"errors", "locate", "preferences", "raters", "runs", "word_judge"},
    "reward_scale": {"errors", "files", "models", "raters", "sampling"},
    "ppo_schedule": {"config", "sampling"},
    "ppo_rows": {"errors", "evaluate", "models", "objectives", "rollout", "sampling"},
    "ppo_report": {"errors", "evaluate", "preferences", "reward_scale", "rollout"},
    "distributions": {"models", "ppo_rows", "rollout"},
    # The stages.
    "train_base": {
        "config", "corpus", "errors", "files", "models", "new_gpt2", "packing", "runs",
        "saved_state", "texts",
    },
    "train_rater": {"config", "corpus", "errors", "files", "intervals", "models", "runs"},
    "make_word_judge": {"coarse_words", "corpus", "files", "train_rater", "word_judge"},
    "make_pairs": {"config", "errors", "models", "preferences", "raters", "runs", "sampling"},
    "train_reward": {
        "config", "errors", "files", "models", "preferences", "reliability", "runs", "sampling",
        "scoring",
    },
    "train_ppo": {
        "config", "distributions", "errors", "files", "models", "objectives", "ppo_report",
        "ppo_rows", "ppo_schedule", "preferences", "raters", "reward_scale", "rollout", "runs",
        "sampling", "saved_state",
    },
    "generate": {"config", "models", "preferences", "raters", "sampling"},
    "compare": {
        "config", "evaluate", "intervals", "models", "preferences", "raters", "sampling",
    },
    "quickstart": {
        "compare", "config", "errors", "files", "make_pairs", "models", "raters", "reliability",
        "runs", "signals", "train_ppo", "train_reward",
    },
    # The command line: these at its top, any other inside a handler.
    "checks": {"config", "errors", "hub_data", "locate"},
    "__main__": {
        "checks", "config", "errors", "files", "listing", "locate", "presets", "runs", "signals",
    },
}  # fmt: skip

STANDARD_LIBRARY_ONLY = {
    "errors", "metrics", "config", "presets", "files", "runs", "locate", "__main__", "__init__",
    "hub_data", "data_rows", "uploads", "intervals", "listing", "signals", "trends", "stories",
    "reward_stories",
    "tails", "processes", "deaths", "shapes", "bounds", "disk", "job_folders", "scheduler",
    "overview", "jobs",
}  # fmt: skip
SPEAKS_TO_THE_DATABASE = {
    "tables", "records", "assignments", "vote_imports", "votes", "rounds", "classes",
}  # fmt: skip
COUNTS_VOTES = {
    "ballots", "agreement", "vote_files", "vote_pairs", "limits", "coarse_words", "simulated_class",
    "nicknames", "arrivals",
}  # fmt: skip
NEVER_AT_THE_TOP = {"trl", "peft", "datasets", "gradio", "huggingface_hub", "plotly"}
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))
MOST_LINES = 400


def imports(module, *, top_only=False):
    """Yield (package, module) of each import: ("rlhf_demo", "runs"), ("torch", "nn")."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    nodes = []
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop()
        nodes.append(node)
        if not (top_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            waiting += ast.iter_child_nodes(node)
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                package, _, rest = alias.name.partition(".")
                yield package, rest
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            package, _, rest = node.module.partition(".")
            for alias in node.names:
                yield package, rest or alias.name


def own_imports(module, **how):
    return {
        name.split(".")[0] for package, name in imports(module, **how) if package == "rlhf_demo"
    }


def test_table_names_the_modules_that_there_are():
    assert sorted(ALLOWED) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_only_what_lies_below_it(module):
    found = own_imports(module, top_only=module == "__main__")
    beyond = found - ALLOWED[module]
    assert not beyond, f"{module} imports {sorted(beyond)}"


def test_table_has_no_circle():
    done = set()
    while len(done) < len(ALLOWED):
        free = {module for module, below in ALLOWED.items() if module not in done and below <= done}
        assert free, f"these import each other: {sorted(set(ALLOWED) - done)}"
        done |= free


@pytest.mark.parametrize("module", sorted(STANDARD_LIBRARY_ONLY))
def test_instant_module_needs_the_standard_library_only(module):
    """Else --help would be slow; what a function imports when it is called does not count."""
    found = {package for package, _ in imports(module, top_only=True)} - {"rlhf_demo"}
    assert found <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("module", MODULES)
def test_slow_libraries_are_never_imported_at_the_top(module):
    found = {package for package, _ in imports(module, top_only=True)}
    assert not found & NEVER_AT_THE_TOP


def test_only_the_store_and_the_classes_speak_to_the_database():
    found = {m for m in MODULES if "sqlalchemy" in {package for package, _ in imports(m)}}
    assert found == SPEAKS_TO_THE_DATABASE


@pytest.mark.parametrize("module", sorted(COUNTS_VOTES))
def test_what_counts_votes_needs_the_standard_library_only(module):
    found = {package for package, _ in imports(module, top_only=True)} - {"rlhf_demo"}
    assert found <= set(sys.stdlib_module_names)


def test_pure_mathematics_needs_torch_only():
    found = {package for package, _ in imports("objectives")} - {"rlhf_demo"}
    assert found - set(sys.stdlib_module_names) == {"torch"}


@pytest.mark.parametrize("module", MODULES)
def test_engine_knows_no_page(module):
    found = set(imports(module))
    assert not {package for package, _ in found} & {"gradio", "plotly"}
    assert not {name.split(".")[0] for package, name in found if package == "rlhf_demo"} & {
        "ui",
        "jobs",
    }


@pytest.mark.parametrize(
    "folder",
    [
        "rlhf_demo",
        "rlhf_demo/ui",
        "rlhf_demo/ui/static",
        "tests",
        "tests/browser",
        "tests/mutants",
        "bench",
    ],
)
def test_files_stay_short(folder):
    lengths = {
        path.name: path.read_text(encoding="utf-8").count("\n")
        for kind in ("*.py", "*.js", "*.css")
        for path in (REPOSITORY / folder).glob(kind)
        if path.name != "trl_ppo.py"  # the peer's benchmark, kept word for word
    }
    assert not {name: lines for name, lines in lengths.items() if lines > MOST_LINES}


@pytest.mark.parametrize("module", sorted(path.stem for path in (PACKAGE / "ui").glob("*.py")))
def test_page_trains_nothing_itself(module):
    """It starts commands (jobs.py) and reads run folders; a training never lives in its process."""
    found = own_imports(f"ui/{module}")
    assert not {name for name in found if name.startswith("train_")} | (found & {"quickstart"})


def test_only_the_command_line_prints():
    """Pages and tests call the same functions; what they have to say goes into the run folder."""
    for module in set(MODULES) - {"__main__"}:
        tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
        calls = {
            n.func.id
            for n in ast.walk(tree)
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
        }
        assert "print" not in calls, module
