"""Types of the objects that the server sends to the page most often.

Rows that another module makes are declared there and imported here. `python -m rlhf_demo.cli.types`
writes all of them as TypeScript into ui/static/types.d.ts, which checks the page's modules; tests
compare what the server really sends with them.
"""

from typing import Any, NotRequired, TypedDict

from rlhf_demo.evaluation.overoptimisation import Study
from rlhf_demo.jobs.run_rows import RunRow
from rlhf_demo.lessons.looks import (
    AgentLook,
    AlternativesLook,
    AttentionLook,
    ChangedLook,
    HeadsOffLook,
    LayersLook,
    LeashLook,
    LessonCode,
    LossLook,
    NextTokenLook,
    Outcome,
    PPOStepLook,
    RewardHeadLook,
    TokensLook,
    UsesLook,
    VectorsLook,
    VotesLook,
    WordScoresLook,
)
from rlhf_demo.runs.reports import ComparedRow, NamedVerdict, RewardReport
from rlhf_demo.server.class_records import RewardTraining, TrainedReward
from rlhf_demo.server.frontier import FrontierState, Progress
from rlhf_demo.server.inside_step import StepDetails
from rlhf_demo.server.judges import Judge, Named, NamedScorer
from rlhf_demo.server.simulations import Simulation
from rlhf_demo.server.vote_data import VoteFacts
from rlhf_demo.votes.classes import ClassOverview, StudentView
from rlhf_demo.votes.quality import Quality, VoterRow, WinRate
from rlhf_demo.votes.rounds import BlindResult
from rlhf_demo.votes.vote import ShownAssignment, ShownFour

Columns = dict[str, list[float | None]]
"""Figures metric by metric, one entry a row; None where a row lacks one."""


class BoardRun(RunRow):
    """The run on a board."""

    command: str  # repeats it
    mine: NotRequired[bool]  # whether the visitor who asks may change it


class ListedRun(TypedDict):
    """One run in the list of the Runs tab."""

    id: str
    title: str
    kind: str
    status: str
    place: int | None  # in the queue; 1 is next
    step: int | None  # the last finished one
    total_steps: int | None
    created_at: str  # UTC: 2026-01-31T09:00:00Z
    example: bool
    of_class: bool
    figures: list[tuple[str, str, str]]  # the newest: name, value with its unit, colour


class ChangedSetting(TypedDict):
    """An option of a run that differs from the default, in words."""

    name: str
    value: str
    default: str
    meaning: str


class PickedRun(TypedDict):
    """The run whose details the Runs tab shows; of a damaged one no more than its row is known."""

    id: str
    title: str
    kind: str
    status: str
    message: str
    example: bool
    mine: bool  # whether the visitor who asks may change it
    damaged: bool
    has_board: NotRequired[bool]
    has_model: NotRequired[bool]
    result: NotRequired[str]  # how good its model is, in a sentence
    settings: NotRequired[list[ChangedSetting]]
    command: NotRequired[str]  # repeats it
    log: NotRequired[str]  # its end, of a failed run


class DeletedRun(TypedDict):
    """Whether a run was deleted; if not, which finished runs were trained from its model."""

    deleted: bool
    needed_by: list[str]  # titles


class RunsState(TypedDict):
    """The Runs tab: all runs, newest first, and the one that is picked."""

    runs: list[ListedRun]
    picked: PickedRun | None


class RunCurves(TypedDict):
    """The headline curves of a run, to overlay them: metric -> [step, value], in its unit."""

    id: str
    curves: dict[str, list[tuple[int, float]]]


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


class RewardScales(TypedDict):
    """What the page reads of reward_scale.json."""

    reward: Scale


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
    left_out: str  # says in a sentence which texts and tokens are not sent; empty if all are


class InsideStep(TypedDict):
    """The details of one step; `details` is None if they were not kept."""

    step: int
    details: StepDetails | None


class Labelled(TypedDict):
    """A run in a list, with its label."""

    id: str
    label: str


class Line(TypedDict):
    """A horizontal reference line of a chart."""

    y: float  # in the chart's unit
    label: str
    dash: NotRequired[str]
    color: NotRequired[str]
    left: NotRequired[bool]  # the label stands on the left


