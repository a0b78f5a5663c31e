"""Too much of a good thing: maximise a reward model's score, and see what a judge makes of it.

A reward model that was trained on few pairs stands for what people want, so it is called a proxy.
It is maximised in two ways: by best-of-N, and by PPO without a KL penalty. A judge whose score
nothing maximises scores the same texts.

Source: Gao et al. 2022, https://arxiv.org/abs/2210.10760.
"""

from typing import Any

import torch

from rlhf_demo.config.overoptimise import PROXY, OveroptimiseConfig
from rlhf_demo.evaluation.best_of_n import BestOf, expected_best, kl_bound, sample_candidates
from rlhf_demo.evaluation.overoptimisation import BEST_OF_N, BestOfPoint, read_attempt, study
from rlhf_demo.evaluation.text_stats import standard_error
from rlhf_demo.files import write_json
from rlhf_demo.models.sampling import decode
from rlhf_demo.models.scorers import scorer_of
from rlhf_demo.runs.run import Run, Status, started_by_hand
from rlhf_demo.train.ppo import PPOTrainer
from rlhf_demo.train.ppo_rows import StepTensors, judge_row
from rlhf_demo.train.reward import train_reward
from rlhf_demo.train.rollout import Rollout, require_finite
from rlhf_demo.train.schedule import step_prompts


class JudgedPPO(PPOTrainer):
    """PPO whose judge scores all responses of all steps, for curves with less noise."""

    @torch.no_grad()
    def measure(self, step: int, rollout: Rollout, tensors: StepTensors) -> dict[str, Any]:
        """Return the step's metrics, with the judge's scores of all responses."""
        row = super().measure(step, rollout, tensors)
        assert self.judge is not None
        prompts = step_prompts(self.config, self.prompts, step)
        judged = self.judge(prompts, decode(self.policy, rollout.responses()))
        require_finite(step, "judge/score", judged)
        return row | judge_row(rollout.scores.cpu(), self.scales["judge"].standardised(judged))


class Part(Run):
    """A run in the folder of another run, which stops when the other one is asked to."""

    def check_stop(self) -> None:
        """Raise StopRequested after a stop request to the whole run."""
        Run(self.folder.parent).check_stop()


def overoptimise(config: OveroptimiseConfig, run: Run, *, resume: bool = False) -> None:
    """Train a proxy, maximise its score in both ways, and write everything into the run's folder.

    The folder is that of a PPO run, with two things more: the run of the proxy's training, and the
    points of best-of-N.

    Args:
        resume: continue exactly with what a stopped run had not finished.

    Raises:
        TrainingDiverged: a training diverged; its last good state is kept.
        DemoError: the policy, the pairs, the prompts or the judge cannot be used.
    """
    with run.recording():
        options = {"device": config.device, "dtype": config.dtype}
        judge = scorer_of(config.judge, label=None, allow_python=started_by_hand(), **options)
        # 1. The proxy.
        proxy = train_proxy(config, run)
        # 2. Best-of-N, with the policy as it is before its first step.
        scorer = scorer_of(str(proxy.model_folder), label=None, allow_python=False, **options)
        trainer = JudgedPPO(config.ppo, run, scorer, judge)
        if not (run.folder / BEST_OF_N).is_file():
            write_json(run.folder / BEST_OF_N, best_of_n(config, trainer))
        # 3. PPO without a KL penalty.
        trainer.train(resume=resume)


def summary(run: Run) -> str:
    """Return what a run shows, in words."""
    shown = study([read_attempt(run)])
    return "\n".join(
        f"{name}: {words}"
        for name, words in (
            ("best-of-n", shown["best_of_n"]["words"]),
            ("PPO", shown["ppo"]["words"]),
        )
    )


def train_proxy(config: OveroptimiseConfig, run: Run) -> Run:
    """Train the reward model, unless that is done, and return its run."""
    proxy = Part(run.folder / PROXY)
    if not proxy.exists():
        Part.create(proxy.folder, "reward", config.proxy.to_dict())
    if proxy.status["status"] != Status.FINISHED:
        train_reward(config.proxy, proxy, resume=True)
    run.check_stop()
    return proxy


@torch.no_grad()
def best_of_n(config: OveroptimiseConfig, trainer: JudgedPPO) -> list[BestOfPoint]:
    """Return the gains of the best of n by the proxy's score, for n = 1, 2, 4, ... and best_of.

    Args:
        trainer: with the untrained policy, the scorers, and their scales on the base's samples.
    """
    prompts = trainer.prompts[:: max(1, len(trainer.prompts) // config.best_of_prompts)]
    prompts = prompts[: config.best_of_prompts]
    candidates = sample_candidates(
        trainer.policy,
        prompts,
        BestOf(config.best_of, trainer.scorer),
        max_new_tokens=trainer.config.max_new_tokens,
        temperature=trainer.config.temperature,
        seed=config.seed,
        dtype=trainer.dtype,
        on_token=trainer.run.check_stop,
    )
    # [prompts, n], in standard deviations of the base's scores.
    means: dict[str, list[list[float]]] = {"proxy": [], "judge": []}
    for prompt, found in zip(prompts, candidates, strict=True):
        trainer.run.check_stop()
        assert trainer.judge is not None
        judged = trainer.judge([prompt] * len(found.texts), found.texts)
        values = trainer.scales["judge"].standardised(judged).tolist()
        scores = trainer.scales["reward"].standardised(torch.tensor(found.scores)).tolist()
        means["proxy"].append(expected_best(scores))
        means["judge"].append(expected_best(scores, values))
    sizes = sorted({2**power for power in range(config.best_of.bit_length())} | {config.best_of})
    points: list[BestOfPoint] = []
    for n in sizes:
        # Over a single response of the same prompt, which is what the base writes.
        proxy, judge = (
            torch.tensor([by_n[n - 1] - by_n[0] for by_n in means[name]]) for name in means
        )
        points.append(
            {
                "n": n,
                "kl": kl_bound(n),
                "proxy": float(proxy.mean()),
                "proxy_se": standard_error(proxy),
                "judge": float(judge.mean()),
                "judge_se": standard_error(judge),
            }
        )
    return points
