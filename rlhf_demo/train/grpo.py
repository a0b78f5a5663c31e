"""Stage 2 by GRPO, which standardises the rewards of the responses to one prompt: no value head.

Read it next to train/ppo.py and train/rloo.py. PPO's `run_step` is the outline here too; the
methods below replace PPO's methods of the same names, and their comments keep PPO's numbers. Two
things differ from RLOO:

- The KL is a term of the loss (6), estimated by k3, and not a part of the rewards (4).
- The advantage is the distance from the group's mean in standard deviations of the group (5).

Variant: as in Shao et al. 2024 with outcome supervision, all tokens of a response get the same
advantage, and each rollout gets several updates under PPO's clip. The paper divides a response's
loss by its length before it averages (TRL's loss_type "grpo"). That favours short good and long bad
responses (Liu et al. 2025, https://arxiv.org/abs/2503.20783), so we weigh all tokens of a minibatch
alike, as in our PPO (TRL's "bnpo"). The paper fixes the KL's weight at 0.04. Here it follows
--kl-target as in PPO; --kl-target 0 fixes it.

Source: Shao et al. 2024, sections 4.1.1 and 4.1.2 (https://arxiv.org/abs/2402.03300).
"""

from torch import Tensor

from rlhf_demo.config.grpo import GRPOConfig
from rlhf_demo.models.device import autocast
from rlhf_demo.models.reading import token_outputs
from rlhf_demo.models.scorers import Scorer
from rlhf_demo.objectives.advantages import group_standardised
from rlhf_demo.objectives.losses import PPOLoss, grpo_loss
from rlhf_demo.objectives.rewards import kl_k1, token_rewards
from rlhf_demo.runs.run import Run
from rlhf_demo.train.ppo import PPOTrainer, load_scorers
from rlhf_demo.train.ppo_rows import StepTensors
from rlhf_demo.train.rollout import Rollout


def train_grpo(
    config: GRPOConfig,
    run: Run,
    *,
    resume: bool = False,
    scorer: Scorer | None = None,
    judge: Scorer | None = None,
) -> None:
    """Train a policy by GRPO; arguments and errors are those of `train_ppo`."""
    if scorer is None:
        scorer, judge = load_scorers(config)
    with run.recording():
        # PPOTrainer takes any options but those of the value head, which it reads only with one.
        trainer = GRPOTrainer(config, run, scorer, judge)  # pyright: ignore[reportArgumentType]
        trainer.train(resume=resume)


class GRPOTrainer(PPOTrainer):
    """The state of a GRPO run, and the steps that change it."""

    name, value_head = "GRPO", False
    config: GRPOConfig

    # 1 to 3. As in PPO, but each prompt of the step gets samples_per_prompt responses.

    def compute_advantages(self, rollout: Rollout) -> StepTensors:
        """Compute token rewards of a rollout, and the advantages of its responses (4 and 5)."""
        config, mask = self.config, rollout.response_mask

        # 4. Token rewards: the last token earns the score, and no token pays for its KL. A response
        #    without EOS pays a penalty.
        scores = self.scales["reward"].standardised(rollout.scores)
        earned = scores - config.missing_eos_penalty * ~rollout.has_eos
        log_ratio = kl_k1(rollout.old_logprobs, rollout.ref_logprobs, mask)
        rewards = token_rewards(earned, log_ratio, mask, kl_coef=0.0)

        # 5. Advantages: the reward of the response in standard deviations of its group, from the
        #    group's mean (Shao 2024, section 4.1.2), the same for all its tokens.
        # https://github.com/huggingface/trl/blob/f2cd57710ae345ea6428ae95363267fcf38a3dc8/trl/trainer/grpo_trainer.py#L2685-L2707
        advantages = group_standardised(rewards.sum(-1), config.samples_per_prompt)
        return StepTensors(scores, log_ratio, rewards, advantages[:, None] * mask)

    # 6. As in PPO, with this loss: it holds the KL, which PPO's rewards hold.

    def minibatch_loss(self, part: Rollout, rows: Tensor, tensors: StepTensors) -> PPOLoss:
        """Read a part of the rollout, its `rows`, with the current policy; return their loss."""
        # https://github.com/huggingface/trl/blob/f2cd57710ae345ea6428ae95363267fcf38a3dc8/trl/trainer/grpo_trainer.py#L3066-L3131
        config = self.config
        ids, attended, real = part.sequence_ids, part.attention_mask, part.response_mask
        with autocast(self.device, self.dtype):
            now = token_outputs(self.policy, ids, attended, real, config.temperature)
        return grpo_loss(
            now.logprobs,
            now.entropy,
            old_logprobs=part.old_logprobs,
            ref_logprobs=part.ref_logprobs,
            advantages=tensors.advantages[rows, : real.shape[1]],
            response_mask=real,
            clip_range=config.clip_range,
            kl_coef=self.kl_coef,
            entropy_coef=config.entropy_coef,
        )
