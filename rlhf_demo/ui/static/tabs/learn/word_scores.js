// @ts-check
// What each word adds to a score, in three ways, once the visitor has said which adds least.
import { signed } from "../../lib/format.js";
import { howWords, sumWords } from "../../lib/score_words.js";
import { WAYS, guessWords, lowest } from "../../lib/word_credit.js";
import { button, fill, h, soft } from "../../shared/dom.js";
import { asking, signedBar } from "./controls.js";

/** @typedef {import("../../types").WordScoresLook} Look */

const ASK =
  "Which of these words adds least to the score, or lowers it most? Tap it to see the figures.";
const MEANINGS =
  "Running score: the score of the text up to the word, less the score up to the word before. " +
  "Left out: the score of the text, less its score without the word. Shapley value: the average " +
  "change when the word is put back, over many orders of putting the words back.";

const credits = (/** @type {Look} */ { words }) => {
  const full = Math.max(...words.flatMap((word) => WAYS.map(([way]) => Math.abs(word[way])))) || 1;
  const least = WAYS.map(([way]) => lowest(words, way));
  const cell = (/** @type {number} */ value, /** @type {boolean} */ isLowest) =>
    h(
      "td",
      { class: isLowest ? "rl-lowest" : null },
      h("div", {}, signedBar(value, full), h("span", {}, signed(value))),
    );
  const row = (/** @type {import("../../types").WordCredit} */ word, /** @type {number} */ i) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, word.piece.trim()),
      WAYS.map(([way], j) => cell(word[way], least[j] === i)),
    );
  const names = ["Word", ...WAYS.map(([, name]) => name)];
  return h(
    "table",
    { class: "rl-table rl-credits" },
    h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, words.map(row)),
  );
};

/** @param {import("./views.js").Stage} stage */
export const word_scores = ({ look }) => {
  const ask = asking("Text", async (request) => show(await look(request)), { withModel: false });
  const guess = h("div", {});
  const out = h("div", { "aria-live": "polite" });

  const reveal = (/** @type {Look} */ shown, /** @type {number} */ place) => {
    fill(guess);
    fill(
      out,
      h("p", {}, guessWords(shown.words, place)),
      credits(shown),
      soft(`${sumWords(shown)} ${howWords(shown)} ${MEANINGS}`),
    );
  };
  const show = (/** @type {Look | null} */ next) => {
    if (!next) return;
    ask.set(next);
    const choices = next.words.map(({ piece }, i) => button(piece.trim(), () => reveal(next, i)));
    const unknown = button("I do not know", () => reveal(next, -1), "rl-quiet");
    fill(guess, h("p", {}, ASK), h("div", { class: "rl-words" }, choices, unknown));
    fill(out);
  };
  return { element: h("div", {}, ask.line, guess, out), show };
};
