"""What the server sends is what server/payloads.py declares, key by key."""

import shutil
from types import SimpleNamespace

import pytest

from rlhf_demo.files import read_json
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.server import payloads
from rlhf_demo.server.settings import Settings
from rlhf_demo.ui.panels.board import Board
from rlhf_demo.ui.panels.nav import Strip
from rlhf_demo.ui.shared import EXAMPLES
from rlhf_demo.votes.quality import vote_quality, voter_table
from tests.class_page import (  # noqa: F401  (some are fixtures)
    class_mode,
    fake,
    loops_left_open,
    new_jobs,
    shared_page,
    taught,
    vote_all,
    with_ppo,
)
from tests.declared import misfits
from tests.fake_jobs import start
from tests.voting import HAPPY, new_fours

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Gradio's unclosed event loops


EXAMPLE = {"ppo": "quick", "reward": "shipped"}
"""Kind -> the shipped run of that kind whose figures are shown."""


def test_a_misfit_is_seen():
    stage = {"tab": "ppo", "title": "PPO", "line": "", "state": "idle", "run": None, "more": 1}
    state = {"stages": [stage], "note": None}
    assert list(misfits(state, payloads.StripState)) == [
        "payload.stages[0].run is None, not str",
        "payload.stages[0].more is not declared",
        "payload lacks start",
    ]


def test_the_strip_and_the_list_of_runs(mode):
    shared = mode.shared
    taught(mode)
    models = SimpleNamespace(ready=True)
    strip = Strip(shared.jobs, shared.store, models).strip_state(0)
    assert list(misfits(strip, payloads.StripState)) == []
    for row in shared.jobs.overview():
        assert list(misfits(row, payloads.RunRow)) == []


def test_a_class_at_each_stage(mode):
    made, secrets = taught(mode)
    states = [mode.class_state({"token": made.token})]
    with_ppo(mode, made)
    states.append(mode.class_state({"token": made.token}))
    mode.open_blind({"token": made.token})
    vote_all(mode, secrets)
    states.append(mode.class_state({"token": made.token}))
    phones = [mode.student.student_state({"secret": secrets[0]})]
    mode.reveal({"token": made.token})
    states.append(mode.class_state({"token": made.token}))
    phones.append(mode.student.student_state({"secret": secrets[0]}))
    for state in states:
        assert list(misfits(state, payloads.ClassState)) == []
    assert [state["kind"] for state in states] == ["feedback", "feedback", "blind", "blind"]
    assert states[1]["ppo"] and states[3]["blind"]["revealed"]
    for state in phones:
        assert list(misfits(state, payloads.StudentState)) == []


def test_the_quality_of_votes(mode):
    taught(mode)
    votes = mode.store.votes()
    assert len({vote.voter for vote in votes}) == 2
    assert list(misfits(vote_quality(votes), payloads.Quality)) == []
    for row in voter_table(votes):
        assert list(misfits(row, payloads.VoterRow)) == []


def test_four_texts_to_rank(store):
    store.rankings.add_fours(new_fours(1))
    shown = store.rankings.next_four(store.visit("here"), HAPPY, model="m")
    assert list(misfits({"assignment": shown}, payloads.NextFour)) == []


@pytest.mark.parametrize("kind", ["ppo", "reward"])
def test_a_board(new_jobs, kind):  # noqa: F811
    jobs = new_jobs(scheduling=False)
    name = start(jobs, kind)
    run = jobs.find(name)
    shutil.copy(EXAMPLES / f"{kind}-{EXAMPLE[kind]}" / "metrics.jsonl", run.folder)
    request = {"kind": kind, "run": name, "since": -1, "created": None, "secret": ""}
    if kind == "ppo":
        shutil.copy(EXAMPLES / "ppo-quick" / "samples.jsonl", run.folder)
        request |= {"texts_after": -1, "inside_after": -1}
    state = Board(jobs, Settings()).board_rows(request)
    assert len(state["columns"]["step"]) > 3
    assert bool(state["texts"]) == (kind == "ppo")
    assert list(misfits(state, payloads.BoardState)) == []


def test_a_shipped_duel():
    record = read_json(CHECKPOINTS / "examples" / "duel.json")
    assert list(misfits(record["state"], payloads.DuelState)) == []
