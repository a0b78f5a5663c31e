// @ts-check
// The microscope's rows, equations and sentences. An equation is written once; drawn with symbols
// it is the rule, drawn with numbers it is this token's case.
import { number, percent, signed } from "./format.js";

/** @typedef {import("../types").ResponseTrace} Trace */
/** @typedef {{run: string, step: number, sample: number, token: number}} Place of a token */
/** @typedef {{name: string, label: string, unit: string}} Row */

/**
 * A piece of an equation: an operator or number as text; or a symbol with what stands below and
 * above it; or a fraction; or a square.
 * @typedef {string | Symbol | {over: Piece[], under: Piece[]} | {squared: Piece[]}} Piece
 */
/** @typedef {{symbol: string, sub?: string, sup?: string}} Symbol */

/** @type {{title: string, rows: Row[]}[]} the rows in the order of computation */
export const GROUPS = [
  {
    title: "As the token was written",
    rows: [
      { name: "logprob", label: "log p, policy", unit: "nats" },
      { name: "ref_logprob", label: "log p, base", unit: "nats" },
      { name: "log_ratio", label: "log ratio to the base", unit: "nats" },
    ],
  },
  {
    title: "What it earned",
    rows: [
      { name: "reward", label: "reward", unit: "standard deviations of the score" },
      { name: "value", label: "value", unit: "standard deviations of the score" },
      { name: "delta", label: "delta, one-step error", unit: "standard deviations of the score" },
      { name: "raw_advantage", label: "advantage", unit: "standard deviations of the score" },
      { name: "return", label: "return", unit: "standard deviations of the score" },
      { name: "advantage", label: "advantage, whitened", unit: "standard deviations" },
    ],
  },
  {
    title: "After the step\u2019s updates",
    rows: [
      { name: "logprob_after", label: "log p, new", unit: "nats" },
      { name: "ratio", label: "ratio, new \u00F7 old", unit: "times" },
      { name: "policy_term", label: "policy loss", unit: "" },
      { name: "gradient", label: "its gradient, by log p", unit: "" },
      { name: "value_after", label: "value, new", unit: "standard deviations of the score" },
      { name: "value_term", label: "value loss", unit: "" },
      { name: "entropy_after", label: "entropy, new", unit: "nats" },
      { name: "total", label: "whole loss", unit: "" },
    ],
  },
];

export const ROWS = GROUPS.flatMap(({ rows }) => rows);

export const rowOf = (/** @type {string} */ name) => ROWS.find((row) => row.name === name);

const UNSIGNED = ["ratio", "entropy_after", "value_term", "logprob", "ref_logprob"];

/** @param {string} name  @param {number | null} value a cell's number as the table shows it */
export const cellWords = (name, value) =>
  UNSIGNED.includes(name) || name === "logprob_after" ? number(value, 3) : signed(value, 3);

// -- equations ------------------------------------------------------------------------------------

/** @type {Record<string, [string, string?]>} symbol and what stands above it, of each quantity */
const OF_TOKEN = {
  logprob: ["log \u03C0", "old"],
  ref_logprob: ["log \u03C0", "base"],
  log_ratio: ["k"],
  reward: ["r"],
  value: ["V"],
  delta: ["\u03B4"],
  raw_advantage: ["A"],
  return: ["R"],
  advantage: ["\u00C2"],
  logprob_after: ["log \u03C0", "new"],
  ratio: ["\u03C1"],
  policy_term: ["L", "policy"],
  gradient: ["g"],
  value_after: ["V", "new"],
  value_term: ["L", "value"],
  entropy_after: ["H"],
  total: ["L"],
};

/** @type {Record<string, [string, string?]>} symbol and what stands below it, of each constant */
const CONSTANTS = {
  kl_coef: ["\u03B2"],
  gamma: ["\u03B3"],
  gae_lambda: ["\u03BB"],
  clip_range: ["\u03B5"],
  value_clip_range: ["\u03B5", "V"],
  value_coef: ["c", "V"],
  entropy_coef: ["c", "H"],
  mean: ["\u03BC"],
  deviation: ["\u03C3"],
  earned: ["s"],
};

