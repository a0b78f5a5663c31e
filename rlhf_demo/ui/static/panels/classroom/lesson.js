// @ts-check
// A lesson of the Learn tab for the whole class: choose it, see who has answered, reveal it.
import { progress, rows } from "../../lib/class_lesson.js";
import { fill, fold, h, option, say, soft } from "../../shared/dom.js";
import { tally } from "../../shared/tally.js";
import { askButton } from "./fields.js";
import { triesBoard } from "./tries.js";

/** @typedef {import("../../types").ClassState} ClassState */
/** @typedef {(name: string, more?: object) => Promise<any>} Ask */

const ABOUT =
  "All phones show the lesson\u2019s question instead of a pair, and each student answers it. " +
  "Voting waits until you press \u201CBack to voting\u201D.";
const HIDDEN = "Show the predictions so far";
const SHOWN = "Hide the predictions";

// What the class sees while a lesson is open.
const openLesson = (/** @type {Ask} */ ask, /** @type {() => ClassState} */ now) => {
  const title = h("h2", { class: "rl-h2" });
  const before = h("p", {});
  const question = h("p", { class: "rl-class-question" });
  const answers = h("div", {});
  const told = h("p", { class: "rl-story", "aria-live": "polite" });
  const reveal = askButton("Reveal", () => ask("reveal_lesson"), "rl-main rl-large");
  const peek = askButton(HIDDEN, () => {
    looks = !looks;
    draw(now());
  });
  const back = askButton("Back to voting", () => ask("end_lesson"));
  const steps = h("div", { class: "rl-class-actions" }, reveal, peek, back);
  const board = triesBoard(ask);
  const parts = [title, before, question, answers, told, board.box, steps];
  const box = h("section", { class: "rl-card rl-class-lesson", hidden: true }, parts);
  let shown = "";
  let open = "";
  // Whether the numbers are shown before all have answered: the class sees this screen, and who has
  // not answered would follow the others.
  let looks = false;
  const draw = (/** @type {ClassState} */ { lesson, voters }) => {
    box.hidden = !lesson;
    if ((lesson ? lesson.id : "") !== open) looks = false;
    open = lesson ? lesson.id : "";
    if (!lesson) return;
    const { words, complete } = progress(lesson, voters);
    const revealed = lesson.came !== null;
    const counted = looks || complete || revealed;
    const key = JSON.stringify([{ ...lesson, tries: null }, counted]);
    reveal.hidden = revealed;
    peek.hidden = revealed || complete;
    say(peek, looks ? SHOWN : HIDDEN);
    say(told, revealed ? `${words} ${lesson.result}` : words);
    board.draw(lesson);
    // The texts take the place of the answers, so that the class sees the whole list.
    before.hidden = answers.hidden = Boolean(lesson.tries && lesson.tries.length);
    if (key === shown) return;
    shown = key;
    say(title, lesson.title);
    say(before, lesson.before);
    say(question, lesson.question);
    fill(answers, tally(rows(lesson, counted)));
  };
  return { box, draw };
};

/** @param {any} about  @param {Ask} ask  @param {() => ClassState} now */
export const classLesson = (about, ask, now) => {
  const pick = h("select", { "aria-label": "Lesson" }, about.lessons.map(option));
  const { box, draw } = openLesson(ask, now);
  const sendIt = async () => {
    if (await ask("send_lesson", { lesson: pick.value })) box.scrollIntoView({ block: "nearest" });
  };
  const line = h("div", { class: "rl-inline" }, pick, askButton("Send to all phones", sendIt));
  const chooser = fold("A lesson for the class", soft(ABOUT), line);
  return {
    chooser,
    box,
    draw: (/** @type {ClassState} */ view) => {
      chooser.hidden = Boolean(view.lesson);
      draw(view);
    },
  };
};
