"""Stage 2: PPO, from prompts to a policy that the reward model scores higher.

Read it top to bottom: `run_step` is the outline of a step, its parts follow in their order. Beside
each part stands a link to the same lines of the code it was checked against.

One step samples a batch of responses, scores them, makes `ppo_epochs` passes of small updates over
it, and reads it once more to see how far they moved the policy. Every random choice comes from a
generator seeded by (seed, purpose, step), so a step depends on nothing but the state before it:
that is what makes `--resume` exact.

Sources: Ziegler et al. 2019 (https://arxiv.org/abs/1909.08593), Stiennon et al. 2020
(https://arxiv.org/abs/2009.01325), Schulman et al. 2017 (https://arxiv.org/abs/1707.06347), Huang
et al. 2023 ("The N implementation details of RLHF with PPO").
"""

import logging
import time
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.errors import TrainingDiverged
from rlhf_demo.evaluation.labellers import NOBODY, judge_of
from rlhf_demo.files import write_json
from rlhf_demo.models.device import autocast, pick_device, pick_dtype
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.reading import token_outputs
from rlhf_demo.models.reward_scale import RewardScale, run_scales
from rlhf_demo.models.sampling import decode, encode_prompts, sample, seeded
from rlhf_demo.models.scorers import Scorer, scorer_of
from rlhf_demo.objectives.advantages import gae
from rlhf_demo.objectives.losses import PPOLoss, gradient_norms, ppo_loss
from rlhf_demo.objectives.masks import whiten
from rlhf_demo.objectives.rewards import adapt_kl_coef, kl_k1, token_rewards
from rlhf_demo.runs.run import Run, StopRequested, started_by_hand
from rlhf_demo.train.checkpoint import load_state, save_state
from rlhf_demo.train.distributions import distribution_row
from rlhf_demo.train.ppo_report import ppo_report, report_prompts
from rlhf_demo.train.ppo_rows import (
    Movement,
    StepTensors,
    judge_row,
    metrics_row,
    no_visits,
    require_finite,
    sample_rows,
)
from rlhf_demo.train.rollout import Rollout, collect
from rlhf_demo.train.schedule import linear_rate, step_prompts

log = logging.getLogger(__name__)

ADAM_EPS = 1e-5
"""Huang et al. 2023: PPO code uses 1e-5 where libraries default to 1e-8."""

READ_AGAIN = 32
"""Responses of a step that are read once more after its updates, and judged: the first ones."""

JUDGED_EVERY, GRADIENT_PARTS_EVERY = 2, 5
"""Steps between looks that cost a reading by the judge, or another backward pass."""


def train_ppo(
    config: PPOConfig,
    run: Run,
    *,
    resume: bool = False,
    scorer: Scorer | None = None,
    judge: Scorer | None = None,
) -> None:
    """Train a policy by PPO; everything it makes goes into the run folder.

    Args:
        resume: go on from the run's saved state instead of starting at step 1.
        scorer: what the responses are rewarded by; where it is not given, it and the judge are
            loaded as the options name them.
        judge: scores them too, so that it shows where the two part; nothing is trained on it.

    Raises:
        TrainingDiverged: a score, loss or gradient stopped being finite; the last good state is
            kept and saved.
        DemoError: the policy or the prompts cannot be used.
    """
    if scorer is None:
        scorer, judge = load_scorers(config)
    with run.recording():
        PPOTrainer(config, run, scorer, judge).train(resume=resume)


def load_scorers(config: PPOConfig) -> tuple[Scorer, Scorer | None]:
    """Load what rewards the responses, and what judges them too, if anything does."""
    how = {"device": config.device, "dtype": config.dtype, "allow_python": started_by_hand()}
    scorer = scorer_of(config.reward, label=config.label, **how)
    judge = judge_of(config.judge, config.reward)
    return scorer, None if judge == NOBODY else scorer_of(judge, label=None, **how)


def summary(run: Run) -> str:
    """Say what the saved model of a run scored, and how far it is from the base."""
    report = run.report()
    if report is None:
        return ""
    kept_out = "" if report["held_out"] else " (no others are there than those trained on)"
    return (
        f"saved model on {report['prompts']} prompts{kept_out}: score {report['score']:+.2f} "
        f"\u00b1 {report['score_se']:.2f} standard deviations of the base's scores, "
        f"KL {report['kl']:.1f} \u00b1 {report['kl_se']:.1f} nats per response"
    )


