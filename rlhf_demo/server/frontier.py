"""The frontier of the Compare tab: the shipped record, and visitors' runs measured as it was."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import TypedDict

from rlhf_demo.errors import DataError, JobError
from rlhf_demo.evaluation.frontier import (
    METHODS,
    CostRow,
    JudgeView,
    OwnRun,
    cost_rows,
    judge_view,
    own_run,
    title,
)
from rlhf_demo.evaluation.frontier_runs import describe_run, models_of
from rlhf_demo.hub.locate import shipped_models
from rlhf_demo.runs.frontier import (
    BEST_OF_N,
    SHIPPED_FRONTIER,
    FrontierRecord,
    read_frontier,
)
from rlhf_demo.runs.run import Status
from rlhf_demo.server.choices import Choice, Choices
from rlhf_demo.server.compute_lock import ComputeLock, Priority
from rlhf_demo.server.model_cache import ModelCache

MOST_MODELS = 4
"""Models of a run that are measured: its last one, and up to three saved steps."""
MOST_KEPT = 20
"""Measured runs that are kept, the newest, until the app ends."""


class Arm(TypedDict):
    """A method, in the order of the table."""

    arm: str
    title: str


class FrontierState(TypedDict):
    """The frontier by each judge."""

    base: str
    prompts: int
    seeds: int  # of each trained method
    arms: list[Arm]
    judges: list[JudgeView]
    costs: list[CostRow]


class Progress(TypedDict):
    """A measurement under way."""

    run: str
    done: int  # responses
    total: int


RunKey = tuple[str, str]
"""A run's id, and when it was made: the command line may make another one under the same name."""


class Frontier:
    """Shows the record, and measures runs by the ids of the lists."""

    def __init__(
        self, choices: Choices, model_cache: ModelCache, compute_lock: ComputeLock
    ) -> None:
        self.choices, self.model_cache, self.compute_lock = choices, model_cache, compute_lock
        self._measured: OrderedDict[RunKey, dict[str, OwnRun]] = OrderedDict()  # by each judge
        self._lock = threading.Lock()
        self._record: FrontierRecord | None = None
        self._state: FrontierState | None = None  # of the record alone

    def record(self) -> FrontierRecord:
        """Return the shipped record.

        Raises:
            DataError: it is missing or damaged.
        """
        if self._record is None:
            if not SHIPPED_FRONTIER.is_file():
                raise DataError(
                    "there is no shipped frontier: run python -m bench.frontier, or restore "
                    "checkpoints/examples/frontier.json"
                )
            self._record = read_frontier(SHIPPED_FRONTIER)
        return self._record

    def state(self, run_id: str = "") -> FrontierState:
        """Return the frontier, with the run of that id if it was measured since the app started.

        No other run is shown, because anyone may measure a run that lies far from all methods.

        Raises:
            DataError: the record is missing or damaged.
        """
        there = {(row["id"], row["created_at"]) for row in self.choices.jobs.overview()}
        with self._lock:
            if self._state is None:
                self._state = state_of(self.record())
            for deleted in set(self._measured) - there:
                del self._measured[deleted]
            own = next((one for key, one in self._measured.items() if key[0] == run_id), None)
            views: list[JudgeView] = [
                {**view, "own": [own[view["judge"]]] if own else []}
                for view in self._state["judges"]
            ]
            return {**self._state, "judges": views}

    def measurable(self) -> list[Choice]:
        """List the runs that can be measured: the finished ones of all methods, newest first."""
        kinds = {
            row["id"]: row["kind"]
            for row in self.choices.jobs.overview()
            if row["status"] == Status.FINISHED
        }
        return [
            (label, run_id)
            for label, run_id in self.choices.policies()
            if kinds.get(run_id) in METHODS
        ]

    def measure(self, run_id: str) -> Iterator[Progress]:
        """Measure a finished run for the frontier, unless that is done; yield how far it is.

        Raises:
            DemoError: there is no such finished run, or its models have other tokens.
        """
        self.choices.policy(run_id)  # refuses what is in no list
        if "@" in run_id:
            raise JobError("name a run without a step: all of its saved steps are measured")
        if run_id in shipped_models():
            raise JobError(f"{run_id} is not a run: choose a finished run from the list")
        run, record = self.choices.jobs.find(run_id), self.record()
        measured, models = describe_run(run), models_of(run, MOST_MODELS)
        self.choices.check_here(run.config["options"]["policy"])
        total = len(models) * len(record["prompts"])
        key = run_id, run.config["created_at"]
        if key in self._measured:  # its models do not change any more
            yield {"run": run_id, "done": total, "total": total}
            return
        yield {"run": run_id, "done": 0, "total": total}
        base = self.model_cache.policy(record["base"])
        judges = {name: self.model_cache.scorer(name) for name in record["judges"]}
        from rlhf_demo.evaluation.frontier_measure import Field, measure_model  # noqa: PLC0415

        field = Field(base, judges, record)
        for number, (step, folder) in enumerate(models):
            policy = self.model_cache.policy(self.choices.path(folder))
            steps = measure_model(field, policy, run_id, step, measured["seed"])
            while True:
                with self.compute_lock.hold(Priority.VISITORS):
                    try:
                        answered = next(steps)
                    except StopIteration as end:
                        measured["points"].append(end.value)
                        break
                done = number * len(record["prompts"]) + answered
                yield {"run": run_id, "done": done, "total": total}
        own = {judge: own_run(record["runs"], measured, judge) for judge in judges}
        with self._lock:
            self._measured[key] = own
            self._measured.move_to_end(key)
            while len(self._measured) > MOST_KEPT:
                self._measured.popitem(last=False)


def state_of(record: FrontierRecord) -> FrontierState:
    """Return what the page shows of a record."""
    costs = cost_rows(record)
    return {
        "base": record["base"],
        "prompts": len(record["prompts"]),
        "seeds": len({run["seed"] for run in record["runs"] if run["arm"] != BEST_OF_N}),
        "arms": [{"arm": row["arm"], "title": title(row["arm"])} for row in costs if row["answer"]],
        "judges": [judge_view(record, judge) for judge in record["judges"]],
        "costs": costs,
    }
