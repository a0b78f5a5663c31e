// @ts-check
// The screen of an open class.
import { agreementFigure, lastFigure, rewardFigure, votesFigure } from "../../lib/class_words.js";
import { download, figure, fill, fold, h, showProblem, soft } from "../../shared/dom.js";
import { answered, poll } from "../../shared/server.js";
import { secret } from "../../shared/visitor.js";
import { fileButtons, textButtons } from "../../shared/vote_files.js";
import { actions } from "./actions.js";
import { classCurves } from "./curves.js";
import { askButton } from "./fields.js";
import { classLesson } from "./lesson.js";
import { forget, remember } from "./storage.js";
import { room } from "./room.js";
import { simulation } from "./simulation.js";
import { carelessList, studentList } from "./students.js";
import { tools } from "./tools.js";

/** @typedef {import("../../types").ClassState} ClassState */

const EVERY = 2000; // milliseconds
const MINUTE = 60_000;
const FILES =
  "The files hold voters\u2019 numbers instead of nicknames. Preferences are in the " +
  "format of the TRL library; \u201Cevery answer\u201D also includes Tie, Both bad and Skip. " +
  "Texts that students wrote are in TRL\u2019s format for supervised fine-tuning (prompt, " +
  "completion).";
const STORED =
  "We keep each student\u2019s nickname, answers and texts, and their times. Of the answers to a " +
  "lesson, the page shows only how many chose each one, and no file has them. We count the " +
  "requests from each network address, but do not keep the address. The Runs tab shows reward " +
  "and PPO runs without any of this.";

const classFigures = (about) => {
  const [votes, agree, right, last] = [null, "base", "score", null].map(figure);
  const boxes = [votes, agree, right, last].map((one) => one.box);
  return {
    box: h("div", { class: "rl-head rl-class-figures" }, boxes),
    draw: (/** @type {ClassState} */ view) => {
      votes.set(...votesFigure(view));
      agree.set(...agreementFigure(view, about.shared));
      right.set(...rewardFigure(view, about.few));
      last.set(...lastFigure(view));
    },
  };
};

const voteFiles = (ask) => {
  const save = async (/** @type {string} */ format, /** @type {boolean} */ everything) => {
    const answer = await ask("export_class", { format, everything });
    if (answer) download(answer);
  };
  const saveTexts = async (/** @type {string} */ format) => {
    const answer = await ask("export_class_texts", { format });
    if (answer) download(answer);
  };
  const texts = textButtons(askButton, "Written texts", saveTexts);
  const buttons = h("div", { class: "rl-inline" }, fileButtons(askButton, save), texts);
  return fold("Download the class\u2019s votes and texts", soft(FILES), buttons);
};

/** @typedef {(name: string, more?: object) => Promise<any>} Ask */

const partsOf = (about, /** @type {Ask} */ ask, /** @type {() => ClassState | null} */ now) => ({
  figures: classFigures(about),
  curves: classCurves(),
  next: actions(about, ask, now),
  lesson: classLesson(about, ask, now),
  careless: carelessList(ask),
  students: studentList(about, ask, now),
  crowd: simulation(about, ask, now),
});

// The votes give way to an open lesson: one main button at a time.
const lay = (parts, problems, files) => {
  const { join, tool, figures, curves, next, lesson, careless, students, crowd } = parts;
  const progress = [next.outcome, figures.box, next.story, next.box, curves.wins, curves.grid];
  const votes = h("div", {}, progress);
  const page = h(
    "div",
    {},
    [join.top, join.nearby, problems, lesson.box, votes, lesson.chooser, careless.box],
    [students.box, tool.line, tool.told, files, crowd.box, soft(STORED)],
  );
  return { page, votes };
};

/**
 * @param {HTMLElement} root
 * @param {any} about
 * @param {import("../../shared/server.js").Server} server
 * @param {string} token of the class
 * @param {(sentence?: string) => void} left called when the class has left the screen
 */
export const screen = (root, about, server, token, left) => {
  const problem = h("p", { hidden: true });
  const told = h("p", { hidden: true });
  /** @type {ClassState | null} */
  let view = null;
  const now = () => view;
  const ask = async (/** @type {string} */ name, more = {}) => {
    const request = { token, secret: secret(), ...more };
    const answer = await answered(problem, server[name](request));
    await poller.now();
    return answer;
  };
  const leave = (/** @type {string} */ sentence = "") => {
    tool.showAlone(false);
    left(sentence);
  };
  const removeAll = async () => {
    const request = { token, secret: secret() };
    if (!(await answered(problem, server.delete_class(request)))) return;
    forget(token);
    leave();
  };

  const join = room((address) => server.class_qr({ token, address }));
  const tool = tools(ask, now, { leave, removeAll });
  const parts = { join, tool, ...partsOf(about, ask, now) };
  const { page, votes } = lay(parts, [problem, told], voteFiles(ask));
  fill(root, page);

  // Also out of sight, on another tab: a class whose screen is closed rests.
  const alive = setInterval(() => {
    if (page.isConnected) server.class_state({ token }).catch(() => {});
    else clearInterval(alive);
  }, MINUTE);

  const poller = poll(page, EVERY, async () => {
    /** @type {ClassState & {error?: string}} */
    const answer = await server.class_state({ token });
    if (answer.error && view) showProblem(problem, answer.error);
    else if (answer.error) leave(answer.error);
    if (answer.error) return;
    if (!view) remember(answer.code, token);
    view = answer;
    votes.hidden = Boolean(view.lesson);
    for (const part of Object.values(parts)) part.draw(view);
    showProblem(told, view.problem);
  });
};
