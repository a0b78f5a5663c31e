// @ts-check
// Tokens: the text cut into its tokens, each above its number.
import { counted } from "../../lib/format.js";
import { fill, h, say } from "../../shared/dom.js";
import { asking } from "./controls.js";

/** @typedef {import("../../types").TokensLook} Look */

const ABOUT =
  "A space belongs to the token that follows it, and is shown as \u2423. So \u201Cgreat\u201D " +
  "in a sentence and \u201Cgreat\u201D as its first word are different tokens.";

/** @param {import("./views.js").Stage} stage */
export const tokens = ({ look }) => {
  const ask = asking("Text", async ({ text }) => show(await look({ text })), { withModel: false });
  const chips = h("div", { class: "rl-tokens" });
  const count = h("p", {});
  const chip = (/** @type {string} */ piece, /** @type {number} */ id) =>
    h("span", {}, h("b", {}, piece.replaceAll(" ", "\u2423") || "\u2026"), h("small", {}, id));
  const show = (/** @type {Look | null} */ next) => {
    if (!next) return;
    ask.set(next);
    fill(chips, next.pieces.map((piece, i) => chip(piece, next.ids[i])));
    const words = counted(next.words, "word");
    const pieces = counted(next.ids.length, "token");
    const last = (next.vocabulary - 1).toLocaleString("en");
    say(count, `${words}, ${pieces}. Below each token is its number, from 0 to ${last}.`);
  };
  const about = h("p", { class: "rl-soft" }, ABOUT);
  return { element: h("div", {}, ask.line, chips, count, about), show };
};
