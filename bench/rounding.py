"""What does it cost to take old_logprobs from sampling instead of reading the texts again?

    python -m bench.rounding [--dtype bfloat16]

Samples 64 responses of the shipped base, which records their log-probabilities token by token
through the key-value cache. Then it reads the same texts as a whole with the same weights, as the
reference and the update do. The difference of the two, in the same number format, is the cost. The
difference between this format and float32 is a separate question, and printed below.
"""

import argparse

import torch

from rlhf_demo.data.pairs import SHIPPED
from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.models.device import autocast, pick_device, pick_dtype
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.reading import token_outputs
from rlhf_demo.models.sampling import encode_prompts, sample, seeded

TEMPERATURE, MAX_NEW_TOKENS = 0.7, 32


@torch.no_grad()
def main() -> None:
    """Print the rounding per token and per response."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16"))
    args = parser.parse_args()
    device = pick_device("cpu")
    dtype = pick_dtype(device, args.dtype)
    policy = load_policy("gpt2-mini", device=device)
    prompts = load_prompts(SHIPPED, "train")[:64]
    prompt_ids, mask, _ = encode_prompts(policy, prompts, MAX_NEW_TOKENS)
    with autocast(device, dtype):
        sampled = sample(
            policy,
            prompt_ids,
            mask,
            max_new_tokens=MAX_NEW_TOKENS,
            temperature=TEMPERATURE,
            generator=seeded(0, "rounding", 0),
        )
        real = sampled.response_mask
        sequence_ids = torch.cat([prompt_ids, sampled.response_ids], dim=1)
        read = token_outputs(
            policy, sequence_ids, torch.cat([mask, real], dim=1), real, TEMPERATURE
        )
    exact = token_outputs(policy, sequence_ids, torch.cat([mask, real], dim=1), real, TEMPERATURE)
    print(f"{dtype}, {len(prompts)} responses, {int(real.sum())} tokens")
    show("recorded while sampling against read as a whole", sampled.logprobs - read.logprobs, real)
    show(f"read as a whole in {dtype} against float32", read.logprobs - exact.logprobs, real)


def show(what: str, noise: torch.Tensor, real: torch.Tensor) -> None:
    """Print a difference of log-probabilities [batch, time], per token and per response."""
    per_token, per_response = noise[real], noise.sum(-1)
    print(
        f"{what}\n"
        f"  per token:    mean |difference| {per_token.abs().mean():.1e}, "
        f"spread {per_token.std():.1e}, largest {per_token.abs().max():.1e} nats\n"
        f"  per response: mean {per_response.mean():+.1e}, spread {per_response.std():.1e}, "
        f"largest {per_response.abs().max():.1e} nats"
    )


if __name__ == "__main__":
    main()
