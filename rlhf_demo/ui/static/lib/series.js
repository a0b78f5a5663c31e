// @ts-check
// How a chart prepares its figures for drawing.

/**
 * The mean of the last few values, for series that are noisy from step to step.
 * @param {number[]} ys
 * @param {number} count
 */
export const smoothed = (ys, count) =>
  ys.map((_, i) => {
    const last = ys.slice(Math.max(0, i - count + 1), i + 1);
    return last.reduce((total, y) => total + y, 0) / last.length;
  });

/**
 * A histogram as a line with a step at each edge of a bin, down to 0 at both ends.
 * @param {number[]} middles of the bins
 * @param {number[]} shares
 * @param {number} width of a bin
 */
export const outline = (middles, shares, width) => ({
  x: [middles[0] - width, ...middles, middles.at(-1) + width],
  y: [0, ...shares, 0],
  shape: "hvh",
  hover: "%{y:.1%} at %{x:.2f}<extra>%{fullData.name}</extra>",
});

/**
 * The outline of a band of one standard error each way.
 * @param {{x: number[], y: number[], spread: number[]}} series
 */
export const band = ({ x, y, spread }) => {
  const edge = (/** @type {number} */ sign) => y.map((one, i) => one + sign * spread[i]);
  return { x: [...x, ...[...x].reverse()], y: [...edge(1), ...edge(-1).reverse()] };
};

/** @typedef {{x: number[], y: number[], detail?: number[], spread?: number[]}} Points */

/**
 * The points that new rows add to each series of a chart. Some rows lack some figures.
 * @param {{x?: string, series: {key: string, spread_key?: string}[]}} spec
 * @param {import("../types").Columns} from the rows, as columns
 * @returns {Points[]}
 */
export const pointsOf = (spec, from) =>
  spec.series.map((one) => {
    const names = [spec.x || "step", one.key, one.spread_key];
    const [xs, ys, spreads] = names.map((name) => from[name] || []);
    const is = ys.map((_, i) => i).filter((i) => [xs[i], ys[i]].every(known));
    const points = { x: is.map((i) => xs[i]), y: is.map((i) => ys[i]) };
    const detail = spec.x ? { detail: is.map((i) => from.step[i]) } : {};
    const spread = is.some((i) => typeof spreads[i] === "number");
    return { ...points, ...detail, ...(spread ? { spread: is.map((i) => spreads[i] ?? 0) } : {}) };
  });

/**
 * Whether a run has none of a chart's figures: a method without a value head has no value loss.
 * @param {{series: {key: string}[]}} spec
 * @param {import("../types").Columns} columns all rows so far
 */
export const lacks = (spec, columns) =>
  (columns.step || []).length > 0 &&
  spec.series.every((one) => !(columns[one.key] || []).some(known));

const known = (/** @type {unknown} */ value) => value !== null && value !== undefined;

/**
 * Error bars of shares with intervals, in Plotly's format.
 * @param {number[]} shares
 * @param {number[]} lows
 * @param {number[]} highs
 */
export const reachOf = (shares, lows, highs) => ({
  type: "data",
  symmetric: false,
  array: shares.map((one, i) => highs[i] - one),
  arrayminus: shares.map((one, i) => one - lows[i]),
});

/**
 * Error bars in which only the newest point has one.
 * @param {number} count of points
 * @param {number | undefined} share of the newest; undefined where there is none
 * @param {number} [low]
 * @param {number} [high]
 */
export const newestReach = (count, share, low, high) => {
  const passed = Array(Math.max(0, count - 1)).fill(0);
  const own = (/** @type {number} */ length) => (count ? [...passed, length] : []);
  return {
    type: "data",
    symmetric: false,
    array: own(high - share),
    arrayminus: own(share - low),
  };
};
