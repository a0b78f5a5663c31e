// @ts-check
// What the policy wrote at a step, token by token. A slider goes back to any step whose texts were
// kept.
import { number, signed, upOrDown } from "../../lib/format.js";
import { colourings, tokensOf } from "../../lib/tokens.js";
import { fill, h, say, select } from "../../shared/dom.js";
import { openTrace } from "../../shared/navigation.js";
import { tokenLegend, tokenText } from "../../shared/token_text.js";

/** @typedef {import("../../types").SampleRow} SampleRow */

const BY = ["kl", "log_ratio", "advantage", "value", "logprob"];

const UNMEASURED = "This run was made before we measured this, so nothing is coloured.";
const CLIPPED = "the clip stopped at least one of this token\u2019s updates in this step";

/** @param {import("../../types").Scale | null} scale of the base's samples */
const unitWords = (scale) => {
  const own = "Scores here are in the scorer\u2019s own units";
  if (!scale) return `${own}.`;
  return (
    `${own}: the base\u2019s samples score ${number(scale.mean)} on average, ` +
    `with a standard deviation of ${number(scale.std)}.`
  );
};

const legendOf = (/** @type {string} */ by, /** @type {SampleRow[]} */ rows) => {
  const known = !rows.length || tokensOf(rows[0]).some((token) => token[by] !== undefined);
  if (!known) return [h("p", { class: "rl-legend" }, UNMEASURED)];
  const dotted = h("span", { class: "rl-clipped" }, "dotted");
  const more = by === "advantage" ? h("p", { class: "rl-legend" }, dotted, CLIPPED) : null;
  return [tokenLegend(by), more];
};

const sampleCard = (/** @type {SampleRow} */ row, by, { scale, clip }, trace) => {
  const green = scale ? "; green: above the base\u2019s mean" : "";
  const title = `score of this response, in the scorer\u2019s own units${green}`;
  const shade = `rl-chip ${upOrDown(row.score, scale && scale.mean)}`;
  const how = { label: "response", clips: by === "advantage", clip, trace };
  return h(
    "article",
    { class: "rl-sample" },
    h("span", { class: shade, title }, signed(row.score, 1)),
    h("p", { class: "rl-prompt" }, row.prompt),
    h("p", {}, tokenText(tokensOf(row), by, how)),
  );
};

const view = () => {
  const heading = h("h3", {});
  const range = { type: "range", min: 0, max: 0, value: 0 };
  const slider = h("input", { ...range, "aria-label": "Step whose texts are shown" });
  const labels = BY.map((one) => /** @type {[string, string]} */ ([colourings[one].label, one]));
  const by = select({ "aria-label": "Colour tokens by" }, labels);
  const list = h("div", { class: "rl-sample-list" });
  const legend = h("div", {});
  const units = h("p", { class: "rl-soft rl-units" });
  const leftOut = h("p", { class: "rl-soft" });
  const card = h(
    "section",
    { class: "rl-card rl-samples", "aria-label": "Texts of a step" },
    heading,
    h("div", { class: "rl-scrub" }, h("span", {}, "first"), slider, h("span", {}, "last")),
    h("label", { class: "rl-by" }, "Colour by ", by),
    legend,
    units,
    leftOut,
    list,
  );
  return { card, heading, slider, by, list, legend, units, leftOut };
};

/** @typedef {ReturnType<typeof view>} View */
/**
 * What the texts are drawn from.
 * @typedef {{rows: SampleRow[], leftOut: string, clip: number,
 *   scale: import("../../types").Scale | null, run: import("../../types").RunRow}} Texts
 */

// Opens the microscope at a token of a text; it shows PPO only.
const tracer = (/** @type {Texts} */ { rows, run }, /** @type {number} */ sample) =>
  run.kind === "ppo"
    ? (/** @type {number} */ token) =>
        openTrace({ run: run.id, step: rows[sample].step, sample, token })
    : undefined;

const drawTexts = (/** @type {View} */ seen, /** @type {Texts} */ texts) => {
  const { by, legend, units, leftOut, list } = seen;
  const { rows } = texts;
  // Without a value head there are no values to colour by.
  const has = (/** @type {string} */ one) => !rows.length || one in rows[0];
  for (const one of by.options) one.hidden = !has(one.value);
  if (!has(by.value)) by.value = BY[0];
  fill(legend, legendOf(by.value, rows));
  say(units, unitWords(texts.scale));
  say(leftOut, texts.leftOut);
  fill(
    list,
    rows.map((row, sample) => sampleCard(row, by.value, texts, tracer(texts, sample))),
  );
};

const drawHeading = (/** @type {View} */ { heading }, step, /** @type {number} */ total) => {
  const known = step !== undefined;
  const title = known ? `What it writes at step ${step}` : "What it writes";
  fill(heading, title, " ", h("span", {}, known ? `of ${total}` : "waiting for step 1"));
};

const setSlider = (/** @type {HTMLInputElement} */ slider, /** @type {number} */ count, follow) => {
  slider.max = String(Math.max(0, count - 1));
  slider.disabled = count < 2;
  if (follow) slider.value = slider.max;
};

/**
 * @param {import("../../shared/server.js").Server} server of the board
 * @param {(step: number) => void} moved called with the step when the slider is moved
 */
export const samples = (server, moved) => {
  const seen = view();
  const { slider } = seen;
  /** @type {Texts} */
  const texts = { rows: [], leftOut: "", scale: null, clip: 0, run: null };
  let run = null;
  let total = 0;
  let follow = true;
  let shown = null;
  /** @type {number[]} */
  let steps = [];

  const step = () => steps[Number(slider.value)];
  const draw = () => drawTexts(seen, texts);
  const load = async (/** @type {number | undefined} */ wanted, /** @type {any} */ sent) => {
    if (wanted === undefined || wanted === shown) return;
    shown = wanted;
    const asked = run;
    const ready = sent && sent.step === wanted;
    const answer = ready ? sent : await server.board_samples({ run, step: wanted });
    if (answer.error || answer.step !== shown || run !== asked) return;
    [texts.rows, texts.leftOut] = [answer.rows, answer.left_out];
    draw();
  };
  slider.oninput = () => {
    follow = Number(slider.value) === steps.length - 1;
    drawHeading(seen, step(), total);
    load(step(), null);
    moved(step());
  };
  seen.by.onchange = draw;
  return {
    card: seen.card,
    reset: () => {
      [steps, texts.rows, shown, follow] = [[], [], null, true];
      fill(seen.list);
      say(seen.leftOut, "");
    },
    // The step whose texts are shown, while the page follows the newest: the server then sends
    // newer texts with the rows.
    following: () => (follow ? (shown ?? -1) : null),
    step,
    update: (now, answer) => {
      [run, total, steps] = [now.id, now.total_steps, answer.sample_steps];
      [texts.scale, texts.clip, texts.run] = [answer.scale, answer.clip_range, now];
      setSlider(slider, steps.length, follow);
      drawHeading(seen, step(), total);
      if (answer.texts_problem) say(seen.leftOut, answer.texts_problem);
      load(step(), answer.texts);
    },
  };
};
