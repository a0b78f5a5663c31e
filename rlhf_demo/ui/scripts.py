"""The page's JavaScript: modules under static/, served at an address that contains their version.

They import each other by relative addresses, so a page never mixes versions. Browsers cache them
forever, because an update has new addresses.
"""

import hashlib
import json
import re
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

STATIC = Path(__file__).parent / "static"
HEAD = "head"
"""The only script that is not a module: its lines are part of the page."""
FIRST = ("lib/poll", "panels/nav", "tabs/start", "panels/student")
"""What every page loads first. A student's phone loads only these and what they import."""
IMPORT = re.compile(r'^(?:import .*|} )from "(\.[^"]+)";$', re.MULTILINE)
FOR_GOOD = {"cache-control": "public, max-age=31536000, immutable"}


@cache
def modules() -> dict[str, str]:
    """Return the text of each module by its name: "panels/board"."""
    files = sorted(STATIC.rglob("*.js"))
    names = {file.relative_to(STATIC).with_suffix("").as_posix(): file for file in files}
    return {name: file.read_text(encoding="utf-8") for name, file in names.items() if name != HEAD}


@cache
def folder() -> str:
    """Return the modules' folder, relative to the page; its name contains their version."""
    digest = hashlib.sha256(json.dumps(modules()).encode()).hexdigest()
    return f"scripts/{digest[:12]}"


def imports(name: str) -> set[str]:
    """Return the modules that a module imports directly."""
    folder = (STATIC / name).parent
    files = ((folder / path).resolve() for path in IMPORT.findall(modules()[name]))
    return {file.relative_to(STATIC.resolve()).with_suffix("").as_posix() for file in files}


def needed(names: tuple[str, ...]) -> set[str]:
    """Return these modules and all that they import, directly or not."""
    reached, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += imports(name)
    return reached


def head() -> str:
    """Return what goes into the page's head: the classic script, and links to the first modules."""
    first = needed(FIRST)
    links = [f'<link rel="modulepreload" href="{folder()}/{name}.js">' for name in sorted(first)]
    later = json.dumps(sorted(modules().keys() - first))
    lines = (STATIC / f"{HEAD}.js").read_text(encoding="utf-8")
    script = f'{lines}rlhf.scripts = "{folder()}";\nrlhf.fetchLater({later});'
    return "\n".join([*links, f"<script>\n{script}\n</script>"])


def served(request: Request) -> Response:
    """Answer with a module."""
    version, _, name = request.path_params["path"].partition("/")
    text = modules().get(name.removesuffix(".js"))
    if text is None or f"scripts/{version}" != folder() or not name.endswith(".js"):
        error = {"error": "this page has been updated: reload it"}
        return JSONResponse(error, 404, headers={"cache-control": "no-store"})
    return Response(text, media_type="text/javascript", headers=FOR_GOOD)
