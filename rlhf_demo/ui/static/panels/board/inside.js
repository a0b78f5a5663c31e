// @ts-check
// The fold "Inside a step": one step, and curves over all steps that need an explanation. It asks
// the server nothing while folded.
import { fill, h, say, soft } from "../../shared/dom.js";
import { cell, spreads } from "./spreads.js";

const NOTHING =
  "There is nothing to draw: this run has not finished its first step, an older version made it, " +
  "or its details are too large to show.";
const MEASURED =
  "so a step has no rollout to look into. The first two curves below are measured on texts " +
  "that the policy writes at some steps.";
const OFFLINE = new Map([
  ["dpo", `DPO learns from pairs, ${MEASURED}`],
  ["sft", `SFT learns from given texts, ${MEASURED}`],
]);
const AGREEMENT =
  "Measured on what the policy writes now, not on what the reward model was trained on. With 32 " +
  "responses, chance alone moves the share by about its standard error. It also falls because " +
  "training makes the scores of the texts more alike, and close pairs are harder to order. " +
  "So compare steps with a similar spread of scores: a lasting fall between those suggests that " +
  "the policy has moved beyond what the reward model knows.";
const GRADIENT =
  "The limit applies to the sum of the gradients of the losses. If there is a value loss and its " +
  "gradient is longer than the policy loss\u2019s, it takes most of the limit. The parts are " +
  "measured at the first update of every fifth step. " +
  "They point in different directions, so their lengths do not add up.";
const CUT = "Scaling a gradient down to the limit keeps its direction.";
const NO_JUDGE = "This run has no judge, so only the score is drawn.";
const NO_AGREEMENT = "this run has no judge";
const NO_FIGURE = "not measured in this run so far";

// The notes of the curves that depend on the run.
const explain = (/** @type {import("./spreads.js").Cell[]} */ curves, judge, kind, open) => {
  const [judged, agreement, gradient] = curves;
  say(judged.note, judge ? judge.note : NO_JUDGE);
  say(agreement.note, judge ? AGREEMENT : "");
  say(gradient.note, kind === "ppo" ? GRADIENT : ""); // other methods have no value loss
  const empty = judge ? NO_FIGURE : NO_AGREEMENT;
  if (agreement.spec.empty === empty) return;
  agreement.spec.empty = empty;
  if (open) agreement.chart.draw();
};

// The part of the fold that shows one step.
const oneStep = () => {
  const heading = h("h3", { class: "rl-inside-head" });
  const missing = soft();
  const { grid, words, draw } = spreads();
  return {
    elements: [heading, missing, grid, words],
    draw: ({ step, details = null, kind = "" }) => {
      heading.hidden = !details;
      const about = h("span", {}, "the slider above the texts shows other steps");
      fill(heading, `Step ${step} `, about);
      grid.hidden = words.hidden = !details;
      say(missing, details ? "" : OFFLINE.get(kind) || NOTHING);
      if (details) draw(details, step);
    },
  };
};

const overAllSteps = (/** @type {import("../../shared/charts.js").Spec[]} */ specs) => {
  const curves = specs.map((spec) => cell({ ...spec, empty: spec.empty || NO_FIGURE }));
  say(curves[3].note, CUT);
  return curves;
};

const foldOf = (elements, /** @type {import("./spreads.js").Cell[]} */ curves) =>
  h(
    "details",
    { class: "rl-fold rl-inside" },
    h("summary", {}, "Inside a step"),
    elements,
    h("h3", { class: "rl-inside-head" }, "Over all steps"),
    h(
      "div",
      { class: "rl-grid-2" },
      curves.map((curve) => curve.card),
    ),
  );

/**
 * @param {import("../../shared/server.js").Server} server of the board
 * @param {import("../../shared/charts.js").Spec[]} specs the curves over all steps, as
 *   ui/panels/charts.py declares them
 */
export const inside = (server, specs) => {
  const curves = overAllSteps(specs);
  const step = oneStep();
  const fold = foldOf(step.elements, curves);
  let run = null;
  let kind = "";
  let wanted = -1;
  let shown = null;

  const draw = (answer) => {
    shown = answer.step;
    step.draw(answer);
  };
  const load = async (given = null) => {
    if (!fold.open || wanted === shown) return;
    if (wanted < 0) {
      draw({ step: wanted, kind });
      return;
    }
    const asked = { run, step: wanted };
    const ready = given && given.step === asked.step;
    const answer = ready ? given : await server.board_inside(asked);
    if (!answer.error && asked.run === run && asked.step === wanted) draw(answer);
  };
  fold.addEventListener("toggle", () => load());

  return {
    fold,
    cards: curves,
    reset: () => {
      shown = null;
      wanted = -1;
    },
    // The step shown, while the page follows the newest: the server then sends a newer one with the
    // rows.
    following: (/** @type {boolean} */ follow) => (fold.open && follow ? (shown ?? -1) : null),
    show: (/** @type {number} */ at) => {
      wanted = at;
      return load();
    },
    update: (now, at, answer) => {
      run = now.id;
      kind = now.kind;
      wanted = OFFLINE.has(kind) ? -1 : at;
      explain(curves, answer.judge, kind, fold.open);
      load(answer.inside);
    },
  };
};
