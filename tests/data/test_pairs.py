"""Preference pairs: formats, bad rows, what is dropped, the split by prompt."""

import csv
import gzip
import itertools
import json
import time

import pytest

from rlhf_demo.data import hub_datasets as datasets
from rlhf_demo.data import pairs as preferences
from rlhf_demo.data.pairs import (
    MOST_RANKED,
    Pairs,
    copy_pairs,
    implicit_prompt,
    load_pairs,
    split_by_prompt,
)
from rlhf_demo.data.rows import OWN
from rlhf_demo.errors import DataError

ROWS = [
    {
        "prompt": "The film",
        "chosen": " is good.",
        "rejected": " is bad.",
        "margin": 2.5,
        "split": "train",
    },
    {
        "prompt": "I went",
        "chosen": " home.",
        "rejected": " to, to the.",
        "margin": 0.5,
        "split": "heldout",
    },
]


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def write_csv(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def write_gz(path, rows):
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return str(path)


def write_json(path, rows):
    path.write_text(json.dumps(rows))
    return str(path)


def write_parquet(path, rows):
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return str(path)


# -- formats ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.jsonl", write_jsonl),
        ("a.jsonl.gz", write_gz),
        ("a.json", write_json),
        ("a.csv", write_csv),
        ("a.parquet", write_parquet),
    ],
)
def test_load_pairs_gives_the_same_from_every_format(tmp_path, name, write):
    assert load_pairs(write(tmp_path / name, ROWS)) == Pairs(
        ["The film", "I went"],
        [" is good.", " home."],
        [" is bad.", " to, to the."],
        [2.5, 0.5],
        {},
    )


def test_load_pairs_with_split_takes_the_rows_of_that_split(tmp_path):
    assert load_pairs(write_jsonl(tmp_path / "a.jsonl", ROWS), "heldout").prompts == ["I went"]


def test_load_pairs_with_split_of_a_file_without_that_column_says_so(tmp_path):
    rows = [{"chosen": "a", "rejected": "b"}]
    with pytest.raises(DataError, match="row 1: column 'split' is missing"):
        load_pairs(write_jsonl(tmp_path / "a.jsonl", rows), "train")


def test_load_pairs_shipped_reads_the_checkpoints_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(preferences, "CHECKPOINTS", tmp_path)
    write_jsonl(tmp_path / "pairs.jsonl", ROWS)
    assert load_pairs("shipped", "train").chosen == [" is good."]


def test_load_pairs_without_margins_has_none(tmp_path):
    assert (
        load_pairs(write_jsonl(tmp_path / "a.jsonl", [{"chosen": "a", "rejected": "b"}])).margins
        is None
    )


@pytest.mark.parametrize(
    ("name", "write"),
    [("a.jsonl", write_jsonl), ("a.csv", write_csv), ("a.parquet", write_parquet)],
)
def test_pairs_of_a_ranking_share_a_key_on_their_prompt(tmp_path, name, write):
    texts = {"chosen": "a", "rejected": "b"}
    rows = [
        {"prompt": "p", "ranking": "7"} | texts,
        {"prompt": "p", "ranking": None, "chosen": "c", "rejected": "d"},
        {"prompt": "p", "ranking": "7", "chosen": "b", "rejected": "c"},
        {"prompt": "q", "ranking": "7"} | texts,
    ]
    pairs = load_pairs(write(tmp_path / name, rows))
    assert pairs.rankings == ["7", None, "7", "7"]
    assert pairs.ranking_keys == [("p", "7"), None, ("p", "7"), ("q", "7")]
    assert pairs.select([3, 1]).ranking_keys == [("q", "7"), None]
    copied = tmp_path / "copy.jsonl"
    assert copy_pairs(tmp_path / name, copied, OWN) == load_pairs(str(copied)) == pairs


def test_ranking_of_more_than_nine_texts_is_refused(tmp_path):
    texts = "abcdefghi"
    rows = [
        {"prompt": "p", "chosen": one, "rejected": other, "ranking": 1}
        for one, other in itertools.combinations(texts, 2)
    ]
    path = tmp_path / "a.jsonl"
    assert len(load_pairs(write_jsonl(path, rows))) == MOST_RANKED == 9 * 8 / 2
    again = {**rows[0], "rater": "another"}
    with pytest.raises(DataError, match="the ranking '1' has 37 pairs: give at most 36"):
        load_pairs(write_jsonl(path, [*rows, again]))
    fewer = [rows[0], *(rows[0] | {"rejected": text} for text in "bcdefghij")]
    with pytest.raises(DataError, match="the ranking '1' has 10 texts: give at most 9"):
        load_pairs(write_jsonl(path, fewer))


# -- prompts of pairs ------------------------------------------------------------------------------


def test_explicit_prompt_that_both_repeat_is_taken_off(tmp_path):
    row = {"prompt": "Hi", "chosen": "Hi there", "rejected": "Hi you"}
    pairs = load_pairs(write_jsonl(tmp_path / "a.jsonl", [row]))
    assert (pairs.prompts, pairs.chosen, pairs.rejected) == (["Hi"], [" there"], [" you"])


