// @ts-check
// Inside one step: the distributions of scores, ratios and values, and which words were pushed.
import { counted, number, percent, signed } from "../../lib/format.js";
import { outline } from "../../lib/series.js";
import { chartCard, keyOf } from "../../shared/charts.js";
import { fill, h, say } from "../../shared/dom.js";

/** @typedef {Record<string, any>} Details what the server sends about one step */

const HEIGHT = 210;
const BIN = 0.05; // of the ratios, from 0 to 3

export const NOTE = "rl-soft rl-inside-note";

const SPREADS = {
  scores: {
    title: "Scores of the responses",
    subtitle: "share of responses by score",
    xTitle: "score, in standard deviations of the base\u2019s scores",
    yFormat: ".0%",
    fromZero: true,
    series: [
      { name: "then", color: "soft" },
      { name: "now", color: "score" },
    ],
  },
  ratio: {
    title: "How far tokens moved",
    subtitle: "share of tokens by ratio; shaded: the clip range; last bin: 3 or more",
    xTitle: "probability \u00F7 probability before the step",
    yFormat: ".0%",
    fromZero: true,
    xRange: [0, 3],
    series: [
      { name: "epochs", color: "soft" },
      { name: "after the step", color: "ppo" },
    ],
  },
  values: {
    title: "What the value head expected",
    subtitle: "each point is a response; value: the reward expected from its middle token on",
    xTitle: "value, in standard deviations",
    hovermode: "closest",
    left: 44,
    series: [
      { name: "value and realised return", color: "score" },
      { name: "value = return", color: "soft", dash: "dot" },
    ],
  },
};

/** @param {import("../../shared/charts.js").Spec} spec */
export const cell = (spec) => {
  const one = chartCard({ height: HEIGHT, empty: "not kept for this step", ...spec });
  const keys = h("p", { class: "rl-key" }, spec.series.length > 1 ? keyOf(spec.series) : null);
  const note = h("p", { class: NOTE });
  one.card.insertBefore(keys, one.card.lastChild);
  one.card.append(note);
  return Object.assign(one, { keys, note });
};

/** @typedef {ReturnType<typeof cell>} Cell */

const MEAN =
  "The score curve shows the mean of these. Here you see how far single responses are from it.";

const drawScores = (/** @type {Cell} */ one, counts, /** @type {number} */ step) => {
  const series = [
    { name: `step ${counts.first}`, color: "soft" },
    { name: `step ${step}`, color: "score" },
  ];
  const { middles, width } = counts;
  const lines = [counts.then, counts.now].map((shares) => outline(middles, shares, width));
  fill(one.keys, keyOf(series));
  one.chart.replace(
    series.map((line, i) => ({ ...line, ...lines[i], fill: i ? "tozeroy" : undefined })),
  );
  say(one.note, MEAN);
};

const ratioWords = (clip, figures) =>
  "Measured again after the step, " +
  `${percent(figures["policy/outside_clip"], 1)} of the tokens are outside ` +
  `${number(1 - clip)} to ${number(1 + clip)}, and the middle 98% are between ` +
  `${number(figures["policy/ratio_p01"])} and ${number(figures["policy/ratio_p99"])}. ` +
  "In epoch 1 most tokens are read before many updates have been made, so their ratios are " +
  "nearer to 1 than later; in the first minibatch, before any update, they are all 1, except " +
  "for rounding. " +
  "The clip stops a token\u2019s own gradient only when its ratio is outside the range on the " +
  "side that its advantage pushes towards. It does not pull the token back, and the updates for " +
  "other tokens keep moving it.";

const drawRatios = (/** @type {Cell} */ one, /** @type {Details} */ details) => {
  const { ratio, clip_range: clip, figures } = details;
  const epochs = ratio.length - 1;
  const middles = ratio[0].map((_, bin) => BIN * (bin + 0.5));
  const shown = epochs > 1 ? [0, epochs - 1, epochs] : [0, epochs];
  const series = shown.map((at) =>
    at === epochs
      ? { name: "after the step", color: "ppo", fill: "tozeroy" }
      : { name: `when read in epoch ${at + 1}`, color: "soft", dash: at ? undefined : "dot" },
  );
  fill(one.keys, keyOf(series));
  one.chart.replace(
    series.map((line, i) => ({ ...line, ...outline(middles, ratio[shown[i]], BIN) })),
    { band: [1 - clip, 1 + clip] },
  );
  say(one.note, ratioWords(clip, figures));
};

