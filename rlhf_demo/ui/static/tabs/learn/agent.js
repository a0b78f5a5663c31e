// @ts-check
// A game: choose six tokens, and compare the score with that of the PPO model.
import { percent, signed } from "../../lib/format.js";
import { button, fill, h, say, select } from "../../shared/dom.js";
import { pieceWords } from "./controls.js";
import { fourModels } from "./four_models.js";

/** @typedef {import("../../types").AgentLook} Look */

const WORDS = [
  ["agent", "the language model; in this game, you"],
  ["environment", "it appends each token, and the reward model scores the finished text"],
  ["state", "the prompt and the tokens written so far"],
  ["observation", "the same as the state: the model reads all of it"],
  ["action", "the next token, one of 8,192"],
  [
    "reward",
    "for each token, a small price if it is likelier than under the base, and a small bonus if " +
      "it is less likely (the KL penalty); for the last token, the score as well",
  ],
  ["policy", "the model\u2019s probabilities of the next token, given the text so far"],
  ["value function", "the value head: it predicts the rewards that are still to come"],
  [
    "model of the world",
    "none: PPO tries actions out, and nothing predicts what the environment will do",
  ],
];
const NETWORKS =
  "PPO needs four models: the policy, the reference (the base, for the KL penalty), the value " +
  "function and the reward model. Here all four share one body, the base. The policy adds small " +
  "corrections to it. The value function is one more output of the policy. The reward model has " +
  "corrections and an output of its own.";
const END = "<|endoftext|>";

const shownPiece = (/** @type {string} */ piece) =>
  piece === END ? "end of the text" : pieceWords(piece);
const plain = (/** @type {string} */ text) => text.replace(END, "");

const wordsTable = () =>
  h(
    "table",
    { class: "rl-table rl-moved" },
    h(
      "tbody",
      {},
      WORDS.map(([word, here]) =>
        h("tr", {}, h("th", { scope: "row" }, h("b", {}, word)), h("td", {}, here)),
      ),
    ),
  );

const resultWords = (/** @type {Look} */ { score, ppo_score: ppo }) => {
  const difference = score - ppo;
  const who = difference > 0 ? "You scored higher." : "The PPO model scored higher.";
  return `Your score: ${signed(score)}. The PPO model\u2019s: ${signed(ppo)}. ${
    difference ? who : "It is a tie."
  }`;
};

/** @param {import("./views.js").Stage} stage */
export const agent = ({ look }) => {
  /** @type {Look | null} */
  let shown = null;
  const text = h("p", { "aria-live": "polite" });
  const choices = h("div", { class: "rl-words" });
  const result = h("p", { "aria-live": "polite" });
  const theirs = h("p", { class: "rl-soft" });
  const start = h("select", { "aria-label": "Prompt" });
  const play = async (/** @type {number[]} */ moves) =>
    show(await look({ start: Number(start.value), moves }));
  start.onchange = () => play([]);
  const again = button("Begin again", () => play([]));

  const show = (/** @type {Look | null} */ next) => {
    if (!next) return;
    shown = next;
    const options = next.starts.map((one, i) => [one, String(i)]);
    const filled = select({}, /** @type {[string, string][]} */ (options));
    fill(start, ...filled.childNodes);
    start.value = String(next.start);
    const prompt = next.starts[next.start];
    fill(text, h("span", { class: "rl-soft" }, prompt), h("b", {}, plain(next.pieces.join(""))));
    const choice = ({ token, piece, share }) =>
      button(`${shownPiece(piece)} (${percent(share)})`, () => play([...shown.moves, token]));
    fill(choices, next.choices.map(choice));
    const isOver = next.score !== null;
    const left = next.left === 1 ? "1 move" : `${next.left} moves`;
    say(result, isOver ? resultWords(next) : `${left} left. Choose the next token:`);
    say(theirs, isOver ? `The PPO model wrote: ${prompt}${plain(next.ppo_text)}` : "");
  };
  const line = h("div", { class: "rl-asking" }, start, again);
  return {
    element: h(
      "div",
      {},
      line,
      text,
      result,
      choices,
      theirs,
      h("h3", {}, "The nine words of reinforcement learning, on this machine"),
      wordsTable(),
      h("h3", {}, "The four models of PPO"),
      h("div", { class: "rl-halves" }, fourModels(), h("p", {}, NETWORKS)),
    ),
    show,
  };
};
