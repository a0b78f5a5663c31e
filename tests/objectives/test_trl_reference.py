"""TRL 1.12 as an independent reference: what its own PPOTrainer computed, against our functions.

bench/trl_reference.py recorded tests/data/trl_ppo.safetensors from one step of TRL's own code. In
`full` every response fills its 8 tokens. In `ragged` they have 1 to 8, and TRL does two things
otherwise than we do, each shown by a test of its own below:

- It pays the score one place *after* the last token, and keeps a value for that place, so rewards,
  advantages and value loss live on `~padding_mask_p1`, one place longer than the response. On that
  mask our functions must agree with TRL's.
- It whitens with the unbiased variance.

Two of TRL's figures are not compared, because they average over padding too: its entropy and its
approxkl. Its k3 reward and its whitening of rewards have no counterpart here.
"""

import json
import math

import pytest
import torch
from safetensors import safe_open
from torch.testing import assert_close

from rlhf_demo.objectives.advantages import gae
from rlhf_demo.objectives.logprobs import token_logprobs
from rlhf_demo.objectives.losses import policy_loss, ppo_loss, value_loss
from rlhf_demo.objectives.masks import whiten
from rlhf_demo.objectives.rewards import kl_k1, token_rewards
from rlhf_demo.paths import REPOSITORY

RECORDING = REPOSITORY / "tests" / "data" / "trl_ppo.safetensors"
with safe_open(RECORDING, "pt") as file:
    ABOUT = file.metadata()
    TENSORS = {name: file.get_tensor(name) for name in file.keys()}
SETTINGS = json.loads(ABOUT["settings"])
UPDATES = SETTINGS["num_ppo_epochs"] * SETTINGS["num_mini_batches"]


class Recording:
    """TRL's tensors of one recording by the names that TRL gives them, and its two masks."""

    def __init__(self, name):
        self.tensors = {
            key.partition(".")[2]: value
            for key, value in TENSORS.items()
            if key.startswith(name + ".")
        }
        self.mask = ~self["padding_mask"]  # real tokens: our response_mask
        self.longer_mask = ~self["padding_mask_p1"]  # and one place more, where there is one

    def __getitem__(self, name):
        return self.tensors[name]

    def update(self, number):
        """Return what update `number` saw and computed; rollout tensors cut to its minibatch."""
        rows = self["micro_batch_inds"][number]
        rollout = ("responses", "logprobs", "values", "advantages", "returns")
        now = ("new_logits", "new_logprobs", "vpred", "new_logprobs_grad", "vpred_grad",
               "ratio", "pg_loss", "vf_loss", "loss")  # fmt: skip
        return (
            {name: self[name][rows] for name in rollout}
            | {name: self[name][number] for name in now}
            | {"mask": self.mask[rows], "longer_mask": self.longer_mask[rows]}
        )


@pytest.fixture(params=["full", "ragged"])
def trl(request):
    return Recording(request.param)


@pytest.fixture(params=range(UPDATES))
def update(trl, request):
    return trl.update(request.param)


def close(ours, theirs, **tolerance):
    """TRL computed in float64, but for log-probabilities of sampled tokens, which are float32."""
    assert_close(ours.double(), theirs.double(), **({"atol": 1e-9, "rtol": 1e-9} | tolerance))


def test_recording_is_of_trl_1_12_and_has_what_could_go_wrong():
    assert ABOUT["trl"] == "1.12.0"
    full, ragged = Recording("full"), Recording("ragged")
    assert full.mask.all() and full.longer_mask.all()
    assert sorted(ragged.mask.sum(-1).tolist()) == [1, 3, 5, 6, 6, 7, 8, 8]
    assert ragged["kl"].sum(-1).mean() > 1  # nats a response: a wrong sign would show
    assert ragged["pg_clipfrac_stats"].max() > 0.2 and ragged["vf_clipfrac_stats"].max() > 0.2


# -- the rollout -----------------------------------------------------------------------------------


def test_reference_logprobs_at_the_temperature(trl):
    ours, _ = token_logprobs(trl["ref_logits"], trl["responses"], SETTINGS["temperature"])
    # TRL divides by the temperature plus 1e-7.
    close(ours[trl.mask], trl["ref_logprobs"][trl.mask], atol=1e-5)


def test_kl_of_tokens_and_of_the_step(trl):
    ours = kl_k1(trl["logprobs"].double(), trl["ref_logprobs"], trl.mask)
    close(ours, trl["kl"])
    close(ours.sum(-1).mean(), trl["mean_kl"])


def test_token_rewards_with_the_score_where_trl_pays_it(trl):
    ours = token_rewards(trl["scores"], trl["kl"], trl.longer_mask, SETTINGS["kl_coef"])
    close(ours, trl["rewards"])


