// @ts-check
// Controls that several lessons share.
import { button, h, say, select } from "../../shared/dom.js";

/** @typedef {import("./views.js").Stage} Stage */

export const MODELS = /** @type {[string, string][]} */ ([
  ["base GPT-2", "base"],
  ["after PPO", "ppo"],
]);

/**
 * Acts on the Enter key. The handler returns nothing: false would keep other letters out.
 * @param {HTMLInputElement} input
 * @param {() => void} act
 */
export const onEnter = (input, act) => {
  input.onkeydown = (event) => {
    if (event.key === "Enter") act();
  };
};

/**
 * A line with a text and a model of the visitor's choice.
 * @param {string} label of the text
 * @param {(request: {text: string, model: string}) => void} act
 * @param {{withModel?: boolean}} [options]
 */
export const asking = (label, act, { withModel = true } = {}) => {
  const text = h("input", { type: "text", maxlength: 500, "aria-label": label });
  const model = select({ "aria-label": "Model" }, MODELS);
  const go = () => act({ text: text.value, model: model.value });
  onEnter(text, go);
  model.onchange = go;
  const own = button("Try it", go);
  const line = h("div", { class: "rl-asking" }, text, withModel ? model : null, own);
  return {
    line,
    go,
    /** @param {{text: string, model?: string}} look what is shown now */
    set: (look) => {
      text.value = look.text;
      if (look.model) model.value = look.model;
    },
  };
};

/**
 * A piece of text as it stands in a row of tokens: the first special token has a name.
 * @param {string} piece
 */
export const pieceWords = (piece) =>
  /^<\|.*\|>$/.test(piece) ? "start" : piece.trim() || "\u2423";

/**
 * A bar whose length is a share.
 * @param {number} share 0 to 1
 * @param {string} color
 */
export const shareBar = (share, color) => {
  const style = { width: `${100 * share}%`, background: `var(--rl-${color})` };
  return h("div", { class: "rl-portion" }, h("i", { style }));
};

/**
 * A slider with its value beside it.
 * @param {string} label
 * @param {{min: number, max: number, step: number, value: number}} range
 * @param {() => void} act called when it moves
 */
export const slider = (label, range, act) => {
  const input = h("input", { type: "range", "aria-label": label, ...range });
  const value = h("output", {}, String(range.value));
  input.oninput = () => {
    say(value, input.value);
    act();
  };
  return { input, line: h("label", { class: "rl-slider" }, label, input, value) };
};

/**
 * A bar from the middle to the right for a number above 0, to the left for one below.
 * @param {number} value
 * @param {number} full the number that fills a half
 */
export const signedBar = (value, full) => {
  const share = Math.min(1, Math.abs(value) / full);
  const left = `${value < 0 ? 50 - 50 * share : 50}%`;
  const background = `var(--rl-${value < 0 ? "below" : "score"})`;
  return h(
    "div",
    { class: "rl-signed" },
    h("i", { style: { left, width: `${50 * share}%`, background } }),
  );
};
