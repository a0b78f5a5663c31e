"""What each logged number is called, counts in, and means.

This is the one glossary of page, command line and docs. `trl` names the same quantity in TRL 1.12's
PPOTrainer or RewardTrainer, where there is one.
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
    "reward/total_steps": Metric("steps in all", "count", "how many steps the run will make"),
    "objective/score": Metric(
        "score",
        "reward units",
        "mean score of the step's responses; 0 is the base's mean",
        healthy="rises, then levels",
    ),
    "objective/kl": Metric(
        "KL",
        "nats per response",
        "drift from the reference, k1 estimate; can be below 0 by chance",
        healthy="near its target",
        trl="objective/kl",
    ),
    "objective/kl_k3": Metric(
        "KL, k3",
        "nats per response",
        "the same drift by an estimate with less noise, never below 0",
    ),
    "objective/reward": Metric(
        "reward",
        "reward units",
        "what PPO maximises: score - kl_coef * KL, less the penalty for a missing end",
        healthy="rises",
        trl="objective/rlhf_reward",
    ),
    "objective/kl_coef": Metric(
        "KL coefficient",
        "reward units per nat",
        "price of drift; moves so that KL meets its target",
    ),
    "objective/distinct_2": Metric(
        "distinct-2",
        "0..1",
        "share of different token pairs among all in the step's responses",
        healthy="stays above 0.75 of its start",
    ),
    "policy/loss": Metric(
        "policy loss", "-", "clipped surrogate; it need not fall", trl="loss/policy_avg"
    ),
    "policy/entropy": Metric(
        "entropy",
        "nats per token",
        "how undecided the policy is about the next token",
        healthy="falls slowly",
        trl="policy/entropy_avg",
    ),
    "policy/ratio": Metric(
        "ratio",
        "-",
        "new over old probability of the sampled tokens",
        healthy="near 1",
        trl="val/ratio",
    ),
    "policy/clip_fraction": Metric(
        "clip fraction",
        "0..1",
        "share of tokens whose update the clip cut off",
        healthy="below 0.3",
        trl="policy/clipfrac_avg",
    ),
    "policy/approx_kl": Metric(
        "update size",
        "nats per token",
        "how far one step's updates moved the policy",
        healthy="below 0.05",
    ),
    "policy/gradient_norm": Metric(
        "gradient norm", "-", "length of the gradient before it is clipped"
    ),
    "policy/learning_rate": Metric(
        "learning rate", "-", "of this step, after warm-up and decay", trl="lr"
    ),
    "value/loss": Metric(
        "value loss",
        "reward units squared",
        "error of the value head; it need not fall",
        trl="loss/value_avg",
    ),
    "value/explained_variance": Metric(
        "explained variance",
        "up to 1",
        "share of the returns' variance that the value head foretold",
        healthy="rises above 0",
    ),
    "response/length": Metric(
        "length",
        "tokens",
        "mean length of the responses, EOS included",
        healthy="stays near its start",
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
        "-log sigmoid(score of chosen - score of rejected); 0.69 is guessing",
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
        "reward units",
        "mean score of chosen less score of rejected",
        healthy="rises",
        trl="margin",
    ),
    "heldout/loss": Metric(
        "held-out loss",
        "nats per pair",
        "the same loss on pairs that were not trained on",
        healthy="falls",
        trl="eval_loss",
    ),
    "heldout/accuracy": Metric(
        "held-out accuracy",
        "0..1",
        "the same accuracy on pairs that were not trained on",
        healthy="rises",
        trl="eval_accuracy",
    ),
    "base/loss": Metric(
        "loss", "nats per token", "surprise at the next token of the training text", healthy="falls"
    ),
    "base/tokens": Metric("tokens", "tokens", "tokens trained on since the start"),
    "base/learning_rate": Metric("learning rate", "-", "of this step, after warm-up and decay"),
    "base/gradient_norm": Metric(
        "gradient norm", "-", "length of the gradient before it is clipped"
    ),
    "base/held_out_loss": Metric(
        "held-out loss",
        "nats per token",
        "the same loss on text that was not trained on",
        healthy="falls",
    ),
    "base/held_out_perplexity": Metric(
        "held-out perplexity",
        "-",
        "exp of that loss: among how many tokens the model wavers",
        healthy="falls",
    ),
    "base/held_out_plain_loss": Metric(
        "held-out loss, plain", "nats per token", "the same on plain sentences", healthy="falls"
    ),
    "base/held_out_plain_perplexity": Metric(
        "held-out perplexity, plain",
        "-",
        "the same on plain sentences: commonest words, no names",
        healthy="falls",
    ),
    "rater/loss": Metric(
        "loss",
        "nats per text",
        "error of the simulated rater's guess; 0.69 is guessing",
        healthy="falls",
    ),
    "rater/accuracy": Metric(
        "accuracy",
        "0..1",
        "share of the step's texts that the rater guesses right",
        healthy="rises",
    ),
    "rater/learning_rate": Metric("learning rate", "-", "of this step, after warm-up and decay"),
    "time/tokens_per_second": Metric("speed", "tokens per s", "tokens trained on in a second"),
    "time/sampling_seconds": Metric("sampling", "s", "time to write the step's responses"),
    "time/scoring_seconds": Metric(
        "scoring", "s", "time to score them and read them with the reference"
    ),
    "time/updating_seconds": Metric("updating", "s", "time of the step's updates"),
    "time/step_seconds": Metric("step time", "s", "time of the whole step"),
}
