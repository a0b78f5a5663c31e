// @ts-check
// The open lesson: its question, its view, which stays covered until there is an answer, its end.
import { UNKNOWN, UNKNOWN_WORDS, verdict } from "../../lib/lessons.js";
import { button, fill, fold, h, say, showProblem } from "../../shared/dom.js";
import { answers, keepAnswer } from "../../shared/lesson_answers.js";
import { answered } from "../../shared/server.js";
import { views } from "./views.js";

/** @typedef {import("../../types").ListedLesson} Lesson */
/** @typedef {import("../../shared/server.js").Server} Server */

const COVERED = "Answer first. Then the figures appear here.";

const choice = (/** @type {string} */ words, /** @type {number} */ place) => {
  const input = h("input", { type: "radio", name: "rl-lesson-answer", value: String(place) });
  return h("label", {}, input, words);
};

const parts = () => ({
  title: h("h2", { class: "rl-h2", tabindex: "-1" }),
  before: h("p", {}),
  question: h("legend", {}),
  choices: h("div", { class: "rl-choices" }),
  commit: button("This is my answer", undefined, "rl-main"),
  problem: h("p", { hidden: true }),
  result: h("p", { class: "rl-story", "aria-live": "polite" }),
  stage: h("div", { class: "rl-stage-view" }),
  end: h("div", { class: "rl-lesson-end" }),
  back: button("Back"),
  next: button("Next lesson"),
  again: button("Answer again", undefined, "rl-quiet"),
});

/** @typedef {ReturnType<typeof parts>} Seen */

const lay = (/** @type {Seen} */ seen) =>
  h(
    "article",
    { class: "rl-card rl-lesson" },
    seen.title,
    seen.before,
    h("fieldset", {}, seen.question, seen.choices, seen.commit),
    seen.problem,
    seen.result,
    seen.stage,
    seen.end,
    h("div", { class: "rl-lesson-steps" }, seen.back, seen.next, seen.again),
  );

const line = (/** @type {string} */ name, /** @type {string} */ text) =>
  h("p", {}, h("b", {}, `${name} `), text);

// The function that computed the lesson, fetched when the fold is opened.
const codeFold = (/** @type {Lesson} */ { id, code, test }, /** @type {Seen} */ seen, server) => {
  const source = h("pre", {}, "Loading \u2026");
  const where = h("p", { class: "rl-soft" }, `${code.replace(":", ".")}, tested by `);
  const folded = fold("Where in the code", fill(where, ...where.childNodes, h("code", {}, test)));
  folded.append(source);
  const fetchCode = async () => {
    const found = await answered(seen.problem, server.lesson_code({ lesson: id }));
    if (found) say(source, `# ${found.file}, line ${found.line}\n${found.source}`);
  };
  folded.addEventListener("toggle", fetchCode, { once: true });
  return folded;
};

/**
 * @param {Server} server
 * @param {() => string | undefined} trained the id of the model that is shown beside its base
 */
export const lessonCard = (server, trained) => {
  const seen = parts();
  /** @type {Lesson | null} */
  let lesson = null;

  const cover = () => {
    fill(seen.stage, h("p", { class: "rl-covered" }, COVERED));
    fill(seen.end);
    say(seen.result, "");
  };
  const uncover = async () => {
    const shown = lesson;
    const answer = answers()[shown.id];
    say(seen.result, `${verdict(shown, answer)} ${answer.result}`);
    const look = async (request = {}) => {
      const asked = server.lesson_look({ ...request, lesson: shown.id, trained: trained() });
      const found = await answered(seen.problem, asked);
      return shown === lesson ? found : null;
    };
    const view = views[shown.id]({ look });
    const first = await look();
    if (!first) return;
    fill(seen.stage, view.element);
    view.show(first);
    fill(
      seen.end,
      line("In one sentence:", shown.sentence),
      line("What this does not show:", shown.caveat),
      codeFold(shown, seen, server),
    );
  };
  const draw = () => {
    const answer = answers()[lesson.id];
    say(seen.title, lesson.title);
    say(seen.before, lesson.before);
    say(seen.question, lesson.question);
    fill(seen.choices, lesson.answers.map(choice), choice(UNKNOWN_WORDS, UNKNOWN));
    seen.choices.hidden = seen.commit.hidden = Boolean(answer);
    seen.again.hidden = !answer;
    if (answer) uncover();
    else cover();
  };
  const commit = async () => {
    /** @type {HTMLInputElement | null} */
    const chosen = seen.choices.querySelector("input:checked");
    showProblem(seen.problem, chosen ? "" : "Choose one of the answers first.");
    if (!chosen) return;
    const { id } = lesson;
    const request = { lesson: id, trained: trained() };
    seen.commit.disabled = true;
    const came = await answered(seen.problem, server.lesson_outcome(request));
    seen.commit.disabled = false;
    if (!came) return;
    keepAnswer(id, { said: Number(chosen.value), came: came.answer, result: came.result });
  };
  seen.commit.onclick = commit;
  seen.again.onclick = () => keepAnswer(lesson.id, null);
  seen.choices.onchange = () => showProblem(seen.problem, "");
  return {
    element: lay(seen),
    seen,
    draw,
    /** @param {Lesson} next  @param {string} problem a sentence, or nothing */
    open: (next, problem) => {
      lesson = next;
      showProblem(seen.problem, problem);
      draw();
    },
  };
};
