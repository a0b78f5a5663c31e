"""The blind vote in Compare: people judge two models without knowing which wrote which text.

The names are shown after each answer, so an answer cannot be taken back. All votes on a pair of
models count together. No model is trained on these prompts, and no reward model learns from these
votes, so they stay a fair test of every later model.
"""

from collections.abc import Iterable
from typing import Any

import gradio as gr

from rlhf_demo.errors import DemoError, Refused
from rlhf_demo.server.payloads import NextPair, PageWinRate
from rlhf_demo.server.sampler import PROMPTS_AT_ONCE, PairRequest
from rlhf_demo.ui.parts import part
from rlhf_demo.ui.shared import Shared
from rlhf_demo.votes.quality import win_rate
from rlhf_demo.votes.vote import DUEL, LONGEST_QUESTION, QUESTIONS, TO_READ, Vote, clean_text
from rlhf_demo.web.addresses import address_of
from rlhf_demo.web.lanes import heavy, voting

LEAD = (
    "A score is the reward model's opinion. Here you are the judge: you read two texts, one from "
    "each model chosen above, with names hidden and sides at random. The names appear after your "
    "answer."
)


class BlindVote:
    """The panel below the duel, and its server functions."""

    def __init__(self, shared: Shared) -> None:
        self.shared, self.store, self.sampler = shared, shared.store, shared.sampler

    def build(self, left: gr.Dropdown, right: gr.Dropdown) -> None:
        """Lay the panel out inside the open Blocks, for the two models chosen there."""
        gr.HTML(
            f'<h2 class="rl-h2">Blind vote</h2><p class="rl-lead">{LEAD}</p>',
            elem_classes="rl-plain",
        )
        with gr.Column(elem_classes="rl-form"), gr.Row():
            question = gr.Dropdown(
                list(QUESTIONS), value=TO_READ, label="Question",
                info="choose one, or type your own", allow_custom_value=True, scale=3,
            )  # fmt: skip
            begin = gr.Button("Start a blind vote", scale=1, min_width=190)
        blind = part(
            "panels/blind_vote",
            [self.enter, self.blind_next, self.blind_vote, self.blind_result],
            css_class="blind",
        )
        begin.click(
            self.begin, [left, right, question], blind,
            api_visibility="private", show_progress="hidden", queue=False,
        )  # fmt: skip

    def begin(self, left: str, right: str, question: str) -> dict[str, str]:
        """Tell the panel which models and which question are voted on."""
        try:
            _order(left, right)
            asked = clean_text(question, LONGEST_QUESTION, "question")
        except DemoError as error:
            return {"error": str(error)}
        return {"left": left, "right": right, "question": asked}

    @voting
    def enter(self, request: dict[str, Any], http: gr.Request) -> dict[str, str]:
        """Return the voter's secret: the one the browser kept if it is known, else a new one."""
        return {"voter": self.store.enter(request.get("voter"), address_of(http))}

    @voting
    def blind_next(self, request: dict[str, Any], http: gr.Request) -> NextPair:
        """Return the pair to answer now, or the one after `after`, without the models' names.

        Args:
            request: `voter`, `question`, `left` and `right` (models), `after`.
        """
        voter, question = request["voter"], request["question"]
        order, trouble = _order(str(request["left"]), str(request["right"])), None
        ask: dict[str, Any] = dict(zip(("model", "against"), self._authors(order), strict=True))
        ask["kind"] = DUEL
        ask["client"] = client = address_of(http)
        if self.store.pairs_waiting(voter, question, **ask) < PROMPTS_AT_ONCE:
            trouble = self.sampler.want_more(order, client)
        assignment = self.store.next_pair(voter, question, **ask, after=request.get("after"))
        if assignment is not None:
            return {"assignment": assignment.to_dict()}
        message = trouble or self.sampler.problem(order)
        return {
            "assignment": None,
            "message": message or "Both models are writing. The pair will appear here by itself.",
        }

    @voting
    def blind_vote(self, request: dict[str, Any], http: gr.Request) -> dict[str, tuple[str, str]]:
        """Keep an answer, and return the models' names."""
        self.store.vote(
            request["voter"], request["assignment"], request["choice"], address_of(http)
        )
        left, right = self.store.names(request["voter"], request["assignment"])
        return {"names": (_name(left), _name(right))}

    @heavy
    def blind_result(self, request: dict[str, Any]) -> PageWinRate:
        """Return how often `right` beats `left` in all blind votes of the open page.

        It is shown after every vote, and voters can stop when they like the result: the interval
        allows for that.
        """
        order = _order(str(request["left"]), str(request["right"]))
        everything = _between(self.store.votes(classes=False), order)
        authors = self._authors(order)
        votes = [vote for vote in everything if (vote.first_model, vote.second_model) == authors]
        winner = "second" if request["right"] == order.second else "first"
        return {
            **win_rate(votes, winner, watched=True),
            "earlier": len(everything) - len(votes),
        }

    def _authors(self, order: PairRequest) -> tuple[str, str]:
        author = self.shared.choices.author
        return author(order.first), author(order.second)


def _name(author: str) -> str:
    """Return a model's id without the fingerprint that `Choices.author` may add."""
    return author.partition("#")[0]


def _order(left: str, right: str) -> PairRequest:
    """Order two models, so that their pairs are the same whichever model is on the left.

    Raises:
        Refused: they are the same model.
    """
    if left == right:
        raise Refused(f"{left} against itself shows nothing: choose another model on one side")
    return PairRequest(*sorted((left, right)))


def _between(votes: Iterable[Vote], order: PairRequest) -> list[Vote]:
    """Return the blind votes on two models, whatever models their runs had at the time."""
    return [
        vote
        for vote in votes
        if vote.kind == DUEL
        and (_name(vote.first_model), _name(vote.second_model)) == (order.first, order.second)
        and not vote.left_out
    ]
