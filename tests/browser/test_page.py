"""What the page promises to everybody who looks: quiet, safe, and the view stays as one set it."""

import itertools
import json
import shutil

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from playwright.sync_api import expect

from bench.serving import NO_TLS, wait_until
from rlhf_demo.ui.shared import EXAMPLES

pytestmark = pytest.mark.browser

OWNER = "a secret of the one who started it"
LONG = {
    "total_steps": 500, "batch_size": 8, "minibatch_size": 8, "ppo_epochs": 1, "max_new_tokens": 8,
    "learning_rate": 1e-7, "checkpoint_every": 500,
}  # fmt: skip
"""Small quick steps that change next to nothing, so no rule ends the run early."""
MARKUP = "<img src=x onerror=window.hacked=1>"
TEMPLATE = "${window.hacked=1}{{value}}"
"""What Gradio's HTML templates would evaluate."""


@pytest.fixture(scope="module")
def run(app):
    """A PPO run that goes on while these tests look at it."""
    return app.start_ppo("The run to look at", OWNER, **LONG)


# -- live, and quiet -------------------------------------------------------------------------------


def test_zoom_and_hover_when_new_steps_arrive_stay_and_only_new_rows_travel(run, new_visitor):
    visitor = new_visitor().open(run=run)
    visitor.wait_for_step(2)
    visitor.queued.clear()
    chart = visitor.board.locator(".js-plotly-plot").first
    chart.scroll_into_view_if_needed()
    node, area = chart.element_handle(), chart.locator(".nsewdrag").bounding_box()
    middle = area["y"] + area["height"] / 2
    mouse = visitor.page.mouse
    mouse.move(area["x"] + 2, middle)
    mouse.down()
    mouse.move(area["x"] + area["width"] / 4, middle, steps=4)
    mouse.up()
    zoomed = node.evaluate("(chart) => chart.layout.xaxis.range")
    mouse.move(area["x"] + 4, middle)
    expect(chart.locator(".hoverlayer .legend")).to_be_visible()

    visitor.wait_for_step(visitor.steps_drawn()[-1] + 3)

    assert 100 < zoomed[1] < 150  # of 500 steps the first quarter
    assert node.evaluate("(chart) => chart.isConnected && chart.layout.xaxis.range") == zoomed
    expect(chart.locator(".hoverlayer .legend")).to_be_visible()
    travelled = [step for one in visitor.answers for step in one["columns"].get("step", [])]
    assert travelled == list(range(1, travelled[-1] + 1))
    assert visitor.queued == []  # nobody who looks on holds a place in Gradio's queue


def test_board_on_a_hidden_tab_asks_nothing_and_goes_on_when_shown(run, new_visitor):
    visitor = new_visitor().open(run=run)
    visitor.wait_for_step(1)
    visitor.go_to("Start")
    visitor.wait_until_asked("strip_state", 1)
    visitor.asked.clear()

    visitor.wait_until_asked("strip_state", 1)
    visitor.page.wait_for_timeout(6000)  # the board would have asked at least once

    assert set(visitor.asked) == {"strip_state"}
    known = visitor.page.evaluate("document.querySelector('.rl-board .js-plotly-plot').data[0].x")
    visitor.go_to("PPO")
    visitor.wait_for_step(known[-1] + 1)


def test_page_while_its_window_is_hidden_asks_nothing(run, new_visitor):
    visitor = new_visitor().open(run=run)
    visitor.wait_for_step(1)
    hide = "Object.defineProperty(document, 'hidden', {get: () => (looks += 1, true)})"
    visitor.page.evaluate(f"window.looks = 0; {hide}")
    visitor.wait_for("looks > 0")
    visitor.asked.clear()

    visitor.wait_for("looks > 10")  # so many times a part was about to ask

    assert visitor.asked == []


