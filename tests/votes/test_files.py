"""Votes in files: both layouts, both formats, out and back in."""

import json
from dataclasses import replace

import datasets
import pytest

from rlhf_demo.errors import DataError, Refused
from rlhf_demo.votes.files import (
    ALL_COLUMNS,
    BOUNDS,
    PREFERENCE_COLUMNS,
    export_demonstrations,
    export_rankings,
    export_votes,
    holds_demonstrations,
    holds_rankings,
    ranking_pair_rows,
    read_demonstrations,
    read_rankings,
    read_votes,
)
from rlhf_demo.votes.quality import vote_quality, win_rate
from rlhf_demo.votes.vote import ATTENTION_CHECK, DUEL, PLAIN, Demonstration, Ranking, Vote

VOTE = Vote(
    id=1, collection=4, round=2, kind=PLAIN, pair=1, prompt="The film", first=" is good.",
    second=" is bad.", first_model="a", second_model="b", question="Which is happier?", voter=7,
    choice="second", swapped=True, repeat=False, time=86_400.0, seconds=2.5, simulated=False,
    left_out=False,
)  # fmt: skip

SOURCE = "0" * 64
"""Stands for a file's SHA-256."""

ROW = {"prompt": "p", "first": "a", "second": "b", "choice": "first"}
"""As in a file with every answer."""

VOTES = [
    VOTE,
    replace(VOTE, id=2, voter=8, choice="first", simulated=True),
    replace(VOTE, id=3, voter=9, choice="tie", swapped=False),
    replace(VOTE, id=4, voter=7, choice="first", repeat=True),
    replace(VOTE, id=5, pair=2, kind=ATTENTION_CHECK, second=VOTE.first, choice="first"),
    replace(
        VOTE, id=6, pair=3, kind=DUEL, prompt="I", round=1, choice="skip", voter=10, left_out=True
    ),
]


def test_preference_row_follows_trls_format_with_question_voter_round_and_time(tmp_path):
    path = tmp_path / "votes.jsonl"
    # Ties, repeats, attention checks and skips are no preferences.
    assert export_votes(VOTES, path) == 2
    first = json.loads(path.read_text().splitlines()[0])
    assert first == {
        "prompt": "The film", "chosen": " is bad.", "rejected": " is good.",
        "question": "Which is happier?", "lesson": 4, "rater": 7, "round": 2,
        "time": "1970-01-02T00:00:00Z", "kind": "plain", "chosen_model": "b",
        "rejected_model": "a", "chosen_on_left": True, "simulated": False, "left_out": False,
    }  # fmt: skip


@pytest.mark.parametrize("all_votes", [False, True])
@pytest.mark.parametrize(("ending", "builder"), [("jsonl", "json"), ("parquet", "parquet")])
def test_exported_file_opens_with_load_dataset(tmp_path, ending, builder, all_votes):
    path = tmp_path / f"votes.{ending}"
    export_votes(VOTES, path, all_votes=all_votes)
    rows = datasets.load_dataset(
        builder, data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
    )
    columns = ALL_COLUMNS if all_votes else PREFERENCE_COLUMNS
    assert rows.column_names == list(columns)
    assert len(rows) == (6 if all_votes else 2)
    assert rows[0]["rater"] == 7 and rows[1]["simulated"] is True


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_all_votes_come_back_as_they_went(tmp_path, store, ending):
    path = tmp_path / f"votes.{ending}"
    export_votes(VOTES, path, all_votes=True)
    collection, double = store.add_votes(read_votes(path, question="unused"), SOURCE)
    back = store.votes(collection)
    assert double == 0
    known = ("prompt", "first", "second", "choice", "question", "round", "kind", "repeat",
             "swapped", "time", "seconds", "simulated", "left_out", "first_model")  # fmt: skip
    assert [[getattr(v, n) for n in known] for v in back] == [
        [getattr(v, n) for n in known] for v in VOTES
    ]
    assert vote_quality(back) == vote_quality(VOTES)
    assert win_rate(back) == win_rate(VOTES)


def test_imported_preferences_on_one_pair_are_seen_to_disagree(tmp_path, store):
    path = tmp_path / "votes.jsonl"
    export_votes(VOTES, path)
    collection, _ = store.add_votes(read_votes(path, question="unused"), SOURCE)
    back = store.votes(collection)
    assert len({vote.pair for vote in back}) == 1
    assert [vote.chosen for vote in back] == [" is bad.", " is good."]
    assert [vote.left for vote in back] == [True, False]


