"""TRL 1.16 as an independent reference: what its RLOOTrainer and GRPOTrainer compute, live.

Both trainers sample from a tiny policy that has drifted from its reference. Their own methods give
rewards, advantages, log-probabilities and, after the policy has moved once more, the loss and its
gradient. Our functions get the same log-probabilities. Two things differ on purpose, and each has
a test: TRL's RLOO clips the ratio of the whole response, ours that of each token; and TRL's
`loss_type="grpo"` averages over each response first, ours over all tokens ("bnpo"). TRL can weigh
the KL of a token by its ratio, which the paper does not: that is switched off.
"""

from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from torch.testing import assert_close
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from rlhf_demo.objectives.advantages import group_standardised, leave_one_out
from rlhf_demo.objectives.logprobs import token_logprobs
from rlhf_demo.objectives.losses import clipped_loss, grpo_loss
from rlhf_demo.objectives.rewards import kl_k1, token_rewards
from tests.stepping import checksum_of

PROMPTS = ["The film was", "I liked the", "We saw it and"]
SAMPLES, KL_COEF, CLIP_RANGE, TEMPERATURE = 4, 0.3, 0.2, 0.7
FLOAT32 = {"atol": 1e-5, "rtol": 1e-4}


def score(prompts, completions, **_):
    return [checksum_of(*both) for both in zip(prompts, completions, strict=True)]


def drift(model, size, seed):
    """Move every weight at random."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(size * torch.randn(weight.shape, generator=generator))


def trl_step(trainer_of, config_of, folder, output, *, moved=0.02, **options):
    """Let one of TRL's trainers sample three groups of four, then move its policy's weights."""
    trainer = trainer_of(
        model=str(folder), reward_funcs=score,
        args=config_of(
            output_dir=str(output), per_device_train_batch_size=len(PROMPTS) * SAMPLES,
            num_generations=SAMPLES, max_completion_length=8, temperature=TEMPERATURE,
            beta=KL_COEF, epsilon=CLIP_RANGE, use_cpu=True, bf16=False, report_to=[], **options,
        ),
        train_dataset=Dataset.from_dict({"prompt": PROMPTS}),
        processing_class=AutoTokenizer.from_pretrained(folder),
    )  # fmt: skip
    model = trainer.model.eval()
    drift(model, 0.03, seed=1)
    with torch.no_grad():  # EOS becomes likelier, so that some responses end
        model.transformer.ln_f.bias.add_(5 * model.transformer.wte.weight[0])
    torch.manual_seed(0)
    batch = trainer._generate_and_score_completions(
        [{"prompt": prompt} for prompt in PROMPTS for _ in range(SAMPLES)]
    )
    sampler = AutoModelForCausalLM.from_pretrained(folder).eval()
    sampler.load_state_dict(model.state_dict())
    drift(model, moved, seed=2)
    return SimpleNamespace(trainer=trainer, sampler=sampler, model=model, batch=batch)


@pytest.fixture(scope="module")
def rloo(tiny_model_folder, tmp_path_factory):
    return trl_step(RLOOTrainer, RLOOConfig, tiny_model_folder, tmp_path_factory.mktemp("rloo"))


@pytest.fixture(scope="module")
def grpo(tiny_model_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("grpo")
    how = {"loss_type": "bnpo", "num_iterations": 2, "use_bias_correction_kl": False}
    return trl_step(GRPOTrainer, GRPOConfig, tiny_model_folder, output, **how)


def logprobs(step, model):
    """Return our log-probabilities of TRL's responses under one of its models."""
    batch, responses = step.batch, step.batch["completion_ids"]
    ids = torch.cat([batch["prompt_ids"], responses], 1)
    attended = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
    logits = model(ids, attention_mask=attended).logits[:, -responses.shape[1] - 1 : -1]
    return token_logprobs(logits, responses, TEMPERATURE)[0] * batch["completion_mask"]


def mask_of(step):
    return step.batch["completion_mask"].bool()


def scores_of(step):
    """Return the score of each response, from its text."""
    texts = step.trainer.processing_class.batch_decode(
        step.batch["completion_ids"], skip_special_tokens=True
    )
    prompts = [prompt for prompt in PROMPTS for _ in range(SAMPLES)]
    return torch.tensor(score(prompts, texts))


