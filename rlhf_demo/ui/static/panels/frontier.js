// @ts-check
// All methods at equal KL: a chart, who ties with whom, and what each costs.
import {
  costCells,
  costColumns,
  heldEqualWords,
  levelRows,
  outsideWords,
  progressWords,
  seriesOf,
  tableWords,
  widthOf,
  withEarlier,
} from "../lib/frontier.js";
import { counted } from "../lib/format.js";
import { chartCard } from "../shared/charts.js";
import { fill, h, progressBar, say, select, showProblem } from "../shared/dom.js";
import { onTab } from "../shared/navigation.js";
import { answered } from "../shared/server.js";

/** @typedef {import("../types").ShownFrontier} ShownFrontier */
/** @typedef {import("../types").FrontierState} FrontierState */
/** @typedef {import("../types").JudgeView} JudgeView */

const CHART = {
  title: "Wins at each KL",
  subtitle: "",
  height: 380,
  hovermode: "closest",
  xTitle: "exact KL from the base, nats",
  yFormat: ".0%",
  lines: [{ y: 0.5, label: "as often as the base", color: "soft" }],
  series: [{ color: "ppo", mode: "markers" }],
};
const ABOUT =
  "Each point is one setting at one saved step: the mean over its seeds, with the 95% " +
  "interval of the wins. KL is exact, and summed over a response. For best-of-N we know only an " +
  "upper bound on the KL, so its line may lie too far to the right.";

const words = (/** @type {string} */ sentence) => h("p", { class: "rl-gap" }, sentence);
const quiet = (/** @type {string} */ sentence) => h("p", { class: "rl-soft rl-gap" }, sentence);

const tableRow = (/** @type {any[]} */ [name, ...cells]) => {
  const head = h("th", { scope: "row" }, name);
  return h(
    "tr",
    {},
    head,
    cells.map((cell) => h("td", {}, cell)),
  );
};

const table = (/** @type {HTMLElement[]} */ heads, /** @type {any[][]} */ rows) => {
  const head = h("thead", {}, h("tr", {}, h("td", {}), heads));
  const body = h("tbody", {}, rows.map(tableRow));
  return h("div", { class: "rl-wide-table" }, h("table", { class: "rl-table" }, head, body));
};

const heading = (/** @type {string} */ title) => h("th", { scope: "col" }, title);

// The interval stands under the rate, so that the table fits on a phone.
const winCell = (/** @type {string} */ text) => {
  const [rate, ...range] = text.split(" ");
  return [rate, h("br", {}), h("span", { class: "rl-soft" }, range.join("\u00A0"))];
};

const tiesCard = (/** @type {FrontierState} */ state, /** @type {JudgeView} */ view) => {
  const about = h("span", {}, `by ${view.judge}, with 95% intervals`);
  const levels = view.levels.map(({ kl }) => heading(`${kl} ${kl === 1 ? "nat" : "nats"}`));
  const rows = levelRows(state, view).map(([name, ...cells]) => [name, ...cells.map(winCell)]);
  return h(
    "section",
    { class: "rl-card" },
    h("h3", {}, "Wins at equal KL ", about),
    table(levels, rows),
    view.levels.map(({ sentence }) => words(sentence)),
    view.notes.map(words),
    view.own.map(({ sentence }) => words(sentence)),
    quiet(tableWords(state, view)),
  );
};

const costCard = (/** @type {FrontierState} */ state) => {
  const columns = costColumns(state.costs);
  const head = columns.map(([title]) => heading(title));
  const rows = state.costs.map((row) => [row.title, ...costCells(row, columns)]);
  const meanings = columns.map(([title, meaning]) => [h("b", {}, title), `: ${meaning}. `]);
  return h(
    "section",
    { class: "rl-card" },
    h("h3", {}, "What a run costs ", h("span", {}, "the longest run of each method")),
    table(head, rows),
    h("p", { class: "rl-soft rl-gap" }, meanings),
    quiet(heldEqualWords(state)),
  );
};

// The shapes of the chart's points, in text.
const keyEntry = (/** @type {{name: string, color: string, sign: string}} */ one) =>
  h("span", {}, h("b", { style: { color: `var(--rl-${one.color})` } }, one.sign, " "), one.name);

const view = () => {
  const problem = h("p", { hidden: true });
  const progress = progressBar("Responses written", h("i"));
  const done = h("p", { class: "rl-soft", "aria-live": "polite" });
  const busy = h("div", { class: "rl-busy", hidden: true }, progress.bar, done);
  const judge = select({}, []);
  const chart = chartCard(CHART);
  const key = h("p", { class: "rl-key" });
  const outside = h("div", {});
  const cards = h("div", {});
  const title = chart.card.querySelector("h3");
  title.after(h("label", { class: "rl-soft" }, "Judge ", judge), key);
  chart.card.append(outside, quiet(ABOUT));
  const shown = h("div", { class: "rl-cards", hidden: true }, chart.card, cards);
  return { problem, progress, done, busy, judge, chart, key, outside, cards, shown };
};

/** @typedef {ReturnType<typeof view>} View */

const draw = (/** @type {View} */ seen, /** @type {FrontierState} */ state) => {
  const names = state.judges.map(({ judge }) => judge);
  const chosen = names.includes(seen.judge.value) ? seen.judge.value : names[0];
  fill(
    seen.judge,
    names.map((name) => h("option", { value: name, selected: name === chosen }, name)),
  );
  const judged = state.judges.find(({ judge }) => judge === chosen);
  const series = seriesOf(state, judged);
  const subtitle =
    `share of wins against ${state.base} on ${state.prompts} test prompts, ` +
    `${counted(state.seeds, "seed")} of each method`;
  say(seen.chart.card.querySelector("h3 span"), subtitle);
  fill(seen.key, series.map(keyEntry));
  fill(seen.cards, tiesCard(state, judged), costCard(state));
  seen.shown.hidden = false;
  fill(seen.outside, outsideWords(judged).map(quiet));
  seen.chart.chart.replace(series, { xRange: widthOf(judged) });
};

/** @param {import("../globals").Part} part its value: a ShownFrontier of a measurement */
export const mount = ({ element, props, server, watch }) => {
  const seen = view();
  fill(element.querySelector(".rl-frontier"), seen.problem, seen.busy, seen.shown);
  /** @type {FrontierState | null} */
  let state = null;
  const show = (/** @type {FrontierState | null | undefined} */ next) => {
    state = next ? withEarlier(state, next) : state;
    if (state) draw(seen, state);
  };
  seen.judge.onchange = () => show(state);
  watch("value", () => {
    /** @type {ShownFrontier} */
    const { frontier, progress, error } = props.value || {};
    showProblem(seen.problem, error);
    seen.busy.hidden = !progress;
    if (progress) {
      seen.progress.set(progress.done / progress.total);
      say(seen.done, progressWords(progress));
    }
    show(frontier);
  });
  // The chart is drawn once its tab is open, because Plotly measures the element.
  const ask = async () => {
    if (state || element.offsetParent === null) return;
    const answer = await answered(seen.problem, server.frontier(0));
    if (answer && !state) show(answer.frontier);
  };
  onTab("compare", () => setTimeout(ask, 60));
  ask();
};
