"""Models that are kept in memory, loaded once each and bounded in number.

Safe to use from several threads: the shelf itself, and reading with the models on it (sampling,
scoring), which changes nothing in them. Not safe: training one of them, or turning its adapter off
and on; load a model of your own for that.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from rlhf_demo.hub.locate import adapter_base, locate
from rlhf_demo.models.policy import Policy, load_policy
from rlhf_demo.models.scorers import RULES, Scorer, load_scorer


class Shelf:
    """Hands out models by name; the one longest unused makes room for a new one."""

    def __init__(self, device: torch.device, dtype: torch.dtype, most: int = 6) -> None:
        """Make an empty shelf.

        Args:
            device: where its models compute.
            dtype: number format of the scorers' matrix products.
            most: models kept at a time. One that is handed out lives on until it is let go.
        """
        self.device, self.dtype, self.most = device, dtype, most
        self._models: OrderedDict[tuple, tuple[tuple, Any]] = OrderedDict()  # key -> stamp, model
        self._shelf_lock = threading.Lock()  # held for a moment, around self._models
        # One load at a time, whatever the model: transformers replaces functions of torch while it
        # loads, and another thread's load would run into them.
        self._load_lock = threading.Lock()

    def policy(self, name: str) -> Policy:
        """Return a model that writes, ready to be read from.

        Raises:
            CheckpointError: the model cannot be found or is no causal language model.
        """
        folder = locate(name)
        return self._get(("policy", folder), folder, lambda: load_policy(name, device=self.device))

    def scorer(self, name: str, label: str | None = None) -> Scorer:
        """Return what scores under this name; Python functions are refused.

        Raises:
            ConfigError: a function is named, or the label does not fit.
            CheckpointError: the model cannot be found or has no classification head.
        """

        def load() -> Scorer:
            return load_scorer(name, device=self.device, label=label, dtype=self.dtype)

        if name in RULES or ":" in name:
            return load()  # a rule needs no room; a function is refused there
        folder = locate(name)
        return self._get(("scorer", folder, label), folder, load)

    def _get(self, key: tuple, folder: Path, load: Callable[[], Any]) -> Any:
        stamp = _stamp(folder)
        model = self._find(key, stamp)
        if model is None:
            with self._load_lock:
                model = self._find(key, stamp)  # another caller may just have loaded it
                if model is None:
                    model = load()
                    self._keep(key, stamp, model)
        return model

    def _find(self, key: tuple, stamp: tuple) -> Any:
        with self._shelf_lock:
            kept_stamp, model = self._models.get(key, (None, None))
            if kept_stamp != stamp:
                return None
            self._models.move_to_end(key)
            return model

    def _keep(self, key: tuple, stamp: tuple, model: Any) -> None:
        with self._shelf_lock:
            self._models[key] = stamp, model
            self._models.move_to_end(key)
            while len(self._models) > self.most:
                self._models.popitem(last=False)


def _stamp(folder: Path) -> tuple:
    """Tell a folder's weights, and those of the base under an adapter, from others put there later.

    Taken before loading: weights replaced meanwhile are loaded anew by the next caller.
    """
    files = [(path.name, path.stat().st_mtime_ns) for path in sorted(folder.glob("*.safetensors"))]
    base = adapter_base(folder)
    return (*files, *(_stamp(base) if base else ()))
