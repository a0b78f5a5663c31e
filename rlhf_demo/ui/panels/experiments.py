"""The fold "Experiments: predict first": a question, the visitor's answer, and then the run.

The answer stays in the visitor's browser; the server never gets it.
"""

from typing import Any

import gradio as gr

from rlhf_demo.config.experiments import EXPERIMENTS
from rlhf_demo.server.experiments import Experiments
from rlhf_demo.server.payloads import ExperimentState
from rlhf_demo.ui.parts import part
from rlhf_demo.ui.shared import Shared
from rlhf_demo.web.addresses import address_of


class ExperimentsPanel:
    """The fold's one part and its server functions."""

    def __init__(self, shared: Shared) -> None:
        self.experiments = Experiments(shared.jobs, shared.choices)

    def build(self) -> None:
        """Lay the fold out inside the open tab."""
        part(
            "panels/experiments",
            [self.start_experiment, self.experiment_state],
            value=self.experiments.listed(),
        )

    def start_experiment(self, request: dict[str, Any], http: gr.Request) -> dict[str, str]:
        """Queue an experiment's run, or return the one that is there: `run` and `kind`.

        Args:
            request: `experiment` id, `secret`.

        Raises:
            DemoError: there is no such experiment, no secret is given, or the queue is full.
        """
        name: Any = request.get("experiment")
        secret = str(request.get("secret") or "")
        run = self.experiments.start(name, secret, address_of(http))
        return {"run": run, "kind": EXPERIMENTS[name].kind}

    def experiment_state(self, request: dict[str, Any]) -> ExperimentState:
        """Return an experiment's run, and which answer came true once it has finished.

        Args:
            request: `experiment` id.

        Raises:
            DemoError: there is no such experiment, or the run's files are damaged.
        """
        return self.experiments.state(request.get("experiment"))
