// @ts-check
// The results of a comparison on many prompts, for its table and its file.
import { number, percent } from "./format.js";

/** @typedef {{key: string, label: string, unit: string, meaning: string,
 *   show: (value: number, model: any) => string}} FigureRow */

const withError = (value, { kl_se: error, best_of: n }) =>
  `${n ? "at most " : ""}${number(value, 2)}` +
  `${error === undefined ? "" : ` \u00B1 ${number(error, 2)}`}`;

/** @type {FigureRow[]} */
export const FIGURES = [
  {
    key: "kl",
    label: "KL from the base",
    unit: "nats per text, \u00B1 its standard error",
    meaning:
      "how far the model\u2019s distribution of each next token is from the base\u2019s, " +
      "over the whole vocabulary, summed over a text",
    show: withError,
  },
  {
    key: "length",
    label: "Length",
    unit: "tokens",
    meaning: "mean length of a text, including its end token",
    show: (value) => number(value, 1),
  },
  {
    key: "eos_rate",
    label: "Ended by itself",
    unit: "of texts",
    meaning: "texts that end with the end token and were not cut short",
    show: (value) => percent(value),
  },
  {
    key: "distinct_1",
    label: "Distinct-1",
    unit: "of {} tokens",
    meaning:
      "share of distinct tokens, of the same number from each model: low when a model repeats " +
      "itself",
    show: (value) => percent(value),
  },
  {
    key: "distinct_2",
    label: "Distinct-2",
    unit: "of {} pairs of tokens",
    meaning: "share of distinct pairs of neighbouring tokens, of the same number from each model",
    show: (value) => percent(value),
  },
  {
    key: "perplexity",
    label: "Perplexity",
    unit: "under the base",
    meaning:
      "how surprising the texts are to the base, at temperature 1: " +
      "high for odd language, low for commonplace language",
    show: (value) => number(value, 1),
  },
];

const winner = (/** @type {[number, number]} */ [left, right], names) => {
  if (left === right) return "tie";
  return right > left ? names[1] : names[0];
};

/**
 * Every answer with its scores, as the rows of a file; the first names the columns.
 * @param {{rows: any[]}} report
 * @param {string[]} names of the two models
 * @param {{name: string}[]} judges
 * @returns {(string | number)[][]}
 */
export const fileRows = ({ rows }, names, judges) => {
  const ofJudge = ({ name }) => [
    ...names.map((one) => `score of ${one} by ${name}`),
    `winner by ${name}`,
  ];
  return [
    ["prompt", ...names.map((name) => `response of ${name}`), ...judges.flatMap(ofJudge)],
    ...rows.map(({ prompt, responses, scores }) => [
      prompt,
      ...responses,
      ...scores.flatMap((both) => [...both, winner(both, names)]),
    ]),
  ];
};
