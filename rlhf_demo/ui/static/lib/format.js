// @ts-check
// Numbers with their units, as the page writes them. A missing figure is a dash.

/** @typedef {number | null | undefined} Figure may be missing */

const NONE = "\u2013";
const minus = (/** @type {string} */ text) => text.replace("-", "\u2212");

/**
 * @param {Figure} value
 * @param {number} [digits] after the point
 */
export const number = (value, digits = 2) => {
  if (value === null || value === undefined || Number.isNaN(value)) return NONE;
  const text = Number(value).toFixed(digits);
  return minus(Number(text) === 0 ? text.replace("-", "") : text);
};

/**
 * A number with its sign, even if positive.
 * @param {Figure} value
 * @param {number} [digits]
 */
export const signed = (value, digits = 2) =>
  value === null || value === undefined ? NONE : (value >= 0 ? "+" : "") + number(value, digits);

/**
 * The colour of a score compared with another one. Its sign means nothing, because each scorer
 * puts 0 somewhere else.
 * @param {number} score
 * @param {Figure} other
 */
export const upOrDown = (score, other) => {
  if (other === null || other === undefined || score === other) return "";
  return score > other ? "rl-up" : "rl-down";
};

/**
 * @param {Figure} value a share
 * @param {number} [digits]
 */
export const percent = (value, digits = 0) =>
  value === null || value === undefined ? NONE : `${number(100 * value, digits)}%`;

/**
 * An interval of a share, in percent.
 * @param {number} low
 * @param {number} high
 */
export const interval = (low, high) => `[${Math.round(100 * low)}, ${Math.round(100 * high)}]`;

/** @param {Figure} seconds */
export const duration = (seconds) => {
  if (seconds === null || seconds === undefined) return NONE;
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 100) return `${whole} s`;
  return whole < 6000 ? `${Math.round(whole / 60)} min` : `${Math.round(whole / 3600)} h`;
};

/**
 * "1 vote", "2 votes".
 * @param {number} count
 * @param {string} one
 * @param {string} [many]
 */
export const counted = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;
