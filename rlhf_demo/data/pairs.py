"""Preference pairs: read them, check every row, drop useless pairs, and split them by prompt.

Reads TRL's preference format (https://huggingface.co/docs/trl/dataset_formats#preference): columns
`prompt`, `chosen`, `rejected`, or only `chosen` and `rejected` with the prompt as their common
beginning, as in HH-RLHF's dialogues; `margin` (how sure the labeller was) and `split` are optional.
So is our own column `ranking`: rows of a prompt with the same value are the pairs of one ranking.
Knows nothing of models.

Files are read row by row (data/rows.py), also those of Hub data sets (data/hub_datasets.py).
"""

import json
import math
import os
import random
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from rlhf_demo.data.hub_datasets import hub_rows
from rlhf_demo.data.rows import LONGEST_TEXT, OWN, Bounds, file_rows, kind_of, short
from rlhf_demo.errors import DataError
from rlhf_demo.files import is_record, is_unicode
from rlhf_demo.hub.locate import HUB_ID
from rlhf_demo.paths import CHECKPOINTS, typed_path

SHIPPED = "shipped"
PAIRS_FILE = "pairs.jsonl"
MOST_TRAINED_ON = 0.8
"""Largest share of pairs to train on, so that some are left for evaluation."""

LAST_SPEAKER = "\n\nAssistant:"
"""Start of the judged turn in HH-RLHF's dialogues."""

CONTROL = re.compile(r"[\x00-\x07\x0b\x0e-\x1f]")
"""Characters that are read as a blank: no text needs them, and JSON writes each with six
characters."""

_COLUMNS = ("prompt", "chosen", "rejected", "margin", "split", "rater", "ranking")

MOST_TEXTS, MOST_RANKED = 9, 36
"""Most texts of a ranking, as in Ouyang et al. 2022, and their pairs; a batch takes rankings whole.
"""


class PairRow(TypedDict):
    """A preference pair in a file that this program writes."""

    prompt: str
    chosen: str
    rejected: str
    margin: NotRequired[float]  # how sure the labeller was, in the labeller's units
    split: NotRequired[str]
    rater: NotRequired[str]  # who judged
    ranking: NotRequired[str]  # to which the pair belongs


@dataclass(frozen=True)
class Pairs:
    """Preference pairs, column by column; `chosen` and `rejected` are responses without the prompt.

    `margins` says how sure the labeller was, in the labeller's units; None if the data has no
    margins. `dropped` counts the rows left out on loading, by reason: empty, equal, duplicate.
    `rankings` says to which ranking a pair belongs, None for a pair by itself; it is None if no
    pair belongs to one.
    """

    prompts: list[str]
    chosen: list[str]
    rejected: list[str]
    margins: list[float] | None = None
    dropped: dict[str, int] = field(default_factory=dict[str, int])
    rankings: list[str | None] | None = None

    def __post_init__(self) -> None:
        lengths = {
            len(self.prompts),
            len(self.chosen),
            len(self.rejected),
            len(self.margins or self.prompts),
            len(self.rankings or self.prompts),
        }
        if len(lengths) != 1:
            raise DataError(
                f"the columns of the pairs have {sorted(lengths)} rows: give each the same number"
            )

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def ranking_keys(self) -> list[tuple[str, str] | None]:
        """A key for each pair that the pairs of one ranking share; None for a pair by itself."""
        named = self.rankings or [None] * len(self)
        return [
            None if ranking is None else (prompt, ranking)
            for prompt, ranking in zip(self.prompts, named, strict=True)
        ]

    def select(self, indices: Sequence[int]) -> "Pairs":
        """Return the pairs at these indices, in this order; `dropped` is that of all pairs."""
        return Pairs(
            [self.prompts[index] for index in indices],
            [self.chosen[index] for index in indices],
            [self.rejected[index] for index in indices],
            None if self.margins is None else [self.margins[index] for index in indices],
            self.dropped,
            None if self.rankings is None else [self.rankings[index] for index in indices],
        )

    def with_label_noise(self, share: float, seed: int) -> "Pairs":
        """Return the same pairs, in the same order, with the texts of some of them swapped.

        With the same seed, a larger share swaps the same pairs and more.

        Args:
            share: of the pairs, 0 to 1.
            seed: decides which pairs are swapped.
        """
        order = list(range(len(self)))
        random.Random(seed).shuffle(order)
        chosen, rejected = list(self.chosen), list(self.rejected)
        for index in order[: round(share * len(order))]:
            chosen[index], rejected[index] = rejected[index], chosen[index]
        return replace(self, chosen=chosen, rejected=rejected)


