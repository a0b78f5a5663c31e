"""Types of the objects that the server sends to the page most often.

`python -m rlhf_demo.cli.types` writes these as TypeScript into ui/static/types.d.ts, which
checks the page's modules; tests compare what the server really sends with them.
"""

from typing import Any, NotRequired, TypedDict

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


class Share(TypedDict):
    """A share with its 95% interval, of so many votes on so many pairs."""

    share: float | None
    low: float
    high: float
    count: int
    units: int


class Quality(TypedDict):
    """Quality of votes (`votes.quality.vote_quality`)."""

    votes: int
    ties: Share
    left: Share
    alpha: float | None
    self_agreement: Share
    caught: Share
    with_others: Share
    highest_accuracy: float | None
    simulated: NotRequired[int]


class VoterRow(TypedDict):
    """How careful one voter's answers are (`votes.quality.voter_table`)."""

    voter: int
    simulated: bool
    left_out: bool
    votes: int
    ties: Share
    left: Share
    self_agreement: Share
    caught: Share
    with_others: Share
    seconds: float | None
    careless: list[str]
    nickname: NotRequired[str]


class QualityState(TypedDict):
    """The votes on a question, as the Feedback tab shows them."""

    question: str
    votes: int
    voters: int
    preferences: int
    together: int
    simulated: int
    quality: Quality
    careless: list[VoterRow]


class BlindResult(TypedDict):
    """A class's blind vote; its outcome, for A against B, only once it is revealed."""

    revealed: bool
    votes: int
    simulated: int
    pairs: int
    rate: NotRequired[float | None]
    low: NotRequired[float]
    high: NotRequired[float]
    wins: NotRequired[int]
    losses: NotRequired[int]
    ties: NotRequired[int]
    both_bad: NotRequired[int]
    series: NotRequired[list[tuple[int, float | None]]]
    a: NotRequired[str]
    b: NotRequired[str]
    contender: NotRequired[str]


class StudentPPO(TypedDict):
    """What students see of PPO."""

    status: str
    busy: bool
    step: int
    total_steps: int | None
    score: float | None
    kl: float | None


class StudentState(TypedDict):
    """What a student's phone shows besides the pair."""

    nickname: str
    votes: int
    done: int
    state: str
    round: int
    kind: str
    round_state: str
    question: str
    result: BlindResult | None
    code: str
    goal: int
    ppo: StudentPPO | None


class Student(TypedDict):
    """A student of a class."""

    voter: int
    nickname: str
    simulated: bool
    left_out: bool
    votes: int
    last_seen: float | None
    place: int | None


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


class ClassState(TypedDict):
    """Everything on the instructor's screen."""

    collection: int
    code: str
    state: str
    round: int
    kind: str
    round_state: str
    question: str
    overlap: int
    clean_words: bool
    door_open: bool
    most_joins: int
    votes: int
    seats_left: int
    voters: list[Student]
    each: int
    expected: int
    all_votes: int
    preferences: int
    coming: Coming
    simulated: int
    quality: Quality
    careless: list[VoterRow]
    history: list[TrainedReward]
    reward: str | None
    training: TrainingReward | None
    problem: str | None
    ppo: RunRow | None
    blind: BlindResult | None
    simulation: Simulation | None
