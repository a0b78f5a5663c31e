"""The Feedback tab: visitors compare two texts or rank four, and see how good the votes are.

Every server function that acts for a voter takes that voter's secret. Texts are sent without the
names of their models.
"""

import time
from collections.abc import Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr

from rlhf_demo.errors import ConfigError, DataError, DemoError, Refused
from rlhf_demo.files import read_jsonl
from rlhf_demo.server.class_training import reward_config
from rlhf_demo.server.payloads import NextFour, NextPair, QualityState
from rlhf_demo.server.reading import read_apart
from rlhf_demo.server.sampler import AHEAD, FOURS_AHEAD, SHIPPED_MODEL, PairRequest
from rlhf_demo.server.uploads import digest
from rlhf_demo.server.vote_data import FEWEST, FEWEST_SHARED
from rlhf_demo.ui import forms
from rlhf_demo.ui.panels import classroom
from rlhf_demo.ui.parts import lead, part
from rlhf_demo.ui.shared import SECRET, Shared, secret_input
from rlhf_demo.votes.demonstrations import KeptText
from rlhf_demo.votes.pairs import FEWEST_TO_TELL, usable, usable_rankings
from rlhf_demo.votes.quality import VoterRow, vote_quality, voter_table
from rlhf_demo.votes.rankings import KeptRanking, UndoneRanking
from rlhf_demo.votes.vote import (
    LONGEST_DEMONSTRATION,
    LONGEST_PROMPT,
    LONGEST_QUESTION,
    PLAIN,
    QUESTIONS,
    Demonstration,
    Ranking,
    Vote,
    clean_text,
)
from rlhf_demo.web.addresses import address_of
from rlhf_demo.web.cache import received
from rlhf_demo.web.downloads import (
    VoteFile,
    demonstration_file,
    downloads,
    ranking_file,
    visitors_folder,
    vote_file,
)
from rlhf_demo.web.lanes import heavy, voting

LEAD = (
    "Everything starts with a person's judgement. Read two texts that a model wrote from the same "
    "prompt, and answer the question about them, or rank four. Pairs of nearly identical texts "
    "teach little, so they are left out. A reward model can learn from your votes, and PPO "
    "then trains the model to write what you are likely to prefer."
)
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
MOST_LISTED = 100
"""Careless voters that are listed; a file of votes may have thousands."""
VOTER = "(...a) => [...a.slice(0, -1), rlhf.voter()]"
"""JavaScript that replaces a handler's last input by the voter's secret."""


