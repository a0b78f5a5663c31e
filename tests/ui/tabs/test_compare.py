"""The Compare tab: what its handlers yield, what is kept, and that many chunks measure as one."""

import gc
import math
import os
from types import SimpleNamespace

import gradio as gr
import pytest
import torch

from rlhf_demo.config.evaluation import DuelOptions
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.errors import DataError
from rlhf_demo.evaluation.compare import Contestant, compare
from rlhf_demo.evaluation.text_stats import distinct_n, read_beside
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.scorers import length_scores
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.server import comparing
from rlhf_demo.server.comparing import ManyPrompts, frames
from rlhf_demo.server.comparisons import Comparisons
from rlhf_demo.server.settings import Settings
from rlhf_demo.server.turns import Turn
from rlhf_demo.ui.shared import Shared
from rlhf_demo.ui.tabs.compare import DEFAULTS, NAMES, PROMPTS, CompareTab, next_seed
from tests.fake_jobs import HERE

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Gradio's unclosed event loops

CPU = torch.device("cpu")
LEFT, RIGHT, SCORER, JUDGE = DEFAULTS
PROMPTS_6 = ["The film was", "I liked the", "We saw it and", "This is a", "My friend said", "In"]


def values(**changed):
    """The settings fields' values, in their order."""
    return [(DuelOptions(max_new_tokens=4).to_dict() | changed)[name] for name in NAMES]


@pytest.fixture
def tab(tmp_path):
    return CompareTab(Shared.open(Settings(runs=tmp_path / "runs")))


@pytest.fixture(scope="module")
def tiny(tiny_model_folder):
    return load_policy(str(tiny_model_folder), device=CPU)


def add_ppo_run(tab, run_id="ppo-abc123", **options):
    """Make the folder of a finished PPO run with a model and one saved step."""
    config = PPOConfig(**options).to_dict()
    run = Run.create(tab.shared.settings.runs / run_id, "ppo", config)
    run.set_status(Status.FINISHED)
    for folder in (run.model_folder, run.step_folder(20)):
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text("{}")
    return run_id


# -- keeping ---------------------------------------------------------------------------------------


def test_kept_record_when_opened_is_the_same(tmp_path):
    kept = Comparisons(tmp_path / "comparisons")
    state = {"left": {"log_ratio": [0.5]}}
    record = kept.keep({"kind": "duel", "settings": {"prompt": "Größe "}, "state": state}, "here")
    assert record["settings"] == {"prompt": "Größe "}
    assert kept.open(record["id"]) == record


@pytest.mark.parametrize("name", ["", "aaaaaaaa", "../../etc", "AAAAAAAA", "aaaaaaa\n", "a" * 99])
def test_id_that_is_not_there_when_opened_is_told_in_a_sentence(tmp_path, name):
    with pytest.raises(DataError, match="no saved comparison"):
        Comparisons(tmp_path).open(name)


@pytest.mark.parametrize(
    "old",
    [
        {"kind": "many", "report": {"win_rate": 0.9}},
        {"kind": "duel", "state": {"left": {"kl": [-0.5]}}},  # that was no KL
    ],
)
def test_record_of_an_earlier_version_is_told_in_a_sentence(tmp_path, old):
    kept = Comparisons(tmp_path)
    with pytest.raises(DataError, match="was made by an earlier version of this page"):
        kept.open(kept.keep(old, "here")["id"])


def test_folder_of_comparisons_when_full_loses_its_oldest(tmp_path):
    kept = Comparisons(tmp_path, most=2)
    ids = []
    for number in range(3):
        ids.append(kept.keep({"number": number}, "here")["id"])
        os.utime(tmp_path / f"{ids[-1]}.json", ns=(number, number))
    assert {path.stem for path in tmp_path.glob("*.json")} == set(ids[1:])


