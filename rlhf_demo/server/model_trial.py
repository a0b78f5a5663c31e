"""Try a stranger's model in a separate process before the app loads it.

A few bytes of a configuration can make a network compute gigabytes from weights of a megabyte, in
more ways than a list of forbidden values can name. So a model of a structure (model_structure.py)
that neither ships with the page nor has passed first reads the longest text that the app would give
it, with limits on memory and time. What it needs depends on the text's length alone. If it passes,
the app loads it, and all others of its structure: those that are trained from it here, for example.

    python -m rlhf_demo.server.model_trial policy|scorer SECONDS MEGABYTES NAME [LABEL]
"""

import json
import os
import sys
import threading
from collections.abc import Collection
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import psutil

from rlhf_demo.errors import CheckpointError, DemoError
from rlhf_demo.files import short_name
from rlhf_demo.garbage_collection import without_collections
from rlhf_demo.hub.locate import (
    ADAPTER_WEIGHTS,
    adapter_base,
    locate,
    shipped_models,
    weight_files,
)
from rlhf_demo.jobs.bounds import OWN_MEMORY_SHARE
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.server.apart import limit_myself, run_apart
from rlhf_demo.server.comparisons import MOST_TOKENS
from rlhf_demo.server.model_structure import stamp, structure

SECONDS, MEGABYTES = 60, 1_500
"""Of computing, and of memory, besides those for each megabyte of weights. Python with torch takes
400 MB; a network of 7 M weights reads its longest text with 100 MB more."""
SECONDS_EACH, MEGABYTES_EACH = 0.5, 5
"""For each megabyte of the weights. float32 takes twice as much as bfloat16 in a file, and loading
holds it twice."""

MOST_SECONDS = 300
BLOCK = 512
"""Bytes that st_blocks counts in."""

Asked = tuple[str, str, str | None]
"""Kind of a model, its name, and a scorer's label."""

Known = tuple[str, str, str | None]
"""Kind of a model, its structure (a model without one: its stamp), and a scorer's label."""


class ModelTrials:
    """Remembers which structures of models have passed; several threads may ask.

    Args:
        trusted: Hub ids that the owner lists.
    """

    def __init__(self, trusted: Collection[str]) -> None:
        self._trusted = trusted
        self._passed: set[Known] = set()
        self._failed: dict[Asked, tuple[str, str]] = {}  # the stamp, and why
        self._in_background = threading.Lock()  # one model is tried there, the others later
        self._lock = threading.Lock()  # one trial at a time

    def check(self, kind: str, name: str, label: str | None = None) -> None:
        """Try a model, unless its structure ships with the page or has passed.

        Args:
            kind: `policy` or `scorer`.
            name: as of `locate`.
            label: of a classifier, whose logit is the score.

        Raises:
            CheckpointError: it cannot be loaded, or takes too much memory or time.
        """
        if self._is_trusted(name):
            return
        files = stamp(locate(name))
        known = kind, _structure(name, files), label
        if self._is_known(known):
            return
        with self._lock:
            if self._is_known(known):
                return
            try:
                try_model(kind, name, label)
            except CheckpointError as error:
                self._failed[kind, name, label] = files, str(error)
                raise
            self._passed.add(known)

    def begin(self, kind: str, name: str, label: str | None = None) -> bool:
        """Say whether `check` would let a model pass at once; if not, try it in the background.

        The arguments are those of `check`.

        Raises:
            CheckpointError: it failed, and has not changed since.
        """
        if self._is_trusted(name):
            return True
        files = stamp(locate(name))
        if self._is_known((kind, _structure(name, files), label)):
            return True
        failed_with, why = self._failed.get((kind, name, label), ("", ""))
        if failed_with == files:
            raise CheckpointError(why)
        if self._in_background.acquire(blocking=False):
            threading.Thread(
                target=self._check_later, args=(kind, name, label), daemon=True
            ).start()
        return False

    def _check_later(self, *what: Any) -> None:
        try:
            with suppress(DemoError):  # it is noted
                self.check(*what)
        finally:
            self._in_background.release()

    def _is_trusted(self, name: str) -> bool:
        """Say whether the owner lists a model, or it ships with the page."""
        return name in self._trusted or locate(name).resolve().is_relative_to(CHECKPOINTS.resolve())

    def _is_known(self, known: Known) -> bool:
        return known in self._passed or known[1] in _shipped()


