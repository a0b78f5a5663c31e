// @ts-check
// Best-of-n: the scores of the responses as they arrive, what was chosen, and what n is worth.
import { bestFirst, costWords, klWords, placesOf, progressWords } from "../../lib/best_of_n.js";
import { signed } from "../../lib/format.js";
import { chartCard } from "../../shared/charts.js";
import { fill, fold, h, say, showProblem, soft } from "../../shared/dom.js";

/** @typedef {import("../../types").BestOfState} BestOfState */
/** @typedef {{place: "best" | "median" | "worst", title: string, color: string}} Pick */

/** @type {Pick[]} */
const PICKS = [
  { place: "best", title: "Best: the answer", color: "score" },
  { place: "median", title: "Median", color: "ink" },
  { place: "worst", title: "Worst", color: "below" },
];
const EMPTY =
  "Press \u201CWrite and choose\u201D to see the scores of all responses, and the one that wins.";
const ROWS = 5; // of dots, so that equal scores do not hide each other
const EXPECTED = {
  title: "What a larger N is worth",
  height: 200,
  xTitle: "N",
  hovermode: "closest",
  series: [
    {
      color: "score",
      mode: "lines+markers",
      size: 5,
      hover: "best of %{x}: %{y:.2f}<extra></extra>",
    },
  ],
};

// -- the line of scores ---------------------------------------------------------------------------

const scoreLine = () => {
  const line = h("div", { class: "rl-dots", role: "img" });
  const low = h("span", {});
  const high = h("span", {});
  /** @type {HTMLElement[]} */
  let dots = [];
  const colorOf = (/** @type {BestOfState} */ state, /** @type {number} */ i) =>
    PICKS.find(({ place }) => state[place] === i)?.color || "base";
  return {
    box: h("div", {}, line, h("p", { class: "rl-dot-ends rl-soft" }, low, high)),
    draw: (/** @type {BestOfState} */ state) => {
      const scores = state.responses.map(({ score }) => score);
      if (scores.length < dots.length) dots = [];
      while (dots.length < scores.length) dots.push(h("i", {}));
      if (line.childElementCount !== dots.length) fill(line, dots);
      placesOf(scores).forEach((place, i) => {
        const color = colorOf(state, i);
        dots[i].style.left = `${100 * place}%`;
        dots[i].style.top = `${((i % ROWS) + 0.5) * (100 / ROWS)}%`;
        dots[i].style.background = `var(--rl-${color})`;
        dots[i].classList.toggle("rl-picked", color !== "base");
        dots[i].title = `response ${i + 1}: score ${signed(scores[i])}`;
      });
      const [lowest, highest] = [state.worst, state.best].map((place) => signed(scores[place]));
      say(low, scores.length ? `lowest ${lowest}` : "");
      say(high, scores.length ? `highest ${highest}` : "");
      line.setAttribute("aria-label", `${scores.length} scores from ${lowest} to ${highest}`);
    },
  };
};

// -- texts ----------------------------------------------------------------------------------------

const pickCard = (/** @type {Pick} */ { title, color }) => {
  const chip = h("span", { class: "rl-chip", style: { color: `var(--rl-${color})` } });
  const written = h("p", { class: "rl-written" });
  const dot = h("i", { style: { background: `var(--rl-${color})` } });
  const card = h(
    "article",
    { class: "rl-card rl-side", "aria-label": title },
    h("h3", {}, dot, h("b", {}, title), chip),
    written,
  );
  return {
    card,
    draw: (/** @type {BestOfState} */ state, /** @type {number | null} */ place) => {
      const response = place === null ? null : state.responses[place];
      say(chip, `score ${signed(response?.score)}`);
      const prompt = h("span", { class: "rl-prompt" }, state.settings.prompt);
      fill(written, prompt, h("span", { class: "rl-tokens" }, response?.text || ""));
    },
  };
};

const listed = ({ score, text }) =>
  h(
    "p",
    { class: "rl-sample" },
    h("span", { class: "rl-chip" }, signed(score)),
    h("span", { class: "rl-tokens" }, text),
  );

// -- the part -------------------------------------------------------------------------------------

const view = () => {
  const problem = h("p", { hidden: true });
  const done = h("p", { class: "rl-verdict", "aria-live": "polite" });
  const unit = h("span", {});
  const line = scoreLine();
  const kl = h("p", {});
  const cost = soft();
  const scores = h("h3", {}, "Scores ", unit);
  const left = h("section", { class: "rl-card rl-best-words" }, scores, line.box, kl, cost);
  const expected = chartCard(EXPECTED);
  const subtitle = expected.card.querySelector("h3 span");
  const cards = PICKS.map(pickCard);
  const all = h("div", { class: "rl-sample-list" });
  const rest = fold("All responses, the best first", all);
  const shown = h(
    "div",
    { hidden: true },
    done,
    h("div", { class: "rl-grid-2" }, left, expected.card),
    h("div", { class: "rl-grid-3 rl-picks" }, ...cards.map(({ card }) => card)),
    rest,
  );
  const empty = soft(EMPTY);
  const words = { problem, empty, done, unit, kl, cost };
  return { ...words, line, expected, subtitle, cards, all, rest, shown };
};

/** @param {ReturnType<typeof view>} seen  @param {BestOfState} state */
const draw = (seen, state) => {
  const { scorer } = state.settings;
  say(seen.done, progressWords(state));
  say(seen.unit, `by ${scorer.name}, in ${scorer.unit}`);
  seen.line.draw(state);
  say(seen.kl, klWords(state));
  say(seen.cost, costWords(state));
  seen.cards.forEach((card, i) => card.draw(state, state[PICKS[i].place]));
  const { expected } = state;
  const count = expected.length;
  say(
    seen.subtitle,
    `mean score of the best of n, over all choices of n of these ${count} responses`,
  );
  seen.expected.chart.replace([{ x: expected.map((_, i) => i + 1), y: expected }]);
  seen.rest.hidden = !state.finished;
  if (state.finished) fill(seen.all, bestFirst(state).map(listed));
};

/** @param {import("../../globals").Part} part its value: the state of best-of-n */
export const mount = ({ element, props, watch }) => {
  const seen = view();
  fill(element.querySelector(".rl-best"), seen.problem, seen.empty, seen.shown);
  watch("value", () => {
    const state = props.value || {};
    showProblem(seen.problem, state.error);
    if (!state.settings) return;
    seen.empty.hidden = true;
    seen.shown.hidden = false;
    draw(seen, state);
  });
};
