// @ts-check
// What a score means, in words.
import { number, percent, signed } from "./format.js";

/**
 * The probability that a text is preferred to one that scores `difference` lower.
 * @param {number} difference
 * @param {number} factor
 */
export const preference = (difference, factor) => 1 / (1 + Math.exp(-factor * difference));

/** @param {number} factor of the reward model whose scores these are */
export const unitWords = (factor) =>
  "A score of 1 is one standard deviation of the scores of the base\u2019s texts. According to " +
  "this model, the probability that one text is preferred to another is " +
  `${percent(preference(0.5, factor))} if it scores 0.5 higher, and ` +
  `${percent(preference(1, factor))} if it scores 1 higher: ` +
  `sigmoid(${number(factor)} \u00D7 difference).`;

/**
 * "The empty text scores -0.18; the words add +1.59." The rounded numbers add up.
 * @param {{score: number, empty: number}} scored
 */
export const sumWords = ({ score, empty }) => {
  const whole = Number(score.toFixed(2));
  const start = Number(empty.toFixed(2));
  return `The empty text scores ${signed(start)}; the words add ${signed(whole - start)}.`;
};

/** @param {{exact: boolean, orders: number, standard_error: number, words_together: number}} how */
export const howWords = ({ exact, orders, standard_error: error, words_together: together }) => {
  const long = `The text is long, so ${together} neighbouring words count as one. `;
  const drawn =
    `Averaged over ${orders} random orders: ` +
    `the standard error of a figure is about ${number(error)}.`;
  return (
    (together > 1 ? long : "") +
    (exact ? "All orders were tried, so these figures are exact." : drawn)
  );
};
