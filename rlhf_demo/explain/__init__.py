"""Explanations of one text: what each part adds to its score, what PPO computes of each token."""
