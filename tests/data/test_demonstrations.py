"""Demonstrations: TRL's formats, bad rows, chat templates, the split by prompt."""

import json

import pytest

from rlhf_demo.data.demonstrations import (
    MOST_MESSAGES,
    Demonstrations,
    load_demonstrations,
    split_demonstrations,
)
from rlhf_demo.errors import DataError


def render(messages, answer_follows):
    """Write each message as `<role>content`, as a chat template might."""
    text = "".join(f"<{message['role']}>{message['content']}" for message in messages)
    return text + ("<assistant>" if answer_follows else "")


def said(role, content):
    return {"role": role, "content": content}


@pytest.fixture
def load(tmp_path):
    def load(*rows, split=None, render=render):
        path = tmp_path / "texts.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        texts = load_demonstrations(str(path), split, render)
        return list(zip(texts.prompts, texts.completions, strict=True))

    return load


ASKED, ANSWERED = said("user", "Hi"), said("assistant", "Hello.")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": "The film", "completion": " is good."}, ("The film", " is good.")),
        ({"prompt": "The film", "completion": "The film is good."}, ("The film", " is good.")),
        ({"prompt": "", "completion": "Good."}, ("", "Good.")),
        ({"text": "The film is good."}, ("", "The film is good.")),
        ({"prompt": "A", "chosen": " b", "rejected": " c"}, ("A", " b")),
        ({"chosen": "A b c", "rejected": "A b d"}, ("A b", " c")),
        ({"messages": [ASKED, ANSWERED]}, ("<user>Hi<assistant>", "Hello.")),
        (
            {"messages": [ASKED, ANSWERED, said("user", "Bye"), said("assistant", "Bye.")]},
            ("<user>Hi<assistant>Hello.<user>Bye<assistant>", "Bye."),
        ),
        ({"prompt": [ASKED], "completion": [ANSWERED]}, ("<user>Hi<assistant>", "Hello.")),
        ({"messages": [ANSWERED]}, ("", "<assistant>Hello.")),  # nobody asked
    ],
)
def test_each_format_of_trl_becomes_a_prompt_and_a_completion(load, row, expected):
    assert load(row) == [expected]


def test_formats_may_be_mixed_and_equal_texts_are_kept(load):
    twice = {"prompt": "A", "completion": " b"}
    assert load(twice, {"text": "c"}, twice) == [("A", " b"), ("", "c"), ("A", " b")]


def test_rows_without_a_text_are_dropped_and_counted(tmp_path):
    path = tmp_path / "texts.jsonl"
    rows = [{"text": "a"}, {"text": " \n"}, {"prompt": "b", "completion": "b"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    texts = load_demonstrations(str(path), None, render)
    assert (texts.completions, texts.dropped) == (["a"], 2)


def test_split_chooses_the_rows_of_a_file(load):
    rows = [{"text": "a", "split": "train"}, {"text": "b", "split": "test"}]
    assert load(*rows, split="test") == [("", "b")]


def test_parquet_is_read_by_its_columns(tmp_path):
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "texts.parquet"
    table = {"messages": [[ASKED, ANSWERED]], "id": [1]}
    pyarrow.parquet.write_table(pyarrow.table(table), path)
    texts = load_demonstrations(str(path), None, render)
    assert (texts.prompts, texts.completions) == (["<user>Hi<assistant>"], ["Hello."])


def test_shipped_pairs_give_their_preferred_side():
    texts = load_demonstrations("shipped", "train", render)
    assert len(texts) > 1000 and all(text.strip() for text in texts.completions)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"answer": "x"}, "row 1 has no column .*'text'.* \\(found: answer\\): add one"),
        ({"completion": "x"}, "row 1: column 'prompt' is missing"),
        ({"text": 3}, "row 1: column 'text' is 3, not text"),
        ({"text": "x" * 200_001}, "has 200,001 characters"),
        ({"messages": []}, r"column 'messages' is \[\]: give a list of messages"),
        ({"messages": "Hi"}, "column 'messages' is 'Hi': give a list"),
        ({"messages": [ASKED, "Hello."]}, "message 2 of 'messages' is 'Hello.': give it role"),
        ({"messages": [{"role": "user"}]}, "message 1 of 'messages': column 'content' is missing"),
        ({"messages": [ANSWERED, ASKED]}, "the last message is by 'user': end with the assis"),
        ({"messages": [ANSWERED] * (MOST_MESSAGES + 1)}, "has 1,001 messages: give at most 1,000"),
        ({"prompt": "Hi", "completion": [ANSWERED]}, "column 'prompt' is 'Hi': give a list"),
        ([], "row 1 is .*, not an object"),
    ],
)
def test_bad_row_is_named_with_what_to_do(load, row, words):
    with pytest.raises(DataError, match=words):
        load(row)


def test_file_without_texts_is_refused(load):
    with pytest.raises(DataError, match=r"holds no text to learn from \(1 empty\)"):
        load({"text": ""})
    with pytest.raises(DataError, match=r"holds no text to learn from \(0 empty\)"):
        load()


def test_template_that_writes_an_answered_conversation_differently_is_refused(load):
    def changed(messages, answer_follows):
        return f"{len(messages)} messages: " + render(messages, answer_follows)

    with pytest.raises(DataError, match="the chat template writes the conversation differently"):
        load({"messages": [ASKED, ANSWERED]}, render=changed)


# -- split -----------------------------------------------------------------------------------------


def texts_of(prompts):
    return Demonstrations(prompts, [f"{number}" for number in range(len(prompts))])


def test_no_prompt_is_on_both_sides_and_a_fifth_is_held_out():
    train, held_out = split_demonstrations(texts_of([*"aabbccddee"]), 100, seed=0)
    assert (len(train), len(held_out)) == (8, 2)  # four fifths of ten
    assert not set(train.prompts) & set(held_out.prompts)
    again = split_demonstrations(texts_of([*"aabbccddee"]), 100, seed=0)
    assert (train, held_out) == again


def test_at_most_so_many_are_trained_on():
    train, held_out = split_demonstrations(texts_of([*"abcdefghij"]), 3, seed=0)
    assert (len(train), len(held_out)) == (3, 7)


def test_texts_without_prompts_are_split_text_by_text():
    texts = Demonstrations([""] * 5, ["a", "b", "c", "d", "a"])
    train, held_out = split_demonstrations(texts, 100, seed=1)
    assert len(train) + len(held_out) == 5 and len(held_out) >= 1
    assert not set(train.completions) & set(held_out.completions)


@pytest.mark.parametrize("texts", [texts_of(["a"]), Demonstrations(["", ""], ["a", "a"])])
def test_too_few_texts_are_refused(texts):
    with pytest.raises(DataError, match=r"cannot be split .*: give more texts"):
        split_demonstrations(texts, 100, seed=0)
