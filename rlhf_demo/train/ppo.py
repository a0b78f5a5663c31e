"""Stage 2: PPO, which trains a policy to write responses that the reward model scores higher.

Read it from top to bottom: `run_step` is the outline of a step, and its parts follow in the order
in which they run. A link above each part leads to the same lines of the code it was checked
against.

One step samples a batch of responses, scores them, updates the policy on them in `ppo_epochs`
passes of minibatches, and reads some of them again to see how far the updates moved the policy.
Every random choice comes from a generator seeded by (seed, purpose, step), so a step depends on
nothing but the state before it. That is what makes `--resume` exact.

Sources: Ziegler et al. 2019 (https://arxiv.org/abs/1909.08593), Stiennon et al. 2020
(https://arxiv.org/abs/2009.01325), Schulman et al. 2017 (https://arxiv.org/abs/1707.06347), Huang
et al. 2023 ("The N implementation details of RLHF with PPO").
"""

import logging
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from rlhf_demo.config.offline import OfflineConfig
from rlhf_demo.config.policy_gradient import PolicyGradientConfig
from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.errors import TrainingDiverged
from rlhf_demo.evaluation.labellers import NO_JUDGE, judge_of
from rlhf_demo.files import write_json
from rlhf_demo.models.device import autocast, pick_device, pick_dtype
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.reading import token_outputs
from rlhf_demo.models.reward_scale import RewardScale, run_scales
from rlhf_demo.models.sampling import Part, decode, encode_prompts, seeded
from rlhf_demo.models.scorers import Scorer, scorer_of
from rlhf_demo.models.token_text import special_id
from rlhf_demo.objectives.advantages import gae
from rlhf_demo.objectives.losses import PPOLoss, gradient_norms, ppo_loss
from rlhf_demo.objectives.masks import moments, whiten
from rlhf_demo.objectives.rewards import adapt_kl_coef, kl_k1, token_rewards
from rlhf_demo.runs.reports import PPOReport
from rlhf_demo.runs.run import Run, StopRequested, started_by_hand
from rlhf_demo.train.checkpoint import load_state, save_state
from rlhf_demo.train.data_parallel import Processes
from rlhf_demo.train.distributions import distribution_row
from rlhf_demo.train.ppo_report import ppo_report, report_prompts
from rlhf_demo.train.ppo_rows import (
    Movement,
    StepTensors,
    empty_visits,
    judge_row,
    metrics_row,
    sample_rows,
    token_columns,
)
from rlhf_demo.train.rollout import Rollout, require_finite, sample_rollout
from rlhf_demo.train.schedule import linear_rate, step_prompts

log = logging.getLogger(__name__)

ADAM_EPS = 1e-5
"""Huang et al. 2023: PPO code uses 1e-5 where libraries default to 1e-8."""

READ_AGAIN = 32
"""The first so many responses of a step are read again after its updates, and judged."""

JUDGE_EVERY = 2
"""Steps from one judgement to the next: the judge has to read the responses."""

GRADIENT_TERMS_EVERY = 5
"""Steps from one measurement of the policy's and the value's own gradients to the next: it takes
another backward pass for each.
"""


def train_ppo(
    config: PPOConfig,
    run: Run,
    *,
    resume: bool = False,
    scorer: Scorer | None = None,
    judge: Scorer | None = None,
) -> None:
    """Train a policy by PPO, and write everything it makes into the run's folder.

    Args:
        resume: continue from the run's saved state instead of starting at step 1.
        scorer: scores the responses for the reward. Without it, the scorer and the judge are those
            that the options name.
        judge: scores the responses too, to show where it disagrees with the reward. Nothing is
            trained on it.

    Raises:
        TrainingDiverged: a score, loss, gradient or weight is no longer finite. The last good
            state is kept, and its model saved.
        DemoError: the policy or the prompts cannot be used.
    """
    if scorer is None:
        scorer, judge = load_scorers(config)
    with run.recording():
        PPOTrainer(config, run, scorer, judge).train(resume=resume)


def load_scorers(config: PolicyGradientConfig | OfflineConfig) -> tuple[Scorer, Scorer | None]:
    """Load the scorer that gives the reward, and the judge if the options name one."""
    options = {"device": config.device, "dtype": config.dtype, "allow_python": started_by_hand()}
    scorer = scorer_of(config.reward, label=config.label, **options)
    judge = judge_of(config.judge, config.reward)
    return scorer, None if judge == NO_JUDGE else scorer_of(judge, label=None, **options)


