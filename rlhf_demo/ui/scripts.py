"""The page's JavaScript: modules under static/, served under an address that tells their version.

They import each other by relative addresses, so all of a page's are of one version. Browsers keep
them for good; an update has other addresses.
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
"""The one that is no module: its lines stand in the page."""
FIRST = ("lib/poll", "panels/nav", "tabs/start", "panels/student")
"""What every page begins with. Thirty phones that open it at once ask for these and no more."""
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
    """Return where the modules are, relative to the page: another place for another version."""
    digest = hashlib.sha256(json.dumps(modules()).encode()).hexdigest()
    return f"scripts/{digest[:12]}"


def imports(name: str) -> set[str]:
    """Return the modules that a module imports itself."""
    beside = (STATIC / name).parent
    found = ((beside / one).resolve() for one in IMPORT.findall(modules()[name]))
    return {one.relative_to(STATIC.resolve()).with_suffix("").as_posix() for one in found}


def needed(names: tuple[str, ...]) -> set[str]:
    """Return these modules and all that they import, however far."""
    found, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += imports(name)
    return found


def head() -> str:
    """Return what goes into the page's head: the lines before all modules, and the first ones."""
    first = needed(FIRST)
    links = [f'<link rel="modulepreload" href="{folder()}/{name}.js">' for name in sorted(first)]
    later = json.dumps(sorted(modules().keys() - first))
    lines = (STATIC / f"{HEAD}.js").read_text(encoding="utf-8")
    script = f'{lines}rlhf.scripts = "{folder()}";\nrlhf.fetchLater({later});'
    return "\n".join([*links, f"<script>\n{script}\n</script>"])


def served(request: Request) -> Response:
    """Answer with a module."""
    place, _, name = request.path_params["path"].partition("/")
    text = modules().get(name.removesuffix(".js"))
    if text is None or f"scripts/{place}" != folder() or not name.endswith(".js"):
        told = {"error": "this page has been updated meanwhile: reload it"}
        return JSONResponse(told, 404, headers={"cache-control": "no-store"})
    return Response(text, media_type="text/javascript", headers=FOR_GOOD)
