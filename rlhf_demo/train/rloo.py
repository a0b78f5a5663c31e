"""Stage 2 by RLOO, which compares the responses to one prompt with each other: no value head.

Read it next to train/ppo.py. Its `run_step` is the outline here too; the methods below replace
PPO's methods of the same names, and their comments keep PPO's numbers. Three things differ:

- Each prompt gets several responses (1).
- The mean reward of the other responses to the same prompt takes the place of the value (5).
- The loss has no value term (6).

Variant: as in Ahmadian et al. 2024, a response is one action. Its reward is its score minus the
price of its KL, all its tokens get the same advantage, and advantages are not whitened. The paper
makes one update for each rollout. We make several, so they need PPO's clip of each token's ratio;
TRL clips the ratio of the whole response. We average the loss over tokens, the paper and TRL over
responses.

Sources: Kool et al. 2019 ("Buy 4 REINFORCE Samples, Get a Baseline for Free!"), Ahmadian et al.
2024, "REINFORCE Leave-One-Out" (https://arxiv.org/abs/2402.14740).
"""

from torch import Tensor

from rlhf_demo.config.rloo import RLOOConfig
from rlhf_demo.models.device import autocast
from rlhf_demo.models.reading import token_outputs
from rlhf_demo.models.scorers import Scorer
from rlhf_demo.objectives.advantages import leave_one_out
from rlhf_demo.objectives.losses import PPOLoss, clipped_loss
from rlhf_demo.objectives.rewards import kl_k1, token_rewards
from rlhf_demo.runs.run import Run
from rlhf_demo.train.ppo import PPOTrainer, load_scorers
from rlhf_demo.train.ppo_rows import StepTensors
from rlhf_demo.train.rollout import Rollout


def train_rloo(
    config: RLOOConfig,
    run: Run,
    *,
    resume: bool = False,
    scorer: Scorer | None = None,
    judge: Scorer | None = None,
) -> None:
    """Train a policy by RLOO; arguments and errors are those of `train_ppo`."""
    if scorer is None:
        scorer, judge = load_scorers(config)
    with run.recording():
        # PPOTrainer takes any options but those of the value head, which it reads only with one.
        trainer = RLOOTrainer(config, run, scorer, judge)  # pyright: ignore[reportArgumentType]
        trainer.train(resume=resume)


class RLOOTrainer(PPOTrainer):
    """The state of an RLOO run, and the steps that change it."""

    name, value_head = "RLOO", False
    config: RLOOConfig

    # 1 to 3. As in PPO, but each prompt of the step gets samples_per_prompt responses.

    def compute_advantages(self, rollout: Rollout) -> StepTensors:
        """Compute token rewards of a rollout, and the advantages of its responses (4 and 5)."""
        config, mask = self.config, rollout.response_mask

        # 4. Token rewards: as in PPO, every token pays for its KL (k1), and the last one earns the
        #    score. A response without EOS pays a penalty.
        # https://github.com/huggingface/trl/blob/f2cd57710ae345ea6428ae95363267fcf38a3dc8/trl/trainer/rloo_trainer.py#L1526-L1535
        scores = self.scales["reward"].standardised(rollout.scores)
        earned = scores - config.missing_eos_penalty * ~rollout.has_eos
        log_ratio = kl_k1(rollout.old_logprobs, rollout.ref_logprobs, mask)
        rewards = token_rewards(earned, log_ratio, mask, self.kl_coef)

        # 5. Advantages: the reward of the whole response minus the mean of the others to its prompt
        #    (Kool 2019), the same for all its tokens.
        # https://github.com/huggingface/trl/blob/f2cd57710ae345ea6428ae95363267fcf38a3dc8/trl/trainer/rloo_trainer.py#L1537-L1552
        advantages = leave_one_out(rewards.sum(-1), config.samples_per_prompt)
        return StepTensors(scores, log_ratio, rewards, advantages[:, None] * mask)

    # 6. As in PPO, with this loss.

    def minibatch_loss(self, part: Rollout, rows: Tensor, tensors: StepTensors) -> PPOLoss:
        """Read a part of the rollout, its `rows`, with the current policy; return their loss."""
        # https://github.com/huggingface/trl/blob/f2cd57710ae345ea6428ae95363267fcf38a3dc8/trl/trainer/rloo_trainer.py#L1683-L1694
        config = self.config
        ids, attended, real = part.sequence_ids, part.attention_mask, part.response_mask
        with autocast(self.device, self.dtype):
            now = token_outputs(self.policy, ids, attended, real, config.temperature)
        return clipped_loss(
            now.logprobs,
            now.entropy,
            old_logprobs=part.old_logprobs,
            advantages=tensors.advantages[rows, : real.shape[1]],
            response_mask=real,
            clip_range=config.clip_range,
            entropy_coef=config.entropy_coef,
        )