const drawValues = (/** @type {Cell} */ one, /** @type {Details} */ { values, figures }) => {
  const all = values.flat();
  const ends = [Math.min(...all), Math.max(...all)];
  const hover = "expected %{x:.2f}, got %{y:.2f}<extra></extra>";
  const [x, y] = [0, 1].map((place) => values.map((both) => both[place]));
  one.chart.replace([
    { x, y, mode: "markers", size: 6, hover },
    { x: ends, y: ends, hover: "value = return<extra></extra>" },
  ]);
  say(
    one.note,
    "Vertical axis: the reward that came in (the score minus the KL penalty). On the dotted " +
      "line, the value head predicted it exactly. Over all tokens of the step, the fit " +
      `(R\u00B2) is ${number(figures["value/explained_variance"])}: 1 is perfect, 0 is no better ` +
      "than always predicting the mean, and below 0 is worse.",
  );
};

const epochTable = (/** @type {Record<string, any>} */ figures) => {
  const epochs = figures["policy/update_kl_by_epoch"] || [];
  const stopped = figures["policy/clip_fraction_by_epoch"] || [];
  const heads = [...epochs.map((_, i) => `epoch ${i + 1}`), "after"];
  const row = (name, unit, values) => {
    const head = h("th", { scope: "row" }, name, " ", h("span", {}, unit));
    return h(
      "tr",
      {},
      head,
      values.map((value) => h("td", {}, value)),
    );
  };
  const kls = [...epochs, figures["policy/update_kl"]].map((kl) => number(kl, 4));
  const clips = [...stopped.map((one) => percent(one, 1)), "\u2013"];
  const outside = [...epochs.map(() => "\u2013"), percent(figures["policy/outside_clip"], 1)];
  return h(
    "table",
    { class: "rl-table" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("td", {}),
        heads.map((one) => h("th", { scope: "col" }, one)),
      ),
    ),
    h(
      "tbody",
      {},
      row("KL from the policy before the step", "nats per token", kls),
      row("stopped by the clip", "of the tokens read", clips),
      row("outside the clip range", "of the tokens, measured again", outside),
    ),
  );
};

const wordList = (title, words, color) => {
  const widest = Math.max(...words.map(([, , mean]) => Math.abs(mean)), 0.01);
  const line = ([word, count, mean]) => {
    const width = `${(100 * Math.abs(mean)) / widest}%`;
    const bar = h("i", { style: { width, background: `var(--rl-${color})` } });
    return h(
      "li",
      {},
      h("b", {}, word),
      h("span", { class: "rl-word-bar" }, bar),
      h("span", {}, signed(mean)),
      h("small", {}, `${count.toLocaleString("en")} times`),
    );
  };
  const list = words.length
    ? h("ol", { class: "rl-words" }, words.map(line))
    : h("p", { class: "rl-soft" }, "None.");
  return h("section", {}, h("h4", {}, title), list);
};

const wordsWords = (/** @type {number} */ fewest) =>
  `A word is listed if it occurred at least ${fewest} times and its mean advantage is more than ` +
  "three standard errors from 0; chance alone produces hardly any such words. A word counts in " +
  "the steps in which it occurs twice or more. The standard error allows for the fact that the " +
  "words of one response are not independent. An advantage is the push that a token got: " +
  "up if the response turned out better than the value head expected from that token on " +
  "(without a value head: better than the other responses to its prompt), down if worse, " +
  "both compared with the step\u2019s other tokens. The push is not the outcome: all words share " +
  "the model\u2019s weights, so many tokens end up less likely although they were pushed up.";

const drawWords = (place, words, step) => {
  const about =
    "mean advantage, in standard deviations of a step\u2019s advantages; " +
    `the newest ${counted(words.steps, "step")} up to ${step} whose texts were kept`;
  const lists = [
    wordList("pushed up", words.up, "ppo"),
    wordList("pushed down", words.down, "below"),
  ];
  fill(
    place,
    h("h3", {}, "Words that were pushed ", h("span", {}, about)),
    h("div", { class: "rl-word-lists" }, lists),
    h("p", { class: NOTE }, wordsWords(words.fewest)),
  );
};

const EPOCHS =
  "This KL is the distance of one step, per token. The KL from the base, in the chart above, " +
  "is the whole distance since the start, per response.";

/** The charts, the table and the words of one step. */
export const spreads = () => {
  const scores = cell(SPREADS.scores);
  const ratio = cell(SPREADS.ratio);
  const values = cell(SPREADS.values);
  const table = h("div", { class: "rl-wide-table" });
  const about = "in each PPO epoch, as its tokens were read, and after the last";
  const title = h("h3", {}, "How far the step went ", h("span", {}, about));
  const epochs = h("article", { class: "rl-card" }, title, table, h("p", { class: NOTE }, EPOCHS));
  const words = h("article", { class: "rl-card" });
  const cards = [scores.card, ratio.card, epochs, values.card];
  return {
    grid: h("div", { class: "rl-grid-2" }, cards),
    words,
    draw: (/** @type {Details} */ details, /** @type {number} */ step) => {
      drawScores(scores, details.scores, step);
      drawRatios(ratio, details);
      fill(table, epochTable(details.figures));
      values.card.hidden = !details.values;
      if (details.values) drawValues(values, details);
      drawWords(words, details.words, step);
    },
  };
};
