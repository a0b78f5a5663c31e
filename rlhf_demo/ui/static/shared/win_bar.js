// @ts-check
// A win rate with its interval: a large figure, a bar with a mark at 50%, and the bar's key.
import { interval, percent } from "../lib/format.js";
import { h, mark } from "./dom.js";

const at = (/** @type {number} */ share) => `${100 * share}%`;

/** @param {number} rate  @param {number} low  @param {number} high  @param {string} words */
export const winFigure = (rate, low, high, words) => {
  const value = h("b", {}, percent(rate), " ", h("small", {}, interval(low, high)));
  return h("div", { class: "rl-figure rl-win" }, value, h("span", {}, words));
};

/**
 * @param {[number, string][]} parts shares and their colours, from the left
 * @param {{low: number, high: number}} range
 * @param {string} label
 */
export const winBar = (parts, { low, high }, label) =>
  h(
    "div",
    { class: "rl-winbar", role: "img", "aria-label": label },
    parts.map(([share, color]) =>
      h("b", { style: { width: at(share), background: `var(--rl-${color})` } }),
    ),
    h("i", { class: "rl-half" }),
    h("i", { class: "rl-range", style: { left: at(low), width: at(high - low) } }),
  );

/** @param {string} right  @param {string | null} even  @param {string} left counts in words */
export const winKey = (right, even, left) =>
  h(
    "p",
    { class: "rl-winkey" },
    h("span", {}, mark("ppo"), right),
    even ? h("span", {}, even) : null,
    h("span", {}, mark("base"), left),
  );
