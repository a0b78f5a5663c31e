"""Anybody can send anything to every server function and handler: the page answers in words."""

from contextlib import closing

import pytest

from bench.serving import PageProcess
from rlhf_demo.paths import REPOSITORY
from tests.fuzzing import PASSWORD, Attack, Target, forbidden

SCRIPT = REPOSITORY / "tests" / "fuzzed_app.py"
PROXY = {"RLHF_DEMO_PROXIES": "1"}
"""Each request has an address of its own: limits by address would answer for the functions."""
MODES = {
    "local": PROXY,
    "public": PROXY | {"RLHF_DEMO_PUBLIC": "1", "RLHF_DEMO_PASSWORD": PASSWORD},
}


def wanted(request, number, mode):
    """Leave out most hostile requests to a public page, where the functions are the same."""
    return mode == "local" or request.honest or number % 4 == 0


@pytest.mark.parametrize("mode", MODES)
def test_hostile_requests_are_answered_in_words(tmp_path, mode):
    with PageProcess(tmp_path / "runs", SCRIPT, **MODES[mode]) as page:
        target = Target(page, MODES[mode].get("RLHF_DEMO_PASSWORD"))
        with closing(target.client):
            attack = Attack(target, forbidden(page))
            attack.send(
                [one for number, one in enumerate(target.requests()) if wanted(one, number, mode)]
            )
            assert attack.report() == ""
            assert "Traceback" not in page.log.read_text(errors="replace")
            for path in ("/", "/config", "/gradio_api/info"):
                text = target.client.get(path).raise_for_status().text
                assert [folder for folder in attack.forbidden if folder in text] == [], path
            votes = target.vote()
            assert target.vote() == votes + 1
