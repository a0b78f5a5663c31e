// @ts-check
// The score of any text, and what each word adds to it.
import { signed } from "../../lib/format.js";
import { howWords, sumWords, unitWords } from "../../lib/score_words.js";
import { fill, h, option, say, soft } from "../../shared/dom.js";
import { onBoard, onTab } from "../../shared/navigation.js";
import { answered } from "../../shared/server.js";
import { tokenLegend, tokenText } from "../../shared/token_text.js";

const FIRST = "This film is not a masterpiece, but I loved every minute of it.";
const ABOUT =
  "and see what each word adds. We remove all words and put them back one by one, in many " +
  "orders. A word\u2019s colour is the average change in score when it comes back (its Shapley " +
  "value).";
const NO_UNIT =
  "For this scorer we do not know which probability a difference in score stands for.";

const view = () => {
  const pick = h("select", { "aria-label": "Score with" });
  const typed = { type: "text", class: "rl-wide", maxlength: 2000, "aria-label": "Text to score" };
  const text = h("input", { ...typed, value: FIRST });
  const go = h("button", { class: "rl-button", type: "submit" }, "Score it");
  const score = h("b", { class: "rl-big-score" }, "\u2013");
  const out = h("p", { class: "rl-scored" }, "\u00A0");
  const [adds, how, unit] = ["\u00A0", "\u00A0", "\u00A0"].map((blank) => soft(blank));
  const problem = h("p", { hidden: true });
  const unlisted = h("p", { hidden: true });
  const form = h("form", { class: "rl-inline" }, text, h("label", {}, "with ", pick), go);
  const card = h(
    "section",
    { class: "rl-card" },
    h("h3", {}, "Score any text ", h("span", {}, ABOUT)),
    form,
    unlisted,
    problem,
    h("div", { class: "rl-score-line" }, score, out),
    tokenLegend("contribution"),
    adds,
    how,
    unit,
  );
  return { pick, text, go, score, out, adds, how, unit, problem, unlisted, form, card };
};

const draw = ({ score, out, adds, how, unit }, answer) => {
  say(score, signed(answer.score));
  const label = "scored text, word by word";
  fill(out, tokenText(answer.words, "contribution", { label }));
  say(adds, sumWords(answer));
  say(how, howWords(answer));
  say(unit, answer.factor ? unitWords(answer.factor) : NO_UNIT);
};

/** @param {import("../../globals").Part} part */
export const mount = ({ element, server }) => {
  const seen = view();
  const { pick, text, go, problem, unlisted, form } = seen;
  fill(element.querySelector(".rl-scoring"), seen.card);

  const list = async () => {
    const answer = await answered(unlisted, server.scorers(0));
    if (!answer) return;
    const key = JSON.stringify(answer.scorers);
    if (pick.dataset.key === key) return;
    const before = pick.value;
    pick.dataset.key = key;
    fill(pick, answer.scorers.map(option));
    if (before) pick.value = before;
  };
  const ask = async () => {
    go.disabled = true;
    const request = { text: text.value, scorer: pick.value };
    const answer = await answered(problem, server.score_text(request));
    go.disabled = false;
    if (answer) draw(seen, answer);
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  onTab("reward model", list);
  onBoard(({ kind, run }) => kind === "reward" && run.status === "finished" && list());
  list().then(() => element.offsetParent !== null && ask());
};