class RunState(TypedDict):
    """The part of a board's state that is the same for all viewers of the run."""

    run: BoardRun
    created: str  # UTC: 2026-01-31T09:00:00Z
    lines: dict[str, list[Line]]  # by metric
    figures: list[tuple[str, str]]  # value, and its unit in words
    story: dict[str, str]  # what, try, level
    sample_steps: list[int]  # steps whose texts were kept
    texts_problem: str  # why no texts can be shown; empty: they can
    inside_step: int  # the newest step with details; -1: none
    scale: Scale | None
    clip_range: float | None  # of the probability ratio
    judge: dict[str, str] | None  # name, note
    result: str
    model_step: int  # of the newest saved model; 0: none
    has_model: bool
    runs: list[Labelled]


class BoardState(RunState):
    """The state of a run for its board, with the new rows."""

    since: int  # the last step that the page has; -1: none
    columns: Columns
    texts: StepTexts | None
    inside: InsideStep | None
    log: str
    ask_again: float  # seconds until something new is likely


class TryLater(TypedDict):
    """Why a board can be shown only later."""

    error: str
    later: bool


class ListedExperiment(TypedDict):
    """An experiment before its run: the question and the answers to choose from."""

    id: str
    title: str
    change: str  # what differs from the default run
    question: str
    answers: list[str]
    yardstick: str  # where the default run ended, in a sentence


class ExperimentState(TypedDict):
    """An experiment's run, and which answer came true."""

    run: RunRow | None  # None if there is none yet, or it failed
    answer: int | None  # place in the answers, once the run has finished
    measured: str  # the figures that decided, in a sentence


class OveroptimisationState(TypedDict):
    """An overoptimise run, and what it has shown so far."""

    run: BoardRun | None  # the wanted one
    runs: list[Labelled]
    study: Study | None
    phase: str  # of a running one, in words
    ask_again: float  # in so many seconds


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


class RunDuel(TypedDict):
    """What a PPO run's reference and its newest saved model write; `state` is None without one."""

    state: DuelState | None
    settings: NotRequired[dict[str, Any]]  # prompt, base, scorer, sampling options
    step: NotRequired[int]  # of the saved model
    later: NotRequired[bool]  # a model is being tried: ask again


class ShownRecord(TypedDict):
    """A saved duel or comparison on many prompts; see server/comparisons.py."""

    id: NotRequired[str]
    date: NotRequired[str]
    example: NotRequired[bool]
    error: NotRequired[str]
    settings: NotRequired[dict[str, Any]]
    state: NotRequired[DuelState | None]
    report: NotRequired[dict[str, Any]]


class BestOfSettings(TypedDict):
    """What best-of-n was asked for."""

    model: Named
    scorer: NamedScorer
    prompt: str
    best_of: int
    max_new_tokens: int
    temperature: float
    seed: int


class ScoredResponse(TypedDict):
    """A response of best-of-n, and its score by the scorer that chooses."""

    text: str
    score: float


class BestOfState(TypedDict):
    """How far best-of-n has come; the numbers are about the responses so far."""

    settings: BestOfSettings
    responses: list[ScoredResponse]  # in the order of sampling
    best: int | None  # places in `responses`; None while there is none
    median: int | None  # of an even number, the lower of the two in the middle
    worst: int | None
    kl_bound: float  # most KL of best-of-n from the model, nats
    expected: list[float]  # mean score of the best of 1, 2, ... responses
    finished: bool


class NextPair(TypedDict):
    """The pair that a voter answers next."""

    assignment: ShownAssignment | None
    message: NotRequired[str]  # why there is none


class PageWinRate(WinRate):
    """The blind votes of the open page on two models."""

    earlier: int  # number of votes on what the models' runs wrote before they were resumed


class NextFour(TypedDict):
    """The four texts that a voter ranks next."""

    assignment: ShownFour | None
    message: NotRequired[str]  # why there are none


class QualityState(TypedDict):
    """The votes on a question, as the Feedback tab shows them."""

    question: str
    votes: int
    voters: int
    preferences: int  # to train on
    together: int  # those on all questions
    rankings: int  # of four texts, to train on
    rankings_together: int
    simulated: int  # number of simulated votes
    quality: Quality
    careless: list[VoterRow]


class RewardAnswer(TypedDict):
    """A reward model's held-out report, and what is known about its rater or its votes."""

    report: RewardReport | None  # once the run has finished
    people: float | None  # how often other people agree with one of the votes, 0 to 1
    votes: VoteFacts | None
    rater: str  # about the simulated rater; empty for other data


