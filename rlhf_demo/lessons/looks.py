"""What the lessons send to the page. Nothing here imports torch."""

from typing import TypedDict

from rlhf_demo.evaluation.frontier import Level
from rlhf_demo.evaluation.overoptimisation import Study


class Outcome(TypedDict):
    """Which answer came true."""

    answer: int  # its place among the lesson's answers
    result: str  # a sentence with the computed figures


class LessonCode(TypedDict):
    """The function that computed a lesson."""

    file: str  # from the project's folder
    line: int
    source: str


class NextTokenLook(TypedDict):
    """Every token's logit, and the most likely tokens by name."""

    text: str
    model: str
    logits: list[float]  # of all tokens, the highest first
    tokens: list[str]  # the first ones


class HeadRow(TypedDict):
    """One head's attention from one token, step by step."""

    layer: int  # from 1
    head: int  # from 1
    place: int  # of the token that looks, from 0
    width: int  # of its query and of each key
    dot_products: list[float]  # its query times the key of each token up to it
    scaled: list[float]  # over the square root of the width
    weights: list[float]  # softmax of these


class AttentionLook(TypedDict):
    """The pattern of every head, and one row of one head."""

    text: str
    model: str
    pieces: list[str]
    patterns: list[list[list[list[float]]]]  # [layer][head][token that looks][token looked at]
    row: HeadRow


class HeadsOffLook(TypedDict):
    """The next token's probabilities, and the loss, with and without some parts."""

    text: str
    model: str
    word: str
    heads: list[int]  # that are off, counted from 0 through all layers
    feed_forward: list[int]  # layers, from 0, whose feed-forward part is off
    tokens: list[str]  # the word first, then the leaders before and after
    before: list[float]  # probability of each token
    after: list[float]
    alone: (
        list[list[float]] | None
    )  # [layer][head] the word's without this head; None: not asked for
    loss_before: float  # nats per token, on film sentences
    loss_after: float


class Unit(TypedDict):
    """The unit of a feed-forward part that added most."""

    unit: int  # from 1
    activation: float
    tokens: list[str]  # that what it adds makes more likely


class Reading(TypedDict):
    """One model's running sum, read at every depth: the input, then after each layer."""

    model: str
    top: list[list[int]]  # [depth] places of the most likely tokens among `tokens`
    shares: list[list[float]]  # [depth][token] probability
    attention: list[float]  # [layer] length of the vector that attention added
    feed_forward: list[float]
    units: list[Unit]  # [layer]


class LayersLook(TypedDict):
    """How each model would go on, layer by layer."""

    text: str
    pieces: list[str]
    place: int  # of the token whose sum is read, from 0
    tokens: list[str]  # that are among the most likely somewhere
    readings: list[Reading]


class ExampleText(TypedDict):
    """A text to compare with, and its loss under the base and the PPO model."""

    name: str
    text: str
    losses: list[float]  # nats per token


class Taught(TypedDict):
    """What a copy of the base learned and forgot."""

    losses: list[float]  # on the text: before the first step, and after each
    examples: list[float]  # on each example, after the last step


class LossLook(TypedDict):
    """How much each token surprises the base and the PPO model, in nats."""

    text: str
    pieces: list[str]  # without the token that begins the text
    surprises: list[list[float]]  # [model][token]
    losses: list[float]  # [model] their means
    nothing: float  # loss of a model that knows nothing
    examples: list[ExampleText] | None  # None: not asked for
    taught: Taught | None


class PositionsOff(TypedDict):
    """A sentence's loss under the base and the PPO model, with and without positions."""

    text: str
    losses: list[float]  # nats per token
    losses_off: list[float]


class VectorsLook(TypedDict):
    """The words nearest to one, and what the vectors of positions do."""

    word: str
    vector: list[float]  # all its numbers
    cosines: list[float]  # to the nearest words, the closest first
    tokens: list[str]  # those words
    unchanged: bool  # the trained model has the same vectors
    learned: list[list[float]]  # cosine of each two of the first positions
    sinusoids: list[list[float]]  # the same of sinusoids
    without: list[PositionsOff] | None  # None: not asked for


class TokensLook(TypedDict):
    """The tokens of a text, without the one that begins it."""

    text: str
    ids: list[int]
    pieces: list[str]
    words: int
    vocabulary: int  # tokens that there are


