"""Take the pictures in docs/ of the page with a running job.

    python -m bench.screenshots [--step 25]

Each picture shows what a visitor sees, so a picture that looks wrong shows a fault of the page.
"""

import argparse
import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from bench.serving import CHROMIUM, REPOSITORY, PageProcess, wait_until

DOCS = REPOSITORY / "docs"
WIDE, PHONE = {"width": 1280, "height": 1180}, {"width": 390, "height": 844}


def main() -> None:
    """Train with the shipped settings, and take all pictures from a given step on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--step", type=int, default=25, help="step, of 40, before the pictures")
    step = parser.parse_args().step
    with (
        tempfile.TemporaryDirectory() as folder,
        PageProcess(Path(folder) / "runs") as app,
        sync_playwright() as playwright,
    ):
        run = app.start_ppo("My first PPO run", "mine")
        wait_until(lambda: len(app.rows(run)) >= step, 900)
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        board = {"address": f"{app.url}/?tab=ppo&run={run}", "ready": ".rl-board .js-line"}
        take(browser, "board-light", **board)
        take(browser, "board-dark", **board, theme="dark")
        take(browser, "board-phone", **board, viewport=PHONE, first_in_sight=".rl-board")
        take(browser, "start", app.url, ".rl-examples article")
        take(browser, "reward", f"{app.url}/?tab=reward model&run=reward-shipped", ".barlayer path")
        take(browser, "compare", f"{app.url}/?tab=compare", ".rl-written .rl-tokens")
        take(browser, "runs", f"{app.url}/?tab=runs&run={run}", ".rl-run-details h2")
        browser.close()


def take(
    browser: Browser,
    name: str,
    address: str,
    ready: str,
    *,
    theme: str = "light",
    viewport: dict[str, int] = WIDE,
    first_in_sight: str = ".rl-top",
) -> None:
    """Write docs/NAME.png of the page at an address, once the element `ready` is visible."""
    page = browser.new_page(viewport=viewport)
    page.add_init_script(
        f"localStorage.rlhf_demo_secret = 'mine'; localStorage.rlhf_demo_theme = '{theme}'"
    )
    page.goto(address)
    page.locator(ready).filter(visible=True).first.wait_for()
    page.locator(first_in_sight).filter(visible=True).first.evaluate(
        "(element) => element.scrollIntoView({block: 'start', behavior: 'instant'})"
    )
    image = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    path = DOCS / f"{name}.png"
    image.save(path, optimize=True)
    print(f"{path.relative_to(REPOSITORY)}  {path.stat().st_size / 1000:.0f} kB")
    page.close()


if __name__ == "__main__":
    main()
