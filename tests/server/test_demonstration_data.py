"""Demonstrations as training data: who may use which, and the files that trainings read."""
# ruff: noqa: F811  (fixtures are imported, and named again where they are used)

import json
import os

import pytest

from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.errors import ConfigError, DataError
from rlhf_demo.server.choices import Choices
from rlhf_demo.server.class_records import learned_from_private
from rlhf_demo.server.demonstration_data import FEWEST, KEPT, DemonstrationData
from rlhf_demo.server.settings import Settings
from rlhf_demo.server.submit import Submit
from rlhf_demo.votes.vote import Demonstration
from tests.fake_jobs import DAMAGED, damage, fake, new_jobs  # noqa: F401  (fixtures)
from tests.voting import GOOD, HAPPY, answer, new_pairs

ONE = Demonstration(
    id=1, collection=0, round=1, prompt="The film", completion=" was a joy.", question=HAPPY,
    voter=1, time=86_400.0, left_out=False,
)  # fmt: skip


def texts(count, question=HAPPY, **more):
    fields = vars(ONE) | {"question": question} | more
    return [Demonstration(**fields | {"prompt": f"{question} {n}"}) for n in range(count)]


@pytest.fixture
def jobs(new_jobs):
    return new_jobs(scheduling=False)


@pytest.fixture
def data(store, jobs, tmp_path):
    return DemonstrationData(store, tmp_path / "runs" / "demonstrations", jobs)


@pytest.fixture
def choices(data, jobs, tmp_path):
    return Choices(Settings(runs=tmp_path / "runs"), jobs, None, data)