class PPOTrainer:
    """The state of a PPO run and the steps that move it forward."""

    def __init__(
        self, config: PPOConfig, run: Run, scorer: Scorer, judge: Scorer | None = None
    ) -> None:
        self.config, self.run, self.scorer, self.judge = config, run, scorer, judge
        self.device = pick_device(config.device)
        self.dtype = pick_dtype(self.device, config.dtype)
        torch.manual_seed(config.seed)  # a new LoRA adapter's starting weights
        self.policy = load_policy(
            config.policy,
            device=self.device,
            for_training=True,
            lora_rank=config.lora_rank,
            value_head=True,
        )
        if config.clean_words:
            self.policy.keep_words_clean()
        self.prompts = load_prompts(config.prompts, "train")
        encode_prompts(self.policy, self.prompts[:1], config.max_new_tokens)  # is there room?
        self.trainable = {name: p for name, p in self.policy.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.Adam(self.trainable.values(), lr=0.0, eps=ADAM_EPS, fused=True)
        self.scales = self.load_scales()
        # What changes from step to step, and so what a saved state holds:
        self.step = 0  # the last finished step
        self.kl_coef = config.kl_coef
        self.rollout: Rollout | None = None  # of the step under way
        self.updates: list[dict[str, float]] = []  # what its minibatches reported so far
        self.visits: dict[str, Tensor] = {}  # and what they saw, see Movement

    # -- the loop ----------------------------------------------------------------------------------

    def train(self, *, resume: bool) -> None:
        """Run all steps that are left, then save the model and measure it."""
        if resume and self.run.checkpoint_path.is_file():
            self.load_state()
        self.run.rewind(self.step)
        if not self.run.checkpoint_path.is_file():
            self.save_state()  # so that there is a good state to fall back on from the first step
        try:
            total = self.config.total_steps
            with tqdm(total=total, initial=self.step, desc="PPO", unit="step") as bar:
                while self.step < total and (row := self.run_step()):
                    bar.update()
                    score, kl = row["objective/score"], row["objective/kl"]
                    bar.set_postfix(score=f"{score:.2f}", kl=f"{kl:.1f}", refresh=False)
            self.policy.save(self.run.model_folder)
            self.write_report()
        except StopRequested:  # a safe point; Ctrl-C may fall anywhere and keeps the last state
            self.save_state()
            self.policy.save(self.run.model_folder)
            raise
        except TrainingDiverged:
            self.load_state()
            self.policy.save(self.run.model_folder)
            raise

    def run_step(self) -> dict[str, Any] | None:
        """Do one step, write its rows, and return its metrics row.

        Returns None, and changes nothing, where the policy's KL is over the budget already.
        """
        step, config, started = self.step + 1, self.config, time.perf_counter()
        seconds = {"sampling": 0.0, "scoring": 0.0}
        # 1 to 3. Sample, score, and read with the reference.
        if self.rollout is None:  # else a stopped run goes on inside its step
            prompts = step_prompts(config, self.prompts, step)
            self.rollout, seconds = self.roll_out(prompts, "sample", step)
        kl = float(self.rollout.kl.sum(-1).mean())  # nats per response
        if kl > config.kl_budget:
            self.run.end_early(
                f"ended after step {self.step} of {config.total_steps}: KL {kl:.1f} nats is over "
                f"the budget of {config.kl_budget:g}"
            )
            return None
        # 4 and 5. Token rewards, then advantages.
        tensors = self.credit(self.rollout)
        # 6. Update the policy.
        update_started = time.perf_counter()
        self.update(step, tensors)
        seconds["updating"] = time.perf_counter() - update_started
        # 7. Measure what the updates did, and write the step down.
        row = self.measured(step, tensors) | {
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

    def roll_out(
        self, prompts: list[str], purpose: str, number: int
    ) -> tuple[Rollout, dict[str, float]]:
        """Answer prompts and score the answers (steps 1 to 3), and say how many seconds it took.

        Nothing changes, so whoever stops here loses nothing.

        Args:
            purpose, number: what the random numbers depend on, beside the run's seed.
        """
        config, started = self.config, time.perf_counter()
        with autocast(self.device, self.dtype):
            # 1. Sample responses from the policy as it is.
            # https://github.com/vwxyzjn/lm-human-preference-details/blob/ccc19538e817e98a60d3253242ac15e2a562cb49/lm_human_preference_details/train_policy_accelerate.py#L560-L576
            prompt_ids, attention_mask, _ = encode_prompts(
                self.policy, prompts, config.max_new_tokens
            )
            sampled = sample(
                self.policy,
                prompt_ids,
                attention_mask,
                max_new_tokens=config.max_new_tokens,
                temperature=config.temperature,
                generator=seeded(config.seed, purpose, number, self.device),
                on_token=self.run.check_stop,
                keep_logits=True,
            )
            sampling_ended = time.perf_counter()

            # 2. Score each response as text: the reward model may have another tokenizer.
            # https://github.com/vwxyzjn/lm-human-preference-details/blob/ccc19538e817e98a60d3253242ac15e2a562cb49/lm_human_preference_details/train_policy_accelerate.py#L609-L614
            scores = self.scorer(prompts, decode(self.policy, sampled.responses()))
            require_finite(self.step + 1, "objective/score", scores)
            self.run.check_stop()

            # 3. Read the responses with the reference.
            # https://github.com/vwxyzjn/lm-human-preference-details/blob/ccc19538e817e98a60d3253242ac15e2a562cb49/lm_human_preference_details/train_policy_accelerate.py#L580-L584
            rollout = collect(
                self.policy, prompt_ids, attention_mask, sampled, scores, config.temperature
            )
        scoring = time.perf_counter() - sampling_ended
        return rollout, {"sampling": sampling_ended - started, "scoring": scoring}

    def credit(self, rollout: Rollout) -> StepTensors:
        """Say what each token of a rollout earned (steps 4 and 5)."""
        config, mask = self.config, rollout.response_mask

        # 4. Token rewards: every token pays for its KL, the last one earns the score (Ziegler 2019,
        #    eq. 2), in units of the base's scores. A response that was cut short earns less.
        # https://github.com/vwxyzjn/lm-human-preference-details/blob/ccc19538e817e98a60d3253242ac15e2a562cb49/lm_human_preference_details/train_policy_accelerate.py#L629-L633
        # https://github.com/huggingface/trl/blob/f2cd57710ae345ea6428ae95363267fcf38a3dc8/trl/experimental/ppo/ppo_trainer.py#L771-L779
        scores = self.scales["reward"].standardised(rollout.scores)
        earned = scores - config.missing_eos_penalty * ~rollout.has_eos
        log_ratio = kl_k1(rollout.old_logprobs, rollout.ref_logprobs, mask)
        rewards = token_rewards(earned, log_ratio, mask, self.kl_coef)

        # 5. Advantages and returns (Schulman 2016); advantages to mean 0, variance 1 (Huang 2023).
        # https://github.com/vwxyzjn/lm-human-preference-details/blob/ccc19538e817e98a60d3253242ac15e2a562cb49/lm_human_preference_details/train_policy_accelerate.py#L674-L686
        # https://github.com/huggingface/trl/blob/f2cd57710ae345ea6428ae95363267fcf38a3dc8/trl/experimental/ppo/ppo_trainer.py#L786-L798
        gamma, values = config.gamma, rollout.old_values
        advantages, returns = gae(rewards, values, mask, gamma=gamma, gae_lambda=config.gae_lambda)
        _, realised = gae(rewards, values, mask, gamma=gamma, gae_lambda=1.0)  # holds no value
        return StepTensors(scores, log_ratio, rewards, whiten(advantages, mask), returns, realised)

    def update(self, step: int, tensors: StepTensors) -> None:
        """Make the optimizer steps of one rollout that are not yet done (step 6).

        ppo_epochs passes over the rollout in minibatches (Schulman 2017, algorithm 1).
        """
        # https://github.com/vwxyzjn/lm-human-preference-details/blob/ccc19538e817e98a60d3253242ac15e2a562cb49/lm_human_preference_details/train_policy_accelerate.py#L689-L731
        # https://github.com/vwxyzjn/cleanrl/blob/fe8d8a03c41a7ef5b523e2e354bd01c363e786bb/cleanrl/ppo.py#L242-L290
        config, mask = self.config, self.rollout.response_mask
        for group in self.optimizer.param_groups:
            group["lr"] = linear_rate(config, step)
        self.visits = self.visits or no_visits(config.ppo_epochs, mask)
        per_epoch = config.batch_size // config.minibatch_size
        for index in range(len(self.updates), config.minibatches):
            self.run.check_stop()
            epoch, slot = divmod(index, per_epoch)
            order = torch.randperm(
                config.batch_size, generator=seeded(config.seed, f"epoch {epoch}", step)
            )
            rows = order[slot * config.minibatch_size :][: config.minibatch_size].to(self.device)
            loss = self.minibatch_loss(rows, tensors)
            self.updates.append(self.apply(step, loss, first=index == 0))
            self.visits["ratio"][epoch, rows, : loss.ratio.shape[1]] = loss.ratio
            self.visits["clipped"][epoch, rows, : loss.ratio.shape[1]] = loss.clipped
        for name, parameter in self.trainable.items():
            require_finite(step, f"the weight {name}", parameter)

    def minibatch_loss(self, rows: Tensor, tensors: StepTensors) -> PPOLoss:
        """Read some rows of the rollout with the policy as it is now, and return their loss."""
        config, part = self.config, self.rollout.part(rows)
        ids, attended, real = part.sequence_ids, part.attention_mask, part.response_mask
        with autocast(self.device, self.dtype):
            now = token_outputs(self.policy, ids, attended, real, config.temperature)
        return ppo_loss(
            now.logprobs,
            now.entropy,
            now.values,
            old_logprobs=part.old_logprobs,
            old_values=part.old_values,
            advantages=tensors.advantages[rows, : real.shape[1]],
            returns=tensors.returns[rows, : real.shape[1]],
            response_mask=real,
            clip_range=config.clip_range,
            value_clip_range=config.value_clip_range,
            value_coef=config.value_coef,
            entropy_coef=config.entropy_coef,
        )

    def apply(self, step: int, loss: PPOLoss, *, first: bool) -> dict[str, float]:
        """Make one optimizer step, and return its figures by metric.

        Args:
            first: of the step's; now and then the two parts of its gradient are measured.
        """
        stats = {
            "policy/loss": loss.policy,
            "value/loss": loss.value,
            "policy/entropy": loss.entropy,
        }
        for name, value in stats.items():
            require_finite(step, name, value)
        weights = list(self.trainable.values())
        if first and step % GRADIENT_PARTS_EVERY == 1:
            policy, value = gradient_norms(loss, self.config.value_coef, weights)
            stats["policy/gradient_norm_policy"], stats["policy/gradient_norm_value"] = (
                policy,
                value,
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.total.backward()
        norm = torch.nn.utils.clip_grad_norm_(weights, self.config.max_grad_norm)
        require_finite(step, "policy/gradient_norm", norm)
        self.optimizer.step()
        stats["policy/gradient_norm"] = norm
        return {name: float(value.detach()) for name, value in stats.items()}

    @torch.no_grad()
    def measured(self, step: int, tensors: StepTensors) -> dict[str, Any]:
        """Read some responses again, keep some texts, and sum the step up (step 7)."""
        config, rollout, started = self.config, self.rollout, time.perf_counter()
        again = rollout.part(slice(0, READ_AGAIN))
        ids, attended, real = again.sequence_ids, again.attention_mask, again.response_mask
        with autocast(self.device, self.dtype):
            after = token_outputs(self.policy, ids, attended, real, config.temperature)
        ratio_after = torch.exp(after.logprobs - again.old_logprobs)
        moved = Movement(**self.visits, ratio_after=ratio_after, mask_after=real)
        ranges = {"clip_range": config.clip_range, "max_grad_norm": config.max_grad_norm}
        row = metrics_row(step, rollout, tensors, moved, self.updates, **ranges)
        last, prompts = step == config.total_steps, step_prompts(config, self.prompts, step)
        if self.judge and (step == 1 or step % JUDGED_EVERY == 0 or last):
            judged = self.judge(prompts[:READ_AGAIN], decode(self.policy, again.responses()))
            require_finite(step, "judge/score", judged)
            row |= judge_row(again.scores.cpu(), self.scales["judge"].standardised(judged))
        if step == 1 or step % config.samples_every == 0 or last:
            found = rollout, tensors, moved
            self.run.append("distributions", [distribution_row(step, self.policy, *found)])
            self.run.append("samples", sample_rows(step, self.policy, prompts, *found))
        return row | {"time/measuring_seconds": time.perf_counter() - started}

    def finish_step(self, step: int, kl: float) -> None:
        """Adapt the KL coefficient to its target, and save now and then (step 8).

        Args:
            kl: of the step's responses from the reference, nats per response.
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
                self.policy.save(self.run.step_folder(step))
            self.save_state()

    # -- before the first step and after the last --------------------------------------------------

    def load_scales(self) -> dict[str, RewardScale]:
        """Return the scales of reward and judge: the run's, else those of the base's samples."""
        scorers = {"reward": self.scorer} | ({"judge": self.judge} if self.judge else {})
        return run_scales(
            self.run.folder / "reward_scale.json",
            self.policy,
            self.prompts,
            scorers,
            max_new_tokens=self.config.max_new_tokens,
            temperature=self.config.temperature,
            seed=self.config.seed,
            dtype=self.dtype,
            on_token=self.run.check_stop,
        )

    def write_report(self) -> None:
        """Measure the saved model on prompts that it was not trained on."""
        prompts, held_out = report_prompts(self.config.prompts, self.prompts)
        rollouts = []
        for start in range(0, len(prompts), self.config.batch_size):
            batch = prompts[start : start + self.config.batch_size]
            rollouts.append(self.roll_out(batch, "report", start)[0])
        report = ppo_report(rollouts, self.scales["reward"]) | {"held_out": held_out}
        write_json(self.run.folder / "report.json", report)

    # -- saved states ------------------------------------------------------------------------------

    def save_state(self) -> None:
        """Write everything that --resume needs into one file, whole or not at all."""
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
        """Take over a saved state."""
        state = load_state(self.run.checkpoint_path, self.config, self.device)
        with torch.no_grad():
            for name, parameter in self.trainable.items():
                parameter.copy_(state["trainable"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.kl_coef = state["step"], state["kl_coef"]
        self.updates, self.visits = state["updates"], state["visits"]
        self.rollout = Rollout(**state["rollout"]) if state["rollout"] else None
