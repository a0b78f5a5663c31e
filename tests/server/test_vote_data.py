"""Votes as training data: what is trained on, by which name, and what people's agreement says."""
# ruff: noqa: F811  (fixtures are imported, and named again where they are used)

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from rlhf_demo.config.stages import STAGES
from rlhf_demo.data.pairs import load_pairs
from rlhf_demo.errors import DataError, JobError
from rlhf_demo.jobs.bounds import Limits
from rlhf_demo.server.class_training import reward_config
from rlhf_demo.server.vote_data import KEPT, counted, people_agree, vote_facts
from rlhf_demo.ui.panels.board import _people_line
from rlhf_demo.ui.tabs.reward import RewardTab
from rlhf_demo.votes.classes import Classes
from rlhf_demo.votes.rounds import Rounds
from rlhf_demo.web.lanes import Lane
from tests.fake_jobs import DAMAGED, HERE, damage
from tests.vote_page import BASE, fake, new_jobs, people_vote, shared, tab  # noqa: F401  (fixtures among them)
from tests.voting import GOOD, HAPPY, join, new_fours, new_pairs, rank, take_turns


def takes_pairs(stage):
    """Say whether a stage's option names pairs, as DPO's and a reward model's do."""
    return hasattr(stage.config, "data") and stage.config().data == "shipped"


def test_training_on_few_votes_says_how_many_it_takes(tab, store):
    people_vote(store, 7, people=1)
    with pytest.raises(DataError, match=r"7 preferences: vote until there are 8"):
        tab.train({"question": HAPPY, "secret": "ann"}, HERE)


def test_training_takes_the_votes_of_one_question_unless_asked_for_all(tab, store):
    people_vote(store, 8, people=1)
    people_vote(store, 8, people=1, question=GOOD)
    alone = tab.train({"question": HAPPY, "secret": "ann"}, HERE)["run"]
    both = tab.train({"question": HAPPY, "secret": "ann", "together": True}, HERE)["run"]
    facts = [
        vote_facts(tab.shared.jobs.find(run).config["options"]["data"]) for run in (alone, both)
    ]
    assert [one["questions"] for one in facts] == [[HAPPY], sorted((GOOD, HAPPY))]
    assert [one["votes"] for one in facts] == [8, 16]


def test_run_without_a_voter_says_so_in_its_title(tab, store):
    people_vote(store, 12, people=2)  # both always take the left text
    voter = store.votes()[0].voter
    run = tab.train({"question": HAPPY, "secret": "ann", "without": [voter]}, HERE)["run"]
    row = next(one for one in tab.shared.jobs.overview() if one["id"] == run)
    assert row["title"] == f"Votes: {HAPPY}, without voter {voter}"


def folders(data):
    return {path.name for path in data.folder.glob("votes-*")}


@pytest.mark.parametrize(
    "secret, sentence", [("ann", "0 runs are already waiting"), ("", "no secret")]
)
def test_refused_start_writes_no_votes(tab, store, new_jobs, secret, sentence):
    people_vote(store, 8, people=1)
    tab.shared.jobs = new_jobs(scheduling=False, limits=Limits(most_waiting=0))
    with pytest.raises(JobError, match=sentence):
        tab.train({"question": HAPPY, "secret": secret}, HERE)
    assert folders(tab.data) == set()


def test_only_voters_who_look_careless_can_be_left_out(tab, store):
    people_vote(store, 12, people=2, choose=lambda person: ("left", "tie")[person])
    people_vote(store, 12, people=1)
    careful = next(vote.voter for vote in store.votes() if vote.choice == "tie")
    careless = tab.quality({"question": HAPPY})["careless"][0]["voter"]
    request = {"question": HAPPY, "secret": "ann", "without": [careless, careful, 999]}
    with pytest.raises(DataError, match=rf"^voters {careful}, 999 cannot be left out"):
        tab.train(request, HERE)
    assert folders(tab.data) == set()
    told = tab.quality({"question": HAPPY, "without": [careful, 999]})
    assert told == tab.quality({"question": HAPPY})
    assert tab.train(request | {"without": [careless]}, HERE)["run"]