# -- pairs -----------------------------------------------------------------------------------------


def load_pairs(source: str, split: str | None = None) -> Pairs:
    """Read preference pairs and drop the empty, equal and duplicate ones.

    If a column `rater` says who judged, the same pair from two people is not a duplicate.
    An explicit prompt that both responses repeat is removed from them. An implicit prompt is the
    common beginning of both texts up to its last `Assistant:`, else up to its last whitespace, so
    that no word is split.

    Args:
        source: `shipped`; the folder of a make-pairs run; a file .jsonl, .json (a list of
            rows), .csv (each also with .gz) or .parquet; a Hub id.
        split: the split of a Hub data set (`train` when None); for a file, the value of the column
            `split` in the rows to read (all when None).

    Raises:
        DataError: there is no such file or data set, or a row cannot be used; rows count from 1.
    """
    name, rows = open_rows(source, PAIRS_FILE, split)
    return _pairs_of(name, rows, split)


def copy_pairs(source: Path, target: Path, bounds: Bounds) -> Pairs:
    """Copy the rows of a file to a JSONL file from which `load_pairs` reads the same pairs.

    Args:
        source: the file.
        target: the copy, with checked texts and only the known columns.
        bounds: the most that is read.

    Returns:
        What `load_pairs` returns for either.

    Raises:
        DataError: the file cannot be read or is too large, or a row cannot be used.
        OSError: the copy cannot be written.
    """
    with open(target, "w", encoding="utf-8") as file:

        def copied() -> Iterator[tuple[str, dict[str, Any]]]:
            for where, row in _wanted(source.name, file_rows(source, _COLUMNS, bounds), None):
                file.write(json.dumps(_plain_row(row, where), ensure_ascii=False) + "\n")
                yield where, row

        return _pairs_of(source.name, copied(), None)


def _plain_row(row: dict[str, Any], where: str) -> PairRow:
    prompt, chosen, rejected = read_pair(row, where)
    # If both begin with the prompt again, reading would remove that too.
    repeated = prompt if chosen.startswith(prompt) and rejected.startswith(prompt) else ""
    plain: PairRow = {
        "prompt": prompt,
        "chosen": repeated + chosen,
        "rejected": repeated + rejected,
    }
    if "margin" in row:
        [plain["margin"]] = _read_margin(row, where)
    for column in ("split", "rater", "ranking"):
        if row.get(column) is not None:
            plain[column] = CONTROL.sub(" ", str(row[column]))
    return plain


def _pairs_of(name: str, rows: Iterable[tuple[str, dict[str, Any]]], split: str | None) -> Pairs:
    seen: set[tuple[str, ...]] = set()
    kept: list[tuple[str, str, str]] = []
    margins: list[float] = []
    rankings: list[str | None] = []
    dropped: Counter[str] = Counter()
    for where, row in rows:
        pair = read_pair(row, where)
        if not pair[1].strip() or not pair[2].strip():
            dropped["empty"] += 1
        elif pair[1] == pair[2]:
            dropped["equal"] += 1
        elif (judged := (*pair, str(row.get("rater")))) in seen:
            dropped["duplicate"] += 1
        else:
            seen.add(judged)
            kept.append(pair)
            margins += _read_margin(row, where)
            ranking = row.get("ranking")  # empty in CSV for a pair by itself
            rankings.append(None if ranking in (None, "") else str(ranking))
    if not kept and not dropped:
        if split is None:
            raise DataError(f"{name} holds no pairs: add rows")
        raise DataError(f"{name} holds no pairs of the split {split!r}: name another split")
    if not kept:
        lost = f"{sum(dropped.values())} row{'s' if sum(dropped.values()) > 1 else ''}"
        raise DataError(
            f"{name} holds no usable pairs ({lost} dropped): "
            "give texts that differ and are not empty"
        )
    if margins and len(margins) != len(kept):
        raise DataError(
            f"{name}: column 'margin' is in some rows only: fill it everywhere or leave it out"
        )
    prompts, chosen, rejected = (list(column) for column in zip(*kept, strict=True))
    ranked = rankings if any(ranking is not None for ranking in rankings) else None
    pairs = Pairs(prompts, chosen, rejected, margins or None, dict(dropped), ranked)
    _check_rankings(name, pairs)
    return pairs


