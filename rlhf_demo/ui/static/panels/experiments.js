// @ts-check
// The fold of the experiments: a question, an answer that the visitor commits to, then the run.
import { resultWords, runWords } from "../lib/experiments.js";
import { button, fill, fold, h, option, say, showProblem, soft } from "../shared/dom.js";
import { showRun } from "../shared/navigation.js";
import { onAsk, onPrediction, predict, prediction } from "../shared/predictions.js";
import { answered, poll } from "../shared/server.js";
import { secret } from "../shared/visitor.js";

/** @typedef {import("../types").ListedExperiment} Experiment */
/** @typedef {import("../types").ExperimentState} State */

const EVERY = 3000; // milliseconds
const LEAD =
  "Each experiment is the default PPO run with the change described below and the same seed; " +
  "other seeds may end elsewhere. First say what you expect; then it runs. If it has run here " +
  "before, it opens at once. Your answer stays in this browser.";

const view = (/** @type {Experiment[]} */ experiments) => {
  const seen = {
    picker: h("select", { "aria-label": "Experiment" }),
    change: h("p", {}),
    question: h("legend", {}),
    yardstick: soft(),
    choices: h("div", { class: "rl-choices" }),
    commit: button("This is my answer", undefined, "rl-main"),
    result: h("p", { class: "rl-story", "aria-live": "polite" }),
    status: soft(),
    open: button("Show the curves"),
    again: button("Run it again"),
    forget: button("Forget my answer"),
    problem: h("p", { hidden: true }),
  };
  fill(
    seen.picker,
    experiments.map(({ id, title }) => option([title, id])),
  );
  return seen;
};

/** @typedef {ReturnType<typeof view>} View */

const lay = (/** @type {View} */ seen) => {
  const ask = h("fieldset", {}, seen.question, seen.yardstick, seen.choices, seen.commit);
  const told = h(
    "div",
    { class: "rl-told" },
    seen.result,
    seen.status,
    h("div", {}, seen.open, seen.again, seen.forget),
  );
  const card = h("div", { class: "rl-card" }, seen.change, ask, seen.problem, told);
  const line = h("div", { class: "rl-run-line" }, h("label", {}, "Experiment ", seen.picker));
  return { told, fold: fold("Experiments: predict first", soft(LEAD), line, card) };
};

const choice = (/** @type {string} */ answer, /** @type {number} */ place) => {
  const input = h("input", { type: "radio", name: "rl-prediction", value: String(place) });
  return h("label", {}, input, answer);
};

const drawQuestion = (/** @type {View} */ seen, /** @type {Experiment} */ experiment, said) => {
  say(seen.change, experiment.change);
  say(seen.question, experiment.question);
  say(seen.yardstick, experiment.yardstick);
  fill(seen.choices, experiment.answers.map(choice));
  const inputs = seen.choices.querySelectorAll("input");
  inputs.forEach((input, place) => {
    input.checked = place === said;
    input.disabled = said !== null;
  });
  seen.commit.hidden = said !== null;
};

/**
 * @param {View} seen
 * @param {Experiment} experiment
 * @param {number} said
 * @param {State | null} state
 */
const drawResult = (seen, experiment, said, state) => {
  say(seen.result, resultWords(experiment, said, state));
  say(seen.status, runWords(state));
  seen.open.hidden = !state?.run;
  seen.again.hidden = !state || state.run !== null;
};

const isAwaited = (/** @type {string} */ id, /** @type {State | null} */ state) =>
  prediction(id) !== null && (!state || state.answer === null);

/** @param {import("../globals").Part} part its value: the experiments */
export const mount = ({ element, props, server }) => {
  /** @type {Experiment[]} */
  const experiments = props.value;
  const seen = view(experiments);
  const laid = lay(seen);
  fill(element.querySelector(".rl-experiments"), laid.fold);
  let experiment = experiments[0];
  /** @type {State | null} */
  let state = null;

  const draw = () => {
    const said = prediction(experiment.id);
    drawQuestion(seen, experiment, said);
    laid.told.hidden = said === null;
    if (said !== null) drawResult(seen, experiment, said, state);
  };
  const pick = (/** @type {string} */ id) => {
    experiment = experiments.find((each) => each.id === id) || experiment;
    seen.picker.value = experiment.id;
    state = null;
    showProblem(seen.problem, "");
    draw();
    poller.now();
  };
  const start = async () => {
    const request = { experiment: experiment.id, secret: secret() };
    const answer = await answered(seen.problem, server.start_experiment(request));
    if (!answer) return false;
    showRun(answer.run, answer.kind, false);
    return true;
  };
  const poller = poll(element, EVERY, async () => {
    const { id } = experiment;
    if (!laid.fold.open || !isAwaited(id, state)) return;
    const answer = await answered(seen.problem, server.experiment_state({ experiment: id }));
    if (!answer || id !== experiment.id) return;
    state = answer;
    draw();
  });
  seen.picker.onchange = () => pick(seen.picker.value);
  seen.choices.onchange = () => showProblem(seen.problem, "");
  seen.commit.onclick = async () => {
    /** @type {HTMLInputElement | null} */
    const chosen = seen.choices.querySelector("input:checked");
    showProblem(seen.problem, chosen ? "" : "Choose one of the answers first.");
    if (!chosen) return;
    const { id } = experiment;
    seen.commit.disabled = true;
    if (await start()) predict(id, Number(chosen.value));
    seen.commit.disabled = false;
  };
  seen.again.onclick = async () => (await start()) && pick(experiment.id);
  seen.open.onclick = () => state?.run && showRun(state.run.id, state.run.kind, false);
  seen.forget.onclick = () => predict(experiment.id, null);
  laid.fold.addEventListener("toggle", () => poller.now());
  onPrediction(() => {
    state = null;
    draw();
    poller.now();
  });
  onAsk((id) => {
    laid.fold.open = true;
    pick(id);
    laid.fold.scrollIntoView({ block: "nearest" });
    seen.picker.focus();
  });
  draw();
};