def test_votes_that_no_run_learned_from_go_but_for_the_last_few(tab, store):
    people_vote(store, 8, people=1)
    run = tab.train({"question": HAPPY, "secret": "ann"}, HERE)["run"]
    learned = Path(tab.shared.jobs.find(run).config["options"]["data"]).name
    seen = []
    for time in range(KEPT + 2):
        people_vote(store, 1, people=1)
        folder = tab.data.write([HAPPY])
        os.utime(folder, (time, time))  # in the order that they are written in
        seen.append(folder.name)
    assert folders(tab.data) == {learned, *seen[-KEPT:]}
    tab.shared.jobs.delete(run, "ann")
    os.utime(tab.data.folder / learned, (0, 0))
    people_vote(store, 1, people=1)
    last = tab.data.write([HAPPY])
    assert folders(tab.data) == {*seen[1 - KEPT :], last.name}


@pytest.mark.parametrize("kind", [name for name, stage in STAGES.items() if takes_pairs(stage)])
def test_votes_that_any_run_learns_from_stay(tab, store, kind):
    people_vote(store, 8, people=1)
    data = tab.data.write([HAPPY])
    options = STAGES[kind].config(data=tab.shared.choices.path(data))
    tab.shared.jobs.start(kind, options, title="", secret="ann")
    os.utime(data, (0, 0))
    for _ in range(KEPT + 1):
        people_vote(store, 1, people=1)
        tab.data.write([HAPPY])
    assert data.is_dir()


@pytest.mark.parametrize("config", DAMAGED)
def test_damaged_run_stops_no_training_on_votes(tab, store, tmp_path, config):
    damage(tmp_path / "runs", config)
    people_vote(store, 8, people=1)
    assert tab.train({"question": HAPPY, "secret": "ann"}, HERE)["run"]


def test_votes_used_again_are_not_the_first_to_go(tab, store):
    people_vote(store, 8, people=1)
    used = tab.data.write([HAPPY])
    os.utime(used, (0, 0))
    assert tab.data.write([HAPPY]) == used
    assert used.stat().st_mtime > 0


def test_no_votes_are_written_below_the_floor_of_free_room(tab, store, monkeypatch):
    people_vote(store, 8, people=1)
    monkeypatch.setattr("rlhf_demo.jobs.disk._free", lambda folder: 1999.0)
    tab.data.public = True
    with pytest.raises(DataError, match="2 GB must stay free"):
        tab.train({"question": HAPPY, "secret": "ann"}, HERE)
    with monkeypatch.context() as patch:
        patch.setattr(tab.data, "votes", pytest.fail)  # reading them all is the slow part
        with pytest.raises(DataError, match="2 GB must stay free"):
            tab.data.write([HAPPY])
    with pytest.raises(DataError, match="2 GB must stay free"):
        tab.export({"format": "jsonl"})
    assert folders(tab.data) == set()
    tab.data.public = False
    assert tab.train({"question": HAPPY, "secret": "ann"}, HERE)["run"]


def test_all_votes_are_read_once_for_many_who_open_the_page(tab, store, monkeypatch):
    monkeypatch.setattr("rlhf_demo.votes.result_cache.LIFETIME", 1_000)
    people_vote(store, 8, people=1)
    reads, read = [], store.votes
    monkeypatch.setattr(store, "votes", lambda **which: reads.append(which) or read(**which))
    for _ in range(20):
        [(_, chosen)] = tab.data.choices()
        assert tab.data.chosen(chosen).is_dir()
    assert len(reads) == 2  # once for the list, once for what is chosen from it
    shutil.rmtree(tab.data.chosen(chosen))
    assert tab.data.chosen(chosen).is_dir()


def test_training_on_votes_is_a_heavy_request(tab):
    assert tab.train.lane is Lane.HEAVY


def test_same_votes_are_the_same_folder_and_further_ones_another(tab, store):
    people_vote(store, 8, people=1)
    first = tab.data.write([HAPPY])
    assert tab.data.write([HAPPY]) == first
    people_vote(store, 1, people=1)
    assert tab.data.write([HAPPY]) != first
    assert len(load_pairs(str(first))) == 8