def test_page_on_every_tab_gets_everything_from_this_machine(new_visitor):
    visitor = new_visitor().open()
    hosts = set()
    visitor.page.on("request", lambda request: hosts.add(httpx.URL(request.url).host))

    for title in ("Feedback", "Reward model", "PPO", "Compare", "Runs", "Start"):
        visitor.go_to(title)
        expect(visitor.page.locator(".rl-root").filter(visible=True).nth(1)).to_be_visible()
        if title == "Reward model":  # a chart of bars, and each has its name
            visitor.sees(visitor.page.locator(".yaxislayer-above", has_text="a coin flip"), "model")
    visitor.page.reload()
    visitor.wait_until_asked("strip_state", 1)

    assert hosts - {""} == {"127.0.0.1"}  # "": what is written into the page itself


# -- somebody else's run ---------------------------------------------------------------------------


def goes_on(app, run):
    """Say that the run was not asked to stop and still writes steps."""
    seen = len(app.rows(run))
    wait_until(lambda: len(app.rows(run)) >= seen + 2)
    return app.status(run) == "running" and not (app.runs / run / "stop").exists()


def test_page_of_a_second_visitor_shows_the_run_and_offers_no_stop(app, run, new_visitor):
    owner, other = new_visitor(OWNER).open(run=run), new_visitor().open(run=run)

    for visitor in (owner, other):
        visitor.sees(visitor.badge, "running")
    expect(owner.button("Stop")).to_be_visible()
    expect(other.button("Stop")).to_have_count(0)

    other.go_to("Runs")
    other.sees(other.page.locator(".rl-run-details"), "Only the person who started it")
    expect(other.button("Delete")).to_have_count(0)
    expect(other.button("Stop")).to_have_count(0)


def test_server_functions_when_a_stranger_calls_each_change_nothing(app, run):
    wrong = {"run": run, "secret": "a guess", "step": 1, "kind": "ppo", "password": "a guess"}
    requests = (wrong, wrong | {"secret": ""}, {"run": run}, [run, "a guess"], None)
    functions = app.components()
    del functions["start_loop"]  # makes runs of its own, which is everybody's right
    refusals = []

    for function, parts in functions.items():
        for part, request in itertools.product(parts, requests):
            answer = app.post(part, function, request)
            if function in ("stop_job", "resume_job", "delete_run"):
                refusals.append(answer.json()["error"])

    # Two boards, the list and "too much of a good thing" stop and resume; the list deletes.
    assert len(refusals) == 9 * len(requests)
    assert "belongs to someone else: only its owner or the instructor can change it" in refusals[0]
    assert goes_on(app, run)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the client's unclosed event loops
def test_endpoints_when_a_stranger_calls_them_refuse_to_stop_the_run(app, run):
    for secret in ("a guess", ""):
        with pytest.raises(RuntimeError, match="belongs to someone else"):
            app.call("stop_run", run, secret)
    client = Client(app.url, verbose=False)
    with pytest.raises(AppError, match="belongs to someone else"):
        client.predict(run, "a guess", api_name="/stop_run")
    client.close()
    for private in ("stop_job", "delete_run", "resume_job"):
        path = f"{app.url}/gradio_api/call/{private}"
        assert (
            httpx.post(path, json={"data": [{"run": run, "secret": ""}]}, **NO_TLS).status_code
            >= 400
        )
    assert goes_on(app, run)


def test_files_of_a_run_when_asked_for_by_path_are_refused(app, run):
    for name in ("job.json", "config.json", "train.log"):
        answer = httpx.get(f"{app.url}/gradio_api/file={app.runs / run / name}", **NO_TLS)
        assert answer.status_code == 403


def test_endpoint_called_by_the_owner_stops_the_run(app, run):
    app.call("stop_run", run, OWNER)
    wait_until(lambda: app.status(run) == "stopped")


# -- text stays text -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def marked_run(app):
    """A finished run whose name, last words, prompts and texts are markup."""
    folder = app.runs / "ppo-markup"
    shutil.copytree(EXAMPLES / "ppo-quick", folder)
    note = {"title": MARKUP, "owner": None, "queued_at": 0, "after": None, "most_minutes": None}
    (folder / "job.json").write_text(json.dumps(note))
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps(status | {"message": MARKUP}))
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    for row in rows:
        row["prompt"], row["token"][0] = MARKUP, MARKUP + TEMPLATE
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder.name


