// @ts-check
// Heads off: a switch for each head and feed-forward part, and what the next word loses.
import { number, percent, signed } from "../../lib/format.js";
import { button, fill, h, say } from "../../shared/dom.js";
import { asking, onEnter, pieceWords, shareBar } from "./controls.js";

/** @typedef {import("../../types").HeadsOffLook} Look */

const toggled = (/** @type {number[]} */ list, /** @type {number} */ value) =>
  list.includes(value) ? list.filter((each) => each !== value) : [...list, value];

const bars = (/** @type {Look} */ { tokens, before, after, model }) => {
  const largest = Math.max(...before, ...after);
  const pair = (/** @type {number} */ i) => [
    shareBar(before[i] / largest, "soft"),
    shareBar(after[i] / largest, model),
  ];
  return tokens.map((token, i) =>
    h(
      "div",
      { class: "rl-bar-row" },
      h("span", {}, pieceWords(token)),
      h("div", { class: "rl-pair" }, pair(i)),
      h("b", {}, percent(after[i], 1)),
      h("span", { class: "rl-soft" }, `was ${percent(before[i], 1)}`),
    ),
  );
};

/** @param {import("./views.js").Stage} stage */
export const heads_off = ({ look }) => {
  /** @type {Look | null} */
  let shown = null;
  /** @type {number[][]} */
  let alone = [];
  const word = h("input", { type: "text", maxlength: 40, "aria-label": "Word to watch" });
  const ask = asking("Text", (request) => begin({ ...request, word: word.value }));
  onEnter(word, ask.go);
  const grid = h("div", { class: "rl-switches" });
  const chances = h("div", { class: "rl-bars" });
  const about = h("p", { class: "rl-soft" });
  const loss = h("p", {});

  const begin = async (/** @type {object} */ request) => show(await look(request));
  const switched = async (/** @type {object} */ change) => {
    const { text, model, heads, feed_forward, word: watched } = shown;
    show(await look({ text, model, heads, feed_forward, word: watched, ...change }));
  };
  const toggle = (/** @type {string} */ words, /** @type {string} */ label, isOff, act) => {
    const state = { role: "switch", "aria-checked": String(!isOff), "aria-label": label };
    return h("button", { type: "button", title: label, onclick: act, ...state }, words);
  };
  const head = (/** @type {number} */ layer, /** @type {number} */ place, share) => {
    const each = layer * alone[0].length + place;
    const label = `Layer ${layer + 1}, head ${place + 1}`;
    const act = () => switched({ heads: toggled(shown.heads, each) });
    return toggle(percent(share, 1), label, shown.heads.includes(each), act);
  };
  const feedForward = (/** @type {number} */ layer) => {
    const act = () => switched({ feed_forward: toggled(shown.feed_forward, layer) });
    const label = `Layer ${layer + 1}, feed-forward part`;
    return toggle("feed-forward", label, shown.feed_forward.includes(layer), act);
  };
  const show = (/** @type {Look | null} */ next) => {
    if (!next) return;
    shown = next;
    alone = next.alone || alone;
    ask.set(next);
    word.value = next.word;
    grid.style.setProperty("--heads", String(alone[0].length));
    fill(
      grid,
      alone.map((row, i) => [
        h("span", { class: "rl-soft" }, `${i + 1}`),
        row.map((share, j) => head(i, j, share)),
        feedForward(i),
      ]),
    );
    fill(chances, bars(next));
    say(
      about,
      `Each row is a layer, each number a head: the probability of \u201C${next.word}\u201D ` +
        `if only this head is off; with all on it is ${percent(next.before[0], 1)}. Press one to ` +
        "switch it off or on. A feed-forward part, which the next lesson explains, works on each " +
        "token by itself. Grey bars: all on; coloured bars: without what is off.",
    );
    const change = signed(next.loss_after - next.loss_before, 2);
    say(
      loss,
      `Loss on three film sentences: ${number(next.loss_after, 2)} nats per token (${change}). ` +
        "The loss is the mean surprise at the next token (a later lesson explains it); lower is " +
        "better.",
    );
  };
  const reset = button("All on", () => switched({ heads: [], feed_forward: [] }));
  const watching = h("label", { class: "rl-watching" }, "Watch", word);
  ask.line.append(watching, reset);
  const both = h("div", { class: "rl-attention" }, grid, h("div", {}, chances, loss));
  return { element: h("div", {}, ask.line, about, both), show };
};
