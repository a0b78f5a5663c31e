"""Types of the objects that the server sends to the page most often.

Rows that another module makes are declared there and imported here. `python -m rlhf_demo.cli.types`
writes all of them as TypeScript into ui/static/types.d.ts, which checks the page's modules; tests
compare what the server really sends with them.
"""

from typing import Any, NotRequired, TypedDict

from rlhf_demo.votes.classes import ClassOverview, StudentView
from rlhf_demo.votes.quality import Quality, VoterRow
from rlhf_demo.votes.rounds import BlindResult

Columns = dict[str, list[Any]]
"""Figures metric by metric, one entry a row; None where a row lacks one."""


class RunRow(TypedDict):
    """One run in a list of all (`Jobs.overview`); the list of the Runs tab has fewer keys."""

    id: str
    title: str
    kind: str
    status: str
    message: NotRequired[str]
    step: int | None
    total_steps: int | None
    place: int | None
    created_at: str
    ended_at: NotRequired[str | None]
    example: bool
    of_class: bool
    seconds_left: NotRequired[float | None]
    figures: Any
    mine: NotRequired[bool]
    command: NotRequired[str]


class PickedRun(TypedDict):
    """The run whose details the Runs tab shows; of a damaged one no more than its row is known."""

    id: str
    title: str
    kind: str
    status: str
    message: str
    example: bool
    mine: bool
    damaged: bool
    has_board: NotRequired[bool]
    has_model: NotRequired[bool]
    result: NotRequired[str]
    settings: NotRequired[list[dict[str, str]]]
    command: NotRequired[str]
    log: NotRequired[str]


class StripStage(TypedDict):
    """A stage of the loop in the strip."""

    tab: str
    title: str
    line: str
    state: str
    run: str


class StripState(TypedDict):
    """The strip at the top of every page."""

    stages: list[StripStage]
    note: str | None
    start: str | None


class Scale(TypedDict):
    """The scores of the base's samples, in the scorer's own units."""

    mean: float
    std: float


class SampleRow(TypedDict):
    """A text that PPO sampled: further keys are columns of figures, one entry a token."""

    step: int
    prompt: str
    response: str
    score: float
    token: list[str]
    log_ratio: NotRequired[list[float]]


class StepTexts(TypedDict):
    """The texts of one step."""

    step: int
    rows: list[SampleRow]


class InsideStep(TypedDict):
    """The details of one step; `details` is None if they were not kept."""

    step: int
    details: dict[str, Any] | None


class Labelled(TypedDict):
    """A run in a list, with its label."""

    id: str
    label: str


class BoardState(TypedDict):
    """The state of a run for its board, with the new rows."""

    run: RunRow
    created: str
    since: int
    columns: Columns
    lines: dict[str, list[dict[str, Any]]]
    figures: list[tuple[str, str]]
    story: dict[str, str]
    sample_steps: list[int]
    inside_step: int
    scale: Scale | None
    clip_range: float | None
    judge: dict[str, str] | None
    result: str
    model_step: int
    has_model: bool
    runs: list[Labelled]
    texts: StepTexts | None
    inside: InsideStep | None
    log: str
    ask_again: float


class DuelSide(TypedDict):
    """How far one model of a duel has come; see evaluation/duel.py."""

    token: list[str]
    done: bool
    ended: bool
    prompt_cut: bool
    logprob: list[float] | None
    kl: list[float] | None
    log_ratio: list[float] | None
    value: list[float] | None
    score_if_ended: list[float] | None
    score: float | None


class DuelState(TypedDict):
    """Both sides of a duel at one moment."""

    left: DuelSide
    right: DuelSide
    parting: int | None
    finished: bool


class DuelRecord(TypedDict):
    """A saved duel or comparison on many prompts; see server/comparisons.py."""

    id: NotRequired[str]
    date: NotRequired[str]
    example: NotRequired[bool]
    error: NotRequired[str]
    settings: NotRequired[dict[str, Any]]
    state: NotRequired[DuelState | None]
    report: NotRequired[dict[str, Any]]


class QualityState(TypedDict):
    """The votes on a question, as the Feedback tab shows them."""

    question: str
    votes: int
    voters: int
    preferences: int  # to train on
    together: int  # those on all questions
    simulated: int  # number of simulated votes
    quality: Quality
    careless: list[VoterRow]


class StudentPPO(TypedDict):
    """What students see of PPO."""

    status: str
    busy: bool
    step: int
    total_steps: int | None
    score: float | None
    kl: float | None


class StudentState(StudentView):
    """What a student's phone shows besides the pair."""

    code: str
    goal: int  # pairs to answer in the round
    ppo: StudentPPO | None


class TrainedReward(TypedDict):
    """A reward model that a class has trained, and what it got right."""

    run: str
    round: int
    votes: int
    simulated: int
    accuracy: float
    low: float
    high: float
    pairs: int
    highest: float | None
    too_few: bool


class TrainingReward(TypedDict):
    """The reward model that is being trained."""

    run: str
    round: int
    votes: int
    simulated: int
    row: RunRow | None


class Coming(TypedDict):
    """Votes over time: how many in each span of so many seconds."""

    seconds: float
    counts: list[int]


class Simulation(TypedDict):
    """The simulated students who vote in a class."""

    students: int
    taste: str
    noise: float
    careless: float


class ClassState(ClassOverview):
    """Everything on the instructor's screen."""

    each: int  # pairs that each student answers in the round
    expected: int  # votes of the whole class in the round
    all_votes: int  # of all rounds
    preferences: int  # on the question, to train on
    coming: Coming
    simulated: int  # number of the round's simulated votes
    quality: Quality
    careless: list[VoterRow]
    history: list[TrainedReward]
    reward: str | None  # run whose model is in use
    training: TrainingReward | None
    problem: str | None
    ppo: RunRow | None
    blind: BlindResult | None
    simulation: Simulation | None