def _check_rankings(name: str, pairs: Pairs) -> None:
    """Refuse a ranking that is too large: its texts are all in one batch."""
    if pairs.rankings is None:
        return
    counts: Counter[tuple[str, str]] = Counter()
    texts: dict[tuple[str, str], set[str]] = {}
    for key, *sides in zip(pairs.ranking_keys, pairs.chosen, pairs.rejected, strict=True):
        if key is not None:
            counts[key] += 1
            texts.setdefault(key, set()).update(sides)
    for key, count in counts.items():
        for number, most, what in (
            (len(texts[key]), MOST_TEXTS, "texts"),
            (count, MOST_RANKED, "pairs"),
        ):
            if number > most:
                raise DataError(
                    f"{name}: the ranking {key[1][:40]!r} has {number} {what}: give at most {most}"
                )


def split_by_prompt(pairs: Pairs, train_pairs: int, seed: int) -> tuple[Pairs, Pairs]:
    """Split pairs into train and held-out so that no prompt is on both sides.

    Args:
        pairs: any pairs.
        train_pairs: the most pairs to train on; never more than MOST_TRAINED_ON of all pairs.
        seed: decides which prompts go to which side.

    Raises:
        DataError: all pairs have the same prompt, or one prompt has too many.
    """
    room = most_trained_on(len(pairs), train_pairs)
    train, held_out = split_groups(pairs.prompts, room, seed)
    if not train or not held_out:
        raise DataError(
            f"{len(pairs)} pairs on {len(set(pairs.prompts))} prompts cannot be split into {room} "
            "to train on and others to hold out, because no prompt may be in both: give pairs on "
            "more prompts"
        )
    return pairs.select(train), pairs.select(held_out)


def most_trained_on(rows: int, wanted: int) -> int:
    """Return how many of the rows to train on, so that some are left for evaluation."""
    return min(wanted, int(MOST_TRAINED_ON * rows))


def split_groups(groups: Sequence[str], room: int, seed: int) -> tuple[list[int], list[int]]:
    """Split rows by index so that the rows of a group stay together.

    Args:
        groups: the group of each row.
        room: the most rows on the first side.
        seed: decides which groups go to which side.

    Returns:
        The indices of each side, in order; one may be empty.
    """
    by_group: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        by_group.setdefault(group, []).append(index)
    names = list(by_group)
    random.Random(seed).shuffle(names)
    first: list[int] = []
    second: list[int] = []
    for name in names:
        members = by_group[name]
        (first if len(first) + len(members) <= room else second).extend(members)
    return sorted(first), sorted(second)


def read_pair(row: dict[str, Any], where: str) -> tuple[str, str, str]:
    """Return a row's prompt, chosen and rejected response, the latter two without the prompt.

    Raises:
        DataError: a column is missing or holds no usable text.
    """
    chosen, rejected = text_in(row, "chosen", where), text_in(row, "rejected", where)
    if "prompt" not in row:
        prompt = implicit_prompt(chosen, rejected)
    else:
        prompt = text_in(row, "prompt", where)
        if not (chosen.startswith(prompt) and rejected.startswith(prompt)):
            return prompt, chosen, rejected
    return prompt, chosen[len(prompt) :], rejected[len(prompt) :]