def test_file_imported_twice_is_refused(tmp_path, store):
    path = tmp_path / "votes.jsonl"
    export_votes(VOTES, path)
    store.add_votes(read_votes(path, question="unused"), SOURCE)
    with pytest.raises(Refused, match="already been imported"):
        store.add_votes(read_votes(path, question="unused"), SOURCE)
    assert len(store.votes()) == 2


def test_plain_trl_file_gets_the_question_and_counts_double_rows_once(tmp_path, store):
    path = tmp_path / "plain.jsonl"
    row = {"prompt": "p", "chosen": " a", "rejected": " b"}
    path.write_text("\n".join([json.dumps(row), json.dumps(row)]))
    collection, double = store.add_votes(read_votes(path, question="Which?"), SOURCE)
    [vote] = store.votes(collection)
    assert (double, vote.question, vote.chosen, vote.left) == (1, "Which?", " a", None)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("[]", r"row 1 is \[\], not an object"),
        ("{", "row 1 is not valid JSON"),
        ('{"chosen": "a", "rejected": "b"}', "column 'prompt' is missing: add it"),
        ('{"prompt": "p", "chosen": "a", "rejected": 3}', "column 'rejected' is 3"),
        ('{"prompt": "p", "chosen": "a", "rejected": "b", "rater": "Ann"}', "'rater' is 'Ann'"),
        ('{"prompt": "p", "chosen": "a", "rejected": "b", "round": true}', "'round' is True"),
        ('{"prompt": "p", "chosen": "a", "rejected": "b", "time": "now"}', "'time' is 'now'"),
        ('{"prompt": "p", "first": "a", "second": "b", "choice": "left"}', "choice 'left'"),
        ('{"prompt": "p", "chosen": "a\\ud800", "rejected": "b"}', "an incomplete or a null"),
        (
            '{"prompt": "p", "chosen": "a", "rejected": "b", "question": ""}',
            "row 1: the question is empty",
        ),
        ('{"prompt": "p", "chosen": "a", "rejected": "b", "round": 0}', "round is 0"),
        (ROW | {"seconds": float("inf")}, "row 1: seconds is inf"),
        (ROW | {"seconds": float("nan")}, "row 1: seconds is nan"),
        (ROW | {"seconds": -1}, "row 1: seconds is -1"),
        (ROW | {"seconds": 10**400}, "row 1: seconds is 1000"),
        (ROW | {"seconds": True}, "'seconds' is True"),
        (ROW | {"question": "x" * 121}, "row 1: the question has 121"),
        (ROW | {"first": "x" * 4001}, "row 1: the first has 4001 characters: use at most 4000"),
        (ROW | {"second_model": "x" * 201}, "row 1: the second_model has 201"),
        ("[" * 100_000, "row 1 is nested too deep"),
        ("", "holds no votes"),
    ],
)
def test_bad_row_is_named(tmp_path, row, message):
    path = tmp_path / "votes.jsonl"
    path.write_text(row if isinstance(row, str) else json.dumps(row))
    with pytest.raises(DataError, match=message):
        read_votes(path, question="Which?")


def test_bad_files_are_named(tmp_path):
    broken = tmp_path / "votes.parquet"
    broken.write_bytes(b"PAR1")
    latin = tmp_path / "votes.jsonl"
    latin.write_bytes(b"\xff\xfe\xfa")
    other = tmp_path / "votes.csv"
    other.write_text("x")
    for path, message in [
        (broken, "not a readable Parquet"),
        (latin, "as UTF-8"),
        (other, "an unknown format"),
        (tmp_path / "none.jsonl", "cannot be read"),
    ]:
        with pytest.raises(DataError, match=message):
            read_votes(path, question="Which?")


def test_nothing_to_write_is_said(tmp_path):
    with pytest.raises(DataError, match="no votes"):
        export_votes([], tmp_path / "votes.jsonl")
    with pytest.raises(DataError, match="an unknown format"):
        export_votes(VOTES, tmp_path / "votes.xml")


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_file_with_too_many_rows_is_refused_in_one_sentence(tmp_path, ending):
    path = tmp_path / f"votes.{ending}"
    export_votes([VOTE] * BOUNDS.rows, path, all_votes=True)
    assert len(read_votes(path, question="unused")) == BOUNDS.rows
    export_votes([VOTE] * (BOUNDS.rows + 1), path, all_votes=True)
    with pytest.raises(DataError, match=r"more than 20,000 rows: give fewer$"):
        read_votes(path, question="unused")


