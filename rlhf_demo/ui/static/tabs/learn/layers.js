// @ts-check
// Layer by layer: both models read at every depth, a token to follow, and what each part added.
import { number } from "../../lib/format.js";
import { fill, fold, h } from "../../shared/dom.js";
import { MODELS, asking, pieceWords } from "./controls.js";

/** @typedef {import("../../types").LayersLook} Look */
/** @typedef {import("../../types").Reading} Reading */

const ABOUT =
  "Each row reads the running sum as if it were the last one: the most likely next tokens " +
  "with their probabilities. At the input, the sum is only the token\u2019s own vector and that " +
  "of its position, so the row mostly shows the token itself. Press a token to follow it. The " +
  "bars show the length of the vector that each part of the layer added: attention above, " +
  "feed-forward below.";
const UNITS =
  "A feed-forward part has 1,024 units. Each reads the token\u2019s vector, and adds its own " +
  "fixed vector, times a number: its activation. Before each part, a layer norm brings the " +
  "vector\u2019s numbers to mean 0 and variance 1. For each layer, you see the unit that adds " +
  "the longest vector, and the tokens that this vector makes more likely. " +
  "Often they do not tell what a unit is for.";

const title = (/** @type {string} */ model) => MODELS.find(([, id]) => id === model)[0];
const depthName = (/** @type {number} */ depth) => (depth ? `layer ${depth}` : "input");
const tint = (/** @type {number} */ share, /** @type {string} */ model) => {
  const amount = Math.round(60 * share);
  return { background: `color-mix(in srgb, var(--rl-${model}) ${amount}%, var(--rl-chip))` };
};

const added = (/** @type {Reading} */ { attention, feed_forward, model }, depth) => {
  if (!depth) return h("td", {});
  const longest = Math.max(...attention, ...feed_forward);
  const bar = (/** @type {string} */ name, /** @type {number} */ length) =>
    h("i", {
      title: `${name} added a vector of length ${number(length, 1)}`,
      style: { width: `${(100 * length) / longest}%`, background: `var(--rl-${model})` },
    });
  const above = bar("attention", attention[depth - 1]);
  const below = bar("feed-forward", feed_forward[depth - 1]);
  return h("td", {}, h("div", { class: "rl-added" }, above, below));
};

const unitRows = (/** @type {Reading} */ { model, units }) => [
  h("h3", {}, title(model)),
  units.map(({ unit, activation, tokens }, i) =>
    h(
      "p",
      {},
      h("span", { class: "rl-soft" }, `Layer ${i + 1}, unit ${unit}, `),
      `activation ${number(activation, 1)}: `,
      h("b", {}, tokens.map(pieceWords).join(", ")),
    ),
  ),
];

/** @param {import("./views.js").Stage} stage */
export const layers = ({ look }) => {
  /** @type {Look | null} */
  let shown = null;
  let followed = 0;
  const begin = async (/** @type {object} */ request) => show(await look(request));
  const ask = asking("Text", ({ text }) => begin({ text }), { withModel: false });
  const places = h("div", { class: "rl-places", role: "group", "aria-label": "Read at" });
  const tables = h("div", { class: "rl-depths" });
  const following = h("div", { class: "rl-wide-table" });
  const units = h("div", { class: "rl-units" });

  const cell = (/** @type {Reading} */ { model, shares }, /** @type {number} */ depth, token) => {
    const act = () => follow(token);
    const style = tint(shares[depth][token], model);
    const pressed = { "aria-pressed": String(token === followed) };
    const name = pieceWords(shown.tokens[token]);
    const words = [h("span", {}, name), h("small", {}, number(shares[depth][token], 2))];
    return h("td", {}, h("button", { type: "button", onclick: act, style, ...pressed }, words));
  };
  const table = (/** @type {Reading} */ reading) => {
    const row = (/** @type {number[]} */ leaders, /** @type {number} */ depth) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, depthName(depth)),
        leaders.map((token) => cell(reading, depth, token)),
        added(reading, depth),
      );
    const body = h("tbody", {}, reading.top.map(row));
    return h("table", { "aria-label": title(reading.model) }, caption(reading.model), body);
  };
  const caption = (/** @type {string} */ model) => h("caption", {}, title(model));
  const strip = ({ model, shares }) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, title(model)),
      shares.map((row) => h("td", { style: tint(row[followed], model) }, number(row[followed], 2))),
    );
  const drawTables = () => {
    fill(tables, shown.readings.map(table));
    const depth = (_, /** @type {number} */ i) => h("th", { scope: "col" }, depthName(i));
    const depths = shown.readings[0].top.map(depth);
    const name = h("th", { scope: "col" }, `\u201C${pieceWords(shown.tokens[followed])}\u201D`);
    const head = h("thead", {}, h("tr", {}, name, depths));
    const body = h("tbody", {}, shown.readings.map(strip));
    fill(following, h("table", { class: "rl-table" }, head, body));
  };
  const follow = (/** @type {number} */ token) => {
    followed = token;
    drawTables();
  };
  const placeButton = (/** @type {string} */ piece, /** @type {number} */ place) => {
    const act = () => begin({ text: shown.text, place });
    const pressed = { "aria-pressed": String(place === shown.place) };
    return h("button", { type: "button", onclick: act, ...pressed }, pieceWords(piece));
  };
  const show = (/** @type {Look | null} */ next) => {
    if (!next) return;
    shown = next;
    ask.set(next);
    fill(places, h("span", { class: "rl-soft" }, "Read at"), next.pieces.map(placeButton));
    follow(next.readings[0].top.at(-1)[0]);
    fill(units, next.readings.map((reading) => h("div", {}, unitRows(reading))));
  };
  const about = h("p", { class: "rl-soft" }, ABOUT);
  const inside = fold("Inside the feed-forward parts", h("p", { class: "rl-soft" }, UNITS), units);
  return { element: h("div", {}, ask.line, places, about, tables, following, inside), show };
};
