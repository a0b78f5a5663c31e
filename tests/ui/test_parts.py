"""Where Python and the page's own JavaScript meet."""

import re

import pytest

from rlhf_demo.errors import ConfigError, Unknown
from rlhf_demo.ui.parts import answering, css, encoded, head


def test_error_of_a_server_function_is_its_answer_in_a_sentence():
    def refuse(request):
        raise ConfigError(f"there is no {request}: choose another")

    assert answering(refuse)("tab") == {"error": "there is no tab: choose another"}
    assert answering(str.upper)("tab") == "TAB"


def test_who_is_unknown_is_told_so_and_may_join_again():
    def refuse(request):
        raise Unknown("this page does not know you")

    assert answering(refuse)(0) == {"error": "this page does not know you", "unknown": True}


def test_answer_is_json_and_no_number_that_json_has_not():
    assert encoded(lambda number: {"naïve": number})(0.5) == '{"naïve":0.5}'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        encoded(lambda number: {"score": number})(float("nan"))


def test_page_fetches_nothing_from_another_machine():
    sources = re.findall(r'(?:src|href)="([^"]*)"', head()) + re.findall(r"url\(([^)]*)\)", css())
    assert sources and not [one for one in sources if "//" in one and not one.startswith("data:")]
    assert "@import" not in css()
