"""Responses of one model to prompts, each with its score."""

import torch

from rlhf_demo.config.evaluation import GenerateConfig
from rlhf_demo.evaluation.generate import generate_rows


def longer(prompts, responses):
    return torch.tensor([float(len(response)) for response in responses])


def test_generate_rows_repeats_prompts_together_and_scores_them(tiny_model_folder, prompts_file):
    config = GenerateConfig(
        model=str(tiny_model_folder), prompts=str(prompts_file), samples=2, max_new_tokens=6,
        dtype="float32",
    )  # fmt: skip
    rows = generate_rows(config, longer)
    assert [row["prompt"] for row in rows[:4]] == ["The film was"] * 2 + ["I liked the"] * 2
    assert len(rows) == 12
    assert all(row["score"] == len(row["response"]) for row in rows)
    assert rows[0]["response"] != rows[1]["response"]
    assert generate_rows(config, longer) == rows
    assert [set(row) for row in generate_rows(config, None)] == [{"prompt", "response"}] * 12