def our_loss(function, step, **more):
    """Return our loss of TRL's responses and advantages."""
    now, mask = logprobs(step, step.model), mask_of(step)
    return function(
        now, torch.zeros_like(now), old_logprobs=logprobs(step, step.sampler).detach(),
        advantages=step.batch["advantages"][:, None] * mask, response_mask=mask,
        clip_range=CLIP_RANGE, entropy_coef=0.0, **more,
    )  # fmt: skip


def our_grpo_loss(step):
    reference = logprobs(step, step.trainer.ref_model).detach()
    return our_loss(grpo_loss, step, ref_logprobs=reference, kl_coef=KL_COEF)


def gradient(loss, model):
    """Return the loss's gradient by all weights, as one vector."""
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, model.parameters())])


def assert_same_direction(ours, theirs, scale=1.0):
    """Compare gradients by their distance: single float32 entries are too small to compare."""
    assert (ours * scale - theirs).norm() < 1e-4 * theirs.norm()


def test_steps_have_what_could_go_wrong(rloo, grpo):
    for step in (rloo, grpo):
        lengths = mask_of(step).sum(-1)
        assert lengths.min() < 4 and lengths.max() == 8
        kl = (logprobs(step, step.sampler) - logprobs(step, step.trainer.ref_model)).sum(-1)
        assert kl.mean() > 1  # nats a response: a wrong sign would show
        assert our_loss(clipped_loss, step).clipped.sum() > 5
        assert our_loss(clipped_loss, step).clipped.sum() < 0.7 * lengths.sum()


def test_rloo_advantages_with_the_kl_in_the_reward(rloo):
    mask = mask_of(rloo)
    kl = kl_k1(logprobs(rloo, rloo.sampler), logprobs(rloo, rloo.trainer.ref_model), mask)
    rewards = token_rewards(scores_of(rloo), kl, mask, KL_COEF).sum(-1)
    assert_close(leave_one_out(rewards, SAMPLES), rloo.batch["advantages"], **FLOAT32)


def test_grpo_advantages(grpo):
    ours = group_standardised(scores_of(grpo), SAMPLES)
    assert_close(ours, grpo.batch["advantages"], **FLOAT32)


def test_grpo_loss_and_gradient(grpo):
    ours = our_grpo_loss(grpo).total
    theirs = grpo.trainer._compute_loss(grpo.model, grpo.batch)
    assert_close(ours, theirs, **FLOAT32)
    assert_same_direction(gradient(ours, grpo.model), gradient(theirs, grpo.model))


def test_grpo_averages_over_tokens_where_the_paper_averages_over_responses_first(grpo, monkeypatch):
    monkeypatch.setattr(grpo.trainer, "loss_type", "grpo")
    theirs = grpo.trainer._compute_loss(grpo.model, grpo.batch)
    ours = our_grpo_loss(grpo)
    assert not torch.isclose(ours.total, theirs, rtol=1e-2)


def test_rloo_gradient_is_trls_before_the_first_update_but_for_the_count_it_is_divided_by(
    tiny_model_folder, tmp_path
):
    """TRL divides by the responses, we by their tokens; both are REINFORCE with A_i."""
    step = trl_step(RLOOTrainer, RLOOConfig, tiny_model_folder, tmp_path, moved=0.0)
    ours = gradient(our_loss(clipped_loss, step).total, step.model)
    theirs = gradient(step.trainer._compute_loss(step.model, step.batch), step.model)
    tokens, responses = int(mask_of(step).sum()), len(mask_of(step))
    assert_same_direction(ours, theirs, scale=tokens / responses)


def test_rloo_clips_tokens_where_trl_clips_whole_responses(rloo):
    """By our clip, a response that TRL drops as a whole keeps some of its tokens."""
    ours, advantages = our_loss(clipped_loss, rloo), rloo.batch["advantages"]
    whole = ours.ratio.log().sum(-1).exp()
    dropped = torch.where(advantages > 0, whole > 1 + CLIP_RANGE, whole < 1 - CLIP_RANGE)
    rloo.trainer._compute_loss(rloo.model, rloo.batch)
    theirs = rloo.trainer._metrics["eval"]["clip_ratio/region_mean"][-1]
    assert theirs == pytest.approx(float(dropped.float().mean())) and theirs > 0
    kept = mask_of(rloo) & ~ours.clipped
    assert kept[dropped].any()
