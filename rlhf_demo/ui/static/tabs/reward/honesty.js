// @ts-check
// How far to trust a reward model: what it gets right and wrong on held-out pairs.
import { interval, percent, signed } from "../../lib/format.js";
import { votesWords } from "../../lib/quality_words.js";
import { preference, unitWords } from "../../lib/score_words.js";
import { reachOf } from "../../lib/series.js";
import { chartCard } from "../../shared/charts.js";
import { fill, fold, h, say, soft } from "../../shared/dom.js";
import { onBoard } from "../../shared/navigation.js";

/** @typedef {import("../../types").RewardReport} Report */

const CHARTS = {
  accuracy: {
    title: "Right on held-out pairs",
    subtitle: "share of pairs ordered as their labels say, with its 95% interval",
    height: 230,
    hovermode: "closest",
    xRange: [0, 1.05],
    xFormat: ".0%",
    left: 104,
    series: [{ color: "score", type: "bar", orientation: "h" }],
  },
  reliability: {
    title: "Is its confidence justified?",
    subtitle: "how often it is right, with 95% intervals, by how sure it says it is",
    height: 230,
    hovermode: "closest",
    xRange: [0.48, 1.02],
    yRange: [0, 1.05],
    xTitle: "its stated probability of being right",
    xFormat: ".0%",
    yFormat: ".0%",
    series: [
      { color: "soft", dash: "dot", name: "confidence = accuracy" },
      { color: "score", mode: "lines+markers", name: "reward model" },
    ],
  },
  margins: {
    title: "Are close calls harder?",
    subtitle:
      "how often it is right in four groups of pairs, by how sure the judge was; 95% intervals",
    height: 230,
    hovermode: "closest",
    yRange: [0, 1.08],
    yFormat: ".0%",
    series: [{ color: "score", type: "bar" }],
  },
};
const QUARTERS = ["closest", "close", "clear", "clearest"];

const drawAccuracy = (card, /** @type {Report} */ report, people, highest) => {
  const bars = [
    { name: "reward model", share: report.accuracy, color: "score" },
    highest === null ? null : { name: "highest possible", share: highest, color: "soft" },
    people === null ? null : { name: "other people", share: people, color: "base" },
    { name: `the ${report.baseline_side} text`, share: report.baseline_length, color: "soft" },
    { name: "a coin flip", share: 0.5, color: "soft" },
  ];
  const drawn = bars.filter((bar) => bar !== null).reverse(); // Plotly begins at the bottom
  const rest = drawn.slice(1).map(() => NaN); // no error bar
  const error = {
    type: "data",
    symmetric: false,
    array: [...rest, report.accuracy_high - report.accuracy],
    arrayminus: [...rest, report.accuracy - report.accuracy_low],
  };
  card.chart.replace([
    {
      x: drawn.map((bar) => bar.share),
      y: drawn.map((bar) => bar.name),
      hover: "%{x:.1%}<extra></extra>",
      text: drawn.map((bar) => percent(bar.share)),
      textposition: "inside",
      anchor: "start",
      width: 0.6,
      colors: drawn.map((bar) => bar.color),
      error,
    },
  ]);
};

const drawReliability = (card, bins) => {
  card.card.hidden = !bins.length;
  const observed = bins.map((bin) => bin.observed);
  const lows = bins.map((bin) => bin.observed_low);
  const highs = bins.map((bin) => bin.observed_high);
  card.chart.replace([
    { x: [0.5, 1], y: [0.5, 1], hover: "<extra></extra>" },
    {
      x: bins.map((bin) => bin.predicted),
      y: observed,
      size: 9,
      mode: "markers",
      reach: reachOf(observed, lows, highs),
      detail: bins.map((bin, i) => `${interval(lows[i], highs[i])} of ${bin.pairs} pairs`),
      hover: "says %{x:.0%}, is right %{y:.0%} %{customdata}<extra></extra>",
    },
  ]);
};

const drawMargins = (card, quarters) => {
  card.card.hidden = !quarters.length;
  const shares = quarters.map((one) => one.accuracy);
  const lows = quarters.map((one) => one.accuracy_low);
  const highs = quarters.map((one) => one.accuracy_high);
  card.chart.replace([
    {
      x: quarters.map((_, i) => QUARTERS[i]),
      y: shares,
      text: shares.map((share) => percent(share)),
      reach: { ...reachOf(shares, lows, highs), color: "ink" },
      detail: quarters.map((one, i) => `${interval(lows[i], highs[i])} of ${one.pairs} pairs`),
      hover: "%{y:.1%} %{customdata}<extra></extra>",
      textposition: "inside",
      anchor: "start",
    },
  ]);
};

const wrongPair = (pair, factor) => {
  const doubt = percent(preference(-pair.margin, factor), 1);
  const title =
    "its score of the preferred text minus its score of the rejected one; " +
    `it gives a probability of ${doubt} that the rejected one is better`;
  return h(
    "article",
    { class: "rl-sample" },
    h("span", { class: "rl-chip rl-down", title }, signed(pair.margin)),
    h("p", { class: "rl-prompt" }, pair.prompt),
    h("p", {}, h("span", { class: "rl-soft" }, "the label preferred "), pair.chosen),
    h("p", {}, h("span", { class: "rl-soft" }, "the model preferred "), pair.rejected),
  );
};

const view = () => {
  const accuracy = chartCard(CHARTS.accuracy);
  const reliability = chartCard(CHARTS.reliability);
  const margins = chartCard(CHARTS.margins);
  const worst = h("div", {});
  const voted = h("p", { class: "rl-soft rl-voted", hidden: true });
  const empty = soft("The report appears when the run has finished.");
  const few = soft();
  const unit = soft();
  const charts = [accuracy, reliability, margins].map((one) => one.card);
  const panel = h(
    "div",
    {},
    voted,
    h("div", { class: "rl-grid-3" }, charts),
    few,
    fold("The pairs it gets most wrong", unit, worst),
  );
  return { accuracy, reliability, margins, worst, voted, empty, few, unit, panel };
};

const draw = (seen, { report, people, votes, rater }) => {
  const { voted, empty, few, unit, panel, worst } = seen;
  empty.hidden = !!report;
  panel.hidden = !report;
  if (!report) return;
  voted.hidden = !votes && !rater;
  say(voted, votes ? votesWords(votes) : rater);
  drawAccuracy(seen.accuracy, report, people, votes ? votes.highest_accuracy : null);
  say(unit, unitWords(report.score_std));
  few.hidden = report.reliability.length > 0;
  const pairs = report.different_pairs;
  say(few, `${pairs} held-out pairs are too few to tell whether its confidence is justified.`);
  drawReliability(seen.reliability, report.reliability);
  drawMargins(seen.margins, report.margin_quartiles);
  fill(
    worst,
    report.most_wrong.map((pair) => wrongPair(pair, report.score_std)),
  );
};

/** @param {import("../../globals").Part} part */
export const mount = ({ element, server }) => {
  const seen = view();
  const title = h("h2", { class: "rl-h2" }, "How far to trust it");
  fill(element.querySelector(".rl-honesty"), title, seen.empty, seen.panel);

  const ended = { failed: "failed", stopped: "was stopped" };
  let shown = null;
  onBoard(async ({ kind, run }) => {
    const key = `${run.id} ${run.status}`;
    if (kind !== "reward" || key === shown) return;
    shown = key;
    const over = ended[run.status];
    const none = `This run ${over}, so there is no report.`;
    say(seen.empty, over ? none : "The report appears when the run has finished.");
    const answer = await server.reward_report({ run: run.id });
    if (!answer.error) draw(seen, answer);
  });
};
