"""The lessons of the Learn tab, computed on the models in memory.

What a lesson shows of a text is computed once: a class that looks at the lesson's own text costs
one forward pass.
"""

import inspect
import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rlhf_demo.config.lessons import LESSONS
from rlhf_demo.errors import ConfigError, DemoError
from rlhf_demo.hub.locate import locate
from rlhf_demo.lessons.looks import LessonCode, Outcome
from rlhf_demo.paths import REPOSITORY
from rlhf_demo.server.choices import Choice, Choices
from rlhf_demo.server.compute_lock import ComputeLock, Priority
from rlhf_demo.server.model_cache import ModelCache
from rlhf_demo.server.model_structure import stamp
from rlhf_demo.server.payloads import ListedLesson
from rlhf_demo.votes.result_cache import ResultCache

if TYPE_CHECKING:
    from rlhf_demo.lessons.request import Models

PPO, REWARD = "gpt2-mini-ppo", "reward-mini"
"""The models that the lessons look into, unless the visitor chooses another trained one."""
MOST_KEPT, MOST_KEPT_SIZE = 256, 16_000_000
"""Answers in memory, and their characters as JSON; in memory, a character takes about 5 bytes."""
MOST_REQUEST = 4096
"""Characters of a request; the longest text that a lesson takes has far fewer."""


class Computed(Protocol):
    """What each module of `lessons/` computes."""

    def look(self, models: "Models", request: dict[str, Any]) -> Any:
        """Return what the lesson shows, for the lesson's own text or the visitor's."""
        ...

    def outcome(self, models: "Models") -> Outcome:
        """Return which answer came true."""
        ...


