// @ts-check
// Bradley-Terry by hand, and a scoring head that learns from the visitor's own votes.
import { interval, number, percent } from "../../lib/format.js";
import { preference } from "../../lib/score_words.js";
import { button, fill, h, say, soft } from "../../shared/dom.js";
import { slider } from "./controls.js";

/** @typedef {import("../../types").VotesLook} Look */
/** @typedef {import("../../types").VotePair} Pair */

const COIN =
  "With equal scores, P is 50% and the loss is ln 2 = 0.693 nats. A reward model that ends near " +
  "a loss of 0.69 nats, with 50% of the pairs right, has learned nothing.";
const range = (/** @type {number} */ value) => ({ min: -3, max: 3, step: 0.1, value });

const byHand = () => {
  const out = h("p", { "aria-live": "polite" });
  const draw = () => {
    const difference = Number(a.input.value) - Number(b.input.value);
    const wins = preference(difference, 1);
    say(
      out,
      `P(A wins) = sigmoid(${number(difference, 1)}) = ${percent(wins, 1)}. If the voter chose ` +
        `A, the loss is \u2212ln P = ${number(-Math.log(wins), 3)} nats; if B, ` +
        `${number(-Math.log(1 - wins), 3)} nats.`,
    );
  };
  const a = slider("Score of A", range(1), draw);
  const b = slider("Score of B", range(0), draw);
  draw();
  return h("div", {}, h("div", { class: "rl-sliders" }, a.line, b.line), out, soft(COIN));
};

const resultWords = (/** @type {Look} */ { result, votes }) =>
  `The head that learned from your votes gets ${result.right} of ${result.of} pairs right: ` +
  `${percent(result.right / result.of)} ${interval(result.low, result.high)}. ` +
  `${result.agree} of your ${votes.length} votes are the same as the simulated voter\u2019s. ` +
  `The shipped reward model learned from 1,241 pairs and gets ${result.shipped} right.`;

const turned = (/** @type {string[]} */ votes) => votes.map((vote) => (vote === "a" ? "b" : "a"));

/** @param {import("./views.js").Stage} stage */
export const votes = ({ look }) => {
  /** @type {Look | null} */
  let shown = null;
  /** @type {string[]} */
  let mine = [];
  const pairs = h("div", { class: "rl-pair-votes" });
  const result = h("p", { "aria-live": "polite" });
  const turn = button("Reverse all my votes", () => learn(turned(mine)));
  const random = button("Vote at random", () =>
    learn(shown.pairs.map(() => (Math.random() < 0.5 ? "a" : "b"))),
  );

  const learn = async (/** @type {string[]} */ all) => {
    const next = await look({ votes: all });
    if (next) show(next);
  };
  const vote = (/** @type {number} */ place, /** @type {string} */ side) => {
    mine[place] = side;
    const count = mine.filter(Boolean).length;
    draw();
    if (count === shown.pairs.length) learn(mine);
    else say(result, `${count} of ${shown.pairs.length} votes.`);
  };
  const choice = (/** @type {Pair} */ pair, /** @type {number} */ place, side) => {
    const isMine = mine[place] === side;
    const one = button(pair[side].trim(), () => vote(place, side));
    one.setAttribute("aria-pressed", String(isMine));
    const odds = isMine && shown.result ? percent(shown.result.probabilities[place]) : null;
    if (odds) one.append(h("small", {}, ` P ${odds}`));
    return one;
  };
  const row = (/** @type {Pair} */ pair, /** @type {number} */ place) =>
    h(
      "div",
      { class: "rl-asking" },
      h("span", {}, `${pair.prompt} \u2026`),
      choice(pair, place, "a"),
      choice(pair, place, "b"),
    );
  const draw = () => {
    fill(pairs, shown.pairs.map(row));
    turn.disabled = mine.filter(Boolean).length < shown.pairs.length;
  };
  const show = (/** @type {Look | null} */ next) => {
    if (!next) return;
    shown = next;
    mine = [...next.votes];
    draw();
    say(result, next.result ? resultWords(next) : "Which ending is better? Vote on all eight.");
  };
  const more = h("div", { class: "rl-words" }, turn, random);
  return { element: h("div", {}, byHand(), h("h3", {}, "Your votes"), result, pairs, more), show };
};
