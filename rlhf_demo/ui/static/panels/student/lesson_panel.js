// @ts-check
// A lesson on a student's phone: its question, the student's prediction, and what came out.
import { phoneWords, rows } from "../../lib/class_lesson.js";
import { button, fill, h, say, showProblem } from "../../shared/dom.js";
import { answered } from "../../shared/server.js";
import { tally } from "../../shared/tally.js";
import { tryPanel } from "./try_text.js";

/** @typedef {import("../../types").StudentLesson} StudentLesson */

/**
 * @param {(lesson: string, answer: number) => Promise<any>} predict sends an answer
 * @param {(text: string) => Promise<any>} send sends a text that may fool the reward model
 * @param {number} longest characters of such a text
 */
export const lessonPanel = (predict, send, longest) => {
  const title = h("h2", { class: "rl-h2" });
  const before = h("p", { class: "rl-soft" });
  const question = h("p", { class: "rl-question" });
  const answers = h("div", { class: "rl-lesson-answers", role: "group" });
  const problem = h("p", { hidden: true });
  const told = h("p", { "aria-live": "polite" });
  const tried = tryPanel(send, longest);
  const box = h(
    "section",
    { class: "rl-card rl-student-lesson" },
    [title, before, question, answers, problem, told, tried.box],
  );
  let shown = "";
  /** @type {StudentLesson | null} */
  let lesson = null;

  const press = async (/** @type {number} */ place) => {
    const { id } = lesson;
    const kept = await answered(problem, predict(id, place));
    if (!kept || lesson.id !== id) return;
    lesson = { ...lesson, said: place };
    mark();
  };
  const choices = () =>
    rows(lesson).map(({ place, words }) => {
      const choice = button(words, () => press(place), "rl-large");
      choice.value = String(place);
      return choice;
    });
  const mark = () => {
    for (const choice of answers.querySelectorAll("button"))
      choice.setAttribute("aria-pressed", String(Number(choice.value) === lesson.said));
    say(told, phoneWords(lesson));
  };
  return {
    box,
    set: (/** @type {StudentLesson} */ next) => {
      lesson = next;
      const key = `${lesson.id} ${lesson.came}`;
      if (key !== shown) {
        shown = key;
        showProblem(problem, "");
        say(title, lesson.title);
        say(before, lesson.before);
        say(question, lesson.question);
        fill(answers, lesson.came === null ? choices() : tally(rows(lesson), lesson.said));
      }
      mark();
      before.hidden = lesson.tries !== null; // the text that is asked for is in sight
      tried.set(lesson);
    },
  };
};
