// @ts-check
// The KL penalty: the shipped curves of a reward pushed too far, and the best policy on a leash.
import { number, signed } from "../../lib/format.js";
import { keysOf, linesOf } from "../../lib/overoptimisation.js";
import { best, divergence } from "../../lib/softmax.js";
import { chartCard, keyOf } from "../../shared/charts.js";
import { button, fill, h, say, soft } from "../../shared/dom.js";
import { openTab } from "../../shared/navigation.js";
import { askFor } from "../../shared/predictions.js";
import { asking, pieceWords, shareBar, slider } from "./controls.js";

/** @typedef {import("../../types").LeashLook} Look */

const CHART = {
  title: "PPO without a KL penalty",
  subtitle: "gain over the base, in standard deviations of its scores",
  height: 260,
  xTitle: "square root of KL from the base",
  xFormat: ".3~g",
  hovermode: "closest",
  x: "distance",
  lines: [{ y: 0, label: "base", dash: "dot", color: "soft" }],
  series: [{ color: "score" }],
};
const OPTIMUM =
  "Of all policies, the best one under a KL penalty gives each response the base\u2019s " +
  "probability times exp(score / beta), divided by the sum of these products over all " +
  "responses. Here the responses are the base\u2019s twelve most likely next words. With a small " +
  "beta, the penalty is cheap, and the word with the highest score takes all the probability.";
const AXIS =
  "Dots: single measurements. Lines: the curves fitted to them. Where the axis says 7, the KL " +
  "is 49 nats per text.";
const EXPERIMENT = "Run it yourself: PPO with a KL penalty of 0";

const texts = (/** @type {Look} */ { study }) =>
  study.texts.map(({ step, prompt, response }) =>
    h(
      "p",
      {},
      h("span", { class: "rl-soft" }, `Step ${step}: `),
      h("span", { class: "rl-prompt" }, prompt),
      response,
    ),
  );

/** @param {import("./views.js").Stage} stage */
export const leash = ({ look }) => {
  /** @type {Look | null} */
  let shown = null;
  const chart = chartCard(CHART);
  const key = h("p", { class: "rl-key" });
  const samples = h("div", {});
  const bars = h("div", { class: "rl-bars" });
  const summary = h("p", { class: "rl-soft" });
  const ask = asking("Text", async (request) => show(await look(request)), { withModel: false });
  const beta = slider("Beta", { min: 0.02, max: 2, step: 0.02, value: 0.3 }, () => drawBest());

  const drawBest = () => {
    const { tokens, reference, scores } = shown;
    const policy = best(reference, scores, Number(beta.input.value));
    const row = (/** @type {string} */ token, /** @type {number} */ i) =>
      h(
        "div",
        { class: "rl-bar-row" },
        h("span", {}, pieceWords(token)),
        shareBar(policy[i], "ppo"),
        h("b", {}, number(policy[i], 3)),
        h("span", { class: "rl-soft" }, signed(scores[i], 1)),
      );
    fill(bars, tokens.map(row));
    const mean = policy.reduce((sum, share, i) => sum + share * scores[i], 0);
    const kl = number(divergence(policy, reference), 2);
    const figures = `Mean score ${signed(mean, 2)}, ${kl} nats from the base.`;
    say(summary, `${figures} The scores are on the right.`);
  };
  const show = (/** @type {Look | null} */ next) => {
    if (!next) return;
    shown = next;
    ask.set(next);
    const sizes = [next.study.pairs];
    chart.chart.replace(linesOf([next.study], "ppo", { sizes, points: true }));
    fill(key, keyOf(keysOf([next.study], sizes)));
    fill(samples, texts(next));
    drawBest();
  };
  const experiment = button(EXPERIMENT, () => {
    openTab("ppo");
    askFor("no-kl");
  });
  const optimum = h(
    "details",
    { class: "rl-fold" },
    h("summary", {}, "The best policy under a KL penalty, exactly"),
    h("p", {}, OPTIMUM),
    ask.line,
    h("div", { class: "rl-sliders" }, beta.line),
    bars,
    summary,
  );
  return { element: h("div", {}, key, chart.card, soft(AXIS), samples, experiment, optimum), show };
};
