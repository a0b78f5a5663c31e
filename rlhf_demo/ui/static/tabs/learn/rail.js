// @ts-check
// The list of lessons, with a tick at those that are answered; on a phone, a list to choose from.
import { h, option, say } from "../../shared/dom.js";
import { answers } from "../../shared/lesson_answers.js";

/** @typedef {import("../../types").ListedLesson} Lesson */

const minutes = (/** @type {Lesson} */ lesson) => `${lesson.minutes} min`;

/**
 * @param {Lesson[]} lessons
 * @param {(id: string) => void} open
 */
export const rail = (lessons, open) => {
  const item = (/** @type {Lesson} */ lesson) => {
    const tick = h("span", { class: "rl-tick", "aria-hidden": "true" });
    const time = h("small", {}, minutes(lesson));
    const act = { type: "button", onclick: () => open(lesson.id) };
    const line = h("button", act, tick, h("span", {}, lesson.title), time);
    return { id: lesson.id, line, tick };
  };
  const items = lessons.map(item);
  const lines = (/** @type {boolean} */ core) =>
    items.filter((_, i) => lessons[i].core === core).map(({ line }) => h("li", {}, line));
  const extra = lines(false);
  const more = extra.length ? [h("h3", {}, "More"), h("ol", {}, extra)] : [];
  const picker = h("select", { "aria-label": "Lesson" }, lessons.map(pickerOption));
  picker.onchange = () => open(picker.value);
  const list = h("div", { class: "rl-rail-list" }, h("ol", {}, lines(true)), more);
  return {
    element: h("nav", { class: "rl-rail", "aria-label": "Lessons" }, picker, list),
    mark: (/** @type {string} */ current) => {
      picker.value = current;
      for (const { id, line, tick } of items) {
        if (id === current) line.setAttribute("aria-current", "true");
        else line.removeAttribute("aria-current");
        const isDone = id in answers();
        say(tick, isDone ? "\u2713" : "");
        line.classList.toggle("rl-done", isDone);
      }
    },
  };
};

const pickerOption = (/** @type {Lesson} */ { id, title }) => option([title, id]);
