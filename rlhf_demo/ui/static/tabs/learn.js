// @ts-check
// The Learn tab: a list of lessons, and the one that is open.
import { SHEET_TITLE, opened, progressWords, sheet, sheetParts } from "../lib/lessons.js";
import { button, fill, h, saveAs, say } from "../shared/dom.js";
import { answers, onAnswer } from "../shared/lesson_answers.js";
import { onLesson, onTab, query, setAddress, tellOfCourse } from "../shared/navigation.js";
import { lessonCard } from "./learn/lesson_card.js";
import { modelPicker } from "./learn/model_picker.js";
import { rail } from "./learn/rail.js";

/** @typedef {import("../types").ListedLesson} Lesson */

const LEAD =
  "Each lesson first asks what you expect. Then it computes the answer, mostly on the models of " +
  "this page. Your answers stay in this browser.";
const SHEET = "what-i-predicted.md";

const printedPart = (/** @type {import("../lib/lessons.js").SheetPart} */ part) =>
  h(
    "article",
    {},
    h("h2", {}, part.title),
    h("p", {}, part.question),
    h("p", {}, part.result),
    h("p", {}, h("b", {}, "In one sentence: "), part.sentence),
  );

// The end sheet: as a file, and on paper, where it stands alone.
const takeAway = (/** @type {Lesson[]} */ lessons) => {
  const printed = h("div", { class: "rl-printed" });
  const save = () => saveAs(SHEET, "text/markdown", sheet(lessons, answers()));
  const print = () => {
    const parts = sheetParts(lessons, answers()).map(printedPart);
    fill(printed, h("h1", {}, SHEET_TITLE), parts);
    window.print();
  };
  const buttons = [button("Save my answers", save), button("Print", print, "rl-quiet")];
  return [h("div", { class: "rl-sheet" }, buttons), printed];
};

/** @param {import("../globals").Part} part its value: the lessons */
export const mount = ({ element, props, server }) => {
  /** @type {Lesson[]} */
  const lessons = props.value;
  const progress = h("b", {});
  const list = rail(lessons, (id) => open(id));
  const picker = modelPicker(server, () => card.draw());
  const card = lessonCard(server, picker.value);
  fill(
    element.querySelector(".rl-learn"),
    h("p", { class: "rl-lead" }, progress, " ", LEAD),
    picker.element,
    h("div", { class: "rl-course" }, list.element, card.element),
    takeAway(lessons),
  );
  let lesson = lessons[0];

  const mark = () => {
    const place = lessons.indexOf(lesson);
    const words = progressWords(lessons, answers());
    say(progress, Object.keys(answers()).length ? `${words}.` : "");
    tellOfCourse(words);
    list.mark(lesson.id);
    card.seen.back.hidden = place === 0;
    card.seen.next.hidden = place === lessons.length - 1;
  };
  const open = (/** @type {string | undefined} */ wanted, focus = true) => {
    const found = opened(lessons, wanted);
    lesson = found.lesson;
    if (wanted) setAddress({ lesson: lesson.id });
    card.open(lesson, found.problem);
    mark();
    if (focus) card.seen.title.focus({ preventScroll: true });
  };
  const step = (/** @type {number} */ by) => open(lessons[lessons.indexOf(lesson) + by].id);
  card.seen.back.onclick = () => step(-1);
  card.seen.next.onclick = () => step(1);
  onAnswer(() => {
    card.draw();
    mark();
  });
  onLesson((id) => open(id));
  onTab("learn", () => setAddress({ lesson: lesson.id }));
  open(query().lesson, false);
};