class ExampleJudge(Judge, NamedVerdict):
    """A judge of the shipped comparison, and its verdict."""


class LoopExample(TypedDict):
    """The shipped comparison on the Start tab."""

    prompts: int
    judges: list[ExampleJudge]
    rows: list[ComparedRow]  # at the quartiles of the first judge's differences


class StudentPPO(TypedDict):
    """What students see of PPO."""

    status: str
    busy: bool  # queued or running
    step: int
    total_steps: int | None
    score: float | None  # in standard deviations of the base's scores
    kl: float | None  # nats per response


class BoardText(TypedDict):
    """A text with which a student tries to fool the reward model."""

    id: int
    text: str
    score: float


class TriedText(TypedDict):
    """What became of a text that a student has sent."""

    score: float
    best: BoardText  # of the student's texts


class ClassLesson(TypedDict):
    """The lesson that a class's phones show instead of a pair."""

    id: str
    title: str
    before: str
    question: str
    answers: list[str]
    came: int | None  # the answer that came true; None before the reveal
    result: str  # a sentence with the computed figures; empty before the reveal
    # How many predicted each answer, and last how many did not know; None for a student who has
    # not predicted, and for all students before the reveal.
    counts: list[int] | None
    # The texts with the best scores; for a student, only the student's own. None while the lesson
    # takes no texts.
    tries: list[BoardText] | None


class StudentLesson(ClassLesson):
    """The lesson on one student's phone."""

    said: int | None  # the student's own prediction; -1 is "I do not know"


class StudentState(StudentView):
    """What a student's phone shows besides the pair."""

    code: str
    goal: int  # pairs to answer in the round
    ppo: StudentPPO | None
    lesson: StudentLesson | None  # that it shows instead of the pair


class TrainingReward(RewardTraining):
    """The reward model that is being trained."""

    row: RunRow | None


class Coming(TypedDict):
    """Votes over time: how many in each span of so many seconds."""

    seconds: float
    counts: list[int]


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
    lesson: ClassLesson | None  # that the phones show instead of pairs


class ListedLesson(TypedDict):
    """The texts of a lesson; config/lessons.py explains each."""

    id: str
    title: str
    minutes: int
    core: bool
    before: str
    question: str
    answers: list[str]
    sentence: str
    code: str
    test: str
    caveat: str


class LessonTypes(TypedDict):
    """What the lessons send; nothing sends them all together."""

    outcome: Outcome
    code: LessonCode
    next_token: NextTokenLook
    attention: AttentionLook
    heads_off: HeadsOffLook
    tokens: TokensLook
    vectors: VectorsLook
    loss: LossLook
    layers: LayersLook
    votes: VotesLook
    reward_head: RewardHeadLook
    ppo_step: PPOStepLook
    agent: AgentLook
    leash: LeashLook
    changed: ChangedLook
    alternatives: AlternativesLook
    uses: UsesLook
    word_scores: WordScoresLook


class TraceSettings(TypedDict):
    """What a step's loss depends on besides the response."""

    kl_coef: float
    gamma: float
    gae_lambda: float
    clip_range: float
    value_clip_range: float
    value_coef: float
    entropy_coef: float
    with_values: bool  # False: as if the value head always said 0


class ResponseTrace(TypedDict):
    """Every term of PPO's loss for each token of one response."""

    run: str
    step: int
    sample: int  # of the responses that were kept of the step, from 0
    samples: int  # that were kept
    prompt: str
    tokens: list[str]
    columns: dict[str, list[float | None] | None]  # None where the run did not note enough
    stopped: list[bool] | None  # the clip would stop a further update of the token
    clipped: list[bool] | None  # the clip stopped one of the step's updates of it
    mean: float | None  # of the step's advantages
    deviation: float | None
    earned: float  # by the last token, on top of its KL
    standardised: float | None  # the score, in standard deviations of the base's scores
    settings: TraceSettings


class TracedQuantity(LessonCode):
    """A row of the microscope: the function that computes it, and where its cells come from."""

    function: str  # module and name
    sources: list[tuple[str, int]]  # quantity, tokens ahead


class ShownFrontier(TypedDict):
    """The part that compares the methods: all figures, or how far a measurement is."""

    frontier: NotRequired[FrontierState]
    progress: NotRequired[Progress]
    error: NotRequired[str]
