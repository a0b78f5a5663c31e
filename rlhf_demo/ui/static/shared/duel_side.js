// @ts-check
// One side of a duel: plain text while it grows, then coloured tokens with their figures.
import { outcomeWords } from "../lib/duel.js";
import { number, signed, upOrDown } from "../lib/format.js";
import { tokensOfSide } from "../lib/tokens.js";
import { fill, h, say } from "./dom.js";
import { tokenText } from "./token_text.js";

const sum = (/** @type {number[]} */ values) => values.reduce((total, one) => total + one, 0);

// Reserves room for the longest answer, so that nothing below moves while the text grows.
const reserve = (written, settings) => {
  const letters = settings.prompt.length + 4.4 * settings.max_new_tokens;
  const lines = Math.ceil((letters * 8.6) / Math.max(200, written.clientWidth));
  written.style.minHeight = `${1.75 * (lines + 1)}em`;
};

const drawScore = (chip, score, { scorer: { name, unit } }, other) => {
  const words = unit ? "score" : "raw score";
  chip.className = `rl-chip ${upOrDown(score, other)}`;
  chip.title =
    `${words} of prompt and text by ${name}, in ${unit || "its own units"}; ` +
    "green: the higher of the two";
  say(chip, `${words} ${signed(score, 2)}`);
};

/** @param {string} color */
export const makeSide = (color) => {
  const name = h("span", { class: "rl-side-name" });
  const chip = h("span", { class: "rl-chip" }, "\u2013");
  const written = h("p", { class: "rl-written" });
  const ending = h("p", { class: "rl-soft rl-ending" }, "\u00A0");
  const dot = h("i", { style: { background: `var(--rl-${color})` } });
  const head = h("h3", {}, dot, h("b", {}, name), chip);
  const card = h("article", { class: "rl-card rl-side" }, head, written, ending);
  const grown = h("span", { class: "rl-tokens" });
  let prompt = null;

  return {
    card,
    begin: (who, settings) => {
      say(name, who.name);
      card.setAttribute("aria-label", who.name);
      chip.className = "rl-chip";
      say(chip, "score \u2013");
      say(ending, "\u00A0");
      prompt = h("span", { class: "rl-prompt" }, settings.prompt);
      say(grown, "");
      fill(written, prompt, grown);
    },
    reserve: (settings) => reserve(written, settings),
    grow: (side) => say(grown, side.token.join("")),
    /**
     * @param {import("../types").DuelSide} side
     * @param {any} settings
     * @param {string} by the figure that colours its tokens
     * @param {object} how
     * @param {number | null} how.parting
     * @param {number} how.other the other side's score
     * @param {import("../lib/tokens.js").Scale} [how.scale] of the colours, where shared
     */
    finish: (side, settings, by, { parting, other, scale }) => {
      drawScore(chip, side.score, settings, other);
      const kl = side.kl ? number(sum(side.kl), 1) : "";
      say(ending, outcomeWords(side, name.textContent, settings.base, kl));
      const label = `what ${name.textContent} wrote`;
      fill(written, prompt, tokenText(tokensOfSide(side), by, { parting, scale, label }));
    },
  };
};
