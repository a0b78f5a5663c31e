"""Measure a policy that does not learn from its own samples, in the units of PPO's board.

PPO knows score and KL of every step because it samples there. A method that learns from given texts
has to sample for this alone: from the same prompts each time, so that two measurements differ by
the policy and not by the prompts.
"""

from pathlib import Path
from typing import Any, Protocol

import torch

from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.evaluation.text_stats import distinct_n, standard_error
from rlhf_demo.files import write_json
from rlhf_demo.models.policy import Policy
from rlhf_demo.models.reward_scale import run_scales
from rlhf_demo.models.sampling import decode, encode_prompts
from rlhf_demo.models.scorers import Scorer
from rlhf_demo.objectives.rewards import kl_k1
from rlhf_demo.runs.run import Run
from rlhf_demo.train.ppo_report import ppo_report, report_prompts
from rlhf_demo.train.ppo_rows import BIGRAMS_EACH, judge_row, require_finite_row, sample_rows
from rlhf_demo.train.rollout import Rollout, SamplingOptions, require_finite, sample_rollout

MEASURED = 64
"""Responses of a measurement, as many as a step of PPO has."""

JUDGED = 32
"""The first so many of them are judged, as in PPO."""


class MeasuredOptions(SamplingOptions, Protocol):
    """Options of a stage whose policy is measured."""

    @property
    def prompts(self) -> str:
        """Where the prompts come from."""
        ...


class PolicyMeasure:
    """Samples, scores and judges a policy at some steps of a run, and after the last one.

    Args:
        policy: must still be the untrained base, because the scale of the scores is measured on it.
        scorer: scores the responses.
        judge: scores some of them too; None for none.
        dtype: of matrix products.
    """

    def __init__(
        self,
        options: MeasuredOptions,
        run: Run,
        policy: Policy,
        scorer: Scorer,
        judge: Scorer | None,
        dtype: torch.dtype,
    ) -> None:
        self.options, self.run, self.policy, self.dtype = options, run, policy, dtype
        self.scorer, self.judge = scorer, judge
        prompts = load_prompts(options.prompts, "train")
        encode_prompts(policy, prompts[:1], options.max_new_tokens)  # raises if too long
        self.trained = prompts
        self.prompts = prompts[:: max(1, len(prompts) // MEASURED)][:MEASURED]
        self.scales = run_scales(
            run.folder / "reward_scale.json",
            policy,
            prompts,
            {"reward": scorer} | ({"judge": judge} if judge else {}),
            max_new_tokens=options.max_new_tokens,
            temperature=options.temperature,
            seed=options.seed,
            dtype=dtype,
            on_token=run.check_stop,
        )

    @torch.no_grad()
    def row(self, step: int) -> dict[str, Any]:
        """Return the metrics of the policy as it is now, and write some of its responses.

        Raises:
            TrainingDiverged: a score is not finite.
        """
        rollout = self._rollout(self.prompts, "measure", step)
        mask, responses = rollout.response_mask, rollout.responses()
        log_ratio = kl_k1(rollout.old_logprobs, rollout.ref_logprobs, mask)
        scores = self.scales["reward"].standardised(rollout.scores)
        row = {
            "objective/score": float(scores.mean()),
            "objective/score_se": standard_error(scores),
            "objective/kl": float(rollout.kl.sum(-1).mean()),
            "objective/kl_k1": float(log_ratio.sum(-1).mean()),
            "objective/distinct_2": distinct_n(responses, 2, BIGRAMS_EACH * len(responses)),
            "response/length": sum(map(len, responses)) / len(responses),
            "response/eos_rate": float(rollout.has_eos.float().mean()),
        }
        if self.judge and len(responses) > 1:
            texts = decode(self.policy, responses[:JUDGED])
            judged = self.judge(self.prompts[:JUDGED], texts)
            require_finite(step, "judge/score", judged)
            judged = self.scales["judge"].standardised(judged)
            row |= judge_row(rollout.scores[:JUDGED].cpu(), judged)
        require_finite_row(step, row)
        columns = {
            "logprob": rollout.old_logprobs,
            "ref_logprob": rollout.ref_logprobs,
            "kl": rollout.kl,
            "log_ratio": log_ratio,
        }
        self.run.append("samples", sample_rows(step, self.policy, self.prompts, rollout, columns))
        return row

    @torch.no_grad()
    def write_report(self, path: Path) -> None:
        """Measure the policy on prompts that it was not trained on, and write the report."""
        prompts, held_out = report_prompts(self.options.prompts, self.trained)
        rollouts = [
            self._rollout(prompts[start : start + MEASURED], "report", start)
            for start in range(0, len(prompts), MEASURED)
        ]
        report = ppo_report(rollouts, self.scales["reward"])
        write_json(path, report | {"held_out": held_out})

    def _rollout(self, prompts: list[str], purpose: str, number: int) -> Rollout:
        return sample_rollout(
            self.policy,
            self.scorer,
            prompts,
            self.options,
            purpose=purpose,
            number=number,
            step=number,
            dtype=self.dtype,
            check_stop=self.run.check_stop,
        )[0]
