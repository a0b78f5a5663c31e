// @ts-check
// The screen of an open class.
import { agreementFigure, lastFigure, rewardFigure, votesFigure } from "../../lib/class_words.js";
import { download, figure, fill, fold, h, showProblem, soft } from "../../shared/dom.js";
import { answered, poll } from "../../shared/server.js";
import { secret } from "../../shared/visitor.js";
import { fileButtons } from "../../shared/vote_files.js";
import { actions } from "./actions.js";
import { classCurves } from "./curves.js";
import { askButton } from "./fields.js";
import { forget, remember } from "./kept.js";
import { room } from "./room.js";
import { simulation } from "./simulation.js";
import { carelessList, studentList } from "./students.js";
import { tools } from "./tools.js";

/** @typedef {import("../../types").ClassState} ClassState */

const EVERY = 2000; // milliseconds
const FILES =
  "With voters\u2019 numbers in place of nicknames. Preferences are in TRL\u2019s format; every " +
  "answer means ties and skips too.";
const STORED =
  "Kept about students: nickname, answers, and when they came; addresses are counted, not kept. " +
  "Reward and PPO runs are listed under Runs without any of these.";

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
  const buttons = h("div", { class: "rl-inline" }, fileButtons(askButton, save));
  return fold("The class\u2019s votes as files", soft(FILES), buttons);
};

/**
 * @param {HTMLElement} root
 * @param {any} about
 * @param {import("../../shared/server.js").Server} server
 * @param {string} token of the class
 * @param {(sentence?: string) => void} left called when the class is no longer on the screen
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
  const figures = classFigures(about);
  const next = actions(about, ask, now);
  const curves = classCurves();
  const careless = carelessList(ask);
  const students = studentList(about, ask, now);
  const tool = tools(ask, now, { leave, removeAll });
  const crowd = simulation(about, ask, now);
  const page = h(
    "div",
    {},
    [join.top, join.nearby, problem, told, next.outcome, figures.box],
    [next.story, next.box, curves.wins, curves.grid, careless.box, students.box],
    [tool.line, tool.told, voteFiles(ask), crowd.box, soft(STORED)],
  );
  fill(root, page);

  const parts = [join, figures, curves, next, careless, students, tool, crowd];
  const poller = poll(page, EVERY, async () => {
    /** @type {ClassState & {error?: string}} */
    const answer = await server.class_state({ token });
    if (answer.error && view) showProblem(problem, answer.error);
    else if (answer.error) leave(answer.error);
    if (answer.error) return;
    if (!view) remember(answer.code, token);
    view = answer;
    for (const one of parts) one.draw(view);
    showProblem(told, view.problem && `The reward model: ${view.problem}`);
  });
};
