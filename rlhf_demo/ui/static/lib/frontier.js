// @ts-check
// The methods at equal KL: what the page says and draws of a frontier.
import { counted, interval, number, percent } from "./format.js";
import { reachOf } from "./series.js";

/** @typedef {import("../types").FrontierState} FrontierState */
/** @typedef {import("../types").JudgeView} JudgeView */
/** @typedef {import("../types").Mark} Mark */
/** @typedef {import("../types").CostRow} CostRow */

export const BEST_OF_N = "best-of-n";
const LIST = new Intl.ListFormat("en-GB");

// Shapes too, because colours alone do not tell everybody six methods apart.
/** @type {Record<string, {color: string, symbol: string, sign: string}>} */
export const LOOKS = {
  ppo: { color: "ppo", symbol: "circle", sign: "\u25CF" },
  rloo: { color: "kl", symbol: "square", sign: "\u25A0" },
  grpo: { color: "below", symbol: "diamond", sign: "\u25C6" },
  dpo: { color: "score", symbol: "triangle-up", sign: "\u25B2" },
  sft: { color: "warn", symbol: "cross", sign: "\u271A" },
  [BEST_OF_N]: { color: "base", symbol: "circle-open", sign: "\u25CB" },
};
const OWN = { color: "ink", symbol: "star", sign: "\u2605" };
const HOVER = "%{y:.0%} %{customdata}<extra>%{fullData.name}</extra>";

/** @param {Mark} mark */
const detailOf = ({ arm, setting, step, seeds, kl, kl_low, kl_high, low, high, ...mark }) => {
  const spread = seeds > 1 ? `, ${number(kl_low)} to ${number(kl_high)} over ${seeds} seeds` : "";
  const place =
    arm === BEST_OF_N ? `N = ${step}, at most` : `${setting || "default"}, step ${step},`;
  const different = mark.distinct_2 === null ? "" : `<br>distinct-2 ${number(mark.distinct_2)}`;
  return `${interval(low, high)}<br>${place} ${number(kl)} nats${spread}${different}`;
};

/** @param {Mark[]} marks */
const pointsOf = (marks) => ({
  x: marks.map(({ kl }) => kl),
  y: marks.map(({ mean }) => mean),
  detail: marks.map(detailOf),
  reach: reachOf(
    marks.map(({ mean }) => mean),
    marks.map(({ low }) => low),
    marks.map(({ high }) => high),
  ),
});

/**
 * The chart's series: best-of-N as a line, each method as points, each run of a visitor's joined.
 * @param {FrontierState} state
 * @param {JudgeView} view
 */
export const seriesOf = ({ arms }, view) => {
  const methods = arms.map(({ arm, title }) => ({
    name: title,
    hover: HOVER,
    mode: arm === BEST_OF_N ? "lines+markers" : "markers",
    size: arm === BEST_OF_N ? 6 : 9,
    ...LOOKS[arm],
    ...pointsOf(view.marks.filter((mark) => mark.arm === arm)),
  }));
  const own = view.own.map(({ name, marks }) => ({
    name,
    hover: HOVER,
    mode: "lines+markers",
    dash: "dot",
    size: 11,
    ...OWN,
    ...pointsOf(marks),
  }));
  return [...methods, ...own];
};

/**
 * The x axis, in nats. It ends where the record does: a run may lie a hundred times as far from
 * the base as all methods, whose points would then lie on top of each other.
 * @param {JudgeView} view
 */
export const widthOf = ({ marks }) => [0, 1.05 * Math.max(1, ...marks.map((mark) => mark.kl_high))];

/**
 * Sentences about measured runs that have points outside the chart.
 * @param {JudgeView} view
 */
export const outsideWords = (view) => {
  const [, end] = widthOf(view);
  return view.own.flatMap(({ name, marks }) => {
    const outside = marks.map(({ kl }) => kl).filter((kl) => kl > end);
    if (!outside.length) return [];
    return (
      `The chart ends at ${end.toFixed(1)} nats. Outside it, ${name} has ${outside.length} of ` +
      `${counted(marks.length, "point")}, up to ${Math.max(...outside).toFixed(1)} nats.`
    );
  });
};

/**
 * The next state, with the runs that were measured on this page before. The server sends only the
 * run that was asked for.
 * @param {FrontierState | null} before
 * @param {FrontierState} next
 */
