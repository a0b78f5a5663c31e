// @ts-check
// The answers of a class's lesson, each with a bar once the numbers are shown.
import { h } from "./dom.js";

/** @typedef {import("../lib/class_lesson.js").Row} Row */

const bar = (/** @type {Row} */ { count, share }) => [
  h("b", {}, count),
  h("div", { class: "rl-tally-bar" }, h("i", { style: { width: `${100 * share}%` } })),
];

const tag = (/** @type {boolean} */ there, /** @type {string} */ words) =>
  there ? [" ", h("small", {}, words)] : null;

const line = (/** @type {Row} */ row, /** @type {boolean} */ own) =>
  h(
    "li",
    { class: row.came ? "rl-came" : null },
    h("span", {}, row.words, tag(row.came, "came out"), tag(own, "your answer")),
    row.count === null ? null : bar(row),
  );

/**
 * @param {Row[]} rows
 * @param {number | null} [said] the answer of the student who looks
 */
export const tally = (rows, said = null) =>
  h(
    "ul",
    { class: "rl-tally" },
    rows.map((row) => line(row, row.place === said)),
  );
