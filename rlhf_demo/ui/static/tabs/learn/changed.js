// @ts-check
// What PPO changed: how far each matrix moved, and the base with PPO's weights in some layers.
import { number, percent } from "../../lib/format.js";
import { button, fill, h, say, select, soft } from "../../shared/dom.js";
import { tokenLegend, tokenText } from "../../shared/token_text.js";
import { asking, pieceWords, shareBar } from "./controls.js";

/** @typedef {import("../../types").ChangedLook} Look */

const MATRICES = [
  "queries, keys, values",
  "attention\u2019s output",
  "feed-forward, up",
  "feed-forward, down",
];
const PARTS = /** @type {[string, string][]} */ ([
  ["all its weights", ""],
  ["its attention only", "attention"],
  ["its feed-forward part only", "feed-forward"],
]);

const SHARES =
  "Percentages: how far PPO moved a matrix, compared with the size of the base\u2019s matrix.";

const bar = (/** @type {string} */ name, /** @type {number} */ share, color) =>
  h(
    "div",
    { class: "rl-bar-row" },
    h("span", {}, name),
    shareBar(share, color),
    h("b", {}, number(share, 3)),
  );

const movedTable = (/** @type {Look} */ { moved, alone }) => {
  const most = Math.max(...moved.flat());
  const cell = (/** @type {number} */ share) => {
    const strength = Math.round((70 * share) / most);
    const background = `color-mix(in srgb, var(--rl-ppo) ${strength}%, transparent)`;
    return h("td", { style: { background } }, percent(share, 1));
  };
  const row = (/** @type {number[]} */ shares, /** @type {number} */ i) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, `Layer ${i + 1}`),
      h("td", {}, `${number(alone[i], 2)} nats`),
      shares.map(cell),
    );
  const names = ["", "KL if only this layer changes", ...MATRICES, "whole layer"];
  return h(
    "table",
    { class: "rl-table rl-moved" },
    h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, moved.map(row)),
  );
};

const threeColumns = (/** @type {Look} */ { tokens, base, mixed, ppo }) => {
  const column = (/** @type {string} */ title, /** @type {number[]} */ shares, color) =>
    h("div", {}, h("h3", {}, title), tokens.map((t, i) => bar(pieceWords(t), shares[i], color)));
  return [
    column("base", base, "base"),
    column("base with these layers of PPO", mixed, "kl"),
    column("PPO model", ppo, "ppo"),
  ];
};

/** @param {import("./views.js").Stage} stage */
export const changed = ({ look }) => {
  /** @type {Look | null} */
  let shown = null;
  const ask = asking("Text", (request) => choose(request), { withModel: false });
  const layers = h("div", { class: "rl-asking" });
  const part = select({ "aria-label": "Part of these layers" }, PARTS);
  const summary = h("p", { "aria-live": "polite" });
  const table = h("div", { class: "rl-wide-table" });
  const bars = h("div", { class: "rl-three-bars" });
  const words = h("p", {});

  const choose = async (/** @type {object} */ change) => {
    const kept = shown ? { text: shown.text, layers: shown.layers, part: shown.part } : {};
    show(await look({ ...kept, ...change }));
  };
  part.onchange = () => choose({ part: part.value });

  const toggle = (/** @type {number} */ layer) => {
    const isOn = shown.layers.includes(layer);
    const others = shown.layers.filter((one) => one !== layer);
    const act = () => choose({ layers: isOn ? others : [...others, layer] });
    const one = button(String(layer), act);
    one.setAttribute("aria-pressed", String(isOn));
    one.setAttribute("aria-label", `PPO\u2019s weights in layer ${layer}`);
    return one;
  };
  const show = (/** @type {Look | null} */ next) => {
    if (!next) return;
    shown = next;
    ask.set(next);
    part.value = next.part;
    const toggles = next.moved.map((_, i) => toggle(i + 1));
    fill(layers, "The base gets PPO\u2019s weights in layer", toggles, part);
    say(
      summary,
      `After this text, these layers move the next token by ${number(next.chosen, 2)} nats; ` +
        `all layers move it by ${number(next.all, 2)} nats.`,
    );
    fill(table, movedTable(next), soft(SHARES));
    fill(bars, threeColumns(next));
    const tokens = next.pieces.map((piece, i) => ({ piece, log_ratio: next.log_ratios[i] }));
    fill(words, tokenText(tokens, "log_ratio", { label: "the text\u2019s tokens" }));
  };
  const told = h("h3", {}, "Each token of the text: likelier or less likely than under the base");
  const text = h("div", {}, told, words, tokenLegend("log_ratio"));
  return { element: h("div", {}, ask.line, layers, summary, table, bars, text), show };
};
