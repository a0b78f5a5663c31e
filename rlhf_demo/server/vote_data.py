"""Votes and rankings as training data: `write_votes` makes the folder that is trained on.

`class_training` makes the folders of classes; `VoteData` lists and makes those of the open page.
The open page's folders never hold a class's votes, which belong to its instructor. On a page for
strangers they do not hold votes on prompts that the voter wrote either: those are for the voter
alone. Rankings are on shipped prompts, or come from an imported file. A folder is named by its
content and never changes, so a resumed run has the same votes.
"""

import hashlib
import json
import os
import shutil
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NotRequired, TypedDict, cast

from rlhf_demo.data.pairs import PAIRS_FILE
from rlhf_demo.errors import DataError
from rlhf_demo.files import read_jsonl, write_json, write_text
from rlhf_demo.jobs.bounds import PUBLIC
from rlhf_demo.jobs.disk import shortage
from rlhf_demo.jobs.queue import Jobs
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.runs.reports import read_figures
from rlhf_demo.votes.files import row_lines
from rlhf_demo.votes.pairs import split_last_rated, usable, usable_rankings, write_split
from rlhf_demo.votes.quality import Share, agreement_with_others, highest_accuracy
from rlhf_demo.votes.result_cache import ResultCache
from rlhf_demo.votes.store import Store
from rlhf_demo.votes.vote import RANKED_PAIRS, Ranking, Vote

FACTS = "votes.json"
VOTES = f"votes-{'?' * 12}"
"""Names of the folders of written votes: nothing else is deleted, should a link lead elsewhere."""
FEWEST = 8
"""Fewest votes and rankings that a model is trained on: one batch."""
MOST_QUESTIONS = 20
"""Questions in the lists, those with most preferences. Strangers can ask hundreds; Feedback trains
on the votes under any."""
FEWEST_SHARED = 10
"""Fewest pairs with votes of two people or more from which their agreement is shown."""
KEPT = 5
"""Folders kept although no run learned from them: those used last, which a visitor may still train
on."""


class QuestionCount(NamedTuple):
    """How much there is to train on under a question."""

    question: str
    votes: int
    rankings: int

    @property
    def label(self) -> str:
        """Say it in a list."""
        return f"votes: {self.question} ({counted(self.votes, self.rankings)})"


class VoteFacts(TypedDict):
    """What is known about the votes that a reward model is trained and tested on.

    Files from before rankings have none of their figures.
    """

    questions: list[str]
    votes: int
    rankings: NotRequired[int]
    voters: int
    simulated: int  # number of simulated votes
    held_out: int  # number of votes to test on
    held_out_pairs: int  # of votes
    held_out_rankings: NotRequired[int]
    too_few_to_tell: bool  # too few pairs to tell how good a model is
    foretold: Share  # how well the other voters predict one; the older name of `with_others`
    highest_accuracy: float | None  # that the held-out votes allow, 0 to 1


class VoteData:
    """Training data from the votes of one store."""

    def __init__(self, store: Store, folder: Path, jobs: Jobs, *, public: bool = False) -> None:
        """Look at a store.

        Args:
            store: where the votes are.
            folder: of the folders to train on.
            jobs: know which of these a run learned from.
            public: strangers use the page.
        """
        self.store, self.folder, self.jobs, self.public = store, folder, jobs, public
        self._results = ResultCache()  # because every page that opens asks for all questions
        self._writing = threading.Lock()  # or one thread would remove what another is writing

    def votes(self) -> list[Vote]:
        """Return the votes that every visitor of this page may read and train on."""
        votes = self.store.votes(classes=False)
        return [vote for vote in votes if not (vote.own and self.public)]

    def rankings(self) -> list[Ranking]:
        """Return the rankings that every visitor of this page may read and train on."""
        return self.store.rankings.of_visitors()

    def questions(self) -> list[QuestionCount]:
        """Return the questions with most preferences to train on, and how many each has.

        With many votes, the numbers may be some moments old.
        """
        return self._results.get("questions", self._count)

    def _count(self) -> list[QuestionCount]:
        votes, rankings = self.votes(), self.rankings()
        asked = {one.question for one in (*votes, *rankings)}
        of_votes = Counter(vote.question for vote in usable(votes, asked))
        ranked = Counter(ranking.question for ranking in usable_rankings(rankings, asked))
        most = (of_votes + ranked).most_common(MOST_QUESTIONS)
        return [
            QuestionCount(question, of_votes[question], ranked[question])
            for question, count in most
            if count >= FEWEST
        ]

    def choices(self) -> list[tuple[str, str]]:
        """List them for a form: label and id."""
        return [(count.label, _id(count.question)) for count in self.questions()]

    def id_of(self, folder: Path) -> str:
        """Return the id in `choices` of the only question of a folder's votes, or an empty one.

        A class has its votes in a folder of its own, and they are not in the list.
        """
        home = os.path.abspath((CHECKPOINTS.parent / folder).parent)  # bears any name, unlike Path
        of_the_page = home == os.path.realpath(self.folder)
        facts = vote_facts(str(folder)) if of_the_page else None
        return _id(facts["questions"][0]) if facts and len(facts["questions"]) == 1 else ""

    def chosen(self, chosen: str) -> Path | None:
        """Return the folder with the votes of this id, or None if `choices` does not list it.

        Raises:
            DataError: the votes cannot be split, or the disk is short of room.
        """
        known = [count.question for count in self.questions()]
        questions = [question for question in known if _id(question) == chosen]
        if not questions:
            return None
        folder = self._results.get(chosen, lambda: self.write(questions))
        return folder if folder.is_dir() else self.write(questions)

    def write(self, questions: Collection[str], without_voters: Collection[int] = ()) -> Path:
        """Return a folder with the votes on these questions; older folders make room.

        Raises:
            DataError: there are too few, or the disk is short of room.
        """
        with self._writing:
            self.check_room(self.folder)  # before all votes are read
            without = set(without_voters)
            votes = usable(self.votes(), questions, without_voters=without)
            rankings = usable_rankings(self.rankings(), questions, without_voters=without)
            if (count := len(votes) + len(rankings)) < FEWEST:
                raise DataError(
                    f"there are {count} preferences: vote until there are {FEWEST}, "
                    "then train on them"
                )
            written = write_votes(votes, self.folder, rankings)
            runs = [row["id"] for row in self.jobs.overview()]
            drop_votes(self.folder, self.jobs, runs, keep=KEPT)
        return written

    def check_room(self, folder: Path) -> None:
        """Check that votes may be written into a folder.

        Raises:
            DataError: strangers use the page, and the folder's disk is short of room.
        """
        if self.public and (short := shortage(folder, PUBLIC)):
            raise DataError(short)


