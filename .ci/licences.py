"""Print the licences of what ships into docs/licences.md, or check that none has changed.

    python .ci/licences.py            rewrites the table of packages
    python .ci/licences.py --check    changes nothing; exit code 1 if a package or a licence is new

What ships is what `pip install -r requirements.txt` brings. Those packages choose the versions of
the packages under them, so the table has none.
"""

import argparse
import re
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

REPOSITORY = Path(__file__).resolve().parent.parent
REQUIREMENTS, DOCUMENT = REPOSITORY / "requirements.txt", REPOSITORY / "docs" / "licences.md"
TABLE = re.compile(r"(<!-- licences -->\n).*?(<!-- end of licences -->)", re.DOTALL)
LONGEST = 120
"""Characters of a licence's name; some packages have the whole text in its place."""


def shipped(requirements: str) -> dict[str, Distribution]:
    """Return the packages that these requirements bring on this machine, by name.

    Raises:
        PackageNotFoundError: one is not installed.
    """
    lines = (line.partition("#")[0].strip() for line in requirements.splitlines())
    wanted = [Requirement(line) for line in lines if line]
    found: dict[str, Distribution] = {}
    while wanted:
        requirement = wanted.pop()
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name in found:
            continue
        found[name] = distribution(name)
        extras = requirement.extras | {""}
        below = map(Requirement, found[name].requires or ())
        wanted += [
            one
            for one in below
            if not one.marker or any(one.marker.evaluate({"extra": extra}) for extra in extras)
        ]
    return dict(sorted(found.items()))


def licence(package: Distribution) -> str:
    """Return a package's licence in its own words."""
    facts = package.metadata
    classifiers = facts.get_all("Classifier") or []
    named = [one.split(" :: ")[-1] for one in classifiers if one.startswith("License :: ")]
    lines = (facts.get("License") or "").splitlines()
    words = facts.get("License-Expression") or ", ".join(named) or (lines or [""])[0]
    return words[:LONGEST] or "see the package"


def main() -> int:
    """Write or check the table; return the exit code."""
    parser = argparse.ArgumentParser(prog="python .ci/licences.py")
    parser.add_argument("--check", action="store_true", help="change nothing")
    packages = shipped(REQUIREMENTS.read_text(encoding="utf-8"))
    rows = "".join(f"| {name} | {licence(package)} |\n" for name, package in packages.items())
    table = f"| package | licence |\n| --- | --- |\n{rows}"
    before = DOCUMENT.read_text(encoding="utf-8")
    after = TABLE.sub(lambda found: found[1] + table + found[2], before)
    if parser.parse_args().check:
        if after != before:
            print("docs/licences.md is out of date: run `python .ci/licences.py`", file=sys.stderr)
        return int(after != before)
    DOCUMENT.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