def test_file_with_too_many_bytes_is_not_read(tmp_path):
    path = tmp_path / "votes.jsonl"
    with path.open("wb") as file:
        file.truncate(BOUNDS.bytes + 1)
    with pytest.raises(DataError, match="holds over 20 MB of text: give less"):
        read_votes(path, question="unused")


@pytest.mark.parametrize("seconds", [float("inf"), float("nan")])
def test_seconds_that_are_no_number_stop_no_export(tmp_path, seconds):
    path = tmp_path / "votes.jsonl"
    export_votes([replace(VOTE, seconds=seconds)], path, all_votes=True)
    assert json.loads(path.read_text())["seconds"] is None


def test_texts_of_a_file_lose_what_turns_a_page_round_and_keep_their_lines(tmp_path):
    path = tmp_path / "votes.jsonl"
    texts = {"prompt": "Human:\n\n Hi", "first": " a\u202eb", "question": " Which\n one?"}
    path.write_text(json.dumps(ROW | texts))
    [vote] = read_votes(path, question="unused")
    assert (vote.prompt, vote.first, vote.question) == ("Human:\n\n Hi", " ab", "Which one?")


# -- demonstrations --------------------------------------------------------------------------------

TEXT = Demonstration(
    id=1, collection=4, round=2, prompt="The film", completion=" was a joy.",
    question="Which is happier?", voter=7, time=86_400.0, left_out=False,
)  # fmt: skip
TEXTS = [TEXT, replace(TEXT, id=2, voter=8, completion="\u2019s end", left_out=True)]


def test_demonstration_follows_trls_format_with_question_voter_round_and_time(tmp_path):
    path = tmp_path / "texts.jsonl"
    assert export_demonstrations(TEXTS, path) == 2
    assert json.loads(path.read_text().splitlines()[0]) == {
        "prompt": "The film", "completion": " was a joy.", "question": "Which is happier?",
        "lesson": 4, "rater": 7, "round": 2, "time": "1970-01-02T00:00:00Z", "left_out": False,
    }  # fmt: skip


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_demonstrations_come_back_as_they_went(tmp_path, store, ending):
    path = tmp_path / f"texts.{ending}"
    export_demonstrations(TEXTS, path)
    assert holds_demonstrations(path)
    read = read_demonstrations(path, question="unused")
    collection, double = store.demonstrations.add([*read, read[0]], SOURCE)
    back = store.demonstrations.of_visitors()
    assert (double, {one.collection for one in back}) == (1, {collection})
    known = ("round", "prompt", "completion", "question", "time", "left_out")
    assert [[getattr(one, name) for name in known] for one in back] == [
        [getattr(one, name) for name in known] for one in TEXTS
    ]
    assert len({one.voter for one in back}) == 2
    assert store.votes() == []
    with pytest.raises(Refused, match="already been imported"):
        store.demonstrations.add(read, SOURCE)


def test_plain_trl_file_of_demonstrations_gets_the_question(tmp_path):
    path = tmp_path / "plain.jsonl"
    path.write_text('{"prompt": "p", "completion": " a\u200b\\n b"}\n')
    [one] = read_demonstrations(path, question="Which?")
    assert (one.prompt, one.completion, one.question) == ("p", " a\n b", "Which?")
    assert (one.voter, one.round, one.left_out) == (1, 1, False)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"prompt": "p", "completion": " \\n"}', "row 1: column 'completion' is empty"),
        ('{"prompt": "p", "completion": 3}', "column 'completion' is 3: give text"),
        ('{"completion": "a"}', "column 'prompt' is missing: add it"),
        ('{"prompt": "p", "completion": "a", "rater": "Ann"}', "'rater' is 'Ann'"),
        ('{"prompt": "p", "completion": "a", "round": 0}', "round is 0: use 1 to"),
        ('{"prompt": "p", "completion": "a", "time": "now"}', "'time' is 'now'"),
        (f'{{"prompt": "p", "completion": "{"x" * 4001}"}}', "has 4001 characters: use at most"),
    ],
)
def test_bad_demonstration_is_refused_with_its_row(tmp_path, row, message):
    path = tmp_path / "bad.jsonl"
    path.write_text(row + "\n")
    assert holds_demonstrations(path)
    with pytest.raises(DataError, match=message):
        read_demonstrations(path, question="Which?")


def test_files_of_votes_and_empty_ones_are_no_demonstrations(tmp_path):
    path = tmp_path / "votes.jsonl"
    for all_votes in (False, True):
        export_votes(VOTES, path, all_votes=all_votes)
        assert not holds_demonstrations(path)
    path.write_text("")
    assert not holds_demonstrations(path)
    with pytest.raises(DataError, match="no written texts yet"):
        export_demonstrations([], path)


