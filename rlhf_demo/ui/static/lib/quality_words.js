// @ts-check
// What the votes on a question are worth, in words.
import { counted, percent } from "./format.js";

/** @param {number | null} alpha Krippendorff's */
export const alphaWords = (alpha) => {
  if (alpha === null) return "no pair has answers of two people yet";
  if (alpha < 0.2) return "hardly more than chance";
  return alpha < 0.6 ? "some agreement" : "good agreement";
};

/** @param {import("../types").QualityState} state */
export const answersWords = ({ votes, voters, question, preferences, simulated }) => {
  if (!votes) return `Nobody has answered \u201C${question}\u201D yet.`;
  const some = simulated ? `; ${simulated} answers are simulated` : "";
  return (
    `${votes} answers by ${counted(voters, "person", "people")} to \u201C${question}\u201D, ` +
    `${preferences} of them preferences to learn from${some}.`
  );
};

/** @param {number | null} highest share that any model can get right */
export const foretoldWords = (highest) => {
  const most =
    ` No model can get more than ${percent(highest)} of these votes right (the solid mark): ` +
    "it gives one answer to a pair, and on some pairs people disagree.";
  return (
    "How often a voter prefers what most of the others on the same pair prefer. A few people are " +
    `a noisy guide: a good reward model can do better.${highest === null ? "" : most}`
  );
};

/**
 * @param {number} count preferences there are
 * @param {number} fewest that training takes
 * @param {number} few held-out pairs that tell an accuracy
 */
export const trainWords = (count, fewest, few) =>
  count < fewest
    ? `${count} of the ${fewest} preferences it takes; ties and skips teach it nothing.`
    : `${count} preferences. A fifth, on the prompts rated last, is held out to test it: its ` +
      `accuracy is told from ${few} such pairs on. About half a minute on two CPU cores.`;

/** @param {{kept: number, double: number}} imported */
export const importWords = ({ kept, double }) => {
  const out = `, ${double} left out: the same voter answers the same pair twice`;
  return (
    `${kept} votes imported${double ? out : ""}. ` +
    "Their questions are in the reward model\u2019s list of pairs."
  );
};
