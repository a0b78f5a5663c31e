// @ts-check
// A student's phone: join with code and nickname, vote, watch PPO, see the result. The rest of the
// page is hidden.
import { waiting } from "../lib/student_words.js";
import { ballot } from "../shared/ballot.js";
import { blindResult } from "../shared/blind_result.js";
import { button, fill, h, say, showProblem, soft } from "../shared/dom.js";
import { query, setAddress } from "../shared/navigation.js";
import { answered, poll } from "../shared/server.js";
import { ppoPanel } from "./student/ppo_panel.js";

/** @typedef {import("../types").StudentState} StudentState */
/** @typedef {import("../shared/server.js").Server} Server */

const EVERY = 2000; // milliseconds
const KEPT = "rlhf_demo_student"; // {code, secret} of this browser's class
const STORED =
  "We keep your nickname, your answers, any texts you write, and their times. You need no " +
  "account. While the app runs, we count the requests from your network address, but we never " +
  "write the address down. The instructor sees your nickname, how many answers you gave and " +
  "whether they look careless, can read and download your texts and your answers, and can " +
  "delete all of it. Of the answers to a lesson, everyone sees only how many chose each one. A " +
  "text with which you try to fool the reward model may appear on the class screen, without your " +
  "name.";
const USE =
  "Your instructor can read it and download it, and supervised fine-tuning can learn from it.";
const PAUSED = "The class is paused. This page will continue by itself.";
const BLIND =
  "Blind vote: two models wrote these texts. The page does not say which; the result appears " +
  "when the vote is over.";

const codeInAddress = () => (query().class || "").trim().toUpperCase();

/** @returns {{code: string, secret: string} | null} */
const kept = () => {
  const found = JSON.parse(localStorage.getItem(KEPT) || "null");
  const code = codeInAddress();
  return found && (!code || found.code === code) ? found : null;
};

// -- joining --------------------------------------------------------------------------------------

const joinForm = () => {
  const plain = { type: "text", spellcheck: "false" };
  const code = h("input", {
    ...plain,
    class: "rl-code-field",
    value: codeInAddress(),
    maxlength: 12,
    autocapitalize: "characters",
    autocomplete: "off",
  });
  const name = h("input", { ...plain, maxlength: 20, autocomplete: "nickname" });
  const main = { class: "rl-button rl-main rl-large", type: "submit" };
  const go = h("button", main, "Join the class");
  const problem = h("p", { hidden: true });
  const form = h(
    "form",
    { class: "rl-join" },
    h("h1", {}, "Join the class"),
    h("label", {}, "Code on the class screen", code),
    h("label", {}, "A nickname", name),
    go,
    problem,
    soft(STORED),
  );
  return { form, code, name, go, problem };
};

const join = (/** @type {HTMLElement} */ root, /** @type {Server} */ server, limits) => {
  const { form, code, name, go, problem } = joinForm();
  form.onsubmit = async (event) => {
    event.preventDefault();
    go.disabled = true;
    const typed = code.value.replace(/\s/g, "").toUpperCase();
    const answer = await answered(problem, server.join({ code: typed, nickname: name.value }));
    go.disabled = false;
    if (!answer) return;
    localStorage.setItem(KEPT, JSON.stringify({ code: typed, secret: answer.secret }));
    setAddress({ class: typed });
    attend(root, server, limits);
  };
  fill(root, form);
  (codeInAddress() ? name : code).focus();
};

// -- the class ------------------------------------------------------------------------------------

const classView = (/** @type {() => void} */ leave) => {
  const who = h("span", { class: "rl-soft" });
  const count = h("b", { "aria-live": "polite" }, "\u00A0");
  const done = h("i");
  const live = { "aria-live": "polite", hidden: true };
  const notice = h("p", { class: "rl-student-notice", ...live }, BLIND);
  const ppo = ppoPanel();
  const lesson = h("div", { hidden: true });
  const result = h("div", { hidden: true });
  const place = h("div", {});
  const problem = h("p", { hidden: true });
  const again = button("Join again", leave);
  again.hidden = true;
  const bar = h("div", { class: "rl-bar" }, done);
  const page = h(
    "div",
    {},
    h("header", { class: "rl-student-head" }, h("div", {}, count, who), bar),
    // PPO is shown below, so that the pair never moves under the thumb.
    problem,
    again,
    lesson,
    notice,
    result,
    place,
    ppo.box,
    h("p", { class: "rl-soft rl-student-foot" }, STORED),
  );
  return { who, count, done, notice, ppo, lesson, result, place, problem, again, page };
};

