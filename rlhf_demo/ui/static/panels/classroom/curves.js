// @ts-check
// The charts of a class: votes coming in, the reward model over votes, and the blind vote.
import { ofPPO } from "../../lib/blind_result.js";
import { newest, ofThem } from "../../lib/class_words.js";
import { newestReach } from "../../lib/series.js";
import { chartCard } from "../../shared/charts.js";
import { h, say } from "../../shared/dom.js";

/** @typedef {import("../../types").ClassState} ClassState */

const HALF = { y: 0.5, dash: "dot", color: "soft", left: true };
const SHARES = { yRange: [0, 1.05], yFormat: ".0%", hoverFormat: ".0%", xTitle: "votes" };
const COMING = {
  title: "Votes coming in",
  subtitle: "during this round",
  height: 150,
  fromZero: true,
  series: [{ name: "votes", color: "base", type: "bar" }],
  hoverFormat: "d",
  xTitle: "minutes",
};
const CURVE = {
  title: "Reward model: accuracy on held-out votes",
  subtitle: "by number of votes",
  height: 150,
  ...SHARES,
  series: [
    { name: "accuracy", color: "score", mode: "lines+markers" },
    { name: "highest possible", color: "base", dash: "dot", mode: "lines+markers", size: 5 },
  ],
  lines: [],
};
const WINS = {
  title: "Blind vote: PPO preferred to base",
  subtitle: "as the votes came in; the interval is for the final result",
  height: 190,
  ...SHARES,
  series: [{ name: "PPO preferred", color: "ppo" }],
  lines: [{ ...HALF, label: "no difference" }],
};

const subtitle = (chart, /** @type {string} */ words) =>
  say(chart.card.querySelector("h3 > span"), words);

const drawComing = (coming, /** @type {ClassState} */ view) => {
  const { seconds, counts } = view.coming;
  const minutes = seconds / 60;
  subtitle(coming, `during this round${ofThem(view.simulated)}`);
  const x = counts.map((_, i) => (i + 0.5) * minutes);
  const xRange = [0, Math.max(1, counts.length) * (minutes || 1)];
  coming.chart.replace([{ x, y: counts, width: 0.85 * minutes }], { xRange });
};

const curveSubtitle = (/** @type {ReturnType<typeof newest>} */ now) => {
  const tells = now && !now.too_few;
  const interval =
    "; interval: for the newest model, widened because you look at up to 20 models in turn";
  const dotted = "; dotted: highest possible";
  const some = now && now.simulated;
  const share = now && `${now.simulated} of the newest model\u2019s ${now.votes} votes`;
  const simulated = some ? `; ${share} are simulated` : "";
  const most = tells && now.highest !== null ? dotted : "";
  return `by number of votes${tells ? interval : ""}${most}${simulated}`;
};

const drawCurve = (curve, /** @type {ClassState} */ view) => {
  subtitle(curve, curveSubtitle(newest(view)));
  const told = view.history.filter((one) => !one.too_few);
  const x = told.map((one) => one.votes);
  const last = told.at(-1);
  const reach = newestReach(told.length, last?.accuracy, last?.low, last?.high);
  const lines = [{ ...HALF, label: "coin flip" }];
  const series = [
    { x, y: told.map((one) => one.accuracy), reach },
    { x, y: told.map((one) => one.highest) },
  ];
  curve.chart.replace(series, { lines, xRange: [0, 1.1 * Math.max(100, ...x)] });
};

const drawWins = (wins, /** @type {ClassState} */ { blind }) => {
  wins.card.hidden = !(blind && blind.revealed && blind.votes);
  if (wins.card.hidden) return;
  const end = "as the votes came in; the interval is for the final result";
  const some = blind.simulated ? `; ${blind.simulated} of ${blind.votes} votes are simulated` : "";
  subtitle(wins, `${end}${some}`);
  const { series, contender } = blind;
  const [rate, low, high] = ofPPO(contender, blind.rate, blind.low, blind.high);
  const x = series.map(([votes]) => votes);
  const y = series.map(([, one]) => ofPPO(contender, one)[0]);
  wins.chart.replace([{ x, y, reach: newestReach(series.length, rate, low, high) }]);
};

export const classCurves = () => {
  const coming = chartCard(COMING);
  const curve = chartCard(CURVE);
  const wins = chartCard(WINS);
  return {
    wins: wins.card,
    grid: h("div", { class: "rl-grid-2" }, coming.card, curve.card),
    draw: (/** @type {ClassState} */ view) => {
      drawComing(coming, view);
      drawCurve(curve, view);
      drawWins(wins, view);
    },
  };
};
