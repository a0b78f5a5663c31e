"""Explanations of one text: what each part of it adds to its score."""