def test_questions_with_enough_texts_are_listed_and_their_file_has_trls_columns(store, choices):
    store.demonstrations.add(texts(FEWEST) + texts(FEWEST - 1, GOOD), "x" * 64)
    store.demonstrations.add(texts(1, GOOD, left_out=True, time=ONE.time + 1), "y" * 64)
    [(label, chosen)] = choices.demonstrations_listed("ann")
    assert label == f"written texts: {HAPPY} (8)"
    path = choices.demonstrations(chosen, "ann")
    with open(path, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    assert [row["prompt"] for row in rows] == [f"{HAPPY} {n}" for n in range(8)]
    assert {(row["completion"], row["question"]) for row in rows} == {(" was a joy.", HAPPY)}
    assert choices.demonstrations(chosen, "ann") == path


def test_lists_have_the_questions_with_most_texts(store, choices, monkeypatch):
    monkeypatch.setattr("rlhf_demo.server.demonstration_data.MOST_QUESTIONS", 1)
    store.demonstrations.add(texts(FEWEST) + texts(FEWEST + 1, GOOD), "x" * 64)
    assert [label for label, _ in choices.demonstrations_listed("ann")] == [
        f"written texts: {GOOD} (9)"
    ]


@pytest.mark.parametrize("chosen", ["", "shipped", "../votes.db", "demonstrations-0", None, 7])
def test_id_that_is_not_in_the_list_is_refused(store, choices, chosen):
    store.demonstrations.add(texts(FEWEST), "x" * 64)
    with pytest.raises(DataError, match="not in the list: choose from it, or write texts"):
        choices.demonstrations(chosen)


def test_file_never_changes_and_those_that_runs_learned_from_stay(store, data, jobs):
    store.demonstrations.add(texts(FEWEST), "0" * 64)
    [(_, chosen)] = data.choices("")
    first = data.chosen(chosen, "")
    before = first.read_text()
    (foreign := first.with_name("letters.jsonl")).touch()  # where a link led
    files = [first]
    for n in range(1, KEPT + 3):
        store.demonstrations.add(texts(1, completion=f" {n}"), f"{n}" * 64)
        files.append(data.chosen(chosen, ""))
        if n == 1:
            run = jobs.start("reward", reward_on(first), title="t", secret="s", address="here")
            assert jobs.find(run).config["options"]["data"] == str(first)
        os.utime(files[-1], (n, n))
    assert len(set(files)) == KEPT + 3 and first.read_text() == before
    # A run learned from the first; of the others, the five used last stay.
    assert [file.is_file() for file in files] == [True, False, False, *[True] * KEPT]
    assert foreign.exists()


@pytest.mark.parametrize("config", DAMAGED)
def test_damaged_run_stops_no_training_on_texts(store, data, tmp_path, config):
    damage(tmp_path / "runs", config)
    store.demonstrations.add(texts(FEWEST), "0" * 64)
    [(_, chosen)] = data.choices("")
    assert data.chosen(chosen, "").is_file()


def reward_on(file):
    return RewardConfig(data=str(file))


def test_stranger_uses_own_texts_and_nobody_elses(store, data):
    """Imported ones may be those of a class, which its students wrote for the instructor."""
    store.demonstrations.add(texts(1), "x" * 64)
    data.public = True
    assert data.texts("ann") == data.texts("") == []
    for secret in ("ann", "bob"):
        write_texts(store, secret, FEWEST)
    [(label, chosen)] = data.choices("ann")
    assert label.endswith("(8)")
    assert {one.completion for one in data.texts("ann")} == {" was by ann."}
    assert data.chosen(chosen, "ann") != data.chosen(chosen, "bob")
    assert "by bob" not in data.chosen(chosen, "ann").read_text()
    assert data.chosen(chosen, "eve") is None and data.choices("eve") == []
    data.public = False
    assert len(data.texts("eve")) == 1 + 2 * FEWEST


def test_instructor_uses_imported_texts_too(store, new_jobs, tmp_path):
    jobs = new_jobs(scheduling=False, instructor_token="teach")
    data = DemonstrationData(store, tmp_path / "texts", jobs, public=True)
    store.demonstrations.add(texts(FEWEST), "x" * 64)
    write_texts(store, "ann", 1)
    assert [one.completion for one in data.texts("ann")] == [" was by ann."]
    assert [one.completion for one in data.texts("teach")] == [" was a joy."] * FEWEST
    [(_, chosen)] = data.choices("teach")
    assert data.chosen(chosen, "teach") and data.chosen(chosen, "ann") is None


def write_texts(store, browser, count):
    """Let a visitor write so many texts, each on a pair of its own."""
    store.add_pairs(new_pairs(count))
    voter = store.visit("here")
    before = len(store.demonstrations.of_visitors())
    while len(store.demonstrations.of_visitors()) < before + count:
        store.clock.now += 10
        shown = store.next_pair(voter, HAPPY)
        store.demonstrations.write(
            voter, shown.id, f"was by {browser}.", browser=browser, client="here"
        )
        answer(store, voter)


def test_run_that_learned_from_a_strangers_texts_has_private_texts(store, data, jobs, tmp_path):
    store.demonstrations.add(texts(FEWEST), "x" * 64)
    [(_, chosen)] = data.choices("")
    file = data.chosen(chosen, "")
    run = jobs.find(jobs.start("reward", reward_on(file), title="t", secret="s", address="h"))
    for public in (True, False):
        settings = Settings(runs=tmp_path / "runs", public=public)
        assert learned_from_private(run, settings) is public


def test_public_page_writes_nothing_while_the_disk_is_short(store, data, monkeypatch):
    monkeypatch.setattr(
        "rlhf_demo.server.demonstration_data.shortage", lambda folder, limits: "no room"
    )
    write_texts(store, "ann", FEWEST)
    data.public = True
    [(_, chosen)] = data.choices("ann")
    with pytest.raises(DataError, match="no room"):
        data.chosen(chosen, "ann")
    data.public = False
    assert data.chosen(chosen, "ann").is_file()


def test_sft_learns_from_a_questions_texts_and_from_pairs(store, choices, jobs):
    store.demonstrations.add(texts(FEWEST), "x" * 64)
    [(label, chosen)] = choices.demonstrations_listed("ann")
    submit = Submit(Settings(), jobs, choices)

    def started(kind, data):
        run = submit.offline(kind, "gpt2-mini", data, "reward-mini", "", "", {}, "ann", "here")
        return next(row for row in jobs.overview() if row["id"] == run)["title"], jobs.find(run)

    title, run = started("sft", chosen)
    assert f"gpt2-mini by SFT on {label}".startswith(title)  # which has at most 60 letters
    assert run.config["options"]["data"] == choices.demonstrations(chosen, "ann")
    with pytest.raises(DataError, match="neither in the list"):
        started("dpo", chosen)  # it needs two texts each


def test_steps_of_few_texts_are_few_whatever_was_asked_for(store, choices, jobs):
    """On a public page ten epochs of eight texts were refused as 1,560 steps."""
    store.demonstrations.add(texts(FEWEST), "x" * 64)
    [(_, chosen)] = choices.demonstrations_listed("ann")
    submit = Submit(Settings(), jobs, choices)

    def texts_of(**options):
        what = "gpt2-mini", chosen, "reward-mini", "", "", options, "ann", "here"
        return jobs.find(submit.offline("sft", *what)).config["options"]["train_texts"]

    assert [texts_of(), texts_of(epochs=10), texts_of(train_texts=3)] == [8, 8, 3]
    with pytest.raises(ConfigError, match="--train-texts is 'x': give a whole number"):
        texts_of(train_texts="x")
