"""Where Python and the page's own JavaScript meet."""

from rlhf_demo.ui.parts import STATIC


def test_scripts_write_text_never_markup():
    for name in ("feedback", "quality", "blind"):
        script = (STATIC / f"{name}.js").read_text(encoding="utf-8")
        assert not [word for word in ("innerHTML", "outerHTML", "insertAdj") if word in script]
