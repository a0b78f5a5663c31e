// @ts-check
// Before a class is open: open one, or continue one of this browser or of another computer.
import { fill, fold, h, showProblem } from "../../shared/dom.js";
import { answered } from "../../shared/server.js";
import { instructorToken } from "../../shared/visitor.js";
import { askButton, field, numberField, questionField } from "./fields.js";
import { classes } from "./storage.js";

const LEAD =
  "Students join on their phones with a code and compare texts. On your screen they watch a " +
  "reward model learn from their votes, and PPO train a model to please it. A blind vote then " +
  "shows whether they prefer the result.";
const CLEAN = " Keep rude words out: no model writes them, and no text with one is scored";
const ELSEWHERE = "Continue a class that was opened on another computer";
const PASSWORD = "Instructor\u2019s password";

const submit = (words, kind = "") =>
  h("button", { class: `rl-button ${kind}`.trim(), type: "submit" }, words);

/** @param {HTMLInputElement} input */
const passwordOf = (input) => input.value || instructorToken.get();

const newClass = (about, server, problem, enter) => {
  const question = questionField(about.questions);
  const each = numberField(about.each, 4, 100);
  const overlap = numberField(3, 1, 30);
  const clean = h("input", { type: "checkbox", checked: true });
  const password = h("input", { type: "password", autocomplete: "current-password" });
  const go = submit("Open a class", "rl-main");
  const form = h(
    "form",
    { class: "rl-class-form" },
    field("Question above each pair", question.box),
    field("Pairs for each student", each, "per round"),
    field("Students for each pair", overlap, "with two or more, you see how far students agree"),
    about.password ? field(PASSWORD, password) : null,
    h("label", { class: "rl-check" }, clean, CLEAN),
    go,
  );
  form.onsubmit = async (event) => {
    event.preventDefault();
    go.disabled = true;
    const words = { question: question.get(), clean_words: clean.checked };
    const sizes = { each: each.value, overlap: overlap.value };
    const request = { ...words, ...sizes, password: passwordOf(password) };
    const answer = await answered(problem, server.open_class(request));
    go.disabled = false;
    enter(answer);
  };
  return form;
};

const moved = (server, problem, enter) => {
  const code = h("input", { type: "text", maxlength: 12, autocomplete: "off" });
  const word = h("input", { type: "password" });
  const fields = [field("Class code", code), field(PASSWORD, word)];
  const form = h("form", { class: "rl-class-form" }, fields, submit("Continue here"));
  form.onsubmit = async (event) => {
    event.preventDefault();
    const request = { code: code.value, password: passwordOf(word) };
    enter(await answered(problem, server.take_over(request)));
  };
  return form;
};

const earlier = (enter) => {
  const day = (/** @type {number} */ opened) => new Date(opened).toLocaleDateString();
  const before = classes().map((one) =>
    askButton(`${one.code}, opened ${day(one.opened)}`, () => enter(one)),
  );
  if (!before.length) return null;
  const list = h("div", { class: "rl-inline" }, before);
  return h("div", {}, h("p", {}, "Your earlier classes"), list);
};

/**
 * @param {HTMLElement} root
 * @param {any} about
 * @param {import("../../shared/server.js").Server} server
 * @param {(token: string) => void} open called with the token of the class to show
 * @param {string} [sentence] why the last class has ended
 */
export const opening = (root, about, server, open, sentence) => {
  const problem = h("p", { hidden: true });
  const enter = (/** @type {{token: string} | null} */ answer) => answer && open(answer.token);
  const form = newClass(about, server, problem, enter);
  const elsewhere = fold(ELSEWHERE, moved(server, problem, enter));
  fill(
    root,
    h("h2", { class: "rl-h2" }, "Teach a class"),
    h("p", { class: "rl-lead" }, LEAD),
    about.closed ? h("p", { class: "rl-note" }, about.closed) : form,
    problem,
    earlier(enter),
    about.password ? elsewhere : null,
  );
  showProblem(problem, sentence);
};