/** What each constant is, for the line under an equation. */
export const CONSTANT_WORDS = {
  kl_coef: "KL coefficient",
  gamma: "discount",
  gae_lambda: "how far advantages look ahead",
  clip_range: "clip range",
  value_clip_range: "clip range of values",
  value_coef: "weight of the value loss",
  entropy_coef: "weight of the entropy",
  mean: "mean of the step\u2019s advantages",
  deviation: "their standard deviation",
  earned: "score, in standard deviations of the base\u2019s scores",
};

/** @typedef {(name: string, ahead?: number) => Piece} Pen writes a quantity or a constant */
/** @typedef {{last: boolean, stopped: boolean}} Case of one token */

/** @type {Record<string, (v: Pen, of: Case) => Piece[]>} the right side of each equation */
const EQUATIONS = {
  log_ratio: (v) => [v("logprob"), "\u2212", v("ref_logprob")],
  reward: (v, { last }) => [
    ...["\u2212", v("kl_coef"), "\u00B7", v("log_ratio")],
    ...(last ? ["+", v("earned")] : []),
  ],
  delta: (v) => [v("reward"), "+", v("gamma"), "\u00B7", v("value", 1), "\u2212", v("value")],
  raw_advantage: (v) => [
    ...[v("delta"), "+", v("gamma"), "\u00B7", v("gae_lambda"), "\u00B7", v("raw_advantage", 1)],
  ],
  return: (v) => [v("raw_advantage"), "+", v("value")],
  advantage: (v) => [
    { over: [v("raw_advantage"), "\u2212", v("mean")], under: [v("deviation")] },
  ],
  ratio: (v) => ["exp", "(", v("logprob_after"), "\u2212", v("logprob"), ")"],
  policy_term: (v) => [
    ...["max", "(", "\u2212", v("advantage"), "\u00B7", v("ratio"), ",", "\u2212", v("advantage")],
    ...["\u00B7", "clip", "(", v("ratio"), ",", "1", "\u2212", v("clip_range"), ",", "1", "+"],
    ...[v("clip_range"), ")", ")"],
  ],
  gradient: (v, { stopped }) =>
    stopped ? ["0"] : ["\u2212", v("advantage"), "\u00B7", v("ratio")],
  value_term: (v) => [
    { over: ["1"], under: ["2"] },
    ...["max", "(", { squared: [v("value_after"), "\u2212", v("return")] }, ","],
    {
      squared: [
        ...["clip", "(", v("value_after"), ",", v("value"), "\u00B1", v("value_clip_range"), ")"],
        ...["\u2212", v("return")],
      ],
    },
    ")",
  ],
  total: (v) => [
    ...[v("policy_term"), "+", v("value_coef"), "\u00B7", v("value_term"), "\u2212"],
    ...[v("entropy_coef"), "\u00B7", v("entropy_after")],
  ],
};

/** What the trainer noted has no equation of other cells: how it came about, in words. */
const NOTED = {
  logprob:
    "log softmax of the policy\u2019s logits, each divided by the temperature, at the token that " +
    "it drew",
  ref_logprob: "the same, with the base\u2019s logits",
  value: "the value head\u2019s output before the token",
  logprob_after: "the same as log p, policy, after the step\u2019s updates",
  value_after: "the value head\u2019s output, after the step\u2019s updates",
  entropy_after: "\u2212 sum of p log p over all tokens, after the step\u2019s updates",
};

export const symbolOf = (/** @type {string} */ name, ahead = 0) => {
  if (CONSTANTS[name]) {
    const [symbol, sub] = CONSTANTS[name];
    return { symbol, sub };
  }
  const [symbol, sup] = OF_TOKEN[name];
  return { symbol, sub: ahead ? "t+1" : "t", sup };
};

const DIGITS = 3;

