"""The equations of PPO, RLOO and GRPO for language models, as pure functions of tensors.

Nothing here knows models, text or files; nothing modifies its inputs. Shapes: `batch` responses,
`time` tokens of a response. `response_mask` is True at real response tokens, the first EOS
included; outside it every result is 0, so padding can never change a number.

Sources: Schulman et al. 2017 (PPO, https://arxiv.org/abs/1707.06347), Schulman et al. 2016 (GAE,
https://arxiv.org/abs/1506.02438), Ziegler et al. 2019 (PPO for language,
https://arxiv.org/abs/1909.08593), Stiennon et al. 2020 (https://arxiv.org/abs/2009.01325), Huang et
al. 2023 ("The N implementation details of RLHF with PPO"), Schulman 2020 ("Approximating KL
divergence", http://joschu.net/blog/kl-approx.html), Kool et al. 2019 ("Buy 4 REINFORCE Samples, Get
a Baseline for Free!"), Ahmadian et al. 2024 (RLOO, https://arxiv.org/abs/2402.14740), Shao et al.
2024 (GRPO, https://arxiv.org/abs/2402.03300).
"""
