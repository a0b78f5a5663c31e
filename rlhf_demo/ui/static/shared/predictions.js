// @ts-check
// The answers that this browser has given to the experiments' questions.
import { read, written } from "../lib/experiments.js";

const KEPT = "rlhf_demo_predictions";

/**
 * @param {string} id of an experiment
 * @returns {number | null} the place of the answer; null before there is one
 */
export const prediction = (id) => read(localStorage.getItem(KEPT))[id] ?? null;

/** @param {string} id  @param {number | null} answer null forgets it */
export const predict = (id, answer) => {
  localStorage.setItem(KEPT, written(read(localStorage.getItem(KEPT)), id, answer));
  window.dispatchEvent(new CustomEvent("rlhf:predicted"));
};

/** @param {() => void} act called when an answer was given or forgotten */
export const onPrediction = (act) => window.addEventListener("rlhf:predicted", act);

/** @param {string} id of the experiment whose question is to be shown */
export const askFor = (id) => window.dispatchEvent(new CustomEvent("rlhf:ask", { detail: id }));

/** @param {(id: string) => void} act called when a question is to be shown */
export const onAsk = (act) => window.addEventListener("rlhf:ask", (event) => act(event.detail));
