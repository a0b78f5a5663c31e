// @ts-check
// The fold "Inside a step": the step in sight, and curves over all steps that need a word of
// explanation. It asks nothing while folded.
import { fill, h, say, soft } from "../../shared/dom.js";
import { cell, spreads } from "./spreads.js";

const NOTHING =
  "There is nothing to draw of one step yet: this run has not finished its first one, or an " +
  "older version made it.";
const AGREEMENT =
  "On what the policy writes now, not on what the reward model was trained on. Of 32 responses a " +
  "share jumps by its standard error from chance alone. It also falls where the texts come to " +
  "score alike, since close pairs are harder to order, and PPO makes them score alike. So " +
  "compare steps whose scores spread alike: a lasting fall between those hints that the policy " +
  "has left what the reward model knows.";
const GRADIENT =
  "Both losses share one gradient and one limit: where the value loss\u2019s part is the longer, " +
  "it takes the room. The parts are those of the first update in every fifth step; as their " +
  "directions differ, their lengths do not add up.";
const CUT = "A cut gradient keeps its direction and is scaled down to the limit.";
const NO_JUDGE = "This run has no judge, so only the reward is drawn.";
const NO_FIGURE = "this run has no such figure so far";

const tellJudge = (/** @type {import("./spreads.js").Cell[]} */ [judged, agreement], judge) => {
  say(judged.note, judge ? judge.note : NO_JUDGE);
  say(agreement.note, judge ? AGREEMENT : "");
};

// What stands in the fold for one step.
const oneStep = () => {
  const heading = h("h3", { class: "rl-inside-head" });
  const missing = soft();
  const { grid, words, draw } = spreads();
  return {
    elements: [heading, missing, grid, words],
    draw: ({ step, told = null }) => {
      heading.hidden = !told;
      const about = h("span", {}, "the slider above the texts goes to other steps");
      fill(heading, `Step ${step} `, about);
      grid.hidden = words.hidden = !told;
      say(missing, told ? "" : NOTHING);
      if (told) draw(told, step);
    },
  };
};

const overAllSteps = (/** @type {import("../../shared/charts.js").Spec[]} */ specs) => {
  const curves = specs.map((spec) => cell({ ...spec, empty: spec.empty || NO_FIGURE }));
  const [, , gradient, cut] = curves;
  say(gradient.note, GRADIENT);
  say(cut.note, CUT);
  return curves;
};

/**
 * @param {import("../../shared/server.js").Server} server of the board
 * @param {import("../../shared/charts.js").Spec[]} specs the curves over all steps, as
 *   ui/panels/charts.py declares them
 */
export const inside = (server, specs) => {
  const curves = overAllSteps(specs);
  const step = oneStep();
  const fold = h(
    "details",
    { class: "rl-fold rl-inside" },
    h("summary", {}, "Inside a step"),
    step.elements,
    h("h3", { class: "rl-inside-head" }, "Over all steps"),
    h(
      "div",
      { class: "rl-grid-2" },
      curves.map((one) => one.card),
    ),
  );
  let run = null;
  let wanted = -1;
  let shown = null;

  const draw = (answer) => {
    shown = answer.step;
    step.draw(answer);
  };
  const load = async (given = null) => {
    if (!fold.open || wanted === shown) return;
    if (wanted < 0) {
      draw({ step: wanted });
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
    // The step looked inside, while the newest one is wanted: a newer one then comes with the rows.
    following: (/** @type {boolean} */ follow) => (fold.open && follow ? (shown ?? -1) : null),
    show: (/** @type {number} */ at) => {
      wanted = at;
      return load();
    },
    update: (now, at, answer) => {
      run = now.id;
      wanted = at;
      tellJudge(curves, answer.judge);
      load(answer.inside);
    },
  };
};