def counted(votes: int, rankings: int) -> str:
    """Say how many votes and rankings there are: "3 votes, 2 rankings with 12 pairs"."""
    parts = [f"{votes} votes"] if votes or not rankings else []
    if rankings:
        s = "s" if rankings > 1 else ""
        parts.append(f"{rankings} ranking{s} with {RANKED_PAIRS * rankings} pairs")
    return ", ".join(parts)


def write_votes(votes: Sequence[Vote], folder: Path, rankings: Sequence[Ranking] = ()) -> Path:
    """Write usable votes as a folder that `train-reward --data` takes; return it.

    Args:
        votes: what `votes.pairs.usable` returned.
        folder: parent of such folders; the name of this folder comes from its contents.
        rankings: what `votes.pairs.usable_rankings` returned.

    Raises:
        DataError: there are too few votes to split.
    """
    split = split_last_rated(votes, rankings)
    rows = [(vote.id, vote.time, vote.choice, vote.question) for vote in votes]
    rows += [("ranking", one.id, one.time, one.order, one.question) for one in rankings]
    digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:12]
    target = folder / f"votes-{digest}"
    if (target / FACTS).is_file():
        os.utime(target)  # used last
    else:
        write_split(split, target)
        facts: VoteFacts = {
            "questions": sorted({one.question for one in (*votes, *rankings)}),
            "votes": len(votes),
            "rankings": len(rankings),
            "voters": len({one.voter for one in (*votes, *rankings)}),
            "simulated": sum(vote.simulated for vote in votes),
            "held_out": len(split.held_out),
            "held_out_pairs": split.held_out_pairs,
            "held_out_rankings": len(split.held_out_rankings),
            "too_few_to_tell": split.too_few_to_tell,
            "foretold": agreement_with_others(votes),
            "highest_accuracy": highest_accuracy(
                split.held_out, RANKED_PAIRS * len(split.held_out_rankings)
            ),
        }
        write_json(target / FACTS, facts)  # last, because it marks the folder as complete
    return target


def drop_votes(folder: Path, jobs: Jobs, learners: Iterable[str | None], *, keep: int = 0) -> None:
    """Delete folders of votes, except those that some runs learn or learned from.

    Args:
        folder: parent of such folders.
        jobs: the runs.
        learners: ids of these runs, whatever they train.
        keep: how many of the other folders stay: those used last.
    """
    needed = {Path(str(jobs.options(run or "").get("data"))).name for run in learners}
    unneeded = [data for data in folder.glob(VOTES) if data.name not in needed]
    unneeded.sort(key=lambda data: data.stat().st_mtime, reverse=True)
    for data in unneeded[keep:]:
        shutil.rmtree(data, ignore_errors=True)


def keep_voters(folder: Path, voters: Collection[int]) -> None:
    """Rewrite all written votes without those of other voters; the facts about them stay.

    Args:
        folder: parent of the folders of votes.
        voters: ids of those whose votes stay.
    """
    for path in folder.glob(f"{VOTES}/{PAIRS_FILE}"):
        if path.parent.is_symlink() or not path.is_file():  # a copied archive may have brought it
            continue
        rows = read_jsonl(path)
        kept = [row for row in rows if row.get("rater") in voters]
        if len(kept) < len(rows):
            write_text(path, row_lines(kept))


def vote_facts(data: str) -> VoteFacts | None:
    """Return the facts about the votes that a run's option `data` names, or None for other data.

    A copied run may name a file that holds anything; it has no facts. Nor has a run of before
    2026-11-27, whose facts had other names.
    """
    path = CHECKPOINTS.parent / data / FACTS
    if not os.path.isfile(path):
        return None
    with suppress(DataError):
        facts = read_figures(path, VoteFacts)
        if VoteFacts.__required_keys__ <= facts.keys():
            return cast("VoteFacts", facts)
    return None


def people_agree(facts: VoteFacts | None) -> float | None:
    """Return how well a few others predict one of these votes, or None if too few voted."""
    if facts is None or facts["foretold"]["units"] < FEWEST_SHARED:
        return None
    return facts["foretold"]["share"]


def _id(question: str) -> str:
    return f"votes-{hashlib.sha256(question.encode()).hexdigest()[:12]}"
