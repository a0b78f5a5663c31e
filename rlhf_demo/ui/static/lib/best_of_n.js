// @ts-check
// What the page says about best-of-n.
import { counted, number } from "./format.js";

/** @typedef {import("../types").BestOfState} BestOfState */

/** @param {BestOfState} state */
export const progressWords = ({ responses, settings, finished }) => {
  const { best_of: n, model, scorer } = settings;
  if (finished)
    return n === 1
      ? `${model.name} wrote a single response, so ${scorer.name} had nothing to choose.`
      : `${model.name} wrote ${n} responses, and ${scorer.name} chose the best.`;
  if (!responses.length) return "Loading any model that is not in memory yet.";
  return `${model.name} has written ${responses.length} of ${counted(n, "response")}.`;
};

/** @param {BestOfState} state */
export const klWords = ({ kl_bound: kl, settings: { best_of: n, model } }) => {
  if (n === 1) return `With N = 1 there is no choice: the KL from ${model.name} is 0.`;
  return (
    `Always answering with the best of ${n} moves the policy at most ${number(kl, 2)} nats of KL ` +
    `away from ${model.name}: log ${n} \u2212 ${n - 1}/${n}. ` +
    "This bound holds for every model and every scorer."
  );
};

/** @param {BestOfState} state */
export const costWords = ({ settings: { best_of: n } }) =>
  `No weight has changed. The text costs ${counted(n, "response")} and ${counted(n, "score")}.`;

/**
 * The places of the scores on their line: 0 the lowest score, 1 the highest.
 * @param {number[]} scores
 */
export const placesOf = (scores) => {
  const low = Math.min(...scores);
  const range = Math.max(...scores) - low;
  return scores.map((score) => (range ? (score - low) / range : 0.5));
};

/**
 * The responses with the best score first; of equal ones, the first that was written.
 * @param {BestOfState} state
 */
export const bestFirst = ({ responses }) => [...responses].sort((a, b) => b.score - a.score);
