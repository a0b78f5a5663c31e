// @ts-check
// A text that may fool the reward model, written on a student's phone, and what it scored.
import { triedWords } from "../../lib/class_lesson.js";
import { h, say, soft } from "../../shared/dom.js";
import { answered } from "../../shared/server.js";

/** @typedef {import("../../types").StudentLesson} StudentLesson */
/** @typedef {import("../../types").TriedText} TriedText */

const ABOUT =
  "Write a text that no reader would like, with the best score that you can get. The class " +
  "screen shows the best texts without names.";

/**
 * @param {(text: string) => Promise<any>} send
 * @param {number} longest characters of a text
 */
export const tryPanel = (send, longest) => {
  const id = "rl-try-text";
  const field = h("textarea", { id, rows: 3, maxlength: longest });
  const go = h("button", { class: "rl-button rl-main", type: "submit" }, "Score it");
  const problem = h("p", { hidden: true });
  const told = h("p", { "aria-live": "polite" });
  const title = h("label", { for: id }, h("b", {}, "A bad text with a good score"));
  const box = h(
    "form",
    { class: "rl-try", hidden: true },
    [title, soft(ABOUT), field, go, problem, told],
  );
  /** @type {number | null} */
  let score = null;
  box.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    /** @type {TriedText | null} */
    const tried = await answered(problem, send(field.value));
    go.disabled = false;
    if (!tried) return;
    score = tried.score;
    say(told, triedWords(score, tried.best));
  });
  return {
    box,
    set: (/** @type {StudentLesson} */ { tries }) => {
      box.hidden = !tries;
      if (tries && !go.disabled) say(told, triedWords(score, tries[0]));
    },
  };
};
