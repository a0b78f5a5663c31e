"""Models in memory: each is loaded once, and their number is bounded.

The libraries that models need take seconds to import, so the page opens before them. The first
request for a model imports them, or waits for `warm`, which the app runs in the background.

Safe to use from several threads: the cache itself, and reading with the models in it (sampling,
scoring), which changes nothing in them. Not safe: training one of them, or turning its adapter off
and on; load a model of your own for that.
"""

# `warm` imports modules only so that they are loaded.
# pyright: reportUnusedImport=false

import ctypes
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf_demo.config.scorers import BASE, FLUENCY_JUDGE, RULES, STAR_RATER
from rlhf_demo.garbage_collection import without_collections
from rlhf_demo.hub.locate import locate
from rlhf_demo.server.model_structure import stamp

if TYPE_CHECKING:
    import torch

    from rlhf_demo.models.policy import Policy
    from rlhf_demo.models.scorers import Scorer

Key = tuple[str, Path, str | None]
"""Kind of model, its folder, and of a scorer its label."""

MOST_OF_CLASSES = 3
"""Models that classes used last: the two of a blind vote, and one of another class. One visitor who
compared saved steps had them loaded again for each batch of pairs."""

Check = Callable[[str, str, str | None], None]
Begin = Callable[[str, str, str | None], bool]


def return_freed_memory() -> None:
    """Give memory that was freed back to the system, if the C library can.

    glibc keeps it in pieces: after 90 loads of small models, 210 MB of 850. This takes 4 ms.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class ModelCache:
    """Returns models by name; the least recently used makes room for a new one.

    Attributes:
        ready: the libraries that models need are imported.
    """

    def __init__(
        self,
        device: str = "cpu",
        most: int = 6,
        check: Check | None = None,
        begin: Begin | None = None,
    ) -> None:
        """Make an empty cache.

        Args:
            device: where its models compute: cpu, cuda, or auto.
            most: models kept at a time. A model in use lives until its users drop it.
            check: called with a kind, a name and a label before a model is loaded; raises if it
                must not be. None admits all.
            begin: begins that check in the background, unless the model has passed; says whether it
                has.
        """
        self.most, self.ready, self._asked = most, False, device
        self._check, self._begin = check, begin
        self._models: OrderedDict[Key, tuple[str, Any]] = OrderedDict()  # with its files' stamp
        self._of_classes: deque[Key] = deque(maxlen=MOST_OF_CLASSES)
        self._cache_lock = threading.Lock()  # held for a moment, around self._models
        # One load at a time, whatever the model: transformers replaces functions of torch while it
        # loads, and another thread's load would run into them.
        self._load_lock = threading.RLock()

    def warm(self) -> None:
        """Import what models need, or wait until another thread has: it takes seconds.

        Call it before importing any of it elsewhere. Two threads that import `transformers` at once
        find it half made.
        """
        if self.ready:
            return
        with self._load_lock:
            with without_collections():
                import torch  # noqa: PLC0415

                from rlhf_demo.evaluation import compare, duel  # noqa: F401, PLC0415
                from rlhf_demo.models import policy, sampling, scorers  # noqa: F401, PLC0415

            # One prompt needs one thread; two would wait for those of a training, ten times as
            # long.
            torch.set_num_threads(1)
            self.ready = True

    @property
    def on_gpu(self) -> bool:
        """Whether the models compute on a GPU; False while that is not yet known."""
        return self.ready and self.device.type == "cuda"

    @cached_property
    def device(self) -> "torch.device":
        """Where the models compute."""
        self.warm()
        from rlhf_demo.models.device import pick_device  # noqa: PLC0415

        return pick_device(self._asked)

    @cached_property
    def dtype(self) -> "torch.dtype":
        """Number format of the scorers' matrix products.

        On a CPU one prompt at a time is faster in float32, and its scores do not move in steps.
        """
        from rlhf_demo.models.device import pick_dtype  # noqa: PLC0415

        return pick_dtype(self.device, "auto" if self.device.type == "cuda" else "float32")

    def has_passed(self, kind: str, name: str, label: str | None = None) -> bool:
        """Say whether a model can be loaded without waiting for its check, which begins if not.

        Args:
            kind: `policy` or `scorer`.
            name: of the model.
            label: of a scorer.

        Raises:
            CheckpointError: it must not be loaded.
        """
        return self._begin is None or self._begin(kind, name, label)

    def policy(self, name: str, *, for_class: bool = False) -> "Policy":
        """Return a model that writes, ready to be read from.

        Args:
            name: of the model.
            for_class: it stays when others make room, until classes use other models.

        Raises:
            CheckpointError: the model cannot be found or is no causal language model.
        """

        def load() -> "Policy":
            from rlhf_demo.models.policy import load_policy  # noqa: PLC0415

            return load_policy(name, device=self.device)

        return self._get("policy", name, None, load, for_class=for_class)

    def scorer(self, name: str, label: str | None = None) -> "Scorer":
        """Return the scorer of this name; Python functions are refused.

        Raises:
            ConfigError: a function is named, or the label does not fit.
            CheckpointError: the model cannot be found or has no classification head.
        """
        self.warm()

        def load() -> "Scorer":
            from rlhf_demo.models.scorers import load_scorer  # noqa: PLC0415

            return load_scorer(name, device=self.device, label=label, dtype=self.dtype)

        if name == FLUENCY_JUDGE and label is None:
            from rlhf_demo.models.fluency_judge import FluencyJudge  # noqa: PLC0415

            return FluencyJudge(self.scorer(STAR_RATER), self.policy(BASE))
        if name in RULES or ":" in name:
            return load()  # a rule needs no room; a function is refused there
        return self._get("scorer", name, label, load)

    def _get(
        self,
        kind: str,
        name: str,
        label: str | None,
        load: Callable[[], Any],
        *,
        for_class: bool = False,
    ) -> Any:
        folder = locate(name)
        key, files = (kind, folder, label), stamp(folder)
        with self._cache_lock:
            if for_class and key not in self._of_classes:
                self._of_classes.append(key)
        model = self._find(key, files)
        if model is None:
            if self._check:
                self._check(kind, name, label)  # it may take a minute, so without the lock
            with self._load_lock:
                model = self._find(key, files)  # another caller may just have loaded it
                if model is None:
                    self.warm()
                    model = load()
                    self._keep(key, files, model)
                    return_freed_memory()
        return model

    def _find(self, key: Key, files: str) -> Any:
        with self._cache_lock:
            of_files, model = self._models.get(key, (None, None))
            if of_files != files:
                return None
            self._models.move_to_end(key)
            return model

    def _keep(self, key: Key, files: str, model: Any) -> None:
        with self._cache_lock:
            self._models[key] = files, model
            self._models.move_to_end(key)
            while len(self._models) > self.most:
                others = (each for each in self._models if each not in self._of_classes)
                del self._models[next(others, key)]