def test_explicit_prompt_that_one_repeats_stays(tmp_path):
    row = {"prompt": "Hi", "chosen": "Hi there", "rejected": " you"}
    assert load_pairs(write_jsonl(tmp_path / "a.jsonl", [row])).chosen == ["Hi there"]


@pytest.mark.parametrize(
    ("chosen", "rejected", "prompt"),
    [
        # A dialogue is cut after the last turn that both share, though the answers begin alike.
        (
            "\n\nHuman: Hi\n\nAssistant: Oh no.",
            "\n\nHuman: Hi\n\nAssistant: Oh yes.",
            "\n\nHuman: Hi\n\nAssistant:",
        ),
        # Of several turns, it is the last one's answer that is judged.
        (
            "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: Why\n\nAssistant: So.",
            "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: Why\n\nAssistant: No.",
            "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: Why\n\nAssistant:",
        ),
        # Plain texts are cut at the last whitespace, so no word is torn: "go" and "good" share
        # letters only.
        ("It is good", "It is going", "It is"),
        ("It is", "It is going", "It"),
        ("good", "going", ""),
        ("yes", "no", ""),
        ("", "", ""),
        ("a  b1", "a  b2", "a"),
        ("  b1", "  b2", ""),
        (" a b1", " a b2", " a"),
        ("a b\n 1", "a b\n 2", "a b"),
        ("a b\n1", "a b\n2", "a b"),
        ("a\u2003b1", "a\u2003b2", "a"),
    ],
)
def test_implicit_prompt_is_the_common_beginning_in_whole_words(chosen, rejected, prompt):
    assert implicit_prompt(chosen, rejected) == prompt


def test_implicit_prompt_of_a_million_blanks_takes_no_time():
    blanks = " " * 1_000_000
    started = time.perf_counter()
    assert implicit_prompt(blanks + "x y1", blanks + "x y2") == blanks + "x"
    assert time.perf_counter() - started < 5  # 0.1 s; by the regular expression before, hours


def test_load_pairs_with_implicit_prompt_keeps_the_whole_text(tmp_path):
    row = {"chosen": "It is good", "rejected": "It is going"}
    pairs = load_pairs(write_jsonl(tmp_path / "a.jsonl", [row]))
    assert (pairs.prompts, pairs.chosen, pairs.rejected) == (["It is"], [" good"], [" going"])


# -- bad rows --------------------------------------------------------------------------------------


GOOD = {"prompt": "a", "chosen": "b", "rejected": "c"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"prompt": "a", "chosen": "b"},
            "row 2: column 'rejected' is missing .found: prompt, chosen",
        ),
        ({**GOOD, "chosen": None}, "row 2: column 'chosen' is null"),
        ({**GOOD, "prompt": None}, "row 2: column 'prompt' is null"),
        ({**GOOD, "chosen": 7}, "row 2: column 'chosen' is 7, not text"),
        (
            {**GOOD, "chosen": [{"role": "user", "content": "x"}]},
            "row 2: column 'chosen' is a list of messages",
        ),
        ({**GOOD, "chosen": "d", "margin": "big"}, "row 2: column 'margin' is 'big'"),
        ({**GOOD, "chosen": "d", "margin": True}, "row 2: column 'margin' is True"),
        (["a", "b"], "row 2 is .* not an object"),
        ({**GOOD, "chosen": "d", "margin": 10**400}, "row 2: column 'margin' is 1000"),
        ({**GOOD, "chosen": "d" * 200_001}, "row 2: column 'chosen' has 200,001 characters"),
        ({f"c{number}": "" for number in range(10**5)}, r"\(found: c0, .*c8\): add it$"),
        ({**GOOD, "chosen": {"a": "b" * 10**6}}, r"'chosen' is .{0,60}, not text"),
    ],
)
def test_bad_row_is_named_by_number_and_fault(tmp_path, row, message):
    with pytest.raises(DataError, match=message):
        load_pairs(write_jsonl(tmp_path / "a.jsonl", [GOOD, row]))


def test_margin_in_some_rows_only_is_an_error(tmp_path):
    with pytest.raises(DataError, match="'margin' is in some rows only"):
        load_pairs(write_jsonl(tmp_path / "a.jsonl", [GOOD, {**GOOD, "chosen": "d", "margin": 1}]))


def test_empty_equal_and_duplicate_pairs_are_dropped_with_a_count(tmp_path):
    rows = [GOOD, {**GOOD, "chosen": " "}, {**GOOD, "rejected": "b"}, GOOD, {**GOOD, "chosen": "d"}]
    pairs = load_pairs(write_jsonl(tmp_path / "a.jsonl", rows))
    assert pairs.chosen == ["b", "d"]
    assert pairs.dropped == {"empty": 1, "equal": 1, "duplicate": 1}


def test_same_judgement_by_two_voters_is_no_duplicate(tmp_path):
    rows = [{**GOOD, "rater": rater} for rater in (1, 2, 2, 3)]
    pairs = load_pairs(write_jsonl(tmp_path / "a.jsonl", rows))
    assert len(pairs) == 3  # three to nothing counts three times
    assert pairs.dropped == {"duplicate": 1}


