// @ts-check
// Uses of RLHF, what became of older code, and papers with their arXiv numbers.

/** @type {[string, string, string, string][]} name, reward, how it is fooled, who is harmed */
export const USES = [
  [
    "Dialogue",
    "which of two answers people prefer",
    "flattery and confident tone win votes, whether the answer is true or not",
    "a user who believes a wrong answer",
  ],
  [
    "Summaries",
    "which of two summaries readers prefer",
    "readers who have not read the source cannot see what is invented",
    "anyone who acts on an invented sentence",
  ],
  [
    "Translation",
    "which of two translations speakers prefer",
    "fluent text wins although its meaning differs",
    "a patient or a party to a contract",
  ],
  [
    "Question answering",
    "correct answers, as judged by people or by a test set",
    "long answers with many claims look better",
    "a reader who cannot check them",
  ],
  [
    "Code",
    "tests that pass",
    "code that special-cases the tests passes them",
    "whoever runs the code on other input",
  ],
  [
    "Moderation",
    "a classifier's logit, as in the preset \u201Cless harsh\u201D",
    "odd spelling and polite insults get past the classifier",
    "groups whose everyday words the classifier calls harsh",
  ],
  [
    "Tutoring and health",
    "a student\u2019s or a patient\u2019s rating",
    "giving the answer away, or reassurance, gets high ratings",
    "a student who learns nothing, a patient who needs a doctor",
  ],
];

/** @type {[string, string][]} a line of older code, and what does the same here */
export const THEN_AND_NOW = [
  ["SFTTrainer(...)", "python -m rlhf_demo train-sft (TRL\u2019s SFTTrainer)"],
  ["RewardTrainer(...)", "python -m rlhf_demo train-reward (TRL\u2019s RewardTrainer)"],
  ["PPOTrainer(config, model, ref_model, tokenizer)", "python -m rlhf_demo train-ppo"],
  ["ppo_trainer.generate(...); ppo_trainer.step(...)", "rlhf_demo/train/ppo.py: train_ppo"],
  ["AutoModelForCausalLMWithValueHead", "rlhf_demo/models/policy.py: Policy.add_value_head"],
  ["create_reference_model(model)", "the policy with its adapter off: Policy.as_reference"],
];

/** @type {[string, string][]} title, arXiv number */
export const PAPERS = [
  ["Vaswani et al. 2017, Attention is all you need", "1706.03762"],
  ["Christiano et al. 2017, Deep reinforcement learning from human preferences", "1706.03741"],
  ["Schulman et al. 2017, Proximal policy optimization algorithms", "1707.06347"],
  ["Schulman et al. 2015, Generalized advantage estimation", "1506.02438"],
  ["Ziegler et al. 2019, Fine-tuning language models from human preferences", "1909.08593"],
  ["Stiennon et al. 2020, Learning to summarize from human feedback", "2009.01325"],
  ["Ouyang et al. 2022, InstructGPT", "2203.02155"],
  ["Bai et al. 2022, Training a helpful and harmless assistant", "2204.05862"],
  ["Bai et al. 2022, Constitutional AI", "2212.08073"],
  ["Gao et al. 2022, Scaling laws for reward model overoptimization", "2210.10760"],
  ["Rafailov et al. 2023, Direct preference optimization", "2305.18290"],
  ["Shao et al. 2024, DeepSeekMath, which introduces GRPO", "2402.03300"],
  ["Ahmadian et al. 2024, Back to basics, on RLOO", "2402.14740"],
];
