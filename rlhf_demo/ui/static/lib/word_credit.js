// @ts-check
// Three ways to say what a word adds to a score, beside what a visitor expected.

/** @typedef {import("../types").WordCredit} WordCredit */
/** @typedef {"running" | "left_out" | "shapley"} Way */

/** @type {[Way, string][]} */
export const WAYS = [
  ["running", "Running score"],
  ["left_out", "Left out"],
  ["shapley", "Shapley value"],
];

/**
 * The place of the word that adds least to the score, or lowers it most.
 * @param {WordCredit[]} words
 * @param {Way} way
 */
export const lowest = (words, way) =>
  words.reduce((least, word, i) => (word[way] < words[least][way] ? i : least), 0);

/**
 * Which way agrees with a guess.
 * @param {WordCredit[]} words
 * @param {number} guess place of a word; -1 for none
 */
export const guessWords = (words, guess) => {
  const named = (/** @type {number} */ place) => `\u201C${words[place].piece.trim()}\u201D`;
  const said = guess < 0 ? "You did not know." : `You said ${named(guess)}.`;
  const found = WAYS.map(([way, name]) => {
    const place = lowest(words, way);
    return `${name}: ${named(place)}${place === guess ? ", as you said" : ""}`;
  });
  const least = "The word that adds least to the score, measured in three ways:";
  return `${said} ${least} ${found.join("; ")}.`;
};