export const withEarlier = (before, next) => {
  if (!before) return next;
  const judges = next.judges.map((view, index) => {
    const names = view.own.map(({ name }) => name);
    const earlier = before.judges[index].own.filter(({ name }) => !names.includes(name));
    return { ...view, own: [...earlier, ...view.own] };
  });
  return { ...next, judges };
};

/** @param {import("../types").Interval | undefined} wins */
export const winWords = (wins) =>
  wins ? `${percent(wins.mean)} ${interval(wins.low, wins.high)}` : "\u2013";

/**
 * The rows of the table at equal KL: a method's name, and its wins at each KL.
 * @param {FrontierState} state
 * @param {JudgeView} view
 */
export const levelRows = ({ arms }, view) =>
  arms.map(({ arm, title }) => [title, ...view.levels.map((level) => winWords(level.wins[arm]))]);

const TIES =
  "Two methods tie if the interval of their difference, before rounding, contains 0: this test " +
  "cannot say which wins more. A tie does not show that they are equal.";
const INTERVALS =
  "Each interval in the table holds by itself in 95% of cases. The intervals of differences, in " +
  "the sentences below the table, are wider, so that all at one KL hold at once in 95% of cases " +
  "(Bonferroni). Differences are taken prompt by prompt";
const BETWEEN =
  "We interpolate wins between two measured points. All settings and saved steps of a seed make " +
  "one curve, so one of the two points may be half-trained and stand below a finished run. " +
  "We do not extrapolate: a dash means that at " +
  "least one seed of the method was not measured on both sides of this KL.";
const TWO =
  "Two seeds say little about the spread of the seeds, so some intervals are very wide, and some " +
  "pairs may tie only because there are so few seeds.";
const ALONE =
  "A measured run is one seed: its interval covers the prompts, not what another seed would " +
  "have given.";

/**
 * What the table at equal KL and its sentences mean.
 * @param {FrontierState} state
 * @param {JudgeView} view
 */
export const tableWords = ({ seeds }, { own }) => {
  const intervals = `${INTERVALS}${seeds > 1 ? ", and the spread of the seeds counts" : ""}.`;
  const few = seeds === 2 ? [TWO] : [];
  return [TIES, intervals, ...few, BETWEEN, ...(own.length ? [ALONE] : [])].join(" ");
};

/** The columns of the table of costs: title, meaning, and the figure's key. */
/** @type {[string, string, keyof CostRow][]} */
export const COSTS = [
  ["labels", "judged pairs that it, or its reward model, learned from", "labels"],
  ["texts sampled", "responses that it sampled to learn from", "generated"],
  ["reward calls", "texts that the reward model scored for it", "reward_calls"],
  ["texts read", "texts that its updates used; a text used twice counts twice", "read"],
  ["seconds", "one run in the default setting, with nothing else on two CPU cores", "seconds"],
  ["texts per answer", "responses that it samples for each answer", "answer"],
];

/**
 * The columns for which some row has a figure.
 * @param {CostRow[]} rows
 */
export const costColumns = (rows) =>
  COSTS.filter(([, , key]) => rows.some((row) => row[key] !== undefined));

/**
 * @param {CostRow} row
 * @param {typeof COSTS} columns
 */
export const costCells = (row, columns) =>
  columns.map(([, , key]) => {
    const value = row[key];
    if (value === undefined || value === "") return "\u2013";
    return typeof value === "number" ? Math.round(value).toLocaleString("en") : value;
  });

/** @param {FrontierState} state */
export const heldEqualWords = ({ costs }) => {
  const trained = costs.filter(({ arm }) => arm in LOOKS && arm !== BEST_OF_N);
  const texts = trained.map(({ title, generated, read }) => {
    const count = (generated || read).toLocaleString("en");
    return `${title} ${generated ? "sampled" : "read"} ${count}`;
  });
  const scored = trained.filter((row) => row.reward_calls).map(({ title }) => title);
  return (
    "Held equal: the base, the labelled pairs and the prompts. The number of texts is not equal: " +
    `${texts.join(", ")}. ${LIST.format(scored)} also need the reward model. ` +
    "Best-of-N is not trained: it samples N texts for each response instead."
  );
};

/** @param {import("../types").Progress} progress */
export const progressWords = ({ run, done, total }) =>
  done === 0
    ? "Loading any model that is not in memory yet."
    : `${run} has written ${done} of ${total} responses.`;