# -- rankings --------------------------------------------------------------------------------------

RANKING = Ranking(
    id=1, collection=4, round=2, prompt="The film", first=" is good.", second=" was bad.",
    third=", which ended", fourth=" I loved", order="DACB", model="m", seed=7,
    question="Which is happier?", voter=7, time=86_400.0, left_out=False,
)  # fmt: skip
RANKINGS = [RANKING, replace(RANKING, id=2, voter=8, order="ABCD", left_out=True)]

RANKED = {"prompt": "p", "first": "a", "second": "b", "third": "c", "fourth": "d", "order": "BACD"}
"""As in a file of rankings."""


def test_ranking_is_one_row_with_its_texts_and_their_order(tmp_path):
    path = tmp_path / "rankings.jsonl"
    assert export_rankings(RANKINGS, path) == 2
    assert json.loads(path.read_text().splitlines()[0]) == {
        "prompt": "The film", "first": " is good.", "second": " was bad.",
        "third": ", which ended", "fourth": " I loved", "order": "DACB",
        "question": "Which is happier?", "lesson": 4, "rater": 7, "round": 2,
        "time": "1970-01-02T00:00:00Z", "model": "m", "seed": 7, "left_out": False,
    }  # fmt: skip


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_rankings_come_back_as_they_went(tmp_path, store, ending):
    path = tmp_path / f"rankings.{ending}"
    export_rankings(RANKINGS, path)
    assert holds_rankings(path) and not holds_demonstrations(path)
    read = read_rankings(path, question="unused")
    collection, double = store.rankings.add([*read, replace(read[0], order="ABCD")], SOURCE)
    back = store.rankings.of_visitors()
    assert (double, {one.collection for one in back}) == (1, {collection})  # its first order stays
    known = ("round", "prompt", "texts", "order", "model", "seed", "question", "time", "left_out")
    assert [[getattr(one, name) for name in known] for one in back] == [
        [getattr(one, name) for name in known] for one in RANKINGS
    ]
    assert len({one.voter for one in back}) == 2
    assert store.votes() == []
    with pytest.raises(Refused, match="already been imported"):
        store.rankings.add(read, SOURCE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"third": " b "}, "row 1: the texts B and C are the same: rank four different texts"),
        ({"order": "BBCD"}, "row 1: the order 'BBCD' is not a ranking: name each of A, B, C and D"),
        ({"order": "BACDA"}, "the order 'BACDA' is not a ranking"),
        ({"order": 2143}, "column 'order' is 2143: give text"),
        ({"order": None}, "column 'order' is missing: add it"),
        ({"fourth": " \n"}, "column 'fourth' is empty: give text"),
        ({"second": "x" * 4001}, "the second has 4001 characters: use at most 4000"),
        ({"model": "x" * 201}, "the model has 201 characters"),
        ({"seed": 2**31}, "seed is 2147483648: use 0 to 2147483647"),
        ({"rater": "Ann"}, "'rater' is 'Ann'"),
        ({"round": 0}, "round is 0: use 1 to"),
    ],
)
def test_bad_ranking_is_refused_with_its_row(tmp_path, change, message):
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps(RANKED | change) + "\n")
    assert holds_rankings(path)
    with pytest.raises(DataError, match=message):
        read_rankings(path, question="Which?")
    path.write_text(json.dumps(RANKED) + "\n")
    [one] = read_rankings(path, question="Which?")
    assert (one.order, one.question, one.voter, one.model, one.seed) == ("BACD", "Which?", 1, "", 0)


def test_files_of_votes_and_empty_ones_are_no_rankings(tmp_path):
    path = tmp_path / "votes.jsonl"
    for all_votes in (False, True):
        export_votes(VOTES, path, all_votes=all_votes)
        assert not holds_rankings(path)
    path.write_text("")
    assert not holds_rankings(path)
    with pytest.raises(DataError, match="no rankings yet"):
        export_rankings([], path)


def test_pairs_of_a_ranking_are_rows_of_trls_format_that_name_it(tmp_path):
    rows = ranking_pair_rows(RANKING)
    a, b, c, d = RANKING.texts
    assert [(row["chosen"], row["rejected"]) for row in rows] == [
        (d, a), (d, c), (d, b), (a, c), (a, b), (c, b),
    ]  # fmt: skip
    assert {(row["prompt"], row["ranking"], row["rater"]) for row in rows} == {("The film", 1, 7)}