/** @param {Trace} trace  @param {string} name  @param {number} at  @returns {number | null} */
export const valueOf = (trace, name, at) => {
  if (name in CONSTANTS) return name in trace.settings ? trace.settings[name] : trace[name];
  const column = trace.columns[name];
  if (!column) return null;
  return at < trace.tokens.length ? column[at] : 0; // after the last token comes nothing
};

const caseOf = (/** @type {Trace} */ trace, /** @type {number} */ at) => ({
  last: at === trace.tokens.length - 1,
  stopped: Boolean(trace.stopped && trace.stopped[at]),
});

/**
 * The equation of a cell: its left side, the rule, and the rule with this token's numbers.
 * @param {Trace} trace
 * @param {string} name of the row
 * @param {number} at the token
 * @returns {{left: Piece, rule: Piece[], numbers: Piece[], constants: string[]} | null} null for
 *   what the trainer noted
 */
export const equation = (trace, name, at) => {
  const write = EQUATIONS[name];
  if (!write) return null;
  const of = caseOf(trace, at);
  /** @type {string[]} */
  const constants = [];
  const symbols = (/** @type {string} */ each, ahead = 0) => {
    if (each in CONSTANTS && !constants.includes(each)) constants.push(each);
    return symbolOf(each, ahead);
  };
  const numbers = (/** @type {string} */ each, ahead = 0) => {
    const value = valueOf(trace, each, at + ahead);
    const text = number(value, DIGITS);
    return value < 0 && Number(value.toFixed(DIGITS)) < 0 ? `(${text})` : text;
  };
  return {
    left: symbolOf(name),
    rule: write(symbols, of),
    numbers: write(numbers, of),
    constants,
  };
};

/** @param {string} name of a row that the trainer noted */
export const noted = (name) => NOTED[name];

// -- one sentence a cell --------------------------------------------------------------------------

const size = (/** @type {number} */ value, digits = 2) => number(Math.abs(value), digits);
const chance = (/** @type {number} */ logprob) => {
  const share = Math.exp(logprob);
  return percent(share, share < 0.1 ? 2 : 0);
};

const rewardWords = (/** @type {Trace} */ trace, /** @type {number} */ at) => {
  const paid = trace.settings.kl_coef * valueOf(trace, "log_ratio", at);
  const verb = paid < 0 ? "gets back" : "pays";
  const likelier = paid < 0 ? "less likely" : "more likely";
  const kl = Math.abs(paid) < 5e-4
    ? "It pays nothing for the KL."
    : `It ${verb} ${size(paid, 3)}, because it is ${likelier} than under the base.`;
  if (at < trace.tokens.length - 1) return `${kl} The score comes only at the last token.`;
  const { earned, standardised } = trace;
  const penalty = standardised === null ? 0 : standardised - earned;
  const minus =
    penalty > 0.01 ? `, less ${number(penalty)} because it did not end by itself` : "";
  const score = standardised === null ? earned : standardised;
  const end = "As the last token it also earns the response\u2019s score";
  return `${kl} ${end}, ${signed(score)}${minus}.`;
};

const gradientWords = (/** @type {Trace} */ trace, /** @type {number} */ at, value) => {
  const updates = !trace.clipped
    ? ""
    : trace.clipped[at]
      ? " In this step, the clip stopped at least one of its updates."
      : " In this step, the clip stopped none of its updates.";
  if (trace.stopped[at]) {
    return (
      "The ratio has left the clip range on the side to which the advantage pushes, so one " +
      `more update would get no gradient from this token.${updates}`
    );
  }
  if (Math.abs(value) < 5e-4) return `One more update would hardly move it.${updates}`;
  const way = value < 0 ? "up" : "down";
  return `One more update would push its probability ${way}.${updates}`;
};

const policyWords = (/** @type {Trace} */ trace, /** @type {number} */ at) =>
  trace.stopped[at]
    ? "Its share of the policy loss. The clip has replaced the ratio with the edge of its range."
    : "Its share of the policy loss: the ratio is inside the clip range, or on the side that the " +
      "clip leaves alone.";

