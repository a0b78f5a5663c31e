// @ts-check
// Loss: the surprise at each token, texts to compare with, and a copy that learns one text.
import { number } from "../../lib/format.js";
import { button, fill, fold, h, say, soft } from "../../shared/dom.js";
import { asking, pieceWords, shareBar } from "./controls.js";

/** @typedef {import("../../types").LossLook} Look */
/** @typedef {import("../../types").ExampleText} Example */

const BOTH = ["base", "ppo"];
const TEACH =
  "Teaching takes ten steps on this text, on a copy of the base. Each step computes the " +
  "gradient: how the loss changes with each weight, one of the model\u2019s 6.9 million " +
  "numbers. It shortens a gradient that is too long " +
  "(gradient clipping). Then Adam, the optimizer, moves every weight a little in the direction " +
  "that lowers the loss. Pretraining took such steps on very many texts, with another optimizer " +
  "(Muon) for the matrices. Its learning rate, the size of a step, first rose slowly (warm-up). " +
  "If a film sentence has a higher loss after the teaching than before, the copy has forgotten " +
  "something.";

const surprise = (/** @type {Look} */ { pieces, surprises, nothing }) =>
  pieces.map((piece, i) => {
    const bars = BOTH.map((model, m) => {
      const height = `${70 * Math.min(1, surprises[m][i] / (1.5 * nothing))}px`;
      return h("i", { style: { height, background: `var(--rl-${model})` } });
    });
    const figures = BOTH.map((model, m) => `${model} ${number(surprises[m][i], 2)} nats`);
    return h(
      "div",
      { title: figures.join(", ") },
      h("div", { class: "rl-columns", "aria-hidden": "true" }, bars),
      h("b", {}, number(surprises[0][i], 1)),
      h("small", {}, number(surprises[1][i], 1)),
      h("span", {}, pieceWords(piece)),
    );
  });

const example = (/** @type {Look} */ { taught, nothing }, /** @type {Example} */ given, place) => {
  const { name, text, losses } = given;
  const after = taught ? [h("td", {}, number(taught.examples[place], 2))] : [];
  const share = Math.min(1, losses[0] / (1.2 * nothing));
  return h(
    "tr",
    { title: text },
    h("th", { scope: "row" }, name),
    h("td", { class: "rl-example-bar" }, shareBar(share, "base")),
    losses.map((loss) => h("td", {}, number(loss, 2))),
    after,
  );
};

const table = (/** @type {Look} */ shown, /** @type {Example[]} */ examples) => {
  const after = shown.taught ? ["base, taught"] : [];
  const heads = ["base", "after PPO", ...after].map((name) => h("th", { scope: "col" }, name));
  const bars = h("td", { class: "rl-example-bar" });
  const head = h("tr", {}, h("th", { scope: "col" }, "nats per token"), bars, heads);
  const rows = examples.map((given, place) => example(shown, given, place));
  return h("table", { class: "rl-table" }, h("thead", {}, head), h("tbody", {}, rows));
};

/** @param {import("./views.js").Stage} stage */
export const loss = ({ look }) => {
  /** @type {Look | null} */
  let shown = null;
  /** @type {Example[]} */
  let examples = [];
  const begin = async (/** @type {object} */ request) => show(await look(request));
  const ask = asking("Text", ({ text }) => begin({ text }), { withModel: false });
  const columns = h("div", { class: "rl-surprises" });
  const summary = h("p", {});
  const compared = h("div", { class: "rl-wide-table" });
  const learned = h("p", { "aria-live": "polite" });
  const show = (/** @type {Look | null} */ next) => {
    if (!next) return;
    shown = next;
    ask.set(next);
    fill(columns, surprise(next));
    const [base, ppo] = next.losses;
    say(
      summary,
      `Loss of this text: ${number(base, 2)} nats per token under the base (blue), ` +
        `${number(ppo, 2)} under the PPO model (orange). The base is as unsure as if ` +
        `${number(Math.exp(base), 0)} tokens were equally likely; that number is the perplexity. ` +
        `A model that gives all tokens the same probability has a loss of ` +
        `${number(next.nothing, 2)}; one that is sure of wrong tokens has a higher loss.`,
    );
    examples = next.examples || examples;
    fill(compared, table(next, examples));
    learned.hidden = !next.taught;
    if (!next.taught) return;
    const steps = next.taught.losses.map((one) => number(one, 2)).join(", ");
    say(learned, `The loss of this text, before the first step and after each: ${steps}.`);
  };
  const teach = button("Teach this text to a copy", async () => {
    teach.disabled = true;
    await begin({ text: shown.text, teach: true });
    teach.disabled = false;
  });
  ask.line.append(teach);
  const about = fold("How teaching works", soft(TEACH));
  return { element: h("div", {}, ask.line, columns, summary, learned, compared, about), show };
};
