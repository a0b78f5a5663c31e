// @ts-check
// The reward model: its score read after each layer, and a hunt for a bad text with a good score.
import { number, signed } from "../../lib/format.js";
import { button, fill, h, say, soft } from "../../shared/dom.js";
import { tokenText } from "../../shared/token_text.js";
import { asking, signedBar } from "./controls.js";

/** @typedef {import("../../types").RewardHeadLook} Look */

const FULL = 2;
const EXAMPLES = [
  "The acting was not excellent.",
  "The acting was excellent and the music was terrible.",
  "The acting was terrible and the music was excellent.",
  "Excellent excellent excellent excellent.",
  "I highly recommend it. I highly recommend it. I highly recommend it.",
];
const HUNT =
  "Write a text that no reader would like, with the best score that you can get. The last " +
  "column is the base\u2019s surprise, in nats per token: the higher it is, the less the text " +
  "reads like a review.";
const COLOURS = "Colour: the score if the text ended at that token, green above 0, red below.";
const BODY = "token and position vectors \u2192 six layers \u2192 last vector, 256 numbers";

const drawing = () => {
  const line = (/** @type {string} */ name, /** @type {string} */ head) =>
    h("div", { class: "rl-body-heads" }, name, h("span", {}, BODY), "\u2192", h("b", {}, head));
  return h(
    "div",
    {},
    line("Base", "8,192 logits, one for each token"),
    line("Reward model", "1 number: the score"),
  );
};

const depthRow = (/** @type {number} */ value, /** @type {number} */ depth) =>
  h(
    "div",
    { class: "rl-bar-row" },
    h("span", {}, depth ? `after layer ${depth}` : "at the input"),
    signedBar(value, FULL),
    h("b", {}, signed(value)),
  );

const triesTable = (/** @type {Look[]} */ tries) =>
  h(
    "table",
    { class: "rl-table" },
    h("thead", {}, h("tr", {}, ["Score", "Text", "Surprise"].map((name) => h("th", {}, name)))),
    h(
      "tbody",
      {},
      tries.map(({ score, text, surprise }) => {
        const cells = [signed(score), text, `${number(surprise, 1)} nats`];
        return h("tr", {}, cells.map((cell) => h("td", {}, cell)));
      }),
    ),
  );

/** @param {import("./views.js").Stage} stage */
export const reward_head = ({ look }) => {
  /** @type {Look[]} */
  let tries = [];
  const ask = asking("Text", async (request) => show(await look(request)), { withModel: false });
  const depths = h("div", {});
  const words = h("p", {});
  const summary = h("p", { "aria-live": "polite" });
  const table = h("div", {});
  const example = (/** @type {string} */ text) =>
    button(text.length > 40 ? `${text.slice(0, 38)}\u2026` : text, async () =>
      show(await look({ text })),
    );

  const show = (/** @type {Look | null} */ next) => {
    if (!next) return;
    ask.set(next);
    say(summary, `The score is ${signed(next.score)}. The base\u2019s texts score 0 \u00B1 1.`);
    fill(depths, h("h3", {}, "The score, read after each layer"), next.depths.map(depthRow));
    const tokens = next.pieces.map((piece, i) => ({ piece, score_if_ended: next.running[i] }));
    const scale = { from: 0, full: FULL };
    fill(words, tokenText(tokens, "score_if_ended", { label: "the text\u2019s tokens", scale }));
    const others = tries.filter(({ text }) => text !== next.text);
    tries = [...others, next].sort((a, b) => b.score - a.score).slice(0, 6);
    fill(table, triesTable(tries));
  };
  const hunt = h("div", {}, h("h3", {}, "Fool it"), soft(HUNT), table);
  return {
    element: h(
      "div",
      {},
      drawing(),
      ask.line,
      h("div", { class: "rl-words" }, EXAMPLES.map(example)),
      summary,
      words,
      soft(COLOURS),
      h("div", { class: "rl-halves" }, depths, hunt),
    ),
    show,
  };
};
