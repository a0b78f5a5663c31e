// @ts-check
// A share of votes with its interval as a bar.
import { counted, interval, percent } from "../../lib/format.js";
import { h, say, soft } from "../../shared/dom.js";

/** @typedef {import("../../types").Share} Share */

const FEW = 10; // pairs; with fewer, an interval is too wide to be useful

// Several votes on a pair count as one in an interval, so the words give both numbers.
const votesOf = (/** @type {Share} */ { count, units }) =>
  units < count
    ? `${counted(count, "answer")} on ${counted(units, "pair")}`
    : counted(count, "answer");

const rangeWords = (/** @type {Share} */ share, /** @type {boolean} */ tells) => {
  if (tells) return `${interval(share.low, share.high)} of ${votesOf(share)}`;
  return share.count ? `(${votesOf(share)} so far)` : "(none so far)";
};

const view = (title, about, color, half) => {
  const value = h("b", {}, "\u2013");
  const range = h("small", {}, "");
  const middle = half ? h("i", { class: "rl-half" }) : null;
  const filled = h("i", {
    class: "rl-share-fill",
    style: { background: `var(--rl-${color})` },
  });
  const reach = h("i", { class: "rl-range" });
  const solid = { class: "rl-half", hidden: true, style: { borderLeftStyle: "solid" } };
  const limit = h("i", solid);
  const parts = [middle, filled, reach, limit];
  const bar = h("div", { class: "rl-share", role: "presentation" }, parts);
  const words = soft(about);
  const shown = h("p", { class: "rl-measure-value" }, value, " ", range);
  const head = h("h3", {}, title);
  const card = h("article", { class: "rl-card rl-measure" }, head, shown, bar, words);
  return { value, range, filled, reach, limit, bar, words, card };
};

/**
 * @param {string} title
 * @param {string} about
 * @param {string} color
 * @param {boolean} [half] whether to mark 50%
 */
export const measure = (title, about, color, half) => {
  const { value, range, filled, reach, limit, bar, words, card } = view(title, about, color, half);
  return {
    card,
    about: (/** @type {string} */ text) => say(words, text),
    limit: (/** @type {number | null} */ share) => {
      limit.hidden = share === null;
      limit.style.left = `${100 * share}%`;
    },
    set: (/** @type {Share} */ share, few = FEW) => {
      const tells = share.units >= few;
      say(value, tells ? percent(share.share) : "too few to tell");
      value.classList.toggle("rl-few", !tells);
      say(range, rangeWords(share, tells));
      bar.hidden = !tells;
      filled.style.width = `${100 * (share.share || 0)}%`;
      reach.style.left = `${100 * share.low}%`;
      reach.style.width = `${100 * (share.high - share.low)}%`;
    },
    say: (/** @type {string} */ text, /** @type {string} */ more) => {
      say(value, text);
      say(range, more);
      bar.hidden = true;
      value.classList.toggle("rl-few", text.startsWith("too"));
    },
  };
};