def assert_harmless(visitor):
    assert visitor.page.evaluate("window.hacked") is None
    assert visitor.page.locator("img[src=x]").count() == 0


def test_markup_in_a_runs_name_and_texts_stays_text(marked_run, new_visitor):
    visitor = new_visitor().open(run=marked_run)
    samples = visitor.board.locator(".rl-samples")
    visitor.sees(samples.locator(".rl-prompt").first, MARKUP)
    visitor.sees(samples.locator(".rl-tokens").first, TEMPLATE)
    visitor.sees(visitor.board.locator(".rl-run-title"), MARKUP)
    visitor.sees(visitor.board.get_by_label("Run shown"), MARKUP)

    visitor.go_to("Runs")
    visitor.sees(visitor.page.locator(".rl-runs-table"), MARKUP)
    visitor.sees(visitor.page.locator(".rl-run-details"), MARKUP)
    assert_harmless(visitor)


def test_markup_in_a_prompt_to_compare_stays_text(new_visitor):
    visitor = new_visitor().open(tab="compare")
    prompt = f"{MARKUP}{TEMPLATE} I saw"
    visitor.fill(Prompt=prompt)
    visitor.button("Write side by side").click()
    visitor.wait_for("new URLSearchParams(location.search).has('compare')")
    expect(visitor.page.locator(".rl-written .rl-prompt").first).to_have_text(prompt)
    visitor.page.reload()
    expect(visitor.page.locator(".rl-written .rl-prompt").first).to_have_text(prompt)
    assert_harmless(visitor)


def test_best_of_n_shows_a_dot_for_each_response_and_markup_stays_text(new_visitor):
    visitor = new_visitor().open(tab="compare")
    prompt = f"{MARKUP}{TEMPLATE} I saw"
    visitor.fill(Prompt_for_the_N_responses=prompt)
    visitor.button("Write and choose").click()
    best = visitor.page.locator(".rl-best")
    visitor.sees(best, "gpt2-mini wrote 16 responses, and reward-mini chose the best.")
    visitor.sees(best, "at most 1.84 nats of KL away from gpt2-mini")
    expect(best.locator(".rl-dots i")).to_have_count(16)
    expect(best.locator(".rl-written .rl-prompt")).to_have_text([prompt] * 3)
    chart = best.locator(".js-plotly-plot")  # the library comes with the first chart
    drawn = chart.evaluate("(chart) => chart.data[0].y")
    assert len(drawn) == 16 and drawn == sorted(drawn)
    best.get_by_text("All responses, the best first").click()
    expect(best.locator(".rl-sample")).to_have_count(16)
    best_chip = best.locator(".rl-side .rl-chip").first
    visitor.sees(best_chip, best.locator(".rl-sample .rl-chip").first.inner_text())
    assert_harmless(visitor)


def test_all_methods_at_equal_kl_come_from_the_shipped_record_by_any_judge(new_visitor):
    visitor = new_visitor().open(tab="compare")
    methods = visitor.page.locator(".rl-frontier")
    visitor.sees(methods, "Wins at equal KL by fluency-judge")
    visitor.sees(methods, "At 2 nats, ")
    chart = methods.locator(".js-plotly-plot")
    names = chart.evaluate("(chart) => chart.data.map((one) => one.name)")
    assert {"PPO", "RLOO", "GRPO", "DPO", "SFT", "best-of-N"} <= set(names)
    methods.get_by_label("Judge").select_option("word-judge")
    visitor.sees(methods, "Wins at equal KL by word-judge")
    visitor.button("Measure my run").click()
    visitor.sees(methods, "no run is chosen: choose a finished run from the list")


def test_markup_in_the_address_stays_text(new_visitor):
    visitor = new_visitor().open(tab="ppo", run=f"ppo{MARKUP}")
    visitor.sees(visitor.board.locator(".rl-problem"), MARKUP)
    assert_harmless(visitor)
