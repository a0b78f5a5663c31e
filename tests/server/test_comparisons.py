"""Comparisons as records: opened as they were kept, in a folder with room for some."""

import json
import os

import pytest

from rlhf_demo.errors import DataError
from rlhf_demo.files import read_json
from rlhf_demo.server.comparisons import EXAMPLE_PATH, Comparisons

SETTINGS = {who: {"id": "gpt2-mini", "name": "gpt2-mini"} for who in ("left", "right", "scorer")}


def test_kept_record_when_opened_is_the_same(tmp_path):
    kept = Comparisons(tmp_path / "comparisons")
    settings = SETTINGS | {"prompt": "Größe ", "seed": 2**63}
    state = {"left": {"log_ratio": [0.5]}}
    record = kept.keep({"kind": "duel", "settings": settings, "state": state}, "here")
    assert record["settings"] == settings
    assert kept.open(record["id"]) == record


@pytest.mark.parametrize("name", ["duel", "compare"])
def test_shipped_example_saved_as_a_record_is_opened_whole(tmp_path, name):
    kept = Comparisons(tmp_path)
    shipped = read_json(EXAMPLE_PATH.with_name(f"{name}.json"))
    if name == "compare":
        shipped = {"kind": "many", "settings": SETTINGS, "report": shipped}
    record = kept.keep(shipped, "here")
    assert kept.open(record["id"]) == record


def test_what_an_archive_adds_to_a_record_is_not_shown(tmp_path):
    """Lists in lists in its state took 2.3 GB and a minute in which nobody was answered."""
    kept = Comparisons(tmp_path)
    nested = json.loads("[" * 100 + "]" * 100)
    state = {"left": {"log_ratio": [0.5]}, "x": nested}
    record = kept.keep({"kind": "duel", "settings": SETTINGS, "state": state, "y": nested}, "here")
    assert kept.open(record["id"])["state"] == {"left": {"log_ratio": [0.5]}}
    assert "y" not in kept.open(record["id"])
    for odd in (nested, {"left": {"log_ratio": [nested]}}):
        record = kept.keep({"kind": "duel", "settings": SETTINGS, "state": odd}, "here")
        with pytest.raises(DataError, match="earlier version"):
            kept.open(record["id"])
    record = kept.keep(
        {"kind": "duel", "settings": SETTINGS | {"x": nested}, "state": state}, "here"
    )
    with pytest.raises(DataError, match="earlier version"):
        kept.open(record["id"])


@pytest.mark.parametrize("name", ["", "aaaaaaaa", "../../etc", "AAAAAAAA", "aaaaaaa\n", "a" * 99])
def test_id_that_is_not_there_when_opened_is_told_in_a_sentence(tmp_path, name):
    with pytest.raises(DataError, match="no saved comparison"):
        Comparisons(tmp_path).open(name)


@pytest.mark.parametrize(
    "old",
    [
        {"kind": "many", "settings": SETTINGS, "report": {"win_rate": 0.9}},
        {"kind": "duel", "settings": SETTINGS, "state": {"left": {"kl": [-0.5]}}},  # that was no KL
        {
            "kind": "duel",
            "settings": SETTINGS | {"chosen_by": 5},
            "state": {"left": {"log_ratio": []}},
        },
        {"state": None},
        {"kind": "duel", "settings": SETTINGS, "state": None},
        {"kind": "many", "settings": SETTINGS, "report": 5},
    ],
)
def test_record_of_an_earlier_version_is_told_in_a_sentence(tmp_path, old):
    kept = Comparisons(tmp_path)
    with pytest.raises(DataError, match="was made by an earlier version of this page"):
        kept.open(kept.keep(old, "here")["id"])


def test_folder_of_comparisons_when_full_loses_its_oldest(tmp_path):
    kept = Comparisons(tmp_path, most=2)
    (tmp_path / "letters.json").write_text("of somebody, where a link led")
    ids = []
    for number in range(3):
        ids.append(kept.keep({"number": number}, "here")["id"])
        os.utime(tmp_path / f"{ids[-1]}.json", ns=(number, number))
    assert {path.stem for path in tmp_path.glob("*.json")} == {"letters", *ids[1:]}


def test_who_fills_the_folder_of_comparisons_loses_ones_own(tmp_path):
    kept = Comparisons(tmp_path, most=4)
    honest = [kept.keep({"of": "ann"}, "there")["id"] for _ in range(2)]
    for _ in range(9):
        kept.keep({"of": "eve"}, "here")
    assert set(honest) < {path.stem for path in tmp_path.glob("*.json")}
    assert len(list(tmp_path.glob("*.json"))) == 4
