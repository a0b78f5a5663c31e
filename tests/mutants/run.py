"""Break the code on purpose, one small edit at a time, and see whether the tests notice.

    python tests/mutants/run.py                     all, and write docs/mutants.md
    python tests/mutants/run.py models/sampling     those of one module, and say how they fared

The edits stand in .toml files, one for each module, in folders that mirror those of rlhf_demo.
`tests` names the test files that must notice; a mutant may name its own instead. `old` must occur
exactly once in the module. An edit that changes no behaviour says why under `equivalent`, and is
not run.
"""

import argparse
import multiprocessing
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
REPORT = ROOT / "docs" / "mutants.md"
AT_ONCE = 2
SECONDS = 900  # a mutant that takes longer hangs, which nobody could fail to notice
PROCESSES = multiprocessing.get_context("forkserver")
"""Each run of tests is a fork of one process that has the slow libraries loaded already."""
SLOW_LIBRARIES = ["peft", "transformers.models.gpt2.modeling_gpt2", "trl", "torch"]
LEFT_BEHIND = {
    ROOT: (".git", ".*_cache", "runs", "checkpoints", "docs", "node_modules"),
    ROOT / "bench": (".trl",),
}
"""What no copy needs, by the folder that it stands in."""


@dataclass(frozen=True)
class Mutant:
    """One edit of one module, in plain words and in code."""

    module: str
    name: str
    old: str
    new: str
    tests: tuple[str, ...]
    equivalent: str | None = None  # the proof, in a sentence

    @property
    def path(self) -> Path:
        """Where the module lies in the tree."""
        return Path("rlhf_demo", f"{self.module}.py")

    def applied(self, root: Path = ROOT) -> str:
        """Return the module's text with the edit.

        Raises:
            ValueError: the old text occurs in it never or more than once.
        """
        text = (root / self.path).read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise ValueError(
                f"{self.module}, {self.name!r}: the old text occurs {text.count(self.old)} times "
                f"in {self.path}, it must be there once:\n{self.old}"
            )
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: `result` is caught, survived or equivalent."""

    mutant: Mutant
    result: str
    why: str  # the test that failed, or the proof


def load_mutants() -> list[Mutant]:
    """Read all lists, module by module."""
    mutants = []
    for path in sorted(FOLDER.rglob("*.toml")):
        listed = tomllib.loads(path.read_text(encoding="utf-8"))
        for row in listed["mutant"]:
            tests = tuple(row.pop("tests", listed["tests"]))
            mutants.append(
                Mutant(
                    module=path.relative_to(FOLDER).with_suffix("").as_posix(), tests=tests, **row
                )
            )
    return mutants


def judge(mutants: list[Mutant]) -> list[Verdict]:
    """Try every mutant in copies of the tree and return the verdicts in the same order."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        free: queue.Queue[Path] = queue.Queue()
        for number in range(AT_ONCE):
            free.put(copy_tree(Path(folder, str(number))))

        def verdict(mutant: Mutant) -> Verdict:
            if mutant.equivalent:
                return Verdict(mutant, "equivalent", mutant.equivalent)
            root = free.get()
            try:
                found = try_mutant(mutant, root)
            finally:
                free.put(root)
            print(f"{found.result:10} {mutant.module}: {mutant.name} ({found.why})", flush=True)
            return found

        with ThreadPoolExecutor(AT_ONCE) as pool:
            untouched = sorted({test for mutant in mutants for test in mutant.tests})
            # Else a test that fails anyway would seem to notice everything.
            list(pool.map(lambda test: must_pass(test, free), untouched))
            return list(pool.map(verdict, mutants))


def copy_tree(root: Path) -> Path:
    """Copy what the tests need; the models are linked, as nothing writes into them."""

    def ignore(folder: str, names: list[str]) -> set[str]:
        patterns = ("__pycache__", *LEFT_BEHIND.get(Path(folder), ()))
        return shutil.ignore_patterns(*patterns)(folder, names)

    shutil.copytree(ROOT, root, ignore=ignore)
    for name in ("checkpoints", "docs"):
        (root / name).symlink_to(ROOT / name)
    return root


def must_pass(test: str, free: queue.Queue[Path]) -> None:
    """Make sure that a test file passes on the code as it is."""
    root = free.get()
    try:
        code, output = run_tests((test,), root)
    finally:
        free.put(root)
    if code != 0:
        raise SystemExit(f"{test} fails without any mutant:\n{output[-3000:]}")


