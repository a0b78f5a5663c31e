// @ts-check
// The next token: bars of the most likely ones, with sliders that act in the browser.
import { number } from "../../lib/format.js";
import { cut, draw, entropy, softmax } from "../../lib/softmax.js";
import { button, fill, h, say } from "../../shared/dom.js";
import { asking, pieceWords, shareBar, slider } from "./controls.js";

/** @typedef {import("../../types").NextTokenLook} Look */

const DRAWS = 100;

const barRow = (name, share, count, model) =>
  h(
    "div",
    { class: "rl-bar-row" },
    h("span", {}, name),
    shareBar(share, model === "ppo" ? "ppo" : "base"),
    h("b", {}, number(share, 3)),
    h("span", { class: "rl-soft" }, count === null ? "" : `${count}\u00D7`),
  );

/** @param {import("./views.js").Stage} stage */
export const next_token = ({ look }) => {
  /** @type {Look | null} */
  let shown = null;
  const bars = h("div", { class: "rl-bars" });
  const summary = h("p", { class: "rl-soft" });
  const ask = asking("Text", async (request) => show(await look(request)));
  /** @type {number[] | null} */
  let counts = null;
  const change = () => {
    counts = null;
    drawBars();
  };
  const temperature = slider("Temperature", { min: 0.1, max: 3, step: 0.1, value: 0.7 }, change);
  const topK = slider("Top-k (0: all)", { min: 0, max: 50, step: 1, value: 0 }, change);
  const topP = slider("Top-p (1: all)", { min: 0.05, max: 1, step: 0.05, value: 1 }, change);
  const probabilities = () =>
    cut(
      softmax(shown.logits, Number(temperature.input.value)),
      Number(topK.input.value),
      Number(topP.input.value),
    );
  const bar = (/** @type {string} */ name, /** @type {number} */ share, count) =>
    barRow(name, share, count, shown.model);
  const drawBars = () => {
    if (!shown) return;
    const shares = probabilities();
    const named = shown.tokens.length;
    const rest = shares.slice(named).reduce((sum, share) => sum + share, 0);
    const others = shown.logits.length - named;
    const ofRest = counts && counts.slice(named).reduce((sum, count) => sum + count, 0);
    fill(
      bars,
      shown.tokens.map((token, i) => bar(pieceWords(token), shares[i], counts && counts[i])),
      bar(`all ${others.toLocaleString("en")} others`, rest, ofRest),
    );
    say(
      summary,
      "Top-k keeps only the k most likely tokens. Top-p keeps the most likely ones, until their " +
        "probabilities add up to p. " +
        `Entropy: ${number(entropy(shares), 2)} nats. It is 0 if one token is certain, and ` +
        `${number(Math.log(shown.logits.length), 2)} if all are equally likely.`,
    );
  };
  const show = (/** @type {Look | null} */ next) => {
    if (!next) return;
    shown = next;
    counts = null;
    ask.set(next);
    drawBars();
  };
  const drawMany = button(`Draw ${DRAWS} tokens`, () => {
    counts = draw(probabilities(), DRAWS, Math.random);
    drawBars();
  });
  const controls = h(
    "div",
    { class: "rl-sliders" },
    temperature.line,
    topK.line,
    topP.line,
    drawMany,
  );
  return { element: h("div", {}, ask.line, controls, bars, summary), show };
};
