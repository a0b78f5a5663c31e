"""Stage 2: PPO, from prompts to a policy that the reward model scores higher.

Read it top to bottom.

One step samples a batch of responses, scores them, and makes `ppo_epochs` passes of small updates
over it. Every random choice comes from a generator seeded by (seed, purpose, step), so a step
depends on nothing but the state before it: that is what makes `--resume` exact.

Sources: Ziegler et al. 2019 (https://arxiv.org/abs/1909.08593), Stiennon et al. 2020
(https://arxiv.org/abs/2009.01325), Schulman et al. 2017 (https://arxiv.org/abs/1707.06347), Huang
et al. 2023 ("The N implementation details of RLHF with PPO").
"""

import logging
import time
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from rlhf_demo.config import PPOConfig
from rlhf_demo.errors import CheckpointError, ConfigError, TrainingDiverged
from rlhf_demo.files import replacing
from rlhf_demo.models import autocast, load_policy, pick_device, pick_dtype
from rlhf_demo.objectives import (
    adapt_kl_coef,
    gae,
    kl_k1,
    ppo_loss,
    token_rewards,
    whiten,
)
from rlhf_demo.ppo_rows import StepTensors, metrics_row, sample_rows
from rlhf_demo.preferences import load_prompts
from rlhf_demo.raters import Scorer
from rlhf_demo.rollout import Rollout, collect, token_outputs
from rlhf_demo.runs import Run, StopRequested
from rlhf_demo.sampling import decode, encode_prompts, sample, seeded

log = logging.getLogger(__name__)

ADAM_EPS = 1e-5
"""Huang et al. 2023: PPO code uses 1e-5 where libraries default to 1e-8."""


def train_ppo(config: PPOConfig, run: Run, scorer: Scorer, *, resume: bool = False) -> None:
    """Train a policy by PPO; everything it makes goes into the run folder.

    Args:
        scorer: what the responses are rewarded by.
        resume: go on from the run's saved state instead of starting at step 1.

    Raises:
        TrainingDiverged: a score, loss or gradient stopped being finite; the last good state is
            kept and saved.
        DemoError: the policy or the prompts cannot be used.
    """
    with run.recording():
        PPOTrainer(config, run, scorer).train(resume=resume)


