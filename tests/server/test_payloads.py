"""What the server sends is what server/payloads.py declares, key by key."""

import shutil
import types
from types import SimpleNamespace
from typing import Any, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

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
from tests.fake_jobs import start

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Gradio's unclosed event loops


EXAMPLE = {"ppo": "quick", "reward": "shipped"}
"""Kind -> the shipped run of that kind whose figures are shown."""


def misfits(value, hint, path="payload"):
    """Yield where a value is not what is declared; other keys of a TypedDict are misfits too."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return
    if origin is NotRequired:
        yield from misfits(value, inner[0], path)
    elif origin in (Union, types.UnionType):
        found = [list(misfits(value, one, path)) for one in inner]
        if all(found):
            yield from found[0]
    elif is_typeddict(hint):
        yield from _misfits_of_keys(value, hint, path)
    elif origin and not isinstance(value, (list, tuple) if origin is tuple else origin):
        yield f"{path} is {value!r}, not a {origin.__name__}"
    elif origin is list:
        for place, one in enumerate(value):
            yield from misfits(one, inner[0], f"{path}[{place}]")
    elif origin is dict:
        for key, one in value.items():
            yield from misfits(one, inner[1], f"{path}.{key}")
    elif origin is tuple:
        for place, (one, kind) in enumerate(zip(value, inner, strict=True)):
            yield from misfits(one, kind, f"{path}[{place}]")
    elif not isinstance(value, (int, float) if hint is float else hint):
        yield f"{path} is {value!r}, not {hint.__name__}"


def _misfits_of_keys(value, hint, path):
    declared = get_type_hints(hint, include_extras=True)
    if not isinstance(value, dict):
        yield f"{path} is {value!r}, not {hint.__name__}"
        return
    for name, kind in declared.items():
        if name in value:
            yield from misfits(value[name], kind, f"{path}.{name}")
        elif get_origin(kind) is not NotRequired:
            yield f"{path} lacks {name}"
    if hint is not payloads.SampleRow:  # its columns of figures are not declared
        yield from (f"{path}.{name} is not declared" for name in value.keys() - declared.keys())


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