def test_data_without_a_usable_pair_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no usable pairs"):
        load_pairs(write_jsonl(tmp_path / "a.jsonl", [{**GOOD, "rejected": "b"}]))


def test_pairs_of_unequal_columns_are_refused():
    with pytest.raises(DataError, match="same number"):
        Pairs(["a"], ["b", "c"], ["d"])


def test_split_that_is_not_there_is_named(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{**GOOD, "split": "train"}])
    with pytest.raises(DataError, match="holds no pairs of the split 'heldout'"):
        load_pairs(path, "heldout")


# -- sources that are not there --------------------------------------------------------------------


@pytest.mark.parametrize("source", ["nothing.jsonl", "/no/such/pairs", "./pairs", "a b", "a/b/c"])
def test_missing_file_is_named_and_the_hub_not_asked(source, monkeypatch):
    monkeypatch.setattr(datasets, "hub_refusal", lambda *_: pytest.fail("asked the Hub"))
    with pytest.raises(DataError, match="there is no file"):
        load_pairs(source)


def test_missing_shipped_pairs_say_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setattr(preferences, "CHECKPOINTS", tmp_path)
    with pytest.raises(DataError, match="make-pairs"):
        load_pairs("shipped", "train")


# -- split by prompt -------------------------------------------------------------------------------


def pairs_on(prompts):
    numbers = range(len(prompts))
    return Pairs(
        prompts, [f"c{n}" for n in numbers], [f"r{n}" for n in numbers], [float(n) for n in numbers]
    )


def test_split_by_prompt_has_no_prompt_on_both_sides_and_every_pair_once():
    pairs = pairs_on([f"p{n % 17}" for n in range(100)])
    train, held_out = split_by_prompt(pairs, 60, seed=0)
    assert not set(train.prompts) & set(held_out.prompts)
    assert sorted(train.chosen + held_out.chosen) == sorted(pairs.chosen)
    assert 54 <= len(train) <= 60  # groups of 5 or 6 pairs fill it to within one group


def test_split_by_prompt_keeps_a_fifth_held_out():
    train, held_out = split_by_prompt(pairs_on([f"p{n}" for n in range(50)]), 1242, seed=0)
    assert (len(train), len(held_out)) == (40, 10)


def test_split_by_prompt_depends_on_nothing_but_the_seed():
    pairs = pairs_on([f"p{n}" for n in range(50)])
    assert split_by_prompt(pairs, 20, seed=1) == split_by_prompt(pairs, 20, seed=1)
    assert split_by_prompt(pairs, 20, seed=1) != split_by_prompt(pairs, 20, seed=2)


def test_selected_pairs_keep_together_what_belongs_together():
    pairs = Pairs(
        ["p", "q", "s"], ["c0", "c1", "c2"], ["r0", "r1", "r2"], [0.0, 1.0, 2.0], {"a": 1}
    )
    assert pairs.select([2, 0]) == Pairs(
        ["s", "p"], ["c2", "c0"], ["r2", "r0"], [2.0, 0.0], {"a": 1}
    )


def test_label_noise_swaps_the_texts_of_that_share_and_leaves_all_else():
    """A quarter of ten pairs is 2.5, which rounds to 2."""
    names = [str(n) for n in range(10)]
    pairs = Pairs(names, [f"good {n}" for n in names], [f"bad {n}" for n in names], [1.0] * 10)
    noisy = pairs.with_label_noise(0.25, seed=3)
    swapped = [n for n in names if noisy.chosen[int(n)] == f"bad {n}"]
    assert len(swapped) == 2
    for n, chosen, rejected in zip(names, noisy.chosen, noisy.rejected, strict=True):
        right = (f"good {n}", f"bad {n}")
        assert (chosen, rejected) == (right[::-1] if n in swapped else right)
    assert (noisy.prompts, noisy.margins) == (pairs.prompts, pairs.margins)
    assert pairs.chosen[0] == "good 0"  # the pairs themselves stay as they are


def test_label_noise_of_none_all_and_more():
    """With one seed, a larger share swaps the same pairs and more; another seed swaps others."""
    names = [str(n) for n in range(50)]
    pairs = Pairs(names, [f"good {n}" for n in names], [f"bad {n}" for n in names])
    assert pairs.with_label_noise(0.0, seed=1) == pairs
    assert pairs.with_label_noise(1.0, seed=1) == Pairs(names, pairs.rejected, pairs.chosen)

    def swapped(share, seed):
        noisy = pairs.with_label_noise(share, seed)
        return {n for n, chosen in zip(names, noisy.chosen, strict=True) if chosen[0] == "b"}

    assert swapped(0.2, 1) < swapped(0.4, 1)
    assert swapped(0.4, 1) == swapped(0.4, 1) != swapped(0.4, 2)


def test_split_of_pairs_on_one_prompt_is_an_error():
    with pytest.raises(DataError, match="give pairs on more prompts"):
        split_by_prompt(pairs_on(["same"] * 10), 5, seed=0)
