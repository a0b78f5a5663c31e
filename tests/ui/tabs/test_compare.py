"""The Compare tab: what its handlers yield, and what it opens on."""

import gc

import gradio as gr
import pytest

from rlhf_demo.config.evaluation import DuelOptions
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.pretrain import BaseConfig
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.server.settings import Settings
from rlhf_demo.ui.shared import Shared
from rlhf_demo.ui.tabs.compare import (
    BEST_DEFAULTS,
    DEFAULTS,
    NAMES,
    PROMPTS,
    CompareTab,
    next_seed,
)
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


def test_models_are_chosen_before_the_page_has_asked_for_the_lists(tab):
    with gr.Blocks(analytics_enabled=False) as demo:
        tab.build(demo)
    chosen = [tab.left, tab.right, tab.scorer, tab.judge, tab.model, tab.chooser]
    assert [picker.value for picker in chosen] == [*DEFAULTS, *BEST_DEFAULTS]


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
    assert page[7:-1] == ["This film is ", *values(seed=3)]


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
        ({"values": values(top_k=1.5)}, "top k is 1.5: give a whole number"),
        ({"left": ""}, "one of the models is not chosen: choose each from its list"),
        ({"scorer": None}, "one of the models is not chosen"),
    ],
)
def test_write_with_something_wrong_yields_one_sentence(tab, monkeypatch, changed, sentence):
    monkeypatch.setattr("rlhf_demo.server.choices.hub_refusal", lambda *asked: pytest.fail(asked))
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


def test_base_that_was_trained_here_is_its_own_base(tab):
    run = Run.create(tab.shared.settings.runs / "base-abc123", "base", BaseConfig().to_dict())
    run.set_status(Status.FINISHED)
    run.model_folder.mkdir(parents=True)
    (run.model_folder / "config.json").write_text("{}")
    for left, right in ((LEFT, "base-abc123"), ("base-abc123", LEFT)):
        first = next(tab.write(HERE, left, right, SCORER, "This", *values()))
        assert first["settings"]["base"] == "base-abc123"
    left, right, scorer = tab.take_run("base-abc123")
    assert (left["value"], right["value"], scorer["value"]) == (LEFT, "base-abc123", SCORER)


def test_page_without_a_comparison_opens_on_the_defaults(tab):
    page = tab.page(None)
    assert [update["value"] for update in page[:4]] == list(DEFAULTS)
    assert "error" in tab.page("aaaaaaaa")[5]


# -- many prompts ----------------------------------------------------------------------------------


def test_many_prompts_of_one_model_against_itself_are_all_ties(tab):
    own = "The film was\n\nI liked the\n"
    shown = list(tab.write_many(HERE, LEFT, LEFT, "longer", SCORER, 64, own, 1, *values()))
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


def test_right_model_may_answer_with_the_best_of_several_responses(tab):
    own = "The film was\nI liked the\n"
    shown = list(tab.write_many(HERE, LEFT, LEFT, "longer", "longer", 64, own, 4, *values()))
    last = shown[-1]
    assert [one.get("done") for one in shown] == [0, 2, None]
    assert last["settings"]["right"]["name"] == "gpt2-mini (best of 4)"
    assert last["settings"]["chosen_by"]["name"] == "longer"
    assert last["settings"]["judges"][0]["note"].startswith("longer chose the best responses")
    assert [row["n"] for row in last["report"]["by_n"]] == [1, 2, 4]
    page = tab.page(last["id"])
    assert [update["value"] for update in page[:4]] == [LEFT, LEFT, "longer", "longer"]
    assert (page[6], page[-1]) == (last, 4)


@pytest.mark.parametrize(
    ("best_of", "changed", "sentence"),
    [
        (65, {}, "best of is 65: the highest value is 64"),
        (0, {}, "best of is 0: the lowest value is 1"),
        (1.5, {}, "best of is 1.5: give a whole number"),
        (None, {}, "best of is empty"),
        (64, {"max_new_tokens": 128}, "64 prompts, 64 responses to each and 128 tokens a response"),
    ],
)
def test_best_of_beyond_the_bounds_yields_one_sentence(tab, best_of, changed, sentence):
    asked = LEFT, RIGHT, JUDGE, SCORER, 64, "", best_of
    (last,) = tab.write_many(HERE, *asked, *values(**changed))
    assert sentence in last["error"]