def test_list_of_pairs_names_questions_with_enough_votes(tab, store, shared):
    people_vote(store, 8, people=1)
    people_vote(store, 7, people=1, question=GOOD)
    [(label, chosen)] = [one for one in shared.choices.data() if one[1].startswith("votes-")]
    assert label == f"votes: {HAPPY} (8 votes)"
    assert vote_facts(shared.choices.pairs(chosen))["questions"] == [HAPPY]


def test_lists_have_the_questions_with_most_votes(tab, store, monkeypatch):
    monkeypatch.setattr("rlhf_demo.server.vote_data.MOST_QUESTIONS", 2)
    for question, votes in ((HAPPY, 9), ("Which is duller?", 8), (GOOD, 10)):
        people_vote(store, votes, people=1, question=question)
    assert tab.data.questions() == [(GOOD, 10, 0), (HAPPY, 9, 0)]
    assert tab.data.write(["Which is duller?"])  # Feedback trains on it all the same


def test_rankings_count_with_the_votes_and_are_told_apart(tab, store):
    people_vote(store, 5, people=1)
    store.rankings.add_fours(new_fours(3, start=20))
    for order in ("ABCD", "DCBA"):
        rank(store, voter := store.visit("here"), order)
    with pytest.raises(DataError, match=r"7 preferences: vote until there are 8"):
        tab.data.write([HAPPY])
    assert tab.data.choices() == []
    rank(store, voter, "BACD")
    [(label, chosen)] = tab.data.choices()
    assert label == f"votes: {HAPPY} (5 votes, 3 rankings with 18 pairs)"
    folder = tab.data.chosen(chosen)
    # Two of eight are held out, on the prompts voted on last: two rankings, with all their pairs.
    facts = vote_facts(str(folder))
    assert (facts["votes"], facts["rankings"]) == (5, 3)
    assert (facts["held_out"], facts["held_out_rankings"]) == (0, 2)
    train, held_out = (load_pairs(str(folder), split) for split in ("train", "heldout"))
    assert len(held_out) == 12 and len(train) == 5 + 6
    assert set(held_out.chosen + held_out.rejected).isdisjoint(train.chosen + train.rejected)


@pytest.mark.parametrize(
    ("votes", "rankings", "words"),
    [(3, 0, "3 votes"), (0, 1, "1 ranking with 6 pairs"), (0, 0, "0 votes"),
     (2, 3, "2 votes, 3 rankings with 18 pairs")],
)  # fmt: skip
def test_a_ranking_is_counted_as_what_it_is(votes, rankings, words):
    assert counted(votes, rankings) == words


def test_ranking_of_a_voter_left_out_is_not_trained_on(tab, store):
    store.rankings.add_fours(new_fours(9))
    careful, careless = store.visit("here"), store.visit("here")
    for _ in range(8):
        rank(store, careful)
    number = int(careless.partition(".")[0])
    rank(store, careless)
    all_of_them, without = tab.data.write([HAPPY]), tab.data.write([HAPPY], [number])
    assert [vote_facts(str(one))["rankings"] for one in (all_of_them, without)] == [9, 8]


def test_training_on_rankings_takes_batches_of_rankings(tab, store):
    """8 of 10 rankings are 48 pairs to train on, and one batch."""
    store.rankings.add_fours(new_fours(10))
    voter = store.visit("here")
    for _ in range(10):
        rank(store, voter)
    folder = tab.data.write([HAPPY])
    config = reward_config(folder, str(folder))
    assert (config.train_pairs, config.batch_size, config.epochs) == (48, 8, 4)


def test_votes_of_a_run_are_recognised_without_writing_those_of_every_question(tab, store, shared):
    people_vote(store, 8, people=1)
    people_vote(store, 9, people=1, question=GOOD)
    choices, ids = shared.choices, dict(tab.data.choices())
    happy = ids[f"votes: {HAPPY} (8 votes)"]
    learned = choices.pairs(happy)

    def listed_as(value, asked):
        return choices.listed_as(
            value, choices.data(), lambda chosen: asked.append(chosen) or choices.pairs(chosen)
        )

    assert listed_as(learned, asked := []) == happy and asked == []
    assert listed_as("shipped", asked := []) == "shipped" and asked == ["shipped"]
    together = choices.path(tab.data.write([HAPPY, GOOD]))
    assert listed_as(together, asked := []) is None and asked == []
    people_vote(store, 1, people=1)
    assert listed_as(learned, asked := []) == happy  # of which there are more by now
    of_a_class = tab.data.folder.parent / "classes" / "1" / Path(learned).name
    shutil.copytree(learned, of_a_class)
    assert listed_as(str(of_a_class), asked := []) is None
    assert listed_as("votes-\0", asked := []) is None  # a copied run may name anything


