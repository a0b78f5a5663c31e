"""Demonstrations: texts that a policy learns to write. Read them, check every row, split them.

Reads TRL's formats (https://huggingface.co/docs/trl/dataset_formats). A row's columns say which:

- `prompt` and `completion`, each a text, or each a list of messages;
- `messages`, a conversation whose last message the assistant wrote;
- `text`, which has no prompt;
- `chosen` and `rejected`, a preference pair, whose chosen response is the demonstration.

A conversation becomes a prompt and a completion by the tokenizer's chat template. Only the last
message is learned. Knows nothing of models: the caller renders the messages.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from rlhf_demo.data.pairs import (
    PAIRS_FILE,
    most_trained_on,
    open_rows,
    read_pair,
    split_groups,
    text_in,
)
from rlhf_demo.data.rows import short
from rlhf_demo.errors import DataError
from rlhf_demo.files import is_record

COLUMNS = ("prompt", "completion", "messages", "text", "chosen", "rejected", "split")
MOST_MESSAGES = 1000
"""Messages of one conversation."""


Message = dict[str, str]
"""One message of a conversation, with its role and content, as chat templates take it."""

Render = Callable[[list[Message], bool], str]
"""Turns messages into a text; True: the beginning of the assistant's answer follows."""


@dataclass(frozen=True)
class Demonstrations:
    """Demonstrations, column by column; a completion does not repeat its prompt.

    `dropped` counts the rows left out because their completion was empty.
    """

    prompts: list[str]
    completions: list[str]
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.prompts)

    def select(self, indices: Sequence[int]) -> "Demonstrations":
        """Return those at these indices, in this order; `dropped` is that of all."""
        return Demonstrations(
            [self.prompts[index] for index in indices],
            [self.completions[index] for index in indices],
            self.dropped,
        )


def load_demonstrations(source: str, split: str | None, render: Render) -> Demonstrations:
    """Read demonstrations and drop those without a text.

    Args:
        source: as of `load_pairs`: `shipped`, the folder of a make-pairs run, a file, or a Hub id.
        split: as of `load_pairs`.
        render: called for conversations.

    Raises:
        DataError: there is no such file or data set, it holds no demonstration, or a row cannot
            be used; rows count from 1.
    """
    name, rows = open_rows(source, PAIRS_FILE, split, COLUMNS)
    kept: list[tuple[str, str]] = []
    dropped = 0
    for where, row in rows:
        prompt, completion = _read(row, where, render)
        if completion.strip():
            kept.append((prompt, completion))
        else:
            dropped += 1
    if not kept:
        raise DataError(
            f"{name} holds no text to learn from ({dropped} empty): add rows with a completion"
        )
    prompts, completions = (list(column) for column in zip(*kept, strict=True))
    return Demonstrations(prompts, completions, dropped)


def split_demonstrations(
    demonstrations: Demonstrations, train_texts: int, seed: int
) -> tuple[Demonstrations, Demonstrations]:
    """Split demonstrations into train and held-out so that no prompt is on both sides.

    If all have the same prompt, such as none, no text is on both sides.

    Raises:
        DataError: there are too few, or all are the same.
    """
    prompts, completions = demonstrations.prompts, demonstrations.completions
    groups = prompts if len(set(prompts)) > 1 else completions
    room = most_trained_on(len(demonstrations), train_texts)
    train, held_out = split_groups(groups, room, seed)
    if not train or not held_out:
        raise DataError(
            f"{len(demonstrations)} texts cannot be split into {room} to train on and others to "
            "hold out, because no prompt may be in both: give more texts"
        )
    return demonstrations.select(train), demonstrations.select(held_out)


def _read(row: dict[str, Any], where: str, render: Render) -> tuple[str, str]:
    """Return a row's prompt and completion."""
    if "completion" in row:
        if isinstance(row["completion"], list):
            asked = _messages(row, "prompt", where)
            return _rendered(asked, _messages(row, "completion", where), where, render)
        prompt, completion = text_in(row, "prompt", where), text_in(row, "completion", where)
        return prompt, completion.removeprefix(prompt)
    if "messages" in row:
        messages = _messages(row, "messages", where)
        return _rendered(messages[:-1], messages[-1:], where, render)
    if "text" in row:
        return "", text_in(row, "text", where)
    if "chosen" in row:
        return read_pair(row, where)[:2]
    columns = ", ".join(str(name)[:40] for name in list(row)[:9]) or "none"
    raise DataError(
        f"{where} has no column 'completion', 'messages', 'text' or 'chosen' "
        f"(found: {columns}): add one"
    )


def _messages(row: dict[str, Any], column: str, where: str) -> list[Message]:
    """Return a column's messages, each with the text of its role and content."""
    value = row.get(column)
    if not isinstance(value, list) or not value:
        raise DataError(
            f"{where}: column {column!r} is {short(value)}: give a list of messages, each with "
            "role and content"
        )
    messages = cast("list[Any]", value)
    if len(messages) > MOST_MESSAGES:
        raise DataError(
            f"{where}: column {column!r} has {len(messages):,} messages: give at most "
            f"{MOST_MESSAGES:,}"
        )
    read: list[Message] = []
    for number, message in enumerate(messages, start=1):
        place = f"{where}: message {number} of {column!r}"
        if not is_record(message):
            raise DataError(f"{place} is {short(message)}: give it role and content")
        role, content = text_in(message, "role", place), text_in(message, "content", place)
        read.append({"role": role, "content": content})
    return read


def _rendered(
    asked: list[Message], answer: list[Message], where: str, render: Render
) -> tuple[str, str]:
    """Return the text before the last message, and that message with what ends it."""
    if answer[-1]["role"] != "assistant":
        raise DataError(
            f"{where}: the last message is by {short(answer[-1]['role'])}: end with the "
            "assistant's, which the model learns to write"
        )
    before = asked + answer[:-1]
    prompt, whole = render(before, True) if before else "", render(asked + answer, False)
    if not whole.startswith(prompt):
        raise DataError(
            f"{where}: the chat template writes the conversation differently once it is answered, "
            "so its answer cannot be told from its prompt: use another template"
        )
    return prompt, whole[len(prompt) :]
