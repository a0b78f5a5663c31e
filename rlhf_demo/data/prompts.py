"""Prompts: read them from the shipped prompts or a file, and check each."""

from collections.abc import Sequence

from rlhf_demo.data.pairs import SHIPPED, open_rows, text_in
from rlhf_demo.data.rows import OWN, kind_of, read_text
from rlhf_demo.errors import DataError
from rlhf_demo.paths import typed_path


def load_prompts(source: str, split: str) -> list[str]:
    """Read prompts.

    Args:
        source: `shipped`; a text file with one prompt a line; a file with a column `prompt`
            (.jsonl, .json, .csv, .parquet).
        split: `train`, `heldout` (for reports and the choice of settings) or `test` (for
            comparisons of finished models), if the source has a column `split`; else all prompts
            are returned.

    Raises:
        DataError: there is no such file, it holds no prompt, or a row cannot be used.
    """
    if source != SHIPPED and not typed_path(source).is_file():
        raise DataError(
            f"there is no file {source} with prompts: check the path, or give {SHIPPED!r}"
        )
    splits: set[str] = set()
    if kind_of(source) == "" and source != SHIPPED:
        lines = read_text(typed_path(source), OWN.bytes).split("\n")
        prompts = [line.rstrip("\r") for line in lines if line.strip()]
    else:
        rows = list(open_rows(source, "prompts.jsonl", None)[1])
        splits = {str(row.get("split", split)) for _, row in rows}
        prompts = [
            text_in(row, "prompt", where) for where, row in rows if row.get("split", split) == split
        ]
    if not prompts:
        raise DataError(_no_prompt(source, split, sorted(splits)))
    return prompts


def _no_prompt(source: str, split: str, splits: Sequence[str]) -> str:
    """Say what to do about a source with prompts of other splits only, or without any."""
    if not splits:
        return f"{source} holds no prompts: add some, one per line"
    other = ", or give --split heldout" if split == "test" and "heldout" in splits else ""
    return (
        f"{source} holds no prompts of the split {split!r}, only of {', '.join(splits[:5])}: "
        f"add rows of that split{other}"
    )