def test_votes_of_a_class_stay_in_the_class(tab, store):
    classes = Classes(store)
    opened = classes.create_class(HAPPY)
    Rounds(store).add_pairs(opened.collection, new_pairs(9))
    [student] = join(classes, opened, 1)
    take_turns(store, [student])
    assert tab.quality({"question": HAPPY})["votes"] == 0
    assert tab.data.choices() == []
    with pytest.raises(DataError, match="no votes"):
        tab.export({"format": "jsonl"})


def test_agreement_and_the_highest_accuracy_are_lines_on_the_accuracy_chart(tab, store, shared):
    # Both always take the left text, sides are drawn apart: they agree on about half of 12 pairs.
    people_vote(store, 12, people=2)
    data = shared.choices.path(tab.data.write([HAPPY]))
    facts = vote_facts(data)
    agree = people_agree(facts)
    held_out = load_pairs(data, "heldout")
    assert facts["held_out"] == len(held_out)
    # Of the held-out pairs' two votes a model gets both right where they agree, and else one.
    pairs = Counter(zip(held_out.prompts, held_out.chosen))
    assert facts["highest_accuracy"] == sum(
        max(pairs[prompt, text], pairs[prompt, other])
        for prompt, text, other in {
            (prompt, *sorted(texts))
            for prompt, *texts in zip(held_out.prompts, held_out.chosen, held_out.rejected)
        }
    ) / len(held_out)
    few_others, highest = _people_line({"data": data})
    assert (few_others["y"], highest["y"]) == (agree, facts["highest_accuracy"])
    assert few_others["label"] == f"other people agree with a vote: {agree:.0%}"
    assert highest["label"] == f"highest possible: {highest['y']:.0%}"


def test_agreement_is_not_told_where_few_pairs_were_seen_by_two(tab, store, shared):
    people_vote(store, 8, people=1)
    assert _people_line({"data": shared.choices.path(tab.data.write([HAPPY]))}) == []
    assert _people_line({"data": "shipped"}) == []


def test_reward_form_suits_its_passes_to_few_votes_and_names_the_question(tab, store, shared):
    people_vote(store, 8, people=1)
    form = RewardTab(shared)
    [(label, chosen)] = shared.choices.votes_listed()
    assert form.passes("shipped") == 1
    assert form.passes(chosen) > 1
    run = form.shared.submit.reward(BASE, chosen, "", {}, "ann", "")
    row = next(one for one in shared.jobs.overview() if one["id"] == run)
    assert row["title"] == f"{BASE} on {label}"


@pytest.mark.parametrize(
    "facts",
    [
        {"foretold": {"units": 100, "share": "x"}},
        {"foretold": {"units": "100", "share": 0.7}},
        {"highest_accuracy": [0.9]},
        {"questions": "why?"},
        [1],
        {"x": "x" * 2**20},
    ],
)
def test_odd_facts_in_a_copied_run_are_none(tab, store, facts):
    """A file of 16 MB took 1.3 GB and 7 s at each poll of its board."""
    people_vote(store, 12, people=2)
    folder = tab.data.write([HAPPY])
    told = vote_facts(str(folder))
    assert told["votes"] == 24 and people_agree(told) is not None
    odd = facts if isinstance(facts, list) else told | facts
    (folder / "votes.json").write_text(json.dumps(odd))
    assert vote_facts(str(folder)) is None
    assert people_agree(None) is None


def test_board_of_a_run_whose_facts_have_older_names_opens(tab, store):
    """Its files were called damaged."""
    people_vote(store, 12, people=2)
    folder = tab.data.write([HAPPY])
    facts = json.loads((folder / "votes.json").read_text())
    facts["human_ceiling"] = facts.pop("foretold")  # until 2026-11-27
    (folder / "votes.json").write_text(json.dumps(facts))
    assert vote_facts(str(folder)) is None
    assert _people_line({"data": str(folder)}) == []
