"""Somebody who looks at the page: what they do and what they see, in the words of the page."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from playwright.sync_api import BrowserContext, Locator, Request, Response, expect

SECONDS = 240
"""How long anything may take. Trainings give way to whatever else the machine does, so on
a busy one they take many times as long."""
expect.set_options(timeout=1000 * SECONDS)
STEPS = """(() => {
  const board = [...document.querySelectorAll(".rl-board")].find((one) => one.offsetParent);
  const chart = board && board.querySelector(".js-plotly-plot");
  return chart ? chart.data[0].x : [];
})()"""
"""In the page: the steps that the first chart of the board in sight draws."""


class Visitor:
    """One browser profile with one open page.

    Attributes:
        page: Playwright's page.
        pictures: folder of what it looked like.
        asked: server functions that the page called, in order.
        answers: what `board_rows` returned, in order.
        queued: addresses of Gradio's queue that the page used.
        outside: addresses on other machines that something asked for, in vain: the browser finds
            none (conftest.py).
        errors: uncaught errors of the page's scripts.
    """

    def __init__(self, context: BrowserContext, url: str, secret: str, pictures: Path) -> None:
        self.url, self.pictures = url, pictures
        self.asked, self.answers, self.queued, self.outside, self.errors = [], [], [], [], []
        context.set_default_timeout(1000 * SECONDS)
        if secret:
            context.add_init_script(f"localStorage.rlhf_demo_secret = {json.dumps(secret)}")
        self.page = context.new_page()
        self.page.on("request", self._note_request)
        self.page.on("response", self._note_response)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    # -- going about -------------------------------------------------------------------------------

    def open(self, **query: str) -> "Visitor":
        """Open the page, at a `tab`, a `run` or a comparison (`compare`)."""
        self.page.goto(f"{self.url}/?{urlencode(query)}")
        expect(self.page.locator(".rl-strip button").first).to_be_visible()
        return self

    def open_lesson(self, lesson: str = "") -> "Visitor":
        """Open the Learn tab, and wait for the models: a lesson asks for them only so long."""
        self.open(tab="learn", **({"lesson": lesson} if lesson else {}))
        expect(self.page.get_by_text("The models are loading")).to_be_hidden()
        return self

    def go_to(self, title: str) -> None:
        """Go to a tab by the strip; the title is the one there, without its number."""
        named = self.page.locator("b", has_text=re.compile(rf"^(\d )?{title}$"))
        self.page.locator(".rl-strip button").filter(has=named).click()

    def button(self, name: str) -> Locator:
        """Find the button in sight that is called so."""
        return self.page.get_by_role("button", name=name, exact=True)

    def fill(self, **fields: object) -> None:
        """Fill form fields in sight, named as in the form with underscores for blanks."""
        for name, value in fields.items():
            field = self.page.get_by_label(name.replace("_", " "), exact=True)
            field.filter(visible=True).first.fill(str(value))

    def unfold(self, name: str) -> None:
        """Open a fold of the form in sight, whose button is a bare one of Gradio's."""
        self.page.locator("button.label-wrap", has_text=name).filter(visible=True).first.click()

    # -- looking -----------------------------------------------------------------------------------

    @property
    def board(self) -> Locator:
        """The live board in sight."""
        return self.page.locator(".rl-board").filter(visible=True)

    @property
    def badge(self) -> Locator:
        """What the board says of its run: running, waiting, finished."""
        return self.board.locator(".rl-badge").first

    def run_shown(self) -> str:
        """Return the id of the run that the board shows."""
        return self.board.get_by_label("Run shown").input_value()

    def steps_drawn(self) -> list[int]:
        """Return the steps in the board's first chart."""
        return self.page.evaluate(STEPS)

    def wait_for_step(self, step: int) -> None:
        """Wait until the first chart has reached a step."""
        self.wait_for(f"({STEPS}.at(-1) || 0) >= {step}")

    def wait_for(self, expression: str) -> None:
        """Wait until a JavaScript expression is true in the page."""
        # Without a pause, the page would be drawn anew for each look.
        self.page.wait_for_function(f"() => {expression}", polling=100)

    def wait_until_asked(self, function: str, times: int) -> None:
        """Wait until the page has called a server function so many times more."""
        for _ in range(times):
            with self.page.expect_request(
                lambda request: (
                    "/component_server" in request.url
                    and request.post_data_json["fn_name"] == function
                )
            ):
                pass

    def sees(self, locator: Locator, words: str | re.Pattern[str]) -> None:
        """Wait until an element's text contains these words."""
        expect(locator).to_contain_text(words)

    def keep(self, moment: str) -> None:
        """Keep a picture of what is in sight, named for the test and the moment."""
        self.pictures.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self.pictures / f"{moment}.png")

    # -- listening ---------------------------------------------------------------------------------

    def _note_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in ("data", "blob") and address.hostname != "127.0.0.1":
            self.outside.append(request.url)
        elif "/component_server" in request.url:
            self.asked.append(request.post_data_json["fn_name"])
        elif "/queue/" in request.url:
            self.queued.append(request.url)

    def _note_response(self, response: Response) -> None:
        if "/component_server" in response.url:
            request: dict[str, Any] = response.request.post_data_json
            if request["fn_name"] == "board_rows" and response.ok:
                self.answers.append(response.json())
