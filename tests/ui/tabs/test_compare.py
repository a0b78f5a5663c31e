"""The Compare tab: what its handlers yield, and what it opens on."""

import gc

import gradio as gr
import pytest

from rlhf_demo.config.evaluation import DuelOptions
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.server.settings import Settings
from rlhf_demo.ui.shared import Shared
from rlhf_demo.ui.tabs.compare import DEFAULTS, NAMES, PROMPTS, CompareTab, next_seed
from tests.fake_jobs import HERE

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Gradio's unclosed event loops

LEFT, RIGHT, SCORER, JUDGE = DEFAULTS


def values(**changed):
    """The settings fields' values, in their order."""
    return [(DuelOptions(max_new_tokens=4).to_dict() | changed)[name] for name in NAMES]


@pytest.fixture
def tab(tmp_path):
    return CompareTab(Shared.open(Settings(runs=tmp_path / "runs")))


def add_ppo_run(tab, run_id="ppo-abc123", **options):
    """Make the folder of a finished PPO run with a model and one saved step."""
    config = PPOConfig(**options).to_dict()
    run = Run.create(tab.shared.settings.runs / run_id, "ppo", config)
    run.set_status(Status.FINISHED)
    for folder in (run.model_folder, run.step_folder(20)):
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text("{}")
    return run_id


# -- one prompt ------------------------------------------------------------------------------------


def test_write_shows_the_names_then_texts_then_keeps_what_a_page_can_open(tab):
    shown = list(tab.write(HERE, LEFT, RIGHT, SCORER, "This film is ", *values(seed=3)))
    first, last = shown[0], shown[-1]
    assert first["state"] is None
    assert first["settings"]["left"]["name"] == "gpt2-mini"
    assert first["settings"]["base"] == "gpt2-mini"
    assert [one["state"]["finished"] for one in shown[1:]][-1] is True
    assert last["settings"]["prompt"] == "This film is "  # its space counts
    assert last["settings"]["same_tokens"] is True
    assert max(last["state"]["left"]["kl"]) == 0.0  # the left one is the base
    assert min(last["state"]["right"]["kl"]) >= 0.0 > min(last["state"]["right"]["log_ratio"])

    page = tab.page(last["id"])
    assert [update["value"] for update in page[:4]] == [LEFT, RIGHT, SCORER, JUDGE]
    assert page[5] == last
    assert page[7:] == ["This film is ", *values(seed=3)]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"prompt": " \n"}, "the prompt is empty"),
        ({"prompt": "a" * 501}, "501 characters: give at most 500"),
        ({"left": "../secret"}, "'../secret' is neither in the list nor a Hub id"),
        ({"right": "os:system"}, "'os:system' is neither in the list nor a Hub id"),
        ({"scorer": "os:system"}, "'os:system' is neither in the list nor a Hub id"),
        ({"values": values(max_new_tokens=129)}, "is 129: on this page give at most 128"),
        ({"values": values(temperature=None)}, "temperature is empty"),
        ({"values": values(top_p=1.5)}, "the highest value is 1.0"),
    ],
)
def test_write_with_something_wrong_yields_one_sentence(tab, monkeypatch, changed, sentence):
    monkeypatch.setattr("rlhf_demo.server.choices.hub_megabytes", lambda name: pytest.fail(name))
    asked = {"left": LEFT, "right": RIGHT, "scorer": SCORER, "prompt": "This", "values": values()}
    asked |= changed
    *fields, options = asked.values()
    last = list(tab.write(HERE, *fields, *options))[-1]
    assert sentence in last["error"]


def test_example_with_a_trailing_space_sets_its_own_length(tab):
    prompt, *fields = tab.take_example("This morning I went to the ")
    assert prompt.endswith("the ")
    assert dict(zip(NAMES, fields))["max_new_tokens"] == 20
    assert "This morning I went to the " in PROMPTS


def test_next_seed_after_the_last_one_starts_again():
    assert next_seed(4) == 5
    assert next_seed(None) == 1
    assert next_seed(2**31 - 1) == 0


# -- choosing --------------------------------------------------------------------------------------


def test_run_sent_from_another_tab_is_chosen_with_its_start_and_its_reward(tab):
    run_id = add_ppo_run(tab, policy="gpt2", reward="star-rater")
    left, right, scorer = tab.take_run(run_id)
    assert (left["value"], right["value"], scorer["value"]) == ("gpt2", run_id, "star-rater")


def test_example_sent_from_another_tab_means_the_shipped_model(tab):
    assert [one["value"] for one in tab.take_run("ppo-quick")] == [LEFT, RIGHT, SCORER]


def test_kl_of_a_run_at_a_step_is_counted_against_what_it_started_from(tab):
    run_id = add_ppo_run(tab, policy="gpt2")
    first = next(tab.write(HERE, LEFT, f"{run_id}@20", SCORER, "This", *values()))
    assert first["settings"]["base"] == "gpt2"
    assert run_id in first["settings"]["right"]["name"]


def test_page_without_a_comparison_opens_on_the_defaults(tab):
    page = tab.page(None)
    assert [update["value"] for update in page[:4]] == list(DEFAULTS)
    assert "error" in tab.page("aaaaaaaa")[5]


# -- many prompts ----------------------------------------------------------------------------------


def test_many_prompts_of_one_model_against_itself_are_all_ties(tab):
    own = "The film was\n\nI liked the\n"
    shown = list(tab.write_many(HERE, LEFT, LEFT, "longer", 64, own, *values()))
    assert [one.get("done") for one in shown] == [0, 2, None]
    report = shown[-1]["report"]
    assert [judge["name"] for judge in report["judges"]] == ["longer", "word-judge"]
    for judge in report["judges"]:
        assert (judge["wins"], judge["ties"], judge["losses"]) == (0, 2, 0)
        assert judge["win_rate"] == 0.5
    assert [row["prompt"] for row in report["rows"]] == ["The film was", "I liked the"]
    page = tab.page(shown[-1]["id"])
    assert [update["value"] for update in page[:4]] == [LEFT, LEFT, SCORER, "longer"]
    assert page[6] == shown[-1]


@pytest.mark.parametrize(
    ("count", "own", "sentence"),
    [
        (7, "", "the number of prompts is 7"),
        (None, " \n", "the number of prompts is None"),
        (257, "", "give a number from 8 to 256"),
        (64, "one\n" * 65, "there are 65 prompts of your own: give at most 64"),
        (64, "a" * 501, "501 characters"),
    ],
)
def test_many_prompts_beyond_the_bounds_yield_one_sentence(tab, count, own, sentence):
    (last,) = tab.write_many(HERE, LEFT, RIGHT, JUDGE, count, own, *values())
    assert sentence in last["error"]


# -- the page --------------------------------------------------------------------------------------


def test_tab_when_built_offers_no_public_endpoint(tab):
    with gr.Blocks(analytics_enabled=False) as demo:
        tab.build(demo)
    gc.collect()  # Gradio leaves event loops unclosed: let that be noticed here and not later
    assert {fn.api_visibility for fn in demo.fns.values()} == {"private"}
