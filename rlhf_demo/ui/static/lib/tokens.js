// @ts-check
// What tokens can be coloured by, and each token's figures.

/** @typedef {{piece: string, [figure: string]: any}} Token */
/** @typedef {{from: number, full: number}} Scale uncoloured value; distance of the full colour */
/** @typedef {{label: string, color: string, full?: number, both?: boolean, flip?: boolean,
 *   low?: string, high?: string}} Colouring */

// What tokens can be coloured by.
/** @type {Record<string, Colouring>} */
export const colourings = {
  kl: {
    label: "KL from the base",
    color: "kl",
    full: 1,
    low: "same as the base",
    high: "1 nat away",
  },
  log_ratio: {
    label: "log ratio to the base",
    color: "kl",
    full: 3,
    both: true,
    low: "less likely than under the base",
    high: "more likely",
  },
  logprob: {
    label: "surprise",
    color: "soft",
    full: 6,
    flip: true,
    low: "expected",
    high: "6 nats of surprise",
  },
  value: {
    label: "value",
    color: "score",
    full: 1.5,
    both: true,
    low: "expects a low score",
    high: "expects a high score",
  },
  score_if_ended: { label: "score if the text ended here", color: "score", both: true },
  contribution: {
    label: "contribution",
    color: "score",
    full: 0.6,
    both: true,
    low: "lowers the score",
    high: "raises it",
  },
  advantage: {
    label: "advantage",
    color: "ppo",
    full: 2,
    both: true,
    low: "pushed down",
    high: "pushed up",
  },
  reward: { label: "reward", color: "score", full: 1.5, both: true, low: "costs", high: "earns" },
};

/**
 * Which value stays uncoloured, and at what distance from it the colour is full. Scores have no
 * common unit, so their scale comes from the tokens shown: uncoloured at the first one, full at the
 * one furthest from it.
 * @param {string} by
 * @param {Token[]} tokens
 * @returns {Scale}
 */
export const scaleOf = (by, tokens) => {
  const { full } = colourings[by];
  if (full) return { from: 0, full };
  const values = tokens.map((token) => token[by]).filter(Number.isFinite);
  const from = values[0] ?? 0;
  return { from, full: Math.max(0, ...values.map((value) => Math.abs(value - from))) || 1 };
};

// How strongly to colour, from -1 to 1.
export const share = (by, value, { from, full }) => {
  const spec = colourings[by];
  if (value === null || value === undefined) return 0;
  const amount = Math.max(-1, Math.min(1, (spec.flip ? -value : value - from) / full));
  return spec.both ? amount : Math.max(0, amount);
};

/**
 * @param {string} by
 * @param {number | null | undefined} value
 * @param {Scale} scale
 */
export const background = (by, value, scale) => {
  const amount = share(by, value, scale);
  if (Math.abs(amount) < 0.04) return "transparent";
  const color = amount < 0 ? "below" : colourings[by].color;
  const strength = Math.round(Math.abs(amount) * 46);
  return `color-mix(in srgb, var(--rl-${color}) ${strength}%, transparent)`;
};

// Names and units of a token's figures.
/** @type {Record<string, [string, string]>} */
export const NAMES = {
  logprob: ["log-probability", "nats"],
  ref_logprob: ["log-probability under the base", "nats"],
  log_ratio: ["log ratio to the base", "nats"],
  kl: ["KL from the base", "nats"],
  value: ["value", "standard deviations"],
  advantage: ["advantage", "standard deviations of the step\u2019s advantages"],
  reward: ["reward", "standard deviations"],
  return: ["return", "standard deviations"],
  ratio: ["probability after \u00F7 before", "times"],
  score_if_ended: ["score if the text ended here", ""],
  contribution: ["adds to the score", ""],
  without: ["score without it", ""],
};

export const UNSIGNED = ["kl", "ratio"];

/**
 * What the clip did to a token of a PPO step.
 * @param {Token} token
 * @param {number | undefined} range the clip range
 */
export const clipNote = ({ clipped, ratio }, range) => {
  if (clipped) return "The clip stopped at least one of this token\u2019s updates in this step.";
  return Math.abs(ratio - 1) > range ? "It ended outside the clip range." : null;
};

const COLUMNS = ["logprob", "ref_logprob"];
const SINCE_LOG_RATIOS = ["log_ratio", "kl", "clipped"];
const MORE_COLUMNS = ["reward", "value", "advantage", "return", "ratio"];

/**
 * Turns the trainer's columns of figures into one object per token. Older runs, which have no log
 * ratios, wrote those under the name KL, and derived `clipped` from the ratio after the update.
 * @param {import("../types").SampleRow} sample
 * @returns {Token[]}
 */
export const tokensOf = (sample) => {
  const since = sample.log_ratio ? SINCE_LOG_RATIOS : [];
  const names = [...COLUMNS, ...since, ...MORE_COLUMNS].filter((name) => sample[name]);
  return sample.token.map((piece, index) => ({
    piece,
    ...Object.fromEntries(names.map((name) => [name, sample[name][index]])),
  }));
};

const DUEL_COLUMNS = ["log_ratio", "kl", "logprob", "value", "score_if_ended"];

/**
 * The same for one side of a duel. If it ended by itself, its last token is the end of text.
 * @param {import("../types").DuelSide} side
 * @returns {Token[]}
 */
export const tokensOfSide = (side) => {
  const names = DUEL_COLUMNS.filter((name) => side[name]);
  return side.token.map((piece, i) => ({
    piece: side.ended && i === side.token.length - 1 ? "<|endoftext|>" : piece,
    ...Object.fromEntries(names.map((name) => [name, side[name][i]])),
  }));
};