const draw = (seen, /** @type {StudentState} */ view) => {
  say(seen.who, ` ${view.nickname}, class code ${view.code}, round ${view.round}`);
  say(seen.count, `${Math.min(view.done, view.goal)} of ${view.goal} pairs`);
  seen.done.style.width = `${Math.min(100, (100 * view.done) / view.goal)}%`;
  const { lesson } = view;
  seen.lesson.hidden = !lesson;
  seen.ppo.set(view.kind === "feedback" && !lesson ? view.ppo : null);
  seen.notice.hidden = !(view.kind === "blind" && !view.result && !lesson);
  seen.result.hidden = !view.result || Boolean(lesson);
  if (view.result) fill(seen.result, blindResult(view.result));
};

// Few classes open a lesson, so its modules are loaded with the first one.
const lessonIn = (place, /** @type {Server} */ server, secret, longest) => {
  let panel;
  return async (/** @type {StudentState["lesson"]} */ lesson) => {
    if (!panel) {
      const { lessonPanel } = await window.rlhf.load("panels/student/lesson_panel");
      const predict = (id, answer) => server.predict({ secret, lesson: id, answer });
      panel = lessonPanel(predict, (text) => server.try_text({ secret, text }), longest);
      fill(place, panel.box);
    }
    panel.set(lesson);
  };
};

const textsOf = (/** @type {Server} */ server, /** @type {string} */ secret, longest) => ({
  keep: (assignment, text) => server.keep_text({ secret, assignment, text }),
  remove: (assignment) => server.delete_text({ secret, assignment }),
  longest,
  use: USE,
});

const attend = (/** @type {HTMLElement} */ root, /** @type {Server} */ server, limits) => {
  const { secret } = kept();
  const leave = () => {
    localStorage.removeItem(KEPT);
    join(root, server, limits);
  };
  const seen = classView(leave);
  const showLesson = lessonIn(seen.lesson, server, secret, limits.longest_try);
  fill(root, seen.page);
  let phase = "";
  /** @type {StudentState | null} */
  let view = null;

  const source = {
    ahead: true,
    next: async (after) => {
      const answer = await server.next_pair({ secret, after: after || null });
      if (answer.assignment || answer.error) return answer;
      return { assignment: null, message: waiting(view) || answer.message };
    },
    vote: (assignment, choice) => server.vote({ secret, assignment, choice }),
    undo: () => server.undo({ secret }),
    onvote: () => poller.now(),
  };
  const pairs = ballot(seen.place, source, textsOf(server, secret, limits.longest));
  // What the ballot shows in each phase of the class.
  const enterPhase = (/** @type {StudentState} */ { round_state: round, state, kind, lesson }) => {
    const over = round !== "open";
    pairs.allowTexts(kind === "feedback");
    seen.place.hidden = over || Boolean(lesson);
    if (lesson) return; // the pair, and a text for it, stay as they are
    if (over) pairs.pause("\u00A0");
    else if (state !== "open") pairs.pause(PAUSED);
    else pairs.refresh();
  };
  const poller = poll(seen.page, EVERY, async () => {
    const answer = await server.student_state({ secret });
    showProblem(seen.problem, answer.error);
    seen.again.hidden = !answer.unknown; // a full disk is no reason to give the place up
    if (answer.error) {
      pairs.pause("\u00A0");
      return;
    }
    view = answer;
    draw(seen, view);
    if (view.lesson) await showLesson(view.lesson);
    const { round, kind, round_state: open, state, lesson } = view;
    const now = `${round} ${kind} ${open} ${state} ${Boolean(lesson)}`;
    if (now === phase) return;
    phase = now;
    enterPhase(view);
  });
};

/** @param {import("../globals").Part} part */
export const mount = ({ element, props, server }) => {
  if (query().class === undefined) return;
  document.title = "A class";
  /** @type {HTMLElement} */
  const root = element.querySelector(".rl-student");
  const limits = props.value;
  if (kept()) attend(root, server, limits);
  else join(root, server, limits);
};
