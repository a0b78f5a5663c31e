"""The label, unit and meaning of each logged number.

The page, the command line and the docs all use this glossary. `trl` is the name of the same
quantity in TRL 1.12's PPOTrainer, RewardTrainer or DPOTrainer, if there is one.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One logged number."""

    label: str
    unit: str
    meaning: str
    healthy: str = ""
    trl: str = ""


GLOSSARY: dict[str, Metric] = {
    "step": Metric("step", "count", "one rollout and the updates made on it"),
    "reward/total_steps": Metric("steps in all", "count", "number of steps that the run will make"),
    "objective/score": Metric(
        "score",
        "standard deviations of the base's scores",
        "mean score of the step's responses; the base's own samples have mean 0 and standard "
        "deviation 1",
        healthy="rises, then levels off",
    ),
    "objective/score_se": Metric(
        "standard error of the score",
        "standard deviations of the base's scores",
        "how far chance alone moves the mean score: standard deviation of the scores / sqrt(count)",
    ),
    "objective/kl": Metric(
        "KL from the reference",
        "nats per response",
        "how far the policy has moved from the reference, a frozen copy of the model that it "
        "started from: exact KL, summed over the whole vocabulary at each token; never below 0",
        healthy="near its target, if it has one",
    ),
    "objective/kl_k1": Metric(
        "KL, k1",
        "nats per response",
        "the same KL, estimated from the sampled tokens alone; the KL penalty in the reward uses "
        "this estimate, which is noisier and sometimes below 0",
        trl="objective/kl",
    ),
    "objective/reward": Metric(
        "reward",
        "standard deviations of the base's scores",
        "what the updates maximise: score - kl_coef * KL (k1) - penalty for a missing end; GRPO "
        "leaves out the KL, which is in its loss",
        healthy="rises",
        trl="objective/rlhf_reward",
    ),
    "objective/kl_coef": Metric(
        "KL coefficient",
        "standard deviations per nat",
        "weight of the KL penalty; if KL has a target, adjusted so that KL approaches it",
    ),
    "objective/distinct_2": Metric(
        "distinct-2",
        "0..1",
        "share of distinct pairs of neighbouring tokens, among the step's first pairs: four times "
        "as many as responses, about half of all",
        healthy="stays above 0.75 of its initial value",
    ),
    "judge/score": Metric(
        "judge's score",
        "standard deviations of the base's scores",
        "mean score that a judge gives 32 of the responses, in PPO every second step; the policy "
        "is not trained on it, unless it is also the reward",
        healthy="rises with the score",
    ),
    "judge/score_se": Metric(
        "standard error of the judge's score",
        "standard deviations of the base's scores",
        "how far chance alone moves the judge's mean score: standard deviation of its 32 scores / "
        "sqrt(32)",
    ),
    "judge/agreement": Metric(
        "reward and judge agree",
        "0..1",
        "share of all pairs of 32 responses that reward and judge rank the same way; 0.5 is chance",
        healthy="falls by about 10 percentage points as the texts get similar scores",
    ),
    "judge/agreement_se": Metric(
        "standard error of the agreement",
        "0..1",
        "how far chance alone moves the agreement: jackknife over the 32 responses",
    ),
    "policy/loss": Metric(
        "policy loss", "-", "clipped surrogate; it need not fall", trl="loss/policy_avg"
    ),
    "policy/kl_k3": Metric(
        "KL in the loss, k3",
        "nats per token",
        "KL from the reference in GRPO's loss, estimated from the sampled tokens; never below 0",
        trl="kl",
    ),
    "policy/entropy": Metric(
        "entropy",
        "nats per token",
        "how uncertain the policy is about the next token",
        healthy="falls slowly",
        trl="policy/entropy_avg",
    ),
    "policy/clip_fraction": Metric(
        "clip fraction",
        "0..1",
        "share of token updates in which the clip stopped the gradient, over all PPO epochs",
        healthy="below 0.2",
        trl="policy/clipfrac_avg",
    ),
    "policy/clip_fraction_by_epoch": Metric(
        "clip fraction by epoch", "0..1", "clip fraction of each PPO epoch"
    ),
    "policy/update_kl": Metric(
        "KL of the step",
        "nats per token",
        "KL from the policy before the step's updates to the policy after them, on 32 responses",
        healthy="below 0.1",
    ),
    "policy/update_kl_by_epoch": Metric(
        "KL of the step by epoch",
        "nats per token",
        "KL from the policy before the step to the policy as each PPO epoch reads the tokens, so "
        "without the last updates",
    ),
    "policy/outside_clip": Metric(
        "outside the clip range",
        "0..1",
        "share of tokens whose ratio is outside the clip range after the step's updates",
        healthy="below 0.4",
    ),
    "policy/ratio_p01": Metric(
        "ratio, 1st percentile",
        "-",
        "new probability / old probability: one token in a hundred ends below this",
        healthy="above 0.1",
    ),
    "policy/ratio_p99": Metric(
        "ratio, 99th percentile",
        "-",
        "new probability / old probability: one token in a hundred ends above this",
        healthy="below 3",
    ),
    "policy/gradient_norm": Metric(
        "gradient norm", "-", "norm of the gradient before it is scaled down to max_grad_norm"
    ),
    "policy/gradient_norm_policy": Metric(
        "gradient norm, policy",
        "-",
        "norm of the policy loss's own gradient, in the first minibatch of every fifth step",
    ),
    "policy/gradient_norm_value": Metric(
        "gradient norm, value",
        "-",
        "norm of value_coef times the value loss's own gradient, in the first minibatch of every "
        "fifth step",
    ),
    "policy/gradient_cut": Metric(
        "gradients scaled down",
        "0..1",
        "share of the step's updates whose gradient was longer than the limit",
    ),
    "policy/advantage_mean": Metric(
        "mean advantage",
        "standard deviations",
        "mean of the step's advantages, before it is subtracted from each of them",
    ),
    "policy/advantage_deviation": Metric(
        "deviation of the advantages",
        "standard deviations",
        "standard deviation of the step's advantages, before each of them is divided by it",
    ),
    "policy/learning_rate": Metric(
        "learning rate", "-", "learning rate of this step, after warm-up and decay", trl="lr"
    ),
    "value/loss": Metric(
        "value loss",
        "squared standard deviations",
        "error of the value head; it need not fall",
        trl="loss/value_avg",
    ),
    "value/explained_variance": Metric(
        "explained variance",
        "up to 1",
        "share of the variance of the realised returns that the value head predicted",
        healthy="rises above 0; below 0, it is worse than always predicting the mean",
    ),
    "response/length": Metric(
        "length",
        "tokens",
        "mean length of the responses, EOS included",
        healthy="stays near its initial value",
    ),
    "response/eos_rate": Metric(
        "ended by itself",
        "0..1",
        "share of responses that reached EOS",
        healthy="rises",
    ),
    "reward/loss": Metric(
        "loss",
        "nats per pair",
        "-log of the model's probability that the chosen response is better; 0.69 is guessing",
        healthy="falls",
        trl="loss",
    ),
    "reward/accuracy": Metric(
        "accuracy",
        "0..1",
        "share of training pairs whose chosen response scores higher",
        healthy="rises",
        trl="accuracy",
    ),
    "reward/margin": Metric(
        "margin",
        "logits",
        "mean score of the chosen response minus that of the rejected one, before scores are "
        "normalised; its sigmoid is the probability that the chosen one is better: 2 means 88%",
        healthy="rises",
        trl="margin",
    ),
    "dpo/total_steps": Metric("steps in all", "count", "number of steps that the run will make"),
    "dpo/loss": Metric(
        "DPO loss",
        "nats per pair",
        "-log sigmoid of the margin, on the step's pairs; 0.69 is a coin flip",
        healthy="falls, with large jumps from step to step",
        trl="loss",
    ),
    "dpo/accuracy": Metric(
        "pairs in order",
        "0..1",
        "share of the step's pairs in which the chosen response has the higher implicit reward",
        healthy="rises above 0.5",
        trl="rewards/accuracies",
    ),
    "dpo/margin": Metric(
        "margin",
        "logits",
        "mean implicit reward of the chosen response minus that of the rejected one",
        healthy="rises",
        trl="rewards/margins",
    ),
    "dpo/chosen": Metric(
        "implicit reward of the chosen response",
        "nats times beta",
        "beta * log p / p_ref of the chosen response",
        healthy="may fall: the loss asks only that the rejected one falls further",
        trl="rewards/chosen",
    ),
    "dpo/rejected": Metric(
        "implicit reward of the rejected response",
        "nats times beta",
        "beta * log p / p_ref of the rejected response",
        healthy="falls",
        trl="rewards/rejected",
    ),
    "sft/total_steps": Metric("steps in all", "count", "number of steps that the run will make"),
    "sft/loss": Metric(
        "training loss",
        "nats per token",
        "mean of -log p over the tokens of the step's texts, without their prompts",
        healthy="falls, with jumps from step to step",
        trl="loss",
    ),
    "sft/heldout_loss": Metric(
        "held-out loss",
        "nats per token",
        "mean of -log p over the tokens of texts that were not trained on, without their prompts",
        healthy="falls, then levels off",
        trl="eval_loss",
    ),
    "sft/accuracy": Metric(
        "tokens guessed",
        "0..1",
        "share of the tokens of the step's texts to which the policy gave the highest probability",
        healthy="rises",
        trl="mean_token_accuracy",
    ),
    "heldout/loss": Metric(
        "held-out loss",
        "nats per pair",
        "loss on pairs that were not trained on",
        healthy="falls",
        trl="eval_loss",
    ),
    "heldout/accuracy": Metric(
        "held-out accuracy",
        "0..1",
        "accuracy on pairs that were not trained on; at step 0 the scoring head is random",
        healthy="rises",
        trl="eval_accuracy",
    ),
    "base/loss": Metric(
        "loss",
        "nats per token",
        "-log of the model's probability of the next token of the training text",
        healthy="falls",
    ),
    "base/tokens": Metric("tokens", "tokens", "tokens trained on since the start"),
    "base/learning_rate": Metric(
        "learning rate", "-", "learning rate of this step, after warm-up and decay"
    ),
    "base/gradient_norm": Metric("gradient norm", "-", "norm of the gradient before it is clipped"),
    "base/held_out_loss": Metric(
        "held-out loss",
        "nats per token",
        "loss on text that was not trained on",
        healthy="falls",
    ),
    "base/held_out_perplexity": Metric(
        "held-out perplexity",
        "-",
        "exp of the held-out loss: how many tokens the model hesitates between",
        healthy="falls",
    ),
    "base/held_out_plain_loss": Metric(
        "held-out loss, plain",
        "nats per token",
        "held-out loss on plain sentences",
        healthy="falls",
    ),
    "base/held_out_plain_perplexity": Metric(
        "held-out perplexity, plain",
        "-",
        "held-out perplexity on plain sentences: common words, no names",
        healthy="falls",
    ),
    "rater/loss": Metric(
        "loss",
        "nats per text",
        "error of the rater's prediction; 0.69 is guessing",
        healthy="falls",
    ),
    "rater/accuracy": Metric(
        "accuracy",
        "0..1",
        "share of the step's texts that the rater gets right",
        healthy="rises",
    ),
    "rater/learning_rate": Metric(
        "learning rate", "-", "learning rate of this step, after warm-up and decay"
    ),
    "time/tokens_per_second": Metric("speed", "tokens per s", "tokens trained on per second"),
    "time/sampling_seconds": Metric("sampling", "s", "time to sample the step's responses"),
    "time/scoring_seconds": Metric(
        "scoring", "s", "time to score the responses and run the reference on them"
    ),
    "time/updating_seconds": Metric("updating", "s", "time of the step's updates"),
    "time/measuring_seconds": Metric(
        "measuring",
        "s",
        "time to run the updated policy on the responses, to judge them and to log them",
    ),
    "time/step_seconds": Metric("step time", "s", "time of the whole step"),
}
