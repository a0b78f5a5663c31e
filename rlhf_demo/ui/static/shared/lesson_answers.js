// @ts-check
// The answers that this browser has given in the Learn tab.
import { read } from "../lib/lessons.js";

const KEPT = "rlhf_demo_lessons";

/** @returns {Record<string, import("../lib/lessons.js").Answer>} by lesson */
export const answers = () => read(localStorage.getItem(KEPT));

/**
 * @param {string} lesson id
 * @param {import("../lib/lessons.js").Answer | null} answer null forgets it
 */
export const keepAnswer = (lesson, answer) => {
  const { [lesson]: _, ...others } = answers();
  const kept = answer ? { ...others, [lesson]: answer } : others;
  localStorage.setItem(KEPT, JSON.stringify(kept));
  window.dispatchEvent(new CustomEvent("rlhf:lesson"));
};

/** @param {() => void} act called when an answer was given or forgotten */
export const onAnswer = (act) => window.addEventListener("rlhf:lesson", act);
