"""RLHF that people can watch, on one small machine.

People (or a simulated rater) prefer one of two texts; a small reward model learns their
preferences; PPO changes the language model so that the reward model scores it higher, while a KL
penalty keeps it close to where it started; both models then answer the same prompts side by side.
"""

__version__ = "0.1.0"