def test_who_fills_the_folder_of_comparisons_loses_ones_own(tmp_path):
    kept = Comparisons(tmp_path, most=4)
    honest = [kept.keep({"of": "ann"}, "there")["id"] for _ in range(2)]
    for _ in range(9):
        kept.keep({"of": "eve"}, "here")
    assert set(honest) < {path.stem for path in tmp_path.glob("*.json")}
    assert len(list(tmp_path.glob("*.json"))) == 4


# -- one prompt ------------------------------------------------------------------------------------


def test_frames_between_two_leave_the_turn_to_others_and_end_with_the_figures():
    turn = Turn()
    steps = (SimpleNamespace(finished=number == 9) for number in range(10))
    shown = []
    for state in frames(steps, turn):
        assert not turn.taken
        shown.append(state.finished)
    assert shown[-1] is True
    assert True not in shown[:-1]


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
        ({"left": "../secret"}, "'../secret' is no name from the list"),
        ({"right": "os:system"}, "'os:system' is no name from the list"),
        ({"scorer": "os:system"}, "'os:system' is no name from the list"),
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


def halves(prompts, responses):
    """A second judge: 0 and 1 in turn."""
    return torch.arange(len(responses)).remainder(2).float()


JUDGES = {"longer": length_scores, "halves": halves}


def many(policy, other, *, base):
    sides = Contestant("one", policy), Contestant("other", other)
    options = DuelOptions(max_new_tokens=5, temperature=1.0)
    return ManyPrompts(*sides, base, JUDGES, PROMPTS_6, options)


def test_report_of_one_chunk_equals_that_of_the_command(tiny):
    asked = many(tiny, tiny, base=tiny)
    assert list(asked.steps(Turn())) == [6]
    expected = compare(
        asked.left, asked.right, tiny, PROMPTS_6, JUDGES,
        max_new_tokens=5, temperature=1.0, seed=0,
    )  # fmt: skip
    assert asked.report() == expected


def test_figures_of_several_chunks_equal_those_measured_at_once(tiny, monkeypatch):
    monkeypatch.setattr(comparing, "CHUNK", 4)
    asked = many(tiny, tiny, base=tiny)
    assert list(asked.steps(Turn())) == [4, 6]
    side = asked.sides[0]
    readings = read_beside(tiny, tiny, PROMPTS_6, side.ids, 1.0)
    found = asked.report()["models"][0]
    assert found["length"] == sum(map(len, side.ids)) / 6
    assert found["distinct_2"] == distinct_n(side.ids, 2)
    assert found["scores"] == [sum(map(len, side.texts)) / 6, pytest.approx(0.5)]
    tokens = torch.cat([reading.base_logprobs for reading in readings])
    assert found["perplexity"] == pytest.approx(math.exp(-tokens.mean()), rel=1e-5)


def test_chunks_draw_numbers_of_their_own(tiny, monkeypatch):
    monkeypatch.setattr(comparing, "CHUNK", 1)
    asked = many(tiny, tiny, base=tiny)
    asked.prompts = ["The film was"] * 6
    assert list(asked.steps(Turn())) == [1, 2, 3, 4, 5, 6]
    assert len(set(asked.sides[0].texts)) > 1
    assert asked.sides[0].texts == asked.sides[1].texts


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
        (257, "", "give one from 8 to 256"),
        (64, "one\n" * 65, "there are 65 own prompts: give at most 64"),
        (64, "a" * 501, "501 characters"),
    ],
)
def test_many_prompts_beyond_the_bounds_yield_one_sentence(tab, count, own, sentence):
    (last,) = tab.write_many(HERE, LEFT, RIGHT, JUDGE, count, own, *values())
    assert sentence in last["error"]


# -- the page --------------------------------------------------------------------------------------


def test_tab_when_built_offers_no_public_endpoint_and_bounds_its_length(tab):
    with gr.Blocks(analytics_enabled=False) as demo:
        tab.build(demo)
    gc.collect()  # Gradio leaves event loops unclosed: let that be noticed here and not later
    assert {fn.api_visibility for fn in demo.fns.values()} == {"private"}
    assert dict(zip(NAMES, tab.fields))["max_new_tokens"].maximum == 128