def test_trl_pays_the_score_one_place_after_the_end_and_we_at_the_end():
    trl = Recording("ragged")
    ours = token_rewards(trl["scores"], trl["kl"], trl.mask, SETTINGS["kl_coef"])
    for row, length in enumerate(trl.mask.sum(-1).tolist()):
        theirs = trl["rewards"][row].clone()
        if length < trl.mask.shape[1]:
            theirs[length - 1] += theirs[length]
            theirs[length] = 0
        close(ours[row], theirs)


def test_advantages_and_returns(trl):
    ours = gae(
        trl["rewards"], trl["values"], trl.longer_mask,
        gamma=SETTINGS["gamma"], gae_lambda=SETTINGS["lam"],
    )  # fmt: skip
    close(ours[0], trl["raw_advantages"])
    close(ours[1], trl["returns"])


def test_advantages_differ_from_trls_by_what_its_extra_place_foretells():
    """At the last token TRL has gamma * (V' + lambda * (score - V')) where we have the score; V' is
    its value of the extra place. The difference goes on to earlier tokens as all of GAE does.
    """
    trl, gamma, lam = Recording("ragged"), SETTINGS["gamma"], SETTINGS["lam"]
    rewards = token_rewards(trl["scores"], trl["kl"], trl.mask, SETTINGS["kl_coef"])
    ours, _ = gae(rewards, trl["values"], trl.mask, gamma=gamma, gae_lambda=lam)
    for row, length in enumerate(trl.mask.sum(-1).tolist()):
        difference = (trl["raw_advantages"] - ours)[row, :length]
        if length == trl.mask.shape[1]:
            expected = torch.zeros(length, dtype=torch.float64)
        else:
            score, value = trl["scores"][row], trl["values"][row, length]
            last = gamma * (value + lam * (score - value)) - score
            expected = last * (gamma * lam) ** torch.arange(length - 1, -1, -1).double()
        close(difference, expected)


def test_whitened_advantages_but_for_the_unbiased_variance(trl):
    ours = whiten(trl["raw_advantages"], trl.mask)
    count = int(trl.mask.sum())
    close(ours * math.sqrt((count - 1) / count), trl["advantages"], atol=1e-7)


# -- the update ------------------------------------------------------------------------------------


def test_logprobs_under_the_policy_now(update):
    ours, _ = token_logprobs(update["new_logits"], update["responses"], SETTINGS["temperature"])
    close(ours[update["mask"]], update["new_logprobs"][update["mask"]], atol=1e-5)


def test_policy_loss_ratio_and_gradient(update):
    logprobs = update["new_logprobs"].clone().requires_grad_()
    loss, ratio, _ = policy_loss(
        logprobs, update["logprobs"], update["advantages"], update["mask"],
        clip_range=SETTINGS["cliprange"],
    )  # fmt: skip
    close(loss, update["pg_loss"])
    close(ratio, update["ratio"])
    close(torch.autograd.grad(loss, logprobs)[0], update["new_logprobs_grad"])


def test_share_of_tokens_that_the_clip_cut(trl):
    for number in range(UPDATES):
        seen = trl.update(number)
        *_, clipped = policy_loss(
            seen["new_logprobs"], seen["logprobs"], seen["advantages"], seen["mask"],
            clip_range=SETTINGS["cliprange"],
        )  # fmt: skip
        epoch, minibatch = divmod(number, SETTINGS["num_mini_batches"])
        close(clipped.sum() / seen["mask"].sum(), trl["pg_clipfrac_stats"][epoch, minibatch, 0])


def test_value_loss_and_gradient_on_trls_longer_mask(update):
    values = update["vpred"].clone().requires_grad_()
    loss = value_loss(
        values, update["values"], update["returns"], update["longer_mask"],
        value_clip_range=SETTINGS["cliprange_value"],
    )  # fmt: skip
    close(loss, update["vf_loss"])
    (gradient,) = torch.autograd.grad(SETTINGS["vf_coef"] * loss, values)
    close(gradient, update["vpred_grad"])


def test_whole_loss_where_both_masks_are_one():
    """TRL adds no entropy bonus, so its coefficient is 0."""
    full = Recording("full")
    for number in range(UPDATES):
        seen = full.update(number)
        logprobs = seen["new_logprobs"].clone().requires_grad_()
        loss = ppo_loss(
            logprobs, torch.zeros_like(seen["vpred"]), seen["vpred"],
            old_logprobs=seen["logprobs"], old_values=seen["values"],
            advantages=seen["advantages"], returns=seen["returns"], response_mask=seen["mask"],
            clip_range=SETTINGS["cliprange"], value_clip_range=SETTINGS["cliprange_value"],
            value_coef=SETTINGS["vf_coef"], entropy_coef=0.0,
        )  # fmt: skip
        close(loss.total, seen["loss"])
        assert not loss.ratio.requires_grad  # it is kept for longer than the graph should be