def test_best_of_on_a_public_page_samples_a_fourth_as_much(tmp_path):
    tab = CompareTab(Shared.open(Settings(runs=tmp_path / "runs", public=True)))
    asked = LEFT, RIGHT, JUDGE, SCORER, 64, "", 17
    (last,) = tab.write_many(HERE, *asked, *values(max_new_tokens=32))
    assert "are 34,816 tokens: on this page ask for at most 32,768" in last["error"]


# -- best-of-n -------------------------------------------------------------------------------------


def test_best_of_n_shows_responses_as_they_arrive_and_chooses_the_longest(tab):
    shown = list(tab.write_best(LEFT, "longer", "This film", 10, *values(seed=2)))
    assert [len(state["responses"]) for state in shown] == [0, 8, 10]
    assert [state["finished"] for state in shown] == [False, False, True]
    last = shown[-1]
    assert shown[1]["responses"] == last["responses"][:8]
    lengths = [len(response["text"]) for response in last["responses"]]
    assert [response["score"] for response in last["responses"]] == lengths
    assert lengths[last["best"]] == max(lengths)
    assert last["settings"]["model"]["name"] == "gpt2-mini"
    assert last["settings"]["scorer"] == {"id": "longer", "name": "longer", "unit": "characters"}
    assert len({response["text"] for response in last["responses"]}) > 8  # other numbers each
    assert list(tab.write_best(LEFT, "longer", "This film", 10, *values(seed=2))) == shown


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"prompt": " \n"}, "the prompt is empty"),
        ({"prompt": "a" * 501}, "501 characters: give at most 500"),
        ({"model": "../secret"}, "'../secret' is neither in the list nor a Hub id"),
        ({"chooser": "os:system"}, "'os:system' is neither in the list nor a Hub id"),
        ({"best_of": 65}, "best of is 65: the highest value is 64"),
        ({"best_of": "many"}, "best of is 'many': give a whole number"),
        ({"values": values(max_new_tokens=129)}, "is 129: on this page give at most 128"),
    ],
)
def test_best_of_n_with_something_wrong_yields_one_sentence(tab, monkeypatch, changed, sentence):
    monkeypatch.setattr("rlhf_demo.server.choices.hub_refusal", lambda *asked: pytest.fail(asked))
    asked = {"model": LEFT, "chooser": SCORER, "prompt": "This", "best_of": 2, "values": values()}
    asked |= changed
    *fields, options = asked.values()
    (last,) = tab.write_best(*fields, *options)
    assert sentence in last["error"]


# -- many prompts beyond the bounds ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "own", "sentence"),
    [
        (7, "", "prompts is 7: give a whole number from 8 to 256"),
        (None, " \n", "prompts is empty: give a whole number"),
        (8.5, "", "prompts is 8.5: give a whole number"),
        (257, "", "give a whole number from 8 to 256"),
        (64, "one\n" * 65, "there are 65 prompts of your own: give at most 64"),
        (64, "a" * 501, "501 characters"),
    ],
)
def test_many_prompts_beyond_the_bounds_yield_one_sentence(tab, count, own, sentence):
    (last,) = tab.write_many(HERE, LEFT, RIGHT, JUDGE, SCORER, count, own, 1, *values())
    assert sentence in last["error"]


# -- the page --------------------------------------------------------------------------------------


def test_tab_when_built_offers_no_public_endpoint(tab):
    with gr.Blocks(analytics_enabled=False) as demo:
        tab.build(demo)
    gc.collect()  # Gradio leaves event loops unclosed: let that be noticed here and not later
    assert {fn.api_visibility for fn in demo.fns.values()} == {"private"}
