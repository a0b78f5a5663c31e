"""Comparisons as records: opened as they were kept, in a folder with room for some."""

import os

import pytest

from rlhf_demo.errors import DataError
from rlhf_demo.server.comparisons import Comparisons


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
        {"state": None},
        {"kind": "duel", "state": None},
        {"kind": "many", "report": 5},
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
