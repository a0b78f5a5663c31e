// @ts-check
// The curves of over-optimisation: which lines the two charts draw, and what the page says.
import { counted, percent } from "./format.js";

/** @typedef {import("../types").Study} Study */
/** @typedef {import("../types").Text} Text */
/** @typedef {"ppo" | "best_of_n"} Way */

const COLORS = ["warn", "kl", "base"]; // of few, some and many pairs
const HOVER = "%{y:+.2f} at %{customdata:.3~g} nats<extra>%{fullData.name}</extra>";

/**
 * The colour of a number of pairs: that of the nearest shipped size.
 * @param {number} pairs
 * @param {number[]} sizes the shipped ones, the smallest first
 */
export const colorOf = (pairs, sizes) => {
  const place = sizes.filter((size) => size < pairs).length;
  return COLORS[Math.min(place, COLORS.length - 1)];
};

export const nameOf = (/** @type {number} */ pairs) => `${pairs.toLocaleString("en")} pairs`;

/**
 * The key of both charts.
 * @param {Study[]} studies
 * @param {number[]} sizes the shipped ones
 */
export const keysOf = (studies, sizes) => {
  const scorers = [
    { name: "proxy", color: studies.length === 1 ? colorOf(studies[0].pairs, sizes) : "soft" },
    { name: "judge", color: studies.length === 1 ? "ink" : "soft", dash: "dash" },
  ];
  const colors = studies.map(({ pairs }) => ({
    name: nameOf(pairs),
    color: colorOf(pairs, sizes),
  }));
  return studies.length === 1 ? scorers : [...colors, ...scorers];
};

const seriesOf = (drawn, name, color, more) => {
  const xs = drawn.map(([distance]) => distance);
  const detail = xs.map((distance) => distance ** 2);
  const y = drawn.map(([, gain]) => gain);
  return { x: xs, y, detail, name, color, hover: HOVER, ...more };
};

/**
 * The series of one chart: the proxy's lines are solid, the judge's dashed.
 * @param {Study[]} studies
 * @param {Way} way
 * @param {{sizes: number[], points: boolean}} how with `points`, the single measurements too
 */
export const linesOf = (studies, way, { sizes, points }) =>
  studies.flatMap((study) => {
    const color = colorOf(study.pairs, sizes);
    return /** @type {const} */ (["proxy", "judge"]).flatMap((scorer) => {
      const { points: measured, line } = study[way][scorer];
      const name = `${scorer}, ${nameOf(study.pairs)}`;
      const open = scorer === "judge";
      const dots = { mode: "markers", size: 5, faint: true };
      const dash = open ? "dash" : undefined;
      return [
        ...(points ? [seriesOf(measured, name, open ? "ink" : color, dots)] : []),
        seriesOf(line, name, open && points ? "ink" : color, { mode: "lines", dash }),
      ];
    });
  });

/**
 * How good the proxy is, how often it was trained, and who judges.
 * @param {Study} study
 */
export const proxyWords = ({ seeds, accuracy, judge }) => {
  const right =
    accuracy === null
      ? "its accuracy is not measured yet"
      : `right on ${percent(accuracy)} of held-out pairs`;
  const times = seeds > 1 ? `${counted(seeds, "seed")} together; ` : "";
  return `${right}; ${times}judged by ${judge}, which is simulated`;
};

/**
 * Which step a text is from, and among how many.
 * @param {Pick<Text, "step">} text
 * @param {number} place among the texts of a study
 * @param {Pick<Study, "texts" | "batch_size" | "seeds">} study
 */
export const textTitle = ({ step }, place, { texts, batch_size: all, seeds }) => {
  const inside = place < texts.length - 1 ? "where the judge\u2019s mean is highest" : "the last";
  const which = place === 0 ? "the base" : inside;
  return `Step ${step}, ${which}: one of ${all} texts${seeds > 1 ? ", first seed" : ""}`;
};
