// @ts-check
// Calling a part's server functions, and pausing while the part is out of sight. Gradio makes the
// `server` object from the functions that ui/parts.py gives to `part`.
import { repeated } from "../lib/poll.js";
import { showProblem } from "./dom.js";

/** @typedef {Record<string, (request: any) => Promise<any>>} Server */

const SILENT = "The server did not answer: check that the app is still running, then try again.";

/**
 * Calls `ask` repeatedly while the element is in sight; see lib/poll.js.
 * @param {HTMLElement} element
 * @param {number} milliseconds
 * @param {() => Promise<number | void>} ask
 * @returns `now()`, which asks at once, for example after a click
 */
export const poll = (element, milliseconds, ask) => {
  const tick = repeated(ask, {
    milliseconds,
    alive: () => element.isConnected,
    seen: () => !(document.hidden || element.offsetParent === null),
    reached: (well) => document.documentElement.classList.toggle("rl-offline", !well),
  });
  document.addEventListener("visibilitychange", () => tick(false));
  window.addEventListener("rlhf:tab", () => setTimeout(() => tick(false), 60));
  tick(false);
  return { now: () => tick(true) };
};

/**
 * A server function that cannot do something answers {error: "one sentence"}; this shows it.
 * @param {HTMLElement} place
 * @param {Promise<any>} promise
 * @returns the answer, or null
 */
export const answered = async (place, promise) => {
  let answer;
  try {
    answer = await promise;
  } catch {
    answer = { error: SILENT };
  }
  showProblem(place, answer && answer.error);
  return answer && answer.error ? null : answer;
};
