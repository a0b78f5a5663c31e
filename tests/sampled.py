"""Responses of a policy to three prompts of different lengths."""

from rlhf_demo.models.sampling import encode_prompts, sample, seeded

PROMPTS = ["The film was", "I", "We saw it with my family and the"]


def sample_batch(policy, seed=0, max_new_tokens=12, temperature=0.7):
    prompt_ids, mask, _ = encode_prompts(policy, PROMPTS, max_new_tokens)
    sampled = sample(
        policy, prompt_ids, mask,
        max_new_tokens=max_new_tokens, temperature=temperature, generator=seeded(seed, "test", 0),
        keep_logits=True,
    )  # fmt: skip
    return prompt_ids, mask, sampled
