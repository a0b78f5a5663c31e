// @ts-check
// Predictions of experiments: how the browser keeps them, and the words about what came true.
import { keptObject } from "./kept.js";

/** @typedef {import("../types").ListedExperiment} Experiment */
/** @typedef {import("../types").ExperimentState} State */

/** The place of an answer; SKIPPED: the visitor looked without answering; null: not yet. */
export const SKIPPED = -1;

/**
 * The kept answers, by experiment. What is no answer is left out: anybody may edit what a browser
 * keeps.
 * @param {string | null} kept as `written` makes it
 * @returns {Record<string, number>}
 */
export const read = (kept) => {
  const right = ([, place]) => Number.isInteger(place) && place >= SKIPPED;
  return Object.fromEntries(Object.entries(keptObject(kept)).filter(right));
};

/**
 * @param {Record<string, number>} known
 * @param {string} id of an experiment
 * @param {number | null} answer null forgets it
 */
export const written = (known, id, answer) => {
  const { [id]: _, ...others } = known;
  return JSON.stringify(answer === null ? others : { ...others, [id]: answer });
};

const quoted = (/** @type {string} */ answer) => `\u201C${answer}\u201D`;

/**
 * What the visitor said, and what was measured if the run has finished.
 * @param {Experiment} experiment
 * @param {number} said
 * @param {State | null} state
 */
export const resultWords = ({ answers }, said, state) => {
  const none = "You looked without answering first";
  const own = said in answers ? `You said ${quoted(answers[said])}` : none;
  if (!state || state.answer === null) return `${own}.`;
  if (said === state.answer) return `${own}, and that is what came out. ${state.measured}`;
  return `${own}; measured: ${quoted(answers[state.answer])}. ${state.measured}`;
};

/**
 * How the run stands while there is no result.
 * @param {State | null} state null: not known yet
 */
export const runWords = (state) => {
  if (!state || state.answer !== null) return "";
  const { run } = state;
  if (!run) return "The run was stopped, failed or was deleted, so nothing is measured.";
  if (run.status === "queued") return `The run is queued, position ${run.place ?? 1}.`;
  if (!run.step) return "The run is starting.";
  return `The run is at step ${run.step} of ${run.total_steps}.`;
};