class Learn:
    """Computes lessons, one at a time."""

    def __init__(
        self, choices: Choices, model_cache: ModelCache, compute_lock: ComputeLock
    ) -> None:
        self.choices, self.model_cache, self.compute_lock = choices, model_cache, compute_lock
        self._kept: OrderedDict[tuple[str, ...], tuple[Any, int]] = OrderedDict()
        self._kept_lock = threading.Lock()
        self._lists = ResultCache()  # with 120 runs, a list takes 0.15 s of work

    def trained(self) -> list[Choice]:
        """List the models that the lessons can show beside their base."""
        return self._lists.get("trained", self._trained)

    def _trained(self) -> list[Choice]:
        return [choice for choice in self.choices.policies() if self._has_base(choice[1])]

    def _has_base(self, trained: str) -> bool:
        try:
            return self.choices.base_of(trained) is not None
        except (DemoError, OSError):  # a copied run's base is not here, or the run was just deleted
            return False

    def outcome(
        self, name: Any, trained: Any = PPO, *, priority: Priority = Priority.VISITORS
    ) -> Outcome:
        """Return which of a lesson's answers came true, and a sentence with the figures.

        Args:
            name: the lesson's id.
            trained: id of the model that is shown beside its base.
            priority: who waits for it.

        Raises:
            DemoError: there is no such lesson, or its models cannot be used.
        """
        lesson = find(name)
        key = lesson, self._version(trained)
        return self._computed(key, trained, lambda models: module(lesson).outcome(models), priority)

    def look(self, name: Any, request: dict[str, Any], trained: Any = PPO) -> Any:
        """Return what a lesson shows.

        Args:
            name: the lesson's id.
            request: what the visitor chose; each lesson says what it takes.
            trained: id of the model that is shown beside its base.

        Raises:
            DemoError: there is no such lesson, or what was chosen cannot be used.
        """
        lesson, asked = find(name), json.dumps(request, sort_keys=True, default=str)
        if len(asked) > MOST_REQUEST:
            raise ConfigError(f"the request has {len(asked):,} characters: shorten the text")
        key = lesson, self._version(trained), asked
        return self._computed(key, trained, lambda models: module(lesson).look(models, request))

    def score(self, text: str) -> float:
        """Return a text's score by the shipped reward model.

        Raises:
            DemoError: the text is not in Latin letters.
        """
        models = self._models(PPO)
        from rlhf_demo.lessons.reward_head import score_of  # noqa: PLC0415  (imports torch)

        with self.compute_lock.hold(Priority.VISITORS):
            return score_of(models, text)

    def code(self, name: Any) -> LessonCode:
        """Return the function that computed a lesson, as it stands in its file.

        Raises:
            DemoError: there is no such lesson.
        """
        where, _, function = LESSONS[find(name)].code.partition(":")
        self.model_cache.warm()
        found = getattr(import_module(f"rlhf_demo.{where}"), function)
        return code_of(found)

    def _computed(
        self,
        key: tuple[str, ...],
        trained: Any,
        compute: Callable[["Models"], Any],
        priority: Priority = Priority.VISITORS,
    ) -> Any:
        with self._kept_lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
        models = self._models(trained)
        with self.compute_lock.hold(priority):
            result = compute(models)
        self._keep(key, result, len(json.dumps(result)))
        return result

    def _keep(self, key: tuple[str, ...], result: Any, size: int) -> None:
        """Keep an answer; the least recently used ones make room for it."""
        with self._kept_lock:
            self._kept[key] = result, size
            total = sum(size for _, size in self._kept.values())
            while self._kept and (len(self._kept) > MOST_KEPT or total > MOST_KEPT_SIZE):
                total -= self._kept.popitem(last=False)[1][1]

    def _name(self, trained: Any) -> str:
        """Return the model that an id stands for.

        Raises:
            DemoError: the id is in no list.
        """
        if not isinstance(trained, str):
            raise ConfigError(f"{str(trained)[:40]!r} is not a model: choose one from the list")
        return self.choices.policy(trained)

    def _version(self, trained: Any) -> str:
        """Tell a run's model from the one that it had when it was stopped before."""
        return stamp(locate(self._name(trained)))

    def _models(self, trained: Any) -> "Models":
        """Load a trained model, its base, and the shipped reward model.

        Raises:
            DemoError: the id is in no list, or nobody knows what the model was trained from.
        """
        self.model_cache.warm()
        from rlhf_demo.lessons.request import Models  # noqa: PLC0415  (imports torch)
        from rlhf_demo.models.reward_model import RewardModel  # noqa: PLC0415

        name, base = self._name(trained), self.choices.base_of(trained)
        if base is None:
            raise ConfigError(f"{trained[:40]} is a base itself: choose a model trained from one")
        cache, reward = self.model_cache, self.model_cache.scorer(REWARD)
        assert isinstance(reward, RewardModel)
        return Models(
            cache.policy(base), cache.policy(name), reward, not self.choices.settings.public
        )


@cache
def code_of(function: Callable[..., Any]) -> LessonCode:
    """Return a function as it stands in its file."""
    lines, first = inspect.getsourcelines(function)
    path = Path(inspect.getfile(inspect.unwrap(function))).relative_to(REPOSITORY)
    return {"file": path.as_posix(), "line": first, "source": "".join(lines)}


def module(lesson: str) -> Computed:
    """Return the module that computes a lesson."""
    return import_module(f"rlhf_demo.lessons.{lesson}")  # pyright: ignore[reportReturnType]


def find(name: Any) -> str:
    """Return the id of a lesson.

    Raises:
        ConfigError: there is none of this name.
    """
    if not isinstance(name, str) or name not in LESSONS:
        raise ConfigError(
            f"there is no lesson {str(name)[:60]!r}: choose one of {', '.join(LESSONS)}"
        )
    return name


def listed() -> list[ListedLesson]:
    """Return the texts of all lessons, in the order of the course."""
    return [
        {
            "id": name,
            "title": lesson.title,
            "minutes": lesson.minutes,
            "core": lesson.core,
            "before": lesson.before,
            "question": lesson.question,
            "answers": list(lesson.answers),
            "sentence": lesson.sentence,
            "code": lesson.code,
            "test": lesson.test,
            "caveat": lesson.caveat,
        }
        for name, lesson in LESSONS.items()
    ]
