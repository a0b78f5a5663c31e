// @ts-check
// The order in which a voter puts four texts: their letters, best first, such as "CADB".

export const LETTERS = ["A", "B", "C", "D"];

const PLACES = ["1st", "2nd", "3rd", "4th"];

/**
 * The order after a tap on a text: it comes last, or leaves with a second tap.
 * @param {string} order
 * @param {string} letter
 */
export const tapped = (order, letter) =>
  order.includes(letter) ? order.replace(letter, "") : order + letter;

/** @param {string} order */
export const isComplete = (order) => order.length === LETTERS.length;

/**
 * @param {string} order
 * @param {string} letter
 * @returns {string} the place of a text in words; empty while it has none
 */
export const placeWords = (order, letter) => PLACES[order.indexOf(letter)] || "";

/**
 * @param {string} key A to D, or 1 to 4
 * @returns {string | undefined} the letter that a key stands for
 */
export const letterOf = (key) =>
  LETTERS.find((letter, index) => key.toUpperCase() === letter || key === String(index + 1));
