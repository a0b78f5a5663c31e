// @ts-check
// Attention: all heads as small maps, one of them large, and one row of it worked by hand.
import { number } from "../../lib/format.js";
import { fill, fold, h, say } from "../../shared/dom.js";
import { asking, pieceWords } from "./controls.js";

/** @typedef {import("../../types").AttentionLook} Look */

// A square of cells, darker where there is more weight; what comes later is hatched.
const map = (/** @type {number[][]} */ pattern) =>
  pattern.flatMap((row, i) =>
    row.map((weight, j) =>
      j > i
        ? h("i", { class: "rl-later" })
        : h("i", { style: { opacity: String(0.06 + 0.94 * weight) } }),
    ),
  );

const square = (/** @type {number[][]} */ pattern) =>
  h("span", { class: "rl-map", style: { "--count": String(pattern.length) } }, map(pattern));

const cells = (/** @type {(string | number)[]} */ values) => values.map((v) => h("td", {}, v));

const rowByHand = (/** @type {Look} */ { pieces, row }) => {
  const named = pieces.slice(0, row.place + 1).map(pieceWords);
  const line = (/** @type {string} */ name, /** @type {number[]} */ values, digits) =>
    h("tr", {}, h("th", { scope: "row" }, name), cells(values.map((v) => number(v, digits))));
  const heads = named.map((name) => h("th", { scope: "col" }, name));
  return h(
    "table",
    { class: "rl-table" },
    h("thead", {}, h("tr", {}, h("td", {}), heads)),
    h(
      "tbody",
      {},
      line("query \u00B7 key", row.dot_products, 1),
      line(`divided by \u221A${row.width}`, row.scaled, 2),
      line("softmax: the weights", row.weights, 3),
    ),
  );
};

const ENCODER =
  "The first Transformer, of 2017, was built to translate. Its encoder reads the whole source " +
  "text X, and its tokens look in both directions: Z = Encoder(X). Its decoder writes the " +
  "translation token by token: " +
  "the next token follows from the tokens written so far and from Z. In a second attention of " +
  "each layer, cross-attention, the queries come from the decoder, the keys and values from Z.";
const DECODER =
  "GPT-2 is the decoder without cross-attention: there is no source text, only the text so far.";

const box = (/** @type {string} */ name, /** @type {string} */ about) =>
  h("div", { class: "rl-box" }, h("b", {}, name), h("span", {}, about));

// The two halves of the first Transformer, and the half that GPT-2 is.
const encoderAndDecoder = () =>
  fold(
    "Encoder and decoder",
    h("p", {}, ENCODER),
    h(
      "div",
      { class: "rl-boxes" },
      box("Encoder", "source text; looks both ways"),
      h("span", { "aria-label": "cross-attention" }, "Z \u2192"),
      box("Decoder", "text so far; looks back only"),
    ),
    h("p", {}, DECODER),
  );

/** @param {import("./views.js").Stage} stage */
export const attention = ({ look }) => {
  /** @type {Look | null} */
  let shown = null;
  const ask = asking("Text", async (request) => show(await look(request)));
  const heads = h("div", { class: "rl-heads" });
  const large = h("div", { class: "rl-large-map" });
  const title = h("h3", {});
  const about = h("p", { class: "rl-soft" });
  const byHand = h("div", { class: "rl-wide-table" });

  const choose = async (/** @type {object} */ change) => {
    if (!shown) return;
    const { text, model, row } = shown;
    const { layer, head, place } = row;
    show(await look({ text, model, layer, head, place, ...change }));
  };
  const thumbnail = (/** @type {number[][]} */ pattern, /** @type {number} */ layer, head) => {
    const isShown = shown.row.layer === layer && shown.row.head === head;
    const label = `Layer ${layer}, head ${head}`;
    const pressed = { "aria-pressed": String(isShown), "aria-label": label, title: label };
    const act = () => choose({ layer, head });
    return h("button", { type: "button", onclick: act, ...pressed }, square(pattern));
  };
  const tokenButton = (/** @type {string} */ piece, /** @type {number} */ place) =>
    h(
      "button",
      {
        type: "button",
        class: "rl-token",
        "aria-pressed": String(place === shown.row.place),
        onclick: () => choose({ place }),
      },
      pieceWords(piece),
    );
  const drawLarge = () => {
    const { row, pieces, patterns } = shown;
    const pattern = patterns[row.layer - 1][row.head - 1];
    const axes = "each row is a token that looks, each column one that it looks at";
    say(title, `Layer ${row.layer}, head ${row.head}: ${axes}`);
    const tokens = h("div", { class: "rl-map-names" }, pieces.map(tokenButton));
    fill(large, tokens, square(pattern));
    const name = pieceWords(pieces[row.place]);
    say(
      about,
      `The row of \u201C${name}\u201D by hand. Its query is multiplied, number by number, by ` +
        "the key of each token up to it, and the products are added up. In the rows above, " +
        "hatched tokens come later and are masked. The values are multiplied by the weights and " +
        "added up. \u201Cstart\u201D stands before every text.",
    );
    fill(byHand, rowByHand(shown));
  };
  const show = (/** @type {Look | null} */ next) => {
    if (!next) return;
    shown = next;
    ask.set(next);
    fill(
      heads,
      next.patterns.map((layer, i) => [
        h("span", { class: "rl-soft" }, `${i + 1}`),
        layer.map((pattern, j) => thumbnail(pattern, i + 1, j + 1)),
      ]),
    );
    heads.style.setProperty("--heads", String(next.patterns[0].length));
    drawLarge();
  };
  const maps = h("div", { class: "rl-attention" }, heads, h("div", {}, title, large));
  const element = h("div", {}, ask.line, maps, about, byHand, encoderAndDecoder());
  return { element, show };
};