def implicit_prompt(chosen: str, rejected: str) -> str:
    """Return the prompt with which both texts begin; empty if they share no whole word."""
    common = os.path.commonprefix([chosen, rejected])  # noqa: RUF071  (characters are meant)
    turn = common.rfind(LAST_SPEAKER)
    if turn >= 0:
        return common[: turn + len(LAST_SPEAKER)]
    if common[-1:].isspace():
        return common.rstrip()
    return "".join(common.rsplit(maxsplit=1)[:-1])


def text_in(row: dict[str, Any], column: str, where: str) -> str:
    """Return the text in a row's column, with blanks for control characters.

    Raises:
        DataError: the column is missing or holds no usable text.
    """
    if column not in row:
        raise DataError(
            f"{where}: column {column!r} is missing "
            f"(found: {', '.join(str(name)[:40] for name in list(row)[:9]) or 'none'}): add it"
        )
    value = row[column]
    if value is None:
        raise DataError(f"{where}: column {column!r} is null: give it text")
    if isinstance(value, list):
        raise DataError(
            f"{where}: column {column!r} is a list of messages: join them into one text"
        )
    if not isinstance(value, str):
        raise DataError(f"{where}: column {column!r} is {short(value)}, not text: put it in quotes")
    if len(value) > LONGEST_TEXT:
        raise DataError(
            f"{where}: column {column!r} has {len(value):,} characters: "
            f"use at most {LONGEST_TEXT:,}"
        )
    if not is_unicode(value):
        raise DataError(
            f"{where}: column {column!r} holds an incomplete character: write the text again"
        )
    return CONTROL.sub(" ", value)


def _read_margin(row: dict[str, Any], where: str) -> list[float]:
    """Return the margin as a list of one number, empty if the row has no such column."""
    if "margin" not in row:
        return []
    try:
        margin = math.nan if isinstance(row["margin"], bool) else float(row["margin"])
    except (TypeError, ValueError, OverflowError):
        margin = math.nan
    if not math.isfinite(margin):
        raise DataError(
            f"{where}: column 'margin' is {short(row['margin'])}: "
            "give a number, or leave the column out everywhere"
        )
    return [margin]


# -- files and Hub ---------------------------------------------------------------------------------


def open_rows(
    source: str, shipped: str, split: str | None, columns: Collection[str] = _COLUMNS
) -> tuple[str, Iterator[tuple[str, dict[str, Any]]]]:
    """Return the source's name for messages, and its rows, each with its name for messages.

    Args:
        source: as of `load_pairs`.
        shipped: the file in checkpoints/ that `shipped` means.
        split: as of `load_pairs`.
        columns: see `rows.file_rows`.
    """
    path = CHECKPOINTS / shipped if source == SHIPPED else typed_path(source)
    if is_pairs_run(source):
        path /= PAIRS_FILE
    if path.is_file():
        return path.name, _wanted(path.name, file_rows(path, columns, OWN), split)
    if source == SHIPPED:
        raise DataError(
            f"{path} is missing: restore checkpoints/, or make it with "
            "`python -m rlhf_demo make-pairs`"
        )
    if path.is_dir() or kind_of(source) or path.is_absolute() or not HUB_ID.fullmatch(source):
        raise DataError(f"there is no file {source}: check the path")
    return source, _wanted(source, hub_rows(source, split or "train", columns), None)


def is_pairs_run(source: str) -> bool:
    """Say whether the source is the folder of a make-pairs run, whose rows have a split."""
    return (typed_path(source) / PAIRS_FILE).is_file()


def _wanted(
    name: str, rows: Iterable[tuple[int, Any]], split: str | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, row in rows:
        where = f"{name} row {number}"
        if not is_record(row):
            raise DataError(
                f"{where} is {short(row)}, not an object with columns: write one object per row"
            )
        if split is None or text_in(row, "split", where) == split:
            yield where, row
