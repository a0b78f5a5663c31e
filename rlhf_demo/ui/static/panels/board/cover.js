// @ts-check
// Covers a board whose run answers an experiment's question, until this browser has an answer.
import { SKIPPED } from "../../lib/experiments.js";
import { button, h } from "../../shared/dom.js";
import { askFor, onPrediction, predict, prediction } from "../../shared/predictions.js";

const WORDS =
  "This run is an experiment. Its curves are covered on this tab until you have said what you " +
  "expect.";

/** @param {HTMLElement} board */
export const cover = (board) => {
  let experiment = "";
  const ask = button("Read the question", () => askFor(experiment), "rl-main");
  const skip = button("Show the curves without answering", () => predict(experiment, SKIPPED));
  const box = h("div", { class: "rl-cover", hidden: true }, h("p", {}, WORDS), ask, skip);
  const draw = () => {
    const covered = Boolean(experiment) && prediction(experiment) === null;
    board.classList.toggle("rl-covered", covered);
    box.hidden = !covered;
  };
  onPrediction(draw);
  return {
    box,
    /** @param {import("../../types").RunRow} run */
    update: (run) => {
      experiment = run.experiment;
      draw();
    },
  };
};
