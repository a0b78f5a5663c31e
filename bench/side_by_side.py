"""How long a side-by-side comparison takes: until the first words, and until both scores.

    python -m bench.side_by_side [--times 5]

32 tokens of the base and the PPO model, in headless Chromium, from the click on the button. The
first comparison loads the models and is reported separately. The temperature is so high that
neither model ends its text earlier.
"""

import argparse
import os
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from bench.serving import CHROMIUM, PageProcess

PROMPT = "I watched this film on a rainy evening and"
WATCH = """() => {
  const times = (window.times = {});
  const seen = () => {
    const now = performance.now() - times.clicked;
    const words = document.querySelector(".rl-written .rl-prompt + span");
    if (!times.first && words && words.textContent) times.first = now;
    const verdict = document.querySelector(".rl-verdict").textContent;
    if (verdict.startsWith("Same prompt")) times.end = now;
  };
  document.addEventListener("click", () => {
    for (const name of ["first", "end"]) delete times[name];
    document.querySelector(".rl-verdict").textContent = "";
    for (const written of document.querySelectorAll(".rl-written")) written.textContent = "";
    times.clicked = performance.now();
  }, true);
  new MutationObserver(seen).observe(document.querySelector(".rl-duel"), {
    subtree: true, childList: true, characterData: true,
  });
}"""
"""In the page: record when the first words and the last sentence appear, in ms from the click."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=5)
    times = parser.parse_args().times
    with (
        tempfile.TemporaryDirectory() as folder,
        PageProcess(Path(folder) / "runs") as app,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.goto(f"{app.url}/?tab=compare")
        page.get_by_label("Prompt", exact=True).fill(PROMPT)
        page.locator("button.label-wrap", has_text="Temperature").click()
        page.get_by_label("temperature", exact=True).fill("4")
        page.evaluate(WATCH)
        first, *rest = [write(page) for _ in range(times + 1)]
        browser.close()
    print(f"load average: {os.getloadavg()[0]:.1f}")
    print(f"with loading: first words after {first[0]:.2f} s, end after {first[1]:.2f} s")
    for name, taken in zip(("first words", "end"), zip(*rest, strict=True), strict=True):
        print(f"{name}: fastest {min(taken):.2f} s, median {statistics.median(taken):.2f} s")


def write(page: Page) -> tuple[float, float]:
    """Press the button; return the seconds until the first words and until the end."""
    page.get_by_role("button", name="Write side by side").click()
    page.wait_for_function("window.times.end")
    ends = page.locator(".rl-ending").all_inner_texts()
    if not all("Cut short at 32 tokens" in end for end in ends):
        raise RuntimeError(f"not 32 tokens each: {ends}")
    taken = page.evaluate("window.times")
    return taken["first"] / 1000, taken["end"] / 1000


if __name__ == "__main__":
    main()
