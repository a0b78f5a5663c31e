// @ts-check
// What the policy wrote at a step, token by token; a slider goes back to any step whose texts were
// kept.
import { number, signed, upOrDown } from "../../lib/format.js";
import { colourings, tokensOf } from "../../lib/tokens.js";
import { fill, h, say, select } from "../../shared/dom.js";
import { tokenLegend, tokenText } from "../../shared/token_text.js";

/** @typedef {import("../../types").SampleRow} SampleRow */

const BY = ["kl", "log_ratio", "advantage", "value", "logprob"];

const UNMEASURED = "This run was made before this was measured: nothing is coloured.";
const CLIPPED = "the clip stopped at least one of this token\u2019s updates in this step";

/** @param {import("../../types").Scale | null} scale of the base's samples */
const unitWords = (scale) => {
  const own = "Scores here are in the scorer\u2019s own units";
  if (!scale) return `${own}.`;
  return (
    `${own}: the base\u2019s samples have ${number(scale.mean)} on average, ` +
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

const sampleCard = (/** @type {SampleRow} */ row, by, scale, clip) => {
  const green = scale ? "; green: above the base\u2019s mean" : "";
  const title = `score of this response, the scorer\u2019s own units${green}`;
  const shade = `rl-chip ${upOrDown(row.score, scale && scale.mean)}`;
  const how = { label: "response", clips: by === "advantage", clip };
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
  const card = h(
    "section",
    { class: "rl-card rl-samples", "aria-label": "Texts of a step" },
    heading,
    h("div", { class: "rl-scrub" }, h("span", {}, "first"), slider, h("span", {}, "last")),
    h("label", { class: "rl-by" }, "Colour by ", by),
    legend,
    units,
    list,
  );
  return { card, heading, slider, by, list, legend, units };
};

/**
 * @param {import("../../shared/server.js").Server} server of the board
 * @param {(step: number) => void} told called with the step when somebody moves the slider
 */
export const samples = (server, told) => {
  const { card, heading, slider, by, list, legend, units } = view();
  let run = null;
  let total = 0;
  let follow = true;
  let shown = null;
  let clip = 0;
  /** @type {number[]} */
  let steps = [];
  /** @type {SampleRow[]} */
  let rows = [];
  /** @type {import("../../types").Scale | null} */
  let scale = null;

  const step = () => steps[Number(slider.value)];
  const draw = () => {
    fill(legend, legendOf(by.value, rows));
    say(units, unitWords(scale));
    fill(
      list,
      rows.map((row) => sampleCard(row, by.value, scale, clip)),
    );
  };
  const load = async (/** @type {number | undefined} */ wanted, texts) => {
    if (wanted === undefined || wanted === shown) return;
    shown = wanted;
    const of = run;
    const ready = texts && texts.step === wanted;
    const answer = ready ? texts : await server.board_samples({ run, step: wanted });
    if (answer.error || answer.step !== shown || run !== of) return;
    rows = answer.rows;
    draw();
  };
  const head = () => {
    const title = steps.length ? `What it writes at step ${step()}` : "What it writes";
    fill(heading, title, " ", h("span", {}, steps.length ? `of ${total}` : "waiting for step 1"));
  };
  slider.oninput = () => {
    follow = Number(slider.value) === steps.length - 1;
    head();
    load(step());
    told(step());
  };
  by.onchange = draw;
  return {
    card,
    reset: () => {
      [steps, rows, shown, follow] = [[], [], null, true];
      fill(list);
    },
    // The step whose texts are shown, while the newest ones are wanted: newer ones then come with
    // the rows.
    following: () => (follow ? (shown ?? -1) : null),
    step,
    update: (now, answer) => {
      run = now.id;
      total = now.total_steps;
      steps = answer.sample_steps;
      scale = answer.scale;
      clip = answer.clip_range;
      slider.max = String(Math.max(0, steps.length - 1));
      slider.disabled = steps.length < 2;
      if (follow) slider.value = slider.max;
      head();
      load(step(), answer.texts);
    },
  };
};
