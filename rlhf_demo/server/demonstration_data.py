"""Demonstrations as training data: JSONL files that supervised fine-tuning reads.

The open page's files never hold a class's texts, which belong to its instructor. On a page for
strangers a visitor can read and use only the texts that this visitor's browser wrote: like a
prompt, what someone types is for that person alone. The instructor, who may import a class's texts,
can use imported ones too. A file is named by its content and never changes, so a resumed run has
the same texts.
"""

import hashlib
import os
import threading
from collections import Counter
from pathlib import Path

from rlhf_demo.errors import DataError
from rlhf_demo.files import write_text
from rlhf_demo.jobs.bounds import PUBLIC
from rlhf_demo.jobs.disk import shortage
from rlhf_demo.jobs.queue import Jobs
from rlhf_demo.votes.files import demonstration_row, row_lines
from rlhf_demo.votes.store import Store
from rlhf_demo.votes.vote import Demonstration

FOLDER = "demonstrations"
"""Where the files are, in the folder of runs."""

FILES = f"demonstrations-{'?' * 12}.jsonl"
"""Their names: nothing else is deleted, should a copied archive have put a link in that place."""
FEWEST = 8
"""Fewest texts that the lists offer: one batch."""
MOST_QUESTIONS = 20
"""Questions in the lists, those with most texts."""
KEPT = 5
"""Files kept although no run learned from them: those used last."""


class DemonstrationData:
    """Training data from the demonstrations of one store."""

    def __init__(self, store: Store, folder: Path, jobs: Jobs, *, public: bool = False) -> None:
        """Look at a store.

        Args:
            store: where the demonstrations are.
            folder: of the files to train on.
            jobs: know which of these a run learned from.
            public: strangers use the page.
        """
        self.store, self.folder, self.jobs, self.public = store, folder, jobs, public
        self._writing = threading.Lock()  # or one thread would remove what another is writing

    def texts(self, secret: str) -> list[Demonstration]:
        """Return the demonstrations that the visitor with this secret may read."""
        stored = self.store.demonstrations
        if not self.public:
            return stored.of_visitors()
        return stored.of_visitors(secret, imported=self.jobs.is_instructor(secret))

    def choices(self, secret: str) -> list[tuple[str, str]]:
        """List the questions with enough texts for a form: label and id."""
        counts = Counter(one.question for one in self._usable(secret))
        return [
            (f"written texts: {question} ({count})", _id(question))
            for question, count in counts.most_common(MOST_QUESTIONS)
            if count >= FEWEST
        ]

    def chosen(self, chosen: str, secret: str) -> Path | None:
        """Return a file with the texts of this id; None if `choices` does not list it.

        Raises:
            DataError: strangers use the page, and the disk is short of room.
        """
        rows = [one for one in self._usable(secret) if _id(one.question) == chosen]
        if len(rows) < FEWEST:
            return None
        lines = row_lines(demonstration_row(one) for one in rows)
        digest = hashlib.sha256(lines.encode()).hexdigest()[:12]
        target = self.folder / f"demonstrations-{digest}.jsonl"
        with self._writing:
            if target.is_file():
                os.utime(target)  # used last
            else:
                self.check_room(self.folder)
                write_text(target, lines)
                self._make_room()
        return target

    def check_room(self, folder: Path) -> None:
        """Check that texts may be written into a folder.

        Raises:
            DataError: strangers use the page, and the folder's disk is short of room.
        """
        if self.public and (short := shortage(folder, PUBLIC)):
            raise DataError(short)

    def _usable(self, secret: str) -> list[Demonstration]:
        return [one for one in self.texts(secret) if not one.left_out]

    def _make_room(self) -> None:
        """Delete files that no run learned from, except those used last."""
        all_data = [self.jobs.options(row["id"]).get("data") for row in self.jobs.overview()]
        needed = {Path(str(data)).name for data in all_data}
        files = [file for file in self.folder.glob(FILES) if file.name not in needed]
        files.sort(key=lambda file: file.stat().st_mtime, reverse=True)
        for file in files[KEPT:]:
            file.unlink(missing_ok=True)


def _id(question: str) -> str:
    return f"demonstrations-{hashlib.sha256(question.encode()).hexdigest()[:12]}"
