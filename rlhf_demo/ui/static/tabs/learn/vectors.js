// @ts-check
// Vectors: the words near to one, the positions' maps, and the loss without positions.
import { number, signed } from "../../lib/format.js";
import { button, fill, h, say } from "../../shared/dom.js";
import { onEnter, pieceWords, shareBar } from "./controls.js";

/** @typedef {import("../../types").VectorsLook} Look */

const MAPS =
  "A second table has a vector for each position; the model adds it to the token\u2019s. Each " +
  "map compares the first positions, row with column: the stronger a cell\u2019s colour, the " +
  "closer their vectors. This model learned them. The Transformer of 2017 computed them, as sine " +
  "and cosine waves of growing length: a strong diagonal band says that nearby positions have " +
  "similar vectors.";

const map = (/** @type {number[][]} */ rows) => {
  const cell = (/** @type {number} */ cosine) =>
    h("i", { style: { opacity: String(Math.max(0.03, cosine)) } });
  const style = { "--count": String(rows.length) };
  return h("div", { class: "rl-map", style }, rows.flat().map(cell));
};

/** @param {Look} look  @param {(word: string) => void} act */
const nearest = ({ tokens, cosines }, act) =>
  tokens.map((token, i) => {
    const word = pieceWords(token);
    const go = token.startsWith(" ") ? button(word, () => act(word), "rl-quiet") : word;
    return h(
      "div",
      { class: "rl-bar-row" },
      h("span", {}, go),
      shareBar(Math.max(0, cosines[i]), "base"),
      h("b", {}, number(cosines[i], 2)),
    );
  });

const strip = (/** @type {number[]} */ vector) => {
  const most = Math.max(...vector.map(Math.abs));
  const cell = (/** @type {number} */ value) => {
    const color = value < 0 ? "ppo" : "base";
    const opacity = String(Math.abs(value) / most);
    return h("i", { style: { background: `var(--rl-${color})`, opacity } });
  };
  return vector.map(cell);
};

const withoutRow = ({ text, losses, losses_off: off }) =>
  h(
    "tr",
    {},
    h("th", { scope: "row" }, text),
    losses.map((loss, i) => h("td", {}, `${number(loss, 2)} \u2192 ${number(off[i], 2)}`)),
  );

const withoutTable = (/** @type {Look["without"]} */ without) => {
  const names = ["base", "after PPO"].map((name) => h("th", { scope: "col" }, name));
  const title = h("td", {}, "Loss in nats per token, with \u2192 without positions");
  const head = h("thead", {}, h("tr", {}, title, names));
  return h("table", { class: "rl-table" }, head, h("tbody", {}, without.map(withoutRow)));
};

/** @param {import("./views.js").Stage} stage */
export const vectors = ({ look }) => {
  const word = h("input", { type: "text", maxlength: 40, "aria-label": "Word" });
  const begin = async (/** @type {string} */ wanted) => show(await look({ word: wanted }));
  const go = () => begin(word.value);
  onEnter(word, go);
  const about = h("p", { class: "rl-soft" });
  const numbers = h("div", { class: "rl-vector", "aria-hidden": "true" });
  const words = h("div", { class: "rl-bars" });
  const maps = h("div", { class: "rl-two-maps" });
  const without = h("div", {});
  const show = (/** @type {Look | null} */ next) => {
    if (!next) return;
    word.value = next.word;
    const [first, second] = next.vector;
    say(
      about,
      `The vector of \u201C${next.word}\u201D begins with ${signed(first)}, ${signed(second)}; ` +
        `the strip shows all ${next.vector.length} numbers, negative ones in orange. Below are ` +
        "the tokens whose vectors are closest, with their cosines." +
        (next.unchanged ? " PPO changed none of these vectors." : ""),
    );
    fill(numbers, strip(next.vector));
    fill(words, nearest(next, begin));
    fill(
      maps,
      h("figure", {}, map(next.learned), h("figcaption", {}, "learned, in this model")),
      h("figure", {}, map(next.sinusoids), h("figcaption", {}, "sinusoids, of 2017")),
    );
    if (next.without) fill(without, withoutTable(next.without));
  };
  const line = h("div", { class: "rl-asking" }, word, button("Find similar words", go));
  const positions = h("div", {}, h("p", { class: "rl-soft" }, MAPS), maps);
  const near = h("div", { class: "rl-near" }, words);
  const both = h("div", { class: "rl-attention" }, near, positions);
  return { element: h("div", {}, line, about, numbers, both, without), show };
};
