"""What a release says of itself: its version, and the licences of what it brings."""

import re
import runpy
from importlib.metadata import distribution

from rlhf_demo import __version__
from rlhf_demo.paths import REPOSITORY

LICENCES = runpy.run_path(str(REPOSITORY / ".ci" / "licences.py"))


def test_citation_names_this_version_and_licence():
    told = (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in told and "\nlicense: Apache-2.0\n" in told


def test_licences_of_all_required_packages_are_told():
    told = (REPOSITORY / "docs" / "licences.md").read_text(encoding="utf-8")
    requirements = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8")
    for name in re.findall(r"^([\w-]+)", requirements, re.M):
        row = f"| {name.replace('_', '-')} | {LICENCES['licence'](distribution(name))} |"
        assert row in told, name


def test_packages_under_a_required_one_ship_too_and_those_of_other_extras_do_not():
    found = LICENCES["shipped"]("httpx==0.28.1  # asks the page\n")
    assert {"httpx", "httpcore", "h11", "certifi"} <= found.keys()
    assert "rich" not in found and "h2" not in found  # of the extras cli and http2
