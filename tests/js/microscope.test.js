// The microscope's equations and sentences, for a response of three tokens worked by hand.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CHANGES,
  CONSTANT_WORDS,
  ROWS,
  cellWords,
  changedCells,
  equation,
  noted,
  sentence,
  valueOf,
} from "../../rlhf_demo/ui/static/lib/microscope.js";

const trace = () => ({
  run: "ppo-a",
  step: 3,
  sample: 0,
  samples: 8,
  prompt: "The film",
  tokens: [" was", " bad", "<|endoftext|>"],
  columns: {
    logprob: [Math.log(0.5), Math.log(0.05), -0.1],
    ref_logprob: [Math.log(0.25), Math.log(0.1), -0.1],
    log_ratio: [Math.log(2), -Math.log(2), 0],
    reward: [-0.139, 0.139, -2],
    value: [0.5, -1, -1.5],
    delta: [-1.639, -0.361, -0.5],
    raw_advantage: [-2.4, -0.8, -0.5],
    return: [-1.9, -1.8, -2],
    advantage: [-2.3, -0.7, -0.4],
    logprob_after: [Math.log(0.35), null, -0.1],
    ratio: [0.7, 0, 1],
    policy_term: [1.84, 0.56, 0.4],
    gradient: [0, 0, 0.4],
    value_after: null,
    value_term: null,
    entropy_after: null,
    total: null,
  },
  stopped: [true, true, false],
  clipped: [false, true, false],
  mean: -0.1,
  deviation: 1,
  earned: -2,
  standardised: -1,
  settings: {
    kl_coef: 0.2,
    gamma: 1,
    gae_lambda: 0.95,
    clip_range: 0.2,
    value_clip_range: 0.2,
    value_coef: 0.1,
    entropy_coef: 0,
    with_values: true,
  },
});

const text = (piece) => {
  if (typeof piece === "string") return piece;
  if (piece.over) return `[${words(piece.over)}]/[${words(piece.under)}]`;
  if (piece.squared) return `(${words(piece.squared)})2`;
  return piece.symbol + (piece.sub ? `_${piece.sub}` : "") + (piece.sup ? `^${piece.sup}` : "");
};
const words = (pieces) => pieces.map(text).join(" ");
const both = (name, at) => {
  const { left, rule, numbers } = equation(trace(), name, at);
  return [text(left), words(rule), words(numbers)];
};

test("an equation is a rule and the token's numbers", () => {
  assert.deepEqual(both("delta", 0), [
    "δ_t",
    "r_t + γ · V_t+1 − V_t",
    "(−0.139) + 1.000 · (−1.000) − 0.500",
  ]);
  assert.deepEqual(both("log_ratio", 1), [
    "k_t",
    "log π_t^old − log π_t^base",
    "(−2.996) − (−2.303)",
  ]);
});

test("after the last token comes nothing, and only it earns the score", () => {
  assert.equal(both("delta", 2)[2], "(−2.000) + 1.000 · 0.000 − (−1.500)");
  assert.equal(both("reward", 0)[1], "− β · k_t");
  assert.equal(both("reward", 2)[1], "− β · k_t + s");
  assert.equal(both("reward", 2)[2], "− 0.200 · 0.000 + (−2.000)");
});

test("a stopped token has no gradient", () => {
  assert.equal(both("gradient", 0)[1], "0");
  assert.equal(both("gradient", 2)[2], "− (−0.400) · 1.000");
  assert.match(sentence(trace(), "gradient", 0), /no gradient .* stopped none of its updates\.$/);
  assert.match(sentence(trace(), "gradient", 1), /stopped at least one of its updates\.$/);
  assert.match(sentence(trace(), "gradient", 2), /push its probability down\./);
  const older = { ...trace(), clipped: null };
  assert.doesNotMatch(sentence(older, "gradient", 0), /In this step/);
});

test("an equation names its constants, and each has words", () => {
  assert.deepEqual(equation(trace(), "reward", 2).constants, ["kl_coef", "earned"]);
  assert.deepEqual(equation(trace(), "advantage", 0).constants, ["mean", "deviation"]);
  for (const { name } of ROWS) {
    const found = equation(trace(), name, 0);
    if (found) assert.ok(found.constants.every((each) => CONSTANT_WORDS[each]), name);
    else assert.ok(noted(name), name);
  }
});

test("a sentence says what the number means", () => {
  assert.equal(
    sentence(trace(), "log_ratio", 0),
    "It is 0.69 nats more likely than under the base: 2.00 times as likely.",
  );
  assert.match(sentence(trace(), "reward", 0), /^It pays 0\.139, .* only at the last token\.$/);
  assert.match(sentence(trace(), "reward", 1), /^It gets back 0\.139, because it is less likely/);
  assert.equal(
    sentence(trace(), "reward", 2),
    "It pays nothing for the KL. As the last token it also earns the response’s score, −1.00, " +
      "less 1.00 because it did not end by itself.",
  );
  assert.match(sentence(trace(), "advantage", 0), /2\.30 standard deviations below .* down\.$/);
  assert.match(sentence(trace(), "logprob", 1), /a probability of 5\.00%\.$/);
});

test("what is not known is said and not drawn as zero", () => {
  assert.equal(valueOf(trace(), "total", 0), null);
  assert.equal(cellWords("total", null), "–");
  assert.match(sentence(trace(), "total", 0), /did not record/);
  assert.match(sentence(trace(), "logprob_after", 1), /four decimals/);
  const without = { ...trace(), settings: { ...trace().settings, with_values: false } };
  assert.match(sentence(without, "value_term", 0), /Without a value head/);
});

test("every cell has a sentence", () => {
  for (const { name } of ROWS) {
    for (const at of [0, 1, 2]) assert.match(sentence(trace(), name, at), /\.$/, name);
  }
  const full = trace();
  for (const name of ["value_after", "value_term", "entropy_after", "total"]) {
    full.columns[name] = [0.1, 0.2, 0.3];
    assert.match(sentence(full, name, 1), /\.$/, name);
    if (equation(full, name, 1)) assert.doesNotMatch(words(equation(full, name, 1).numbers), /–/);
  }
});

test("changed cells are those that look different", () => {
  const now = trace();
  now.columns.reward = [-0.1391, 0.139, -3];
  now.columns.value_after = [0, 0, 0];
  const changed = [...changedCells(trace(), now)];
  assert.deepEqual(changed, ["reward 2", "value_after 0", "value_after 1", "value_after 2"]);
  assert.deepEqual(
    CHANGES.map(({ name }) => name),
    ["kl_coef", "gamma", "gae_lambda", "clip_range"],
  );
});