def try_mutant(mutant: Mutant, root: Path) -> Verdict:
    """Apply a mutant to a copy of the tree, run its tests, and take it back."""
    path = root / mutant.path
    text = path.read_text(encoding="utf-8")
    path.write_text(mutant.applied(root), encoding="utf-8")
    code, output = run_tests(mutant.tests, root)
    path.write_text(text, encoding="utf-8")
    if code is None:
        return Verdict(mutant, "caught", f"hangs: more than {SECONDS} s")
    if code == 0:
        return Verdict(mutant, "survived", ", ".join(mutant.tests))
    failed = re.search(r"^(?:FAILED|ERROR) tests/(\S+?)(?:\[.*)?(?: - |$)", output, re.MULTILINE)
    if code != 1 or not failed:
        raise SystemExit(f"{mutant.module}, {mutant.name!r} stops the tests:\n{output[-3000:]}")
    return Verdict(mutant, "caught", failed[1].replace(".py::", "."))


def run_tests(tests: tuple[str, ...], root: Path) -> tuple[int | None, str]:
    """Run test files to the first failure; return pytest's exit code and what it printed.

    The code is None where the tests took too long.
    """
    output = root / "output.txt"
    process = PROCESSES.Process(target=pytest_process, args=(tests, root, output))
    process.start()
    process.join(SECONDS)
    if hangs := process.is_alive():
        process.kill()
    return None if hangs else process.exitcode, output.read_text(encoding="utf-8")


def pytest_process(tests: tuple[str, ...], root: Path, output: Path) -> None:
    """Be the process that runs the tests in a copy of the tree."""
    os.chdir(root)
    sys.dont_write_bytecode = True  # else a file restored within a second may seem unchanged
    with output.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        files = [f"tests/{test}.py" for test in tests]
        # A library that is loaded already can no longer be rewritten for pytest, nor need it be.
        quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning", "-p", "no:cacheprovider"]
        sys.exit(pytest.main(["-x", "-q", *quiet, *files]))


def report(verdicts: list[Verdict], seconds: float) -> str:
    """Return docs/mutants.md."""
    total = Counter(verdict.result for verdict in verdicts)
    lines = [
        "# Mutants",
        "",
        "We put faults into the code on purpose, one small edit at a time, to see whether the",
        "tests notice. The edits are in `tests/mutants/`; `make mutants` tries them and writes",
        "this page.",
        "",
        f"{date.today()}, {commit()}, {seconds / 60:.0f} minutes on {AT_ONCE} cores: "
        f"{len(verdicts)} mutants, **{total['caught']} caught, {total['survived']} survived, "
        f"{total['equivalent']} equivalent** (changing no behaviour).",
    ]
    for module in sorted({verdict.mutant.module for verdict in verdicts}):
        lines += ["", f"## {module}.py", ""]
        lines += ["| the fault | result | first test that fails, or proof |", "|---|---|---|"]
        for verdict in verdicts:
            if verdict.mutant.module == module:
                why = verdict.why if verdict.result == "equivalent" else f"`{verdict.why}`"
                lines.append(f"| {verdict.mutant.name} | {verdict.result} | {why} |")
    return "\n".join(lines) + "\n"


def commit() -> str:
    """Name the commit that was tried."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "rlhf_demo", "tests")
    return f"commit {git('rev-parse', '--short', 'HEAD')}" + " with changes" * bool(changed)


def main() -> None:
    """Judge all mutants, or those of some modules; end with 1 where any survived."""
    mutants = load_mutants()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    modules = sorted({mutant.module for mutant in mutants})
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(modules)}")
    chosen = parser.parse_args().modules
    if unknown := set(chosen) - set(modules):
        parser.error(f"no list of mutants for {', '.join(sorted(unknown))}")
    started = time.perf_counter()
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    PROCESSES.set_forkserver_preload(SLOW_LIBRARIES)
    verdicts = judge([mutant for mutant in mutants if not chosen or mutant.module in chosen])
    if not chosen:
        REPORT.write_text(report(verdicts, time.perf_counter() - started), encoding="utf-8")
    survived = sum(verdict.result == "survived" for verdict in verdicts)
    print(f"{len(verdicts)} mutants, {survived} survived")
    sys.exit(survived > 0)


if __name__ == "__main__":
    main()
