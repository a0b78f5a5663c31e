"""The sampled texts of a run (samples.jsonl), cut to what a page can draw.

The folder may be a copy from anywhere, and a browser stops over a text that no model of ours
writes: letters of two directions by turns, 160,000 of them, took a tab 45 s.
"""

from typing import Any, cast

from rlhf_demo.files import Row, is_figure

MOST_TOKENS = 256
"""Tokens of a text that a page draws. A browser needs 0.3 ms and 15 kB for each; the microscope
traces so many in 20 to 40 ms."""
MOST_LETTERS = 2_000
"""Letters of a prompt, which ends where the text begins, and of a response."""
MOST_OF_TOKEN = 100
"""Letters of a token; those of the shipped tokenizer have up to 15."""
MOST_COLUMNS, MOST_OF_NAME = 32, 100
"""Columns of figures, one a token, and letters of a column's name; ours have a dozen."""


def drawn(row: Row) -> Row:
    """Return a row's prompt, response, score, tokens and figures, as far as a page draws them.

    A column with anything but figures, and any other key, is left out.
    """
    token, score = row.get("token"), row.get("score")
    texts = cast("list[Any]", token)[:MOST_TOKENS] if type(token) is list else []
    named = {key: _column(value) for key, value in row.items() if len(key) <= MOST_OF_NAME}
    columns = {key: column for key, column in named.items() if column is not None}
    return {
        **dict(list(columns.items())[:MOST_COLUMNS]),
        "step": row["step"],
        "prompt": prompt_text(row),
        "response": response_text(row),
        "score": score if is_figure(score) else None,
        "token": [token_text(each) for each in texts],
    }


def left_out(rows: list[Row]) -> list[str]:
    """Return a sentence for each thing that `drawn` cuts off honest rows."""
    tokens, prompts = ([row.get(key) for row in rows] for key in ("token", "prompt"))
    said: list[str] = []
    if any(type(each) is list and len(each) > MOST_TOKENS for each in tokens):
        said.append(f"Of each text, the first {MOST_TOKENS} tokens are shown.")
    if any(len(_text(each)) > MOST_LETTERS for each in prompts):
        said.append(f"Of each prompt, the last {MOST_LETTERS:,} characters are shown.")
    return said


def prompt_text(row: Row) -> str:
    """Return the end of a row's prompt."""
    return _text(row.get("prompt"))[-MOST_LETTERS:]


def response_text(row: Row) -> str:
    """Return the beginning of a row's response."""
    return _text(row.get("response"))[:MOST_LETTERS]


def token_text(value: Any) -> str:
    """Return the beginning of a token out of JSON."""
    return _text(value)[:MOST_OF_TOKEN]


def _text(value: Any) -> str:
    return value if type(value) is str else ""


def _column(value: Any) -> list[float | bool | None] | None:
    """Return the first figures of a column, or None if it is none."""
    if type(value) is not list:
        return None
    figures = cast("list[Any]", value)[:MOST_TOKENS]
    known = all(each is None or type(each) is bool or is_figure(each) for each in figures)
    return figures if known else None