class PPOStepLook(TypedDict):
    """A response of a step of the shipped run; lists have an entry a token."""

    run: str
    step: int
    steps: int  # of the run
    sample: int  # of the step's kept responses, from 0
    samples: int
    prompt: str
    score: float  # in the reward model's own units
    tokens: list[str]
    reward: list[float]  # reward units, as are the values
    value: list[float]
    advantage: list[float]  # whitened
    ratio: list[float]  # new over old probability, after the step's updates
    asked: int  # the token of the second question
    stopped: list[bool]  # the clip would stop a further update
    clipped: list[bool]  # it stopped one of the step's updates
    clip_range: float


class LeashLook(TypedDict):
    """Curves of PPO without a KL penalty, and next tokens with probability and score."""

    text: str
    study: Study
    tokens: list[str]
    reference: list[float]  # the base's probability of each, among these
    scores: list[float]  # of the text that ends with the token and a full stop


class AlternativesLook(TypedDict):
    """The methods at equal KL, by one judge."""

    judge: str
    arms: list[tuple[str, str]]  # id and name
    levels: list[Level]


class UsesLook(TypedDict):
    """What wrong answers do to votes, for each error rate."""

    error_rates: list[float]
    agreement: list[float]  # how often two voters agree
    ceiling: list[float]  # how often a perfect model agrees with a vote


class ChangedLook(TypedDict):
    """What PPO's changes do to the tokens of one text, in nats and as probabilities."""

    text: str
    pieces: list[str]  # of the text, without the token that begins it
    layers: list[int]  # that have PPO's weights, from 1
    part: str  # of those layers; nothing: both parts
    moved: list[list[float]]  # [layer][matrix], then the layer as a whole: |change| / |base|
    alone: list[float]  # [layer] KL of the next token from the base if only that layer changes
    all: float  # the same if all change
    chosen: float  # the same with the chosen layers
    log_ratios: list[float]  # of the text's tokens, chosen layers to base
    tokens: list[str]  # likely next ones
    base: list[float]  # their probabilities under the base
    ppo: list[float]
    mixed: list[float]  # under the base with the chosen layers of PPO


class RewardHeadLook(TypedDict):
    """What the reward model makes of a text."""

    text: str
    pieces: list[str]  # of the text, without the token that begins it
    running: list[float]  # score if the text ended at each token
    depths: list[float]  # score read at the input and after each layer
    score: float
    surprise: float  # nats a token, under the base


class WordCredit(TypedDict):
    """What a word adds to the score of its text, in three ways."""

    piece: str
    running: float  # score up to it less the score up to the word before
    left_out: float  # score of the text less the score without it
    shapley: float


class WordScoresLook(TypedDict):
    """What each word adds to the score, and how the Shapley values were averaged."""

    text: str
    words: list[WordCredit]
    score: float
    empty: float  # score of the empty text
    orders: int
    exact: bool  # whether these are all orders
    standard_error: float
    words_together: int  # words in a group


class VotePair(TypedDict):
    """A prompt and two responses to vote on."""

    prompt: str
    a: str
    b: str


class HeadResult(TypedDict):
    """How well a head that learned from a few votes predicts held-out ones."""

    right: int  # held-out pairs
    of: int
    low: float  # 95% interval of the share
    high: float
    agree: int  # votes as the rater's
    probabilities: list[float]  # [vote] that the chosen text wins, by the head
    shipped: int  # held-out pairs that the shipped reward model gets right


class VotesLook(TypedDict):
    """Pairs to vote on, the votes, and what a head learned from them."""

    pairs: list[VotePair]
    votes: list[str]  # "a" or "b"
    result: HeadResult | None


class Move(TypedDict):
    """A token that the player can choose."""

    token: int
    piece: str
    share: float  # its probability under the base


class AgentLook(TypedDict):
    """A game of choosing tokens."""

    starts: list[str]
    start: int  # place of its beginning in `starts`
    moves: list[int]  # token ids chosen so far
    pieces: list[str]
    choices: list[Move]  # none if the game is over
    left: int  # moves
    score: float | None  # once the game is over
    ppo_text: str  # what the PPO model writes from the same beginning
    ppo_score: float | None