def summary(run: Run) -> str:
    """Return one line with the score of a run's saved model and its KL from the base."""
    report = run.report()
    if report is None:
        return ""
    kind = "held-out prompts" if report["held_out"] else "of its training prompts"
    return (
        f"saved model on {report['prompts']} {kind}: score {report['score']:+.2f} "
        f"\u00b1 {report['score_se']:.2f} standard deviations of the base's scores, "
        f"KL {report['kl']:.1f} \u00b1 {report['kl_se']:.1f} nats per response"
    )


class PPOTrainer:
    """The state of a PPO run, and the steps that change it."""

    name, value_head = "PPO", True  # train/rloo.py and train/grpo.py have others

    def __init__(
        self, config: PPOConfig, run: Run, scorer: Scorer, judge: Scorer | None = None
    ) -> None:
        self.config, self.run, self.scorer, self.judge = config, run, scorer, judge
        self.device = pick_device(config.device)
        self.processes = Processes(self.device)
        self.dtype = pick_dtype(self.device, config.dtype)
        torch.manual_seed(config.seed)  # a new LoRA adapter's starting weights
        self.policy = load_policy(
            config.policy,
            device=self.device,
            for_training=True,
            lora_rank=config.lora_rank,
            value_head=self.value_head,
        )
        if config.clean_words:
            self.policy.keep_words_clean()
        self.prompts = load_prompts(config.prompts, "train")
        encode_prompts(self.policy, self.prompts[:1], config.max_new_tokens)  # raises if too long
        self.trainable = {name: p for name, p in self.policy.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.Adam(self.trainable.values(), lr=0.0, eps=ADAM_EPS, fused=True)
        self.scales = self.load_scales()
        # What changes from step to step, and so what a saved state holds:
        self.step = 0  # the last finished step
        self.kl_coef = config.kl_coef
        self.rollout: Rollout | None = None  # of the step under way
        self.updates: list[dict[str, float]] = []  # metrics of each of its minibatches so far
        self.visits: dict[str, Tensor] = {}  # their ratios and clipped tokens, see Movement

    # -- the loop ----------------------------------------------------------------------------------

    def train(self, *, resume: bool) -> None:
        """Run the remaining steps, then save the model and measure it on held-out prompts."""
        if resume and self.run.checkpoint_path.is_file():
            self.load_state()
        self.run.rewind(self.step)
        if not self.run.checkpoint_path.is_file():
            self.save_state()  # a good state to fall back on if the first step diverges
        try:
            total = self.config.total_steps
            quiet = not self.processes.first
            with tqdm(
                total=total, initial=self.step, desc=self.name, unit="step", disable=quiet
            ) as bar:
                while self.step < total and (row := self.run_step()):
                    bar.update()
                    score, kl = row["objective/score"], row["objective/kl"]
                    bar.set_postfix(score=f"{score:.2f}", kl=f"{kl:.1f}", refresh=False)
            self.save_model(self.run.model_folder)
            self.write_report()
        except StopRequested:  # raised at safe points; after Ctrl-C the last saved state stays
            self.save_state()
            self.save_model(self.run.model_folder)
            raise
        except TrainingDiverged:
            self.load_state()
            self.save_model(self.run.model_folder)
            raise

    def run_step(self) -> dict[str, Any] | None:
        """Do one step, write its rows, and return its metrics row.

        Returns None, and updates nothing, if the policy's KL is over the budget.
        """
        step, config, started = self.step + 1, self.config, time.perf_counter()
        seconds = {"sampling": 0.0, "scoring": 0.0}
        # 1 to 3. Sample, score, and read with the reference.
        if self.rollout is None:  # a run that was stopped inside a step has its rollout already
            prompts = step_prompts(config, self.prompts, step)
            self.rollout, seconds = self.collect_rollout(prompts, "sample", step)
        kl = float(self.rollout.kl.sum(-1).mean())  # nats per response
        if kl > config.kl_budget:
            self.run.end_early(
                f"ended after step {self.step} of {config.total_steps}: the KL of the next texts, "
                f"{kl:.1f} nats, is over the budget of {config.kl_budget:g}"
            )
            return None
        # 4 and 5. Token rewards, then advantages and returns.
        rollout = self.rollout
        tensors = self.compute_advantages(rollout)
        # 6. Update the policy and the value head.
        update_started = time.perf_counter()
        self.update(step, rollout, tensors)
        seconds["updating"] = time.perf_counter() - update_started
        # 7. Measure what the updates did, and write the step's rows.
        row = self.measure(step, rollout, tensors) | {
            "objective/kl_coef": self.kl_coef,
            "policy/learning_rate": linear_rate(config, step),
            **{f"time/{phase}_seconds": value for phase, value in seconds.items()},
            "time/step_seconds": time.perf_counter() - started,
        }
        self.run.append("metrics", [row])
        log.info("step %d: score %.3f, KL %.2f", step, row["objective/score"], kl)
        # 8. Adapt the KL coefficient.
        self.finish_step(step, kl)
        return row

    # -- a step's parts, in their order ------------------------------------------------------------

    def collect_rollout(
        self, prompts: list[str], purpose: str, number: int
    ) -> tuple[Rollout, dict[str, float]]:
        """Sample one response to each prompt, score it, and read it with the reference (1 to 3).

        The parts stand in train/rollout.py. The trainer's state does not change, so a stop in here
        loses only these samples.

        Args:
            purpose, number: what the random numbers depend on, together with the run's seed.

        Returns:
            The rollout, and the seconds that its phases took.
        """
        processes, rows = self.processes, len(prompts)
        processes.check_stop(self.run)
        mine = processes.share(rows)
        part, seconds = sample_rollout(
            self.policy,
            self.scorer,
            prompts[mine],
            self.config,
            purpose=purpose,
            number=number,
            step=self.step + 1,
            dtype=self.dtype,
            check_stop=self.run.check_stop if processes.alone else lambda: None,
            part=None if processes.alone else Part(mine, rows),
        )
        rollout = processes.joined(part, rows, special_id(self.policy.tokenizer, "pad"))
        require_finite(self.step + 1, "objective/score", rollout.scores)
        return rollout, seconds

    def compute_advantages(self, rollout: Rollout) -> StepTensors:
        """Compute token rewards, advantages and returns of a rollout (4 and 5)."""
        config, mask = self.config, rollout.response_mask

        # 4. Token rewards: every token pays for its KL (k1), and the last one earns the score, in
        #    standard deviations of the base's scores (Ziegler 2019, eq. 2). A response without EOS
        #    pays a penalty (Stiennon 2020).
        # https://github.com/vwxyzjn/lm-human-preference-details/blob/ccc19538e817e98a60d3253242ac15e2a562cb49/lm_human_preference_details/train_policy_accelerate.py#L629-L633
        # https://github.com/huggingface/trl/blob/f2cd57710ae345ea6428ae95363267fcf38a3dc8/trl/experimental/ppo/ppo_trainer.py#L771-L779
        scores = self.scales["reward"].standardised(rollout.scores)
        earned = scores - config.missing_eos_penalty * ~rollout.has_eos
        log_ratio = kl_k1(rollout.old_logprobs, rollout.ref_logprobs, mask)
        rewards = token_rewards(earned, log_ratio, mask, self.kl_coef)

        # 5. Advantages and returns (Schulman 2016, eq. 16); the advantages are then whitened to
        #    mean 0 and variance 1 (Huang 2023).
        # https://github.com/vwxyzjn/lm-human-preference-details/blob/ccc19538e817e98a60d3253242ac15e2a562cb49/lm_human_preference_details/train_policy_accelerate.py#L674-L686
        # https://github.com/huggingface/trl/blob/f2cd57710ae345ea6428ae95363267fcf38a3dc8/trl/experimental/ppo/ppo_trainer.py#L786-L798
        gamma, values = config.gamma, rollout.baseline
        advantages, returns = gae(rewards, values, mask, gamma=gamma, gae_lambda=config.gae_lambda)
        # With lambda 1 the values cancel: what is left is the discounted sum of the rewards.
        _, realised = gae(rewards, values, mask, gamma=gamma, gae_lambda=1.0)
        spread = moments(advantages, mask)
        whitened = whiten(advantages, mask)
        return StepTensors(scores, log_ratio, rewards, whitened, returns, realised, spread)

    def update(self, step: int, rollout: Rollout, tensors: StepTensors) -> None:
        """Make ppo_epochs passes of minibatch updates over the rollout (6).

        This is the inner loop of algorithm 1 of Schulman 2017. A run that was stopped inside it
        continues with the minibatch after the last finished one.
        """
        # https://github.com/vwxyzjn/lm-human-preference-details/blob/ccc19538e817e98a60d3253242ac15e2a562cb49/lm_human_preference_details/train_policy_accelerate.py#L689-L731
        # https://github.com/vwxyzjn/cleanrl/blob/fe8d8a03c41a7ef5b523e2e354bd01c363e786bb/cleanrl/ppo.py#L242-L290
        config, mask = self.config, rollout.response_mask
        for group in self.optimizer.param_groups:
            group["lr"] = linear_rate(config, step)
        self.visits = self.visits or empty_visits(config.ppo_epochs, mask)
        per_epoch = config.batch_size // config.minibatch_size
        for index in range(len(self.updates), config.minibatches):
            self.processes.check_stop(self.run)
            epoch, minibatch = divmod(index, per_epoch)
            order = torch.randperm(
                config.batch_size, generator=seeded(config.seed, f"epoch {epoch}", step)
            )
            rows = order.split(config.minibatch_size)[minibatch].to(self.device)
            mine = rows[self.processes.share(len(rows))]
            loss = self.minibatch_loss(rollout.select(mine), mine, tensors)
            # The means are over the tokens of this process: all processes' sum is over all tokens.
            loss = loss.weighted(mask[mine].sum() / mask[rows].sum())
            self.updates.append(self.optimizer_step(step, loss, first=index == 0))
            ratio = self.processes.gathered(loss.ratio, len(rows), padding=1)
            self.visits["ratio"][epoch, rows, : ratio.shape[1]] = ratio
            clipped = self.processes.gathered(loss.clipped, len(rows))
            self.visits["clipped"][epoch, rows, : ratio.shape[1]] = clipped
        for name, parameter in self.trainable.items():
            require_finite(step, f"the weight {name}", parameter)

    def minibatch_loss(self, part: Rollout, rows: Tensor, tensors: StepTensors) -> PPOLoss:
        """Read a part of the rollout, its `rows`, with the current policy; return their loss."""
        config = self.config
        ids, attended, real = part.sequence_ids, part.attention_mask, part.response_mask
        with autocast(self.device, self.dtype):
            now = token_outputs(self.policy, ids, attended, real, config.temperature)
        assert now.values is not None and tensors.returns is not None  # there is a value head
        return ppo_loss(
            now.logprobs,
            now.entropy,
            now.values,
            old_logprobs=part.old_logprobs,
            old_values=part.baseline,
            advantages=tensors.advantages[rows, : real.shape[1]],
            returns=tensors.returns[rows, : real.shape[1]],
            response_mask=real,
            clip_range=config.clip_range,
            value_clip_range=config.value_clip_range,
            value_coef=config.value_coef,
            entropy_coef=config.entropy_coef,
        )

    def optimizer_step(self, step: int, loss: PPOLoss, *, first: bool) -> dict[str, float]:
        """Follow the gradient of one minibatch's loss, and return its metrics.

        Args:
            first: whether it is the first minibatch of the step. Every GRADIENT_TERMS_EVERY steps
                the gradients of the policy and of the value are measured there.
        """
        parts = {
            "policy/loss": loss.policy,
            "value/loss": loss.value,
            "policy/kl_k3": loss.kl,
            "policy/entropy": loss.entropy,
        }
        stats = {name: value.detach() for name, value in parts.items() if value is not None}
        self.processes.add(list(stats.values()))
        for name, value in stats.items():
            require_finite(step, name, value)
        weights = list(self.trainable.values())
        if first and step % GRADIENT_TERMS_EVERY == 1 and loss.value is not None:
            policy_norm, value_norm = gradient_norms(
                loss, self.config.value_coef, weights, self.processes.add
            )
            stats["policy/gradient_norm_policy"] = policy_norm
            stats["policy/gradient_norm_value"] = value_norm
        self.optimizer.zero_grad(set_to_none=True)
        loss.total.backward()
        self.processes.add([one.grad for one in weights if one.grad is not None])
        norm = torch.nn.utils.clip_grad_norm_(weights, self.config.max_grad_norm)
        require_finite(step, "policy/gradient_norm", norm)
        self.optimizer.step()
        stats["policy/gradient_norm"] = norm
        return {name: float(value) for name, value in stats.items()}

    @torch.no_grad()
    def measure(self, step: int, rollout: Rollout, tensors: StepTensors) -> dict[str, Any]:
        """Read the first responses again, have them judged, and return the step's metrics (7).

        Every samples_every steps the run also gets the step's samples and distributions.
        """
        config, started = self.config, time.perf_counter()
        again = rollout.select(slice(0, READ_AGAIN))
        ids, attended, real = again.sequence_ids, again.attention_mask, again.response_mask
        with autocast(self.device, self.dtype):
            after = token_outputs(self.policy, ids, attended, real, config.temperature)
        ratio_after = torch.exp(after.logprobs - again.old_logprobs)
        moved = Movement(
            **self.visits,
            ratio_after=ratio_after,
            mask_after=real,
            entropy_after=after.entropy,
            values_after=after.values,
        )
        ranges = {"clip_range": config.clip_range, "max_grad_norm": config.max_grad_norm}
        row = metrics_row(step, rollout, tensors, moved, self.updates, **ranges)
        last, prompts = step == config.total_steps, step_prompts(config, self.prompts, step)
        if self.judge and (step == 1 or step % JUDGE_EVERY == 0 or last):
            judged = self.judge(prompts[:READ_AGAIN], decode(self.policy, again.responses()))
            require_finite(step, "judge/score", judged)
            row |= judge_row(again.scores.cpu(), self.scales["judge"].standardised(judged))
        if step == 1 or step % config.samples_every == 0 or last:
            distributions = distribution_row(step, self.policy, rollout, tensors, moved)
            columns, clipped = token_columns(rollout, tensors, moved), moved.clipped.any(0)
            samples = sample_rows(step, self.policy, prompts, rollout, columns, clipped)
            self.run.append("distributions", [distributions])
            self.run.append("samples", samples)
        return row | {"time/measuring_seconds": time.perf_counter() - started}

    def finish_step(self, step: int, kl: float) -> None:
        """Adapt the KL coefficient, and save every checkpoint_every steps (8).

        Args:
            kl: mean KL of the step's responses, nats per response.
        """
        config = self.config
        # Ziegler 2019, section 2.2.
        # https://github.com/vwxyzjn/lm-human-preference-details/blob/ccc19538e817e98a60d3253242ac15e2a562cb49/lm_human_preference_details/train_policy_accelerate.py#L293-L302
        if config.kl_target:
            self.kl_coef = adapt_kl_coef(self.kl_coef, kl, config.kl_target)
        self.step, self.rollout, self.updates, self.visits = step, None, [], {}
        if step % config.checkpoint_every == 0:
            # Save the model before the state: if the process dies in between, resuming repeats
            # this step and saves both. Only adapters are kept of each step; whole weights, many
            # times as large, would fill the disk.
            if config.lora_rank:
                self.save_model(self.run.step_folder(step))
            self.save_state()

    # -- before the first step and after the last --------------------------------------------------

    def load_scales(self) -> dict[str, RewardScale]:
        """Return the scales of reward and judge; a new run measures them on the base's samples."""
        scorers = {"reward": self.scorer} | ({"judge": self.judge} if self.judge else {})
        with self.processes.first_one_first():
            return run_scales(
                self.run.folder / "reward_scale.json",
                self.policy,
                self.prompts,
                scorers,
                max_new_tokens=self.config.max_new_tokens,
                temperature=self.config.temperature,
                seed=self.config.seed,
                dtype=self.dtype,
                on_token=self.run.check_stop if self.processes.alone else lambda: None,
            )

    def write_report(self) -> None:
        """Measure the saved model on prompts that it was not trained on, and write report.json."""
        prompts, held_out = report_prompts(self.config.prompts, self.prompts)
        rollouts = []
        for start in range(0, len(prompts), self.config.batch_size):
            batch = prompts[start : start + self.config.batch_size]
            rollouts.append(self.collect_rollout(batch, "report", start)[0])
        report: PPOReport = {
            **ppo_report(rollouts, self.scales["reward"]),
            "held_out": held_out,
        }
        if self.processes.first:
            write_json(self.run.folder / "report.json", report)

    # -- saved states ------------------------------------------------------------------------------

    def save_model(self, folder: Path) -> None:
        """Write the policy into a folder of the run."""
        if self.processes.first:
            self.policy.save(folder)

    def save_state(self) -> None:
        """Write everything that --resume needs into one file."""
        if not self.processes.first:
            return
        state = {
            "step": self.step,
            "kl_coef": self.kl_coef,
            "trainable": {name: parameter.detach() for name, parameter in self.trainable.items()},
            "optimizer": self.optimizer.state_dict(),
            "rollout": self.rollout.tensors() if self.rollout else None,
            "updates": self.updates,
            "visits": self.visits,
        }
        save_state(self.run.checkpoint_path, self.config, state)

    def load_state(self) -> None:
        """Continue from the saved state.

        Raises:
            CheckpointError: the file is damaged.
            ConfigError: the state belongs to a run with other options.
        """
        state = load_state(self.run.checkpoint_path, self.config, self.device)
        with torch.no_grad():
            for name, parameter in self.trainable.items():
                parameter.copy_(state["trainable"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.kl_coef = state["step"], state["kl_coef"]
        self.updates, self.visits = state["updates"], state["visits"]
        self.rollout = Rollout(**state["rollout"]) if state["rollout"] else None