class PPOTrainer:
    """The state of a PPO run and the steps that move it forward."""

    def __init__(self, config: PPOConfig, run: Run, scorer: Scorer) -> None:
        self.config, self.run, self.scorer = config, run, scorer
        self.device = pick_device(config.device)
        self.dtype = pick_dtype(self.device, config.dtype)
        torch.manual_seed(config.seed)  # a new LoRA adapter's starting weights
        self.policy = load_policy(
            config.policy, device=self.device, for_training=True, lora_rank=config.lora_rank
        )
        if config.clean_words:
            self.policy.keep_words_clean()
        self.prompts = load_prompts(config.prompts, "train")
        encode_prompts(self.policy, self.prompts[:1], config.max_new_tokens)  # is there room?
        self.trainable = {name: p for name, p in self.policy.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.Adam(self.trainable.values(), lr=0.0, eps=ADAM_EPS, fused=True)
        # What changes from step to step, and so what a saved state holds:
        self.step = 0  # the last finished step
        self.kl = 0.0  # nats per response in that step
        self.kl_coef = config.kl_coef
        self.rollout: Rollout | None = None  # of the step under way
        self.updates: list[dict[str, float]] = []  # what its minibatches reported so far

    # -- the loop ----------------------------------------------------------------------------------

    def train(self, *, resume: bool) -> None:
        """Run all steps that are left, then save the model."""
        if resume and self.run.checkpoint_path.is_file():
            self.load_state()
        self.run.rewind(self.step)
        if not self.run.checkpoint_path.is_file():
            self.save_state()  # so that there is a good state to fall back on from the first step
        try:
            with tqdm(
                total=self.config.total_steps, initial=self.step, desc="PPO", unit="step"
            ) as bar:
                while self.step < self.config.total_steps and self.kl <= self.config.kl_budget:
                    row = self.run_step()
                    bar.update()
                    bar.set_postfix(
                        score=f"{row['objective/score']:.2f}",
                        kl=f"{row['objective/kl']:z.1f}",
                        refresh=False,
                    )
        except StopRequested:  # a safe point; Ctrl-C may fall anywhere and keeps the last state
            self.save_state()
            self.policy.save(self.run.model_folder)
            raise
        except TrainingDiverged:
            self.load_state()
            self.policy.save(self.run.model_folder)
            raise
        if self.kl > self.config.kl_budget:
            self.run.end_early(
                f"ended at step {self.step} of {self.config.total_steps}: KL {self.kl:.1f} nats "
                f"is over the budget of {self.config.kl_budget:g}"
            )
        self.policy.save(self.run.model_folder)

    def run_step(self) -> dict[str, Any]:
        """Do one step, write its rows, and return its metrics row."""
        step, config, started = self.step + 1, self.config, time.perf_counter()
        seconds = {"sampling": 0.0, "scoring": 0.0}
        if self.rollout is None:  # else a stopped run goes on inside its step
            self.rollout, seconds = self.collect_rollout(step)
        rollout, mask = self.rollout, self.rollout.response_mask

        # 4. Token rewards: every token pays for its KL, the last one earns the score (Ziegler 2019,
        #    eq. 2). A response that was cut short earns less.
        kl = kl_k1(rollout.old_logprobs, rollout.ref_logprobs, mask)
        scores = rollout.scores - config.missing_eos_penalty * ~rollout.has_eos
        rewards = token_rewards(scores, kl, mask, self.kl_coef)

        # 5. Advantages and returns (Schulman 2016); advantages to mean 0, variance 1 (Huang 2023).
        advantages, returns = gae(
            rewards, rollout.old_values, mask, gamma=config.gamma, gae_lambda=config.gae_lambda
        )
        tensors = StepTensors(kl, rewards, whiten(advantages, mask), returns)

        # 6. Update: ppo_epochs passes over the rollout in minibatches (Schulman 2017, algorithm 1).
        update_started = time.perf_counter()
        self.update(step, tensors)
        seconds["updating"] = time.perf_counter() - update_started

        row = metrics_row(step, rollout, tensors, self.updates)
        row["objective/kl_coef"] = self.kl_coef
        row["policy/learning_rate"] = self.learning_rate(step)
        if step == 1 or step % config.samples_every == 0 or step == config.total_steps:
            self.write_samples(step, tensors)
        row |= {f"time/{phase}_seconds": value for phase, value in seconds.items()}
        row["time/step_seconds"] = time.perf_counter() - started
        self.run.append("metrics", [row])
        log.info("step %d: score %.3f, KL %.2f", step, row["objective/score"], row["objective/kl"])

        # 7. Move the KL coefficient towards its target (Ziegler 2019, section 2.2).
        if config.kl_target:
            self.kl_coef = adapt_kl_coef(self.kl_coef, row["objective/kl"], config.kl_target)
        self.step, self.kl, self.rollout, self.updates = step, row["objective/kl"], None, []
        if step % config.checkpoint_every == 0:
            # The model goes first: killed between the two, a resumed run comes by here again. Only
            # adapters are kept of each step; whole weights, many times as large, would fill the
            # disk.
            if config.lora_rank:
                self.policy.save(self.run.step_folder(step))
            self.save_state()
        return row

    def collect_rollout(self, step: int) -> tuple[Rollout, dict[str, float]]:
        """Sample and score one batch (steps 1 to 3); changes nothing: a stop here loses nothing."""
        config, started = self.config, time.perf_counter()
        with autocast(self.device, self.dtype):
            # 1. Sample responses from the policy as it is.
            prompts = self.batch_of_prompts(step)
            prompt_ids, attention_mask, cut = encode_prompts(
                self.policy, prompts, config.max_new_tokens
            )
            if cut:
                log.warning(
                    "step %d: %d prompts lost their beginning, they exceed the model's positions",
                    step,
                    cut,
                )
            sampled = sample(
                self.policy,
                prompt_ids,
                attention_mask,
                max_new_tokens=config.max_new_tokens,
                temperature=config.temperature,
                generator=seeded(config.seed, "sample", step, self.device),
                on_token=self.run.check_stop,
            )
            sampling_ended = time.perf_counter()

            # 2. Score each response as text: the reward model may have another tokenizer.
            scores = self.scorer(prompts, decode(self.policy, sampled.responses()))
            require_finite(step, "objective/score", scores)
            self.run.check_stop()

            # 3. Read the responses with the reference.
            rollout = collect(
                self.policy, prompt_ids, attention_mask, sampled, scores, config.temperature
            )
        return rollout, {
            "sampling": sampling_ended - started,
            "scoring": time.perf_counter() - sampling_ended,
        }

    def update(self, step: int, tensors: StepTensors) -> None:
        """Make the optimiser steps of one rollout that are not yet done."""
        config, rollout = self.config, self.rollout
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        per_epoch = config.batch_size // config.minibatch_size
        for index in range(len(self.updates), config.minibatches):
            self.run.check_stop()
            ppo_epoch, slot = divmod(index, per_epoch)
            order = torch.randperm(
                config.batch_size, generator=seeded(config.seed, f"epoch {ppo_epoch}", step)
            )
            rows = order[slot * config.minibatch_size : (slot + 1) * config.minibatch_size].to(
                self.device
            )
            part = rollout.part(rows)
            longest = part.response_mask.shape[1]
            with autocast(self.device, self.dtype):
                now = token_outputs(
                    self.policy,
                    part.sequence_ids,
                    part.attention_mask,
                    part.response_mask,
                    config.temperature,
                )
            loss, stats = ppo_loss(
                now.logprobs,
                now.entropy,
                now.values,
                old_logprobs=part.old_logprobs,
                old_values=part.old_values,
                advantages=tensors.advantages[rows, :longest],
                returns=tensors.returns[rows, :longest],
                response_mask=part.response_mask,
                clip_range=config.clip_range,
                value_clip_range=config.value_clip_range,
                value_coef=config.value_coef,
                entropy_coef=config.entropy_coef,
            )
            require_finite(step, "policy/loss", stats.policy_loss)
            require_finite(step, "value/loss", stats.value_loss)
            require_finite(step, "policy/entropy", stats.entropy)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(self.trainable.values(), config.max_grad_norm)
            require_finite(step, "policy/gradient_norm", norm)
            self.optimizer.step()
            self.updates.append(
                {name: float(value) for name, value in vars(stats).items()}
                | {"gradient_norm": float(norm)}
            )
        for name, parameter in self.trainable.items():
            require_finite(step, f"the weight {name}", parameter.detach())

    def learning_rate(self, step: int) -> float:
        """Rise over warmup_steps, then fall in a line towards 0 (annealed: Huang et al. 2023)."""
        config = self.config
        if step <= config.warmup_steps:
            return config.learning_rate * step / config.warmup_steps
        return config.learning_rate * (
            1.0
            - (step - 1 - config.warmup_steps) / max(config.total_steps - config.warmup_steps, 1)
        )

    def batch_of_prompts(self, step: int) -> list[str]:
        """Return the step's prompts: all prompts in random order, then all again in another one."""
        count, batch = len(self.prompts), self.config.batch_size
        chosen = []
        for position in range((step - 1) * batch, step * batch):
            epoch, place = divmod(position, count)
            if place == 0 or not chosen:
                order = torch.randperm(
                    count, generator=seeded(self.config.seed, "prompts", epoch)
                ).tolist()
            chosen.append(self.prompts[order[place]])
        return chosen

    def write_samples(self, step: int, tensors: StepTensors) -> None:
        """Keep the step's first responses token by token."""
        with autocast(self.device, self.dtype):
            rows = sample_rows(
                step,
                self.policy,
                self.batch_of_prompts(step),
                self.rollout,
                tensors,
                temperature=self.config.temperature,
                clip_range=self.config.clip_range,
            )
        self.run.append("samples", rows)

    # -- saved states ------------------------------------------------------------------------------

    def save_state(self) -> None:
        """Write everything that --resume needs into one file, whole or not at all."""
        state = {
            "options": asdict(self.config),
            "step": self.step,
            "kl": self.kl,
            "kl_coef": self.kl_coef,
            "trainable": {name: parameter.detach() for name, parameter in self.trainable.items()},
            "optimizer": self.optimizer.state_dict(),
            "rollout": self.rollout.state_dict() if self.rollout else None,
            "updates": self.updates,
        }
        with replacing(self.run.checkpoint_path) as temporary:
            torch.save(state, temporary)

    def load_state(self) -> None:
        """Take over a saved state.

        Raises:
            CheckpointError: the file is damaged.
            ConfigError: it belongs to a run with other options.
        """
        try:
            state = torch.load(
                self.run.checkpoint_path, map_location=self.device, weights_only=True
            )
        except Exception as error:  # noqa: BLE001  (torch raises half a dozen kinds for a damaged file)
            raise CheckpointError(
                f"{self.run.checkpoint_path} cannot be read ({type(error).__name__}): start afresh"
            ) from None
        if state["options"] != asdict(self.config):
            raise ConfigError(
                f"{self.run.checkpoint_path} belongs to a run with other options: "
                "resume with its own"
            )
        with torch.no_grad():
            for name, parameter in self.trainable.items():
                parameter.copy_(state["trainable"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.kl, self.kl_coef = state["step"], state["kl"], state["kl_coef"]
        self.updates = state["updates"]
        self.rollout = Rollout(**state["rollout"]) if state["rollout"] else None


def require_finite(step: int, metric: str, x: Tensor) -> None:
    """Raise TrainingDiverged where x holds a NaN or an infinity; none is ever skipped."""
    finite = torch.isfinite(x)
    if not finite.all():
        raise TrainingDiverged(step, metric, float(x[~finite].flatten()[0] if x.ndim else x))