class FeedbackTab:
    """The tab's form, and the server functions of its ballot and quality panel."""

    def __init__(self, shared: Shared) -> None:
        self.shared, self.store = shared, shared.store
        self.sampler, self.data = shared.sampler, shared.vote_data
        assert shared.choices.texts is not None  # a page has some
        self.texts = shared.choices.texts

    def build(self, demo: gr.Blocks) -> None:
        """Lay the tab out inside the open Blocks."""
        lead(LEAD, "votes", "how do votes become a score?")
        with gr.Column(elem_classes="rl-form"):
            with gr.Row():
                question = gr.Dropdown(
                    list(QUESTIONS), value=QUESTIONS[0], label="Question",
                    info="a small model learns the first one most easily",
                    allow_custom_value=True, scale=3,
                )  # fmt: skip
                model = forms.picker(
                    "Model", "writes the texts",
                    choices=self.shared.choices.policies(), value=SHIPPED_MODEL,
                )  # fmt: skip
                prompt = gr.Textbox(
                    label="Your own prompt", info=self._use_of_own(), scale=3,
                    max_lines=1, max_length=LONGEST_PROMPT, placeholder="My neighbour says that",
                )  # fmt: skip
                write = gr.Button("Write texts", scale=1, min_width=120)
        first = {"question": QUESTIONS[0], "model": SHIPPED_MODEL}
        ballot = part(
            "tabs/feedback",
            [
                self.enter, self.next_pair, self.vote, self.undo, self.keep_text, self.delete_text,
                self.next_four, self.rank, self.skip_four, self.undo_ranking,
            ],
            value=first | self._about_texts(),
        )  # fmt: skip
        self.quality_part = part(
            "tabs/feedback/quality",
            [self.quality, self.train, self.export, self.export_texts, self.export_rankings],
            value=first
            | {
                "fewest": FEWEST,
                "fewest_shared": FEWEST_SHARED,
                "few": FEWEST_TO_TELL,
                "own": self.data.public,
            },
        )
        upload = gr.UploadButton(
            "Import votes, rankings or written texts from a file",
            file_types=[".jsonl", ".parquet"],
            size="sm",
            elem_classes="rl-import",
        )
        voter, secret = gr.Textbox(visible=False), secret_input()
        gr.on(
            [question.change, model.change], self.ask, [question, model], ballot,
            queue=False, **QUIET,
        )  # fmt: skip
        upload.upload(
            self.take_file, [upload, question, secret], self.quality_part, js=SECRET, **QUIET
        )
        gr.on(
            [write.click, prompt.submit], self.write_to, [prompt, question, model, voter],
            [ballot, prompt], js=VOTER, queue=False, **QUIET,
        )  # fmt: skip
        gr.on([demo.load, model.focus], self.model_list, model, model, queue=False, **QUIET)
        classroom.build(self.shared)

    # -- the form ----------------------------------------------------------------------------------

    def _use_of_own(self) -> str:
        if self.data.public:
            return "only you see these texts; your votes on them are not exported or trained on"
        return "only you are asked about these texts; your votes on them count as usual"

    def _about_texts(self) -> dict[str, Any]:
        """Return how long a visitor's own text may be, and who can read what visitors type."""
        use = "Supervised fine-tuning (SFT, on the PPO tab) can learn from it."
        kept = "We keep your answers, their times, and any prompts and texts you type, under a "
        kept += "number instead of a name."
        if self.data.public:
            use += " On this page, no other visitor can read it or train on it."
            kept += " Anyone can download the answers with the buttons below, except those to "
            kept += "your own prompts; only you can download your texts."
        else:
            use += " Anyone who can open this page can download it."
            kept += " Anyone who can open this page can download them below."
        return {"longest": LONGEST_DEMONSTRATION, "use": use, "stored": kept}

    def model_list(self, chosen: str | None) -> Any:
        """Update the list of models."""
        choices = self.shared.choices.policies()
        known = chosen in [model for _, model in choices]
        return gr.update(choices=choices, value=chosen if known else SHIPPED_MODEL)

    def ask(self, question: str, model: str) -> dict[str, str]:
        """Tell the ballot the question and the model that are chosen."""
        try:
            asked = clean_text(question, LONGEST_QUESTION, "question")
        except DemoError as error:
            return {"error": str(error)}
        return {"question": asked, "model": model}

    def write_to(
        self, text: str, question: str, model: str, voter: str, http: gr.Request
    ) -> list[Any]:
        """Have pairs written from a visitor's own prompt; they are shown next."""
        try:
            prompt = self.store.own_prompt(voter, text)
            self.sampler.want(PairRequest(model, model, prompt, voter), address_of(http))
        except DemoError as error:
            return [{"error": str(error)}, gr.skip()]
        # The time lets the page notice that the same prompt was sent again.
        return [self.ask(question, model) | {"prompt": prompt, "time": time.time()}, ""]

    # -- the ballot --------------------------------------------------------------------------------

    @voting
    def enter(self, request: dict[str, Any], http: gr.Request) -> dict[str, str]:
        """Return the voter's secret: the one the browser kept if it is known, else a new one."""
        return {"voter": self.store.enter(request.get("voter"), address_of(http))}

    @voting
    def next_pair(self, request: dict[str, Any], http: gr.Request) -> NextPair:
        """Return the pair to answer now, or the one after `after`; have more written in time.

        Args:
            request: `voter`, `question`, `model`, `after` (an assignment's id or nothing),
                `prompt` (the visitor's own, while its pairs are being written).
        """
        voter, question = request["voter"], request["question"]
        model = str(request["model"])
        client = address_of(http)
        author = self.shared.choices.author(model)
        ask: dict[str, Any] = {"kind": PLAIN, "model": author, "client": client}
        own = PairRequest(model, model, str(request.get("prompt") or "") or None, voter)
        if own.prompt and (problem := self.sampler.problem(own)):
            raise Refused(problem)
        if own.prompt and self.sampler.under_way(own):
            return {"assignment": None, "message": f"{model} is continuing your prompt."}
        order, trouble = PairRequest(model, model), None
        if self.store.pairs_waiting(voter, question, **ask) < AHEAD:
            trouble = self.sampler.want_more(order, client)
        after = request.get("after")
        assignment = self.store.next_pair(voter, question, **ask, after=after)
        if assignment is None and model == SHIPPED_MODEL:
            self.sampler.add_shipped()
            assignment = self.store.next_pair(voter, question, **ask, after=after)
        if assignment is not None:
            return {"assignment": assignment.to_dict()}
        return {
            "assignment": None,
            "message": trouble
            or self.sampler.problem(order)
            or f"{model} is writing the next texts.",
        }

    @voting
    def vote(self, request: dict[str, Any], http: gr.Request) -> dict[str, int]:
        """Keep an answer, and return how many there are."""
        self.store.vote(
            request["voter"], request["assignment"], request["choice"], address_of(http)
        )
        return {"votes": self.store.count()}

    @voting
    def undo(self, request: dict[str, Any], http: gr.Request) -> dict[str, int]:
        """Take the voter's last answer back."""
        undone = self.store.undo(request["voter"], address_of(http))
        return {"undone": undone, "votes": self.store.count()}

    # -- four texts to rank ------------------------------------------------------------------------

    @voting
    def next_four(self, request: dict[str, Any], http: gr.Request) -> NextFour:
        """Return the four texts to rank now; have more written in time.

        Args:
            request: `voter`, `question`, `model`.
            http: holds the address that the request comes from.
        """
        voter, question = request["voter"], request["question"]
        model, client = str(request["model"]), address_of(http)
        order, trouble = PairRequest(model, model, to_rank=True), None
        author = self.shared.choices.author(model)
        four = self.store.rankings.next_four(voter, question, model=author, client=client)
        if self.store.rankings.waiting(author) < FOURS_AHEAD:
            trouble = self.sampler.want_more(order, client)
        if four is not None:
            return {"assignment": four}
        message = trouble or self.sampler.problem(order) or f"{model} is writing the next texts."
        return {"assignment": None, "message": message}

    @voting
    def rank(self, request: dict[str, Any], http: gr.Request) -> KeptRanking:
        """Keep the `order` of four texts (`four`), best first; return how many rankings there are.

        Args:
            request: `voter`, `four`, `order` (the letters A to D, such as "CADB").
            http: holds the address that the request comes from.
        """
        rankings = self.store.rankings
        return rankings.rank(request["voter"], request["four"], request["order"], address_of(http))

    @voting
    def skip_four(self, request: dict[str, Any], http: gr.Request) -> dict[str, bool]:
        """Delete four texts that the voter cannot rank (`four`)."""
        voter, four = request["voter"], request["four"]
        return {"skipped": self.store.rankings.skip(voter, four, address_of(http))}

    @voting
    def undo_ranking(self, request: dict[str, Any], http: gr.Request) -> UndoneRanking:
        """Take the voter's last ranking back; its texts come next."""
        return self.store.rankings.undo(request["voter"], address_of(http))

    # -- texts that visitors write -----------------------------------------------------------------

    @voting
    def keep_text(self, request: dict[str, Any], http: gr.Request) -> KeptText:
        """Keep a text for a pair, in place of the voter's earlier one; it is then on disk.

        Args:
            request: `voter`, `assignment`, `text`, `secret` (of this browser; on a page with
                limits, it alone can read the text).
            http: holds the address that the request comes from.
        """
        return self.store.demonstrations.write(
            request["voter"],
            request["assignment"],
            request["text"],
            browser=str(request["secret"]),
            client=address_of(http),
        )

    @voting
    def delete_text(self, request: dict[str, Any], http: gr.Request) -> dict[str, bool]:
        """Delete the voter's text for a pair (`assignment`)."""
        voter, assignment = request["voter"], request["assignment"]
        return {"deleted": self.store.demonstrations.delete(voter, assignment, address_of(http))}

    # -- how good the votes are --------------------------------------------------------------------

    @heavy
    def quality(self, request: dict[str, Any]) -> QualityState:
        """Return how good the votes on a question are.

        Args:
            request: `question`, `without` (numbers of voters to leave out; only those who look
                careless can be).
        """
        asked, everything = str(request["question"]), self.data.votes()
        votes = [vote for vote in everything if vote.question == asked]
        careless = _careless(votes)
        without = _numbers(request.get("without")) & {row["voter"] for row in careless}
        kept = [vote for vote in votes if vote.voter not in without and not vote.left_out]
        ranked = self.data.rankings()
        questions = {one.question for one in (*everything, *ranked)}
        return {
            "question": asked,
            "votes": len(votes),
            "voters": len({vote.voter for vote in votes}),
            "preferences": len(usable(votes, [asked], without_voters=without)),
            "together": len(usable(everything, questions, without_voters=without)),
            "rankings": len(usable_rankings(ranked, [asked], without_voters=without)),
            "rankings_together": len(usable_rankings(ranked, questions, without_voters=without)),
            "simulated": sum(vote.simulated for vote in votes),
            "quality": vote_quality(kept),
            "careless": careless[:MOST_LISTED],
        }

    @heavy
    def train(self, request: dict[str, Any], http: gr.Request) -> dict[str, str]:
        """Start a reward model on the votes.

        Args:
            request: `question`, `together` (whether to add the votes on all other questions),
                `without` (voters who look careless), `secret` (of the run's owner).
            http: holds the address that the request comes from.

        Raises:
            DemoError: there are too few votes, a voter does not look careless, or a limit is
                reached.
        """
        asked, without = str(request["question"]), _numbers(request.get("without"))
        secret, address = str(request["secret"]), address_of(http)
        self.shared.jobs.check_start(secret, address)
        self._check_careless(asked, without)
        questions = {asked}
        if request.get("together"):
            everything = (*self.data.votes(), *self.data.rankings())
            questions |= {one.question for one in everything}
        folder = self.data.write(questions, without)
        config = reward_config(folder, self.shared.choices.path(folder))
        title = "Votes on all questions" if len(questions) > 1 else f"Votes: {asked}"
        if without:
            title += f", without {_listed(without)}"
        run = self.shared.jobs.start(
            "reward",
            config,
            title=self._shown_title(title),
            secret=secret,
            address=address,
        )
        return {"run": run}

    def _shown_title(self, title: str) -> str:
        """Return a title that may stand in the list that everyone sees: cut, a question may not."""
        try:
            return self.shared.submit.checked_title(title)
        except ConfigError:
            return "Votes on one question"

    def _check_careless(self, question: str, voters: set[int]) -> None:
        """Refuse to leave out arbitrary voters: each choice of voters would be another data set."""
        votes = [vote for vote in self.data.votes() if vote.question == question] if voters else []
        if careful := voters - {row["voter"] for row in _careless(votes)}:
            raise DataError(
                f"{_listed(careful)} cannot be left out: choose only voters who look careless"
            )

    # -- files -------------------------------------------------------------------------------------

    @heavy
    def export(self, request: dict[str, Any]) -> VoteFile:
        """Write the votes into a file, and return a link to it.

        Args:
            request: `format`, `everything` (whether to include ties and skips, in the layout with
                all answers).

        Raises:
            DataError: there are no votes, the format is unknown, or the disk is nearly full.
        """
        folder = downloads("votes")
        self.data.check_room(folder)
        return vote_file(self.data.votes(), folder, "votes", request)

    @heavy
    def export_texts(self, request: dict[str, Any]) -> VoteFile:
        """Write the texts that the visitor may read into a file, and return a link to it.

        Args:
            request: `format`, `secret`.

        Raises:
            DataError: there are none, the format is unknown, or the disk is nearly full.
        """
        secret = str(request["secret"])
        texts, public = self.texts.texts(secret), self.texts.public
        folder = visitors_folder(secret) if public else downloads("demonstrations")
        self.texts.check_room(folder)
        return demonstration_file(texts, folder, "demonstrations", request)

    @heavy
    def export_rankings(self, request: dict[str, Any]) -> VoteFile:
        """Write the rankings into a file of this `format`, and return a link to it.

        Raises:
            DataError: there are none, the format is unknown, or the disk is nearly full.
        """
        folder = downloads("rankings")
        self.data.check_room(folder)
        return ranking_file(self.data.rankings(), folder, request)

    def take_file(self, path: str | None, question: str, secret: str, http: gr.Request) -> Any:
        """Keep the votes, rankings or texts of an uploaded file; tell the quality panel."""
        if path is None:
            return gr.skip()
        source = Path(path)
        try:
            with received(source):
                self._check_importer(secret)
                return {"imported": self._keep_file(source, question, address_of(http))}
        except DemoError as error:
            return {"error": str(error)}

    def _check_importer(self, secret: str) -> None:
        settings = self.shared.settings
        if settings.password is not None and not self.shared.instructor.is_token(secret):
            raise Refused(
                "only the instructor may import votes: enter the password on the Runs tab, then "
                "import"
            )
        if settings.public and settings.password is None:
            raise Refused(
                "this page is public and keeps only its visitors' own votes: import votes on a "
                "page of your own"
            )

    def _keep_file(self, path: Path, question: str, address: str) -> dict[str, int | str]:
        source, uploads = digest(path), self.shared.choices.uploads
        with uploads.reading(address), TemporaryDirectory() as folder:
            copy = Path(folder) / "votes.jsonl"
            read_apart("votes", path, copy, question)
            rows = read_jsonl(copy)
        if "completion" in rows[0]:
            what = "text"
            _, double = self.store.demonstrations.add([Demonstration(**r) for r in rows], source)
        elif "order" in rows[0]:
            what = "ranking"
            _, double = self.store.rankings.add([Ranking(**row) for row in rows], source)
        else:
            what = "vote"
            _, double = self.store.add_votes([Vote(**row) for row in rows], source)
        return {"kept": len(rows) - double, "double": double, "what": what}


def _numbers(given: Any) -> set[int]:
    return {int(number) for number in given or ()}


def _listed(voters: Collection[int]) -> str:
    return f"voter{'s' * (len(voters) > 1)} {', '.join(str(number) for number in sorted(voters))}"


def _careless(votes: Sequence[Vote]) -> list[VoterRow]:
    """Return the rows of the voters that the page offers to leave out."""
    return [row for row in voter_table(votes) if row["careless"] or row["left_out"]]
