"""What a website that somebody visits can do to the page that they have open beside it: nothing."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from shutil import rmtree

import httpx
import pytest
from playwright.sync_api import expect

from bench.serving import NO_TLS, wait_until
from rlhf_demo.runs.run import Run, Status

ATTACK = """async ([address, part, run]) => {
  const tell = async (asked) => {
    try {
      const got = await asked;
      return `${got.type} ${got.status}`;
    } catch (error) {
      return "refused";
    }
  };
  const data = {run, secret: "x"};
  const body = JSON.stringify({component_id: part, fn_name: "delete_run", session_hash: "x", data});
  const post = (how) =>
    tell(fetch(`${address}/gradio_api/component_server`, {method: "POST", body, ...how}));
  return {
    read: await tell(fetch(`${address}/config`)),
    plain: await post({mode: "no-cors"}),
    json: await post({headers: {"Content-Type": "application/json"}}),
  };
}"""


@pytest.fixture
def website(tmp_path):
    """Another website, on this machine under another name."""
    (tmp_path / "index.html").write_text("<!doctype html><title>Cats</title>")
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", tmp_path
    server.shutdown()
    server.server_close()


def test_another_website_neither_writes_nor_reads_nor_frames_the_page(new_visitor, app, website):
    address, folder = website
    run = Run.create(app.runs / "my-ppo", "ppo", {"total_steps": 4})
    run.set_status(Status.STOPPED)
    visitor = new_visitor()
    framing = f'<!doctype html><iframe src="{app.url}/" width="600" height="400"></iframe>'
    (folder / "frame.html").write_text(framing)
    visitor.page.goto(f"{address}/index.html")
    part = app.components()["delete_run"][0]
    told = visitor.page.evaluate(ATTACK, [app.url, part, "my-ppo"])
    assert told == {"read": "refused", "plain": "refused", "json": "refused"}
    assert run.folder.exists()
    visitor.page.goto(f"{address}/frame.html")
    framed = visitor.page.frame_locator("iframe").locator(".rl-strip")
    visitor.page.wait_for_timeout(3000)
    expect(framed).to_have_count(0)
    rmtree(run.folder)


def test_own_page_deletes_a_run_of_the_command_line_as_before(new_visitor, app):
    run = Run.create(app.runs / "my-reward", "ppo", {"total_steps": 4})
    run.set_status(Status.STOPPED)
    visitor = new_visitor()
    violations = []
    visitor.page.on("console", lambda told: violations.append(told.text))
    visitor.open(tab="runs", run="my-reward")
    visitor.button("Delete").click()
    with visitor.page.expect_response(lambda answer: "component_server" in answer.url):
        visitor.button("Delete it").click()
    wait_until(lambda: not run.folder.exists())
    assert not [one for one in violations if "Content Security Policy" in one]


def test_page_with_plots_breaks_no_rule_of_its_own(new_visitor, app):
    visitor = new_visitor()
    broken = []
    visitor.page.on("console", lambda told: broken.append(told.text))
    visitor.open(tab="ppo", run="ppo-quick")
    drawn = visitor.page.locator(".js-plotly-plot .main-svg").filter(visible=True)
    expect(drawn.first).to_be_visible()
    for title in ("Feedback", "Reward model", "Compare", "Runs", "Start"):
        visitor.go_to(title)
        visitor.page.wait_for_timeout(500)
    assert not [one for one in broken if "Content Security Policy" in one]
    policy = httpx.get(app.url, **NO_TLS).headers["content-security-policy"]
    assert "connect-src 'self'" in policy
