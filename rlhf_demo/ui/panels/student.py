"""The student's page: join with code and nickname, vote, watch PPO, see the result.

It is a panel of the one page, and the only one shown if the address has a class's code. Every
request carries the student's secret, from which the store finds the student.
"""

from typing import Any

import gradio as gr

from rlhf_demo.jobs.run_rows import RunRow
from rlhf_demo.server.class_training import BUSY
from rlhf_demo.server.payloads import NextPair, StudentPPO, StudentState, TriedText
from rlhf_demo.ui.parts import part
from rlhf_demo.ui.shared import Shared
from rlhf_demo.votes.demonstrations import KeptText
from rlhf_demo.votes.tries import LONGEST
from rlhf_demo.votes.vote import LONGEST_DEMONSTRATION
from rlhf_demo.web.addresses import address_of
from rlhf_demo.web.lanes import heavy, voting


class StudentPage:
    """The server functions of a student's phone."""

    def __init__(self, shared: Shared) -> None:
        self.store, self.training = shared.store, shared.class_training
        self.classes, self.lessons = self.training.classes, shared.class_lessons

    def build(self) -> None:
        """Lay the panel out; the browser shows nothing else if the address has a class's code."""
        part(
            "panels/student",
            [
                self.join, self.student_state, self.next_pair, self.vote, self.undo,
                self.keep_text, self.delete_text, self.predict, self.try_text,
            ],
            value={"longest": LONGEST_DEMONSTRATION, "longest_try": LONGEST},
        )  # fmt: skip

    @voting
    def join(self, request: dict[str, Any], http: gr.Request) -> dict[str, str]:
        """Let a student in.

        Raises:
            Refused: see `Classes.join`.
        """
        joined = self.classes.join(request["code"], request["nickname"], address_of(http))
        self.training.wake()
        return {"secret": joined.secret, "nickname": joined.nickname}

    @voting
    def student_state(self, request: dict[str, Any]) -> StudentState:
        """Return how far the student and the class are, and nothing about other students' votes."""
        view = self.classes.student_view(request["secret"])
        class_status = self.training.rounds.class_status(
            self.classes.collection_of_student(request["secret"])
        )
        record = self.training.records.read(class_status.collection)
        row = self.training.row(record["ppo"].get(str(class_status.round)))
        return {
            **view,
            "code": class_status.code,
            "goal": self.training.goal(class_status.collection, view["kind"]),
            "ppo": row and _progress(row),
            "lesson": self.lessons.for_student(request["secret"]),
        }

    @voting
    def next_pair(self, request: dict[str, Any]) -> NextPair:
        """Return the pair to answer now, or the one after `after`; else why there is none."""
        secret = request["secret"]
        view = self.classes.student_view(secret)
        if view["state"] != "open":
            return {
                "assignment": None,
                "message": "The class is paused. This page will continue by itself.",
            }
        if view["round_state"] != "open":
            return {"assignment": None, "message": "This vote is over. Wait for the next round."}
        goal = self.training.goal(self.classes.collection_of_student(secret), view["kind"])
        assignment = self.store.next_pair(secret, after=request.get("after"), goal=goal)
        return {
            "assignment": assignment and assignment.to_dict(),
            "message": "Waiting for the next pair. It will appear here by itself.",
        }

    @voting
    def vote(self, request: dict[str, Any], http: gr.Request) -> dict[str, bool]:
        """Keep an answer; when this returns, it is on disk."""
        secret, assignment, choice = request["secret"], request["assignment"], request["choice"]
        return {"kept": self.store.vote(secret, assignment, choice, address_of(http))}

    @voting
    def undo(self, request: dict[str, Any], http: gr.Request) -> dict[str, bool]:
        """Delete the student's last answer."""
        return {"undone": self.store.undo(request["secret"], address_of(http))}

    @voting
    def keep_text(self, request: dict[str, Any], http: gr.Request) -> KeptText:
        """Keep a `text` for a pair, in place of the student's earlier one; it is then on disk."""
        secret, assignment, text = request["secret"], request["assignment"], request["text"]
        return self.store.demonstrations.write(secret, assignment, text, client=address_of(http))

    @voting
    def delete_text(self, request: dict[str, Any], http: gr.Request) -> dict[str, bool]:
        """Delete the student's text for a pair (`assignment`)."""
        secret, assignment = request["secret"], request["assignment"]
        return {"deleted": self.store.demonstrations.delete(secret, assignment, address_of(http))}

    @voting
    def predict(self, request: dict[str, Any], http: gr.Request) -> dict[str, bool]:
        """Keep the student's prediction (`answer`) for the open `lesson`; it is then on disk."""
        secret, lesson, answer = request["secret"], request["lesson"], request["answer"]
        self.lessons.predict(secret, lesson, answer, address_of(http))
        return {"kept": True}

    @heavy
    def try_text(self, request: dict[str, Any], http: gr.Request) -> TriedText:
        """Score a `text` that may fool the reward model; the student's best one is kept."""
        return self.lessons.try_text(request["secret"], request["text"], address_of(http))


def _progress(row: RunRow) -> StudentPPO:
    """Return what students see of PPO: its progress and its figures."""
    return {
        "status": row["status"],
        "busy": row["status"] in BUSY,
        "step": row["step"] or 0,
        "total_steps": row["total_steps"],
        "score": row["figures"].get("objective/score"),
        "kl": row["figures"].get("objective/kl"),
    }
