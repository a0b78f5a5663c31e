"""Evaluation: compare two models, test a reward model, and measure texts."""
