// @ts-check
// The overlaid curves of two runs.
import { chartCard } from "../../shared/charts.js";
import { fill, h } from "../../shared/dom.js";
import { answered } from "../../shared/server.js";
import { curvesOf } from "./kinds.js";

/** @typedef {import("../../types").ListedRun} ListedRun */

const DASHES = ["solid", "dash"];
// Inside the charts the two lines are called A and B, because Plotly reads names as markup.
const NAMES = "AB";

const cardOf = (/** @type {import("../../shared/charts.js").Spec} */ spec) => {
  const { color, mode } = spec;
  const series = DASHES.map((dash, i) => ({ name: NAMES[i], color, dash, mode, size: 6 }));
  return chartCard({ ...spec, height: 230, series });
};

const legendOf = (/** @type {ListedRun[]} */ rows) => {
  const line = (row, i) => {
    const id = row.title === row.id ? null : h("small", { class: "rl-soft" }, ` ${row.id}`);
    const dash = h("i", { "data-dash": DASHES[i] });
    return h("span", {}, dash, h("b", {}, NAMES[i]), ` ${row.title}`, id);
  };
  const more = "Tick a second run of this kind to compare.";
  return [rows.map(line), rows.length === 1 ? h("span", { class: "rl-soft" }, more) : null];
};

const seriesOf = (
  /** @type {{curves: Record<string, [number, number][]>} | undefined} */ run,
  key,
) => {
  const points = run ? run.curves[key] : [];
  return { x: points.map(([step]) => step), y: points.map(([, value]) => value) };
};

/** @param {import("../../shared/server.js").Server} server */
export const overlay = (server) => {
  const root = h("section", { hidden: true, "aria-label": "Overlaid curves" });
  const problem = h("p", { hidden: true });
  const legend = h("p", { class: "rl-overlay-legend" });
  const grid = h("div", { class: "rl-grid-2" });
  fill(root, h("h2", { class: "rl-h2" }, "Overlaid curves"), legend, problem, grid);
  /** @type {import("../../shared/charts.js").ChartCard[]} */
  let cards = [];
  let shownKind = null;
  let fetched = "";

  const prepare = (/** @type {string} */ kind) => {
    if (kind === shownKind) return;
    shownKind = kind;
    cards = curvesOf(kind).map(cardOf);
    fill(
      grid,
      cards.map((one) => one.card),
    );
  };
  const draw = async (/** @type {ListedRun[]} */ rows) => {
    root.hidden = rows.length === 0;
    if (root.hidden) {
      fetched = "";
      return;
    }
    prepare(rows[0].kind);
    fill(legend, legendOf(rows));
    // A run that has ended does not change any more.
    const state = JSON.stringify(rows.map((row) => [row.id, row.step, row.status]));
    if (state === fetched) return;
    const request = { runs: rows.map((row) => row.id) };
    const answer = await answered(problem, server.run_curves(request));
    if (!answer) return;
    fetched = state;
    cards.forEach(({ chart, spec }) =>
      chart.replace(DASHES.map((_, i) => seriesOf(answer.runs[i], spec.key))),
    );
  };
  return { element: root, draw };
};