/** @type {Record<string, (value: number, trace: Trace, at: number) => string>} */
const WORDS = {
  logprob: (x) => `When the policy wrote this token, it gave it a probability of ${chance(x)}.`,
  ref_logprob: (x) => `The base gives it a probability of ${chance(x)}.`,
  log_ratio: (x) =>
    Math.abs(x) < 5e-4
      ? "It is as likely as under the base."
      : `It is ${size(x)} nats ${x > 0 ? "more" : "less"} likely than under the base: ` +
        `${number(Math.exp(x))} times as likely.`,
  reward: (_, trace, at) => rewardWords(trace, at),
  value: (x) => `Before this token, the value head expected ${signed(x)} from here to the end.`,
  delta: (x) =>
    `With this token, things look ${size(x)} ${x < 0 ? "worse" : "better"} than the value head ` +
    "expected just before.",
  raw_advantage: (x) =>
    `Counting the later tokens too, this one turned out ${size(x)} ` +
    `${x < 0 ? "worse" : "better"} than expected.`,
  return: (x) => `The value head should have said ${signed(x)} here; it learns towards that.`,
  advantage: (x) =>
    `That is ${size(x)} standard deviations ${x < 0 ? "below" : "above"} the step\u2019s mean, ` +
    `so PPO pushes the token\u2019s probability ${x < 0 ? "down" : "up"}.`,
  logprob_after: (x) => `After the updates the policy gives it a probability of ${chance(x)}.`,
  ratio: (x) => `The step\u2019s updates made it ${number(x)} times as likely.`,
  policy_term: (_, trace, at) => policyWords(trace, at),
  gradient: (x, trace, at) => gradientWords(trace, at, x),
  value_after: (x) => `After the updates, the value head expects ${signed(x)} here.`,
  value_term: () => "Half the squared distance of the new value from the return. If the value " +
    "left its clip range, PPO also computes the distance of the range\u2019s edge from the " +
    "return, and takes the larger of the two.",
  entropy_after: (x) =>
    `The policy is as undecided here as if it chose among ${number(Math.exp(x), 1)} equally ` +
    "likely tokens.",
  total: () => "What this token adds to the loss, before the mean over a minibatch\u2019s tokens.",
};

const UNKNOWN = {
  advantage:
    "The mean and standard deviation of this step\u2019s advantages were not recorded, and " +
    "they cannot be computed from the kept tokens.",
  logprob_after: "The ratio was recorded to four decimals, as 0.0000, so this is not known.",
};

/**
 * @param {Trace} trace
 * @param {string} name of the row
 * @param {number} at the token
 */
export const sentence = (trace, name, at) => {
  const value = valueOf(trace, name, at);
  if (value !== null) return WORDS[name](value, trace, at);
  if (!trace.settings.with_values && name.startsWith("value")) {
    return "Without a value head there is no such figure.";
  }
  return UNKNOWN[name] || "This run did not record what this figure needs.";
};

// -- what if ---------------------------------------------------------------------------------

/** @type {{name: string, label: string}[]} */
export const CHANGES = [
  { name: "kl_coef", label: "KL coefficient \u03B2" },
  { name: "gamma", label: "discount \u03B3" },
  { name: "gae_lambda", label: "look ahead \u03BB" },
  { name: "clip_range", label: "clip range \u03B5" },
];

/**
 * The cells whose numbers differ from the logged ones as the table shows them.
 * @param {Trace} logged
 * @param {Trace} now
 * @returns {Set<string>} "row token"
 */
export const changedCells = (logged, now) => {
  const found = new Set();
  for (const { name } of ROWS) {
    now.tokens.forEach((_, at) => {
      const [before, after] = [valueOf(logged, name, at), valueOf(now, name, at)];
      if (cellWords(name, before) !== cellWords(name, after)) found.add(`${name} ${at}`);
    });
  }
  return found;
};