@cache
def _shipped() -> set[str]:
    return {_structure(name, stamp(locate(name))) for name in shipped_models()}


@lru_cache(maxsize=512)
def _structure(name: str, files: str) -> str:
    """Return a model's structure; one without is told from others by the stamp of its files."""
    return structure(locate(name)) or files


def _weights(folder: Path) -> list[Path]:
    """Return the files of weights that loading opens."""
    base = adapter_base(folder)
    return weight_files(base or folder) + ([folder / ADAPTER_WEIGHTS] if base else [])


def try_model(kind: str, name: str, label: str | None = None) -> None:
    """Let another process load a model and read with it; the arguments are those of `check`.

    Raises:
        CheckpointError: it cannot be loaded, or takes too much memory or time.
    """
    # Of the disk, not of a sparse file's length; a file beside the weights counts nothing.
    weights = [path.stat() for path in _weights(locate(name))]
    held = sum(min(seen.st_size, seen.st_blocks * BLOCK) for seen in weights)
    _try(kind, name, label, held // 10**6)


def _try(kind: str, name: str, label: str | None, megabytes: int) -> None:
    """Let another process load the model and read with it.

    Args:
        megabytes: of the model's weights on the disk.

    Raises:
        CheckpointError: it cannot be loaded, or takes too much memory or time.
    """
    free = int(OWN_MEMORY_SHARE * psutil.virtual_memory().available / 10**6)
    memory = min(MEGABYTES + MEGABYTES_EACH * megabytes, free)
    seconds = int(min(SECONDS + SECONDS_EACH * megabytes, MOST_SECONDS))
    arguments = [kind, str(seconds), str(memory), name, *([] if label is None else [label])]
    answer = run_apart("rlhf_demo.server.model_trial", arguments, seconds)
    if answer is None:
        raise CheckpointError(
            f"{short_name(locate(name))} takes more than {memory:,} MB or {seconds} s to read a "
            "long text: choose another model"
        )
    if "error" in answer:
        raise CheckpointError(answer["error"])


# -- the other process's side ----------------------------------------------------------------------


def main(arguments: list[str]) -> None:
    """Load a model, read with it, and write one JSON object to the standard output."""
    kind, seconds, megabytes, name, *labels = arguments
    limit_myself(seconds=int(seconds), memory=int(megabytes) * 10**6, written=10**7, reserved=False)
    with without_collections():
        import torch  # noqa: PLC0415

    torch.set_num_threads(os.cpu_count() or 1)
    answer: dict[str, str] = {}
    try:
        if kind == "policy":
            _try_policy(name)
        else:
            _try_scorer(name, *labels)
    except DemoError as error:
        answer = {"error": str(error)}
    sys.stdout.write(json.dumps(answer))


def _try_policy(name: str) -> None:
    """Read as many of the longest texts as are read at once, and compute a response's logits."""
    import torch  # noqa: PLC0415

    with without_collections():
        from rlhf_demo.models.loading import max_positions, rows_at_once  # noqa: PLC0415
        from rlhf_demo.models.policy import load_policy  # noqa: PLC0415

    policy = load_policy(name, device=torch.device("cpu"))
    time = max_positions(policy.lm)
    ids = torch.ones(rows_at_once(policy.lm, time), time, dtype=torch.long)
    with torch.no_grad():
        hidden = policy.hidden(ids, torch.ones_like(ids), use_cache=True).last_hidden_state
        policy.logits(hidden[:1, -MOST_TOKENS:])


def _try_scorer(name: str, label: str | None = None) -> None:
    """Score as many of the longest texts as are read at once."""
    import torch  # noqa: PLC0415

    with without_collections():
        from rlhf_demo.models.loading import rows_at_once  # noqa: PLC0415
        from rlhf_demo.models.reward_model import load_reward_model  # noqa: PLC0415

    scorer = load_reward_model(name, device=torch.device("cpu"), label=label)
    time = scorer.most_tokens
    rows = rows_at_once(scorer.model, time)
    # Each row is its number in binary, so that all differ and none is left out.
    texts = [[int(digit) for digit in f"{row:0{time}b}"][-time:] for row in range(rows)]
    scorer.score_ids(texts, batch_size=rows)
    # The values of the weights decide how it reads; another model of its structure may read so.
    scorer.reads_left_to_right = False
    scorer.score_ids(texts, batch_size=rows)


if __name__ == "__main__":
    main(sys.argv[1:])
