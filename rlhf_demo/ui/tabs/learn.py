"""The Learn tab: lessons that ask first, and then compute the answer on the loaded models."""

from typing import Any

import gradio as gr

from rlhf_demo.lessons.looks import LessonCode, Outcome
from rlhf_demo.server.choices import Choice
from rlhf_demo.server.learn import PPO, listed
from rlhf_demo.ui.panels.microscope import MicroscopePanel
from rlhf_demo.ui.parts import part
from rlhf_demo.ui.shared import Shared
from rlhf_demo.web.lanes import heavy


class LearnTab:
    """The tab's one part and its server functions."""

    def __init__(self, shared: Shared) -> None:
        self.learn = shared.learn
        self.microscope = MicroscopePanel(shared)

    def build(self, demo: gr.Blocks) -> None:
        """Lay the tab out inside the open Blocks."""
        functions = [
            self.lesson_models,
            self.lesson_outcome,
            self.lesson_look,
            self.lesson_code,
        ]
        part("tabs/learn", functions, value=listed())
        self.microscope.build()

    def lesson_models(self, request: Any) -> list[Choice]:
        """List the trained models that the lessons can show: label and id."""
        return self.learn.trained()

    @heavy
    def lesson_outcome(self, request: dict[str, Any]) -> Outcome:
        """Return which of a lesson's answers came true, and a sentence with the figures.

        Args:
            request: `lesson` id; `trained`, id of the model that is shown beside its base.

        Raises:
            DemoError: there is no such lesson, or its models cannot be used.
        """
        return self.learn.outcome(request.get("lesson"), request.get("trained", PPO))

    @heavy
    def lesson_look(self, request: dict[str, Any]) -> Any:
        """Return what a lesson shows; its type is the lesson's, see `LessonTypes`.

        Args:
            request: `lesson` id, `trained` as above, and what the visitor chose, such as a text.

        Raises:
            DemoError: there is no such lesson, or what was chosen cannot be used.
        """
        chosen = {key: value for key, value in request.items() if key not in ("lesson", "trained")}
        return self.learn.look(request.get("lesson"), chosen, request.get("trained", PPO))

    def lesson_code(self, request: dict[str, Any]) -> LessonCode:
        """Return the function that computed a lesson, as it stands in its file.

        Args:
            request: `lesson` id.

        Raises:
            DemoError: there is no such lesson.
        """
        return self.learn.code(request.get("lesson"))
