"""Texts in: preference pairs, prompts, documents, reviews."""
