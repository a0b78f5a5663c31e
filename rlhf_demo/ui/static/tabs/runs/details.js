// @ts-check
// The picked run: its result, what can be done with it, and how to repeat it.
import {
  button,
  confirmFirst,
  download,
  fill,
  fold,
  h,
  say,
  showProblem,
  soft,
} from "../../shared/dom.js";
import { counted } from "../../lib/format.js";
import { openForm, openTab, showRun, tabOf } from "../../shared/navigation.js";
import { answered } from "../../shared/server.js";
import { proof } from "../../shared/visitor.js";
import { kindOf } from "./kinds.js";

/** @typedef {import("../../types").PickedRun} PickedRun */

const BUSY = ["running", "queued"];
const SHIPPED =
  "An example that ships with this page, from a real training run. It cannot be changed.";
const OTHERS = "Only the person who started it, or the instructor, can stop or delete it.";

// A page served over plain HTTP cannot write to the clipboard.
const copy = async (/** @type {HTMLElement} */ code, /** @type {HTMLElement} */ from) => {
  try {
    await navigator.clipboard.writeText(code.textContent);
    say(from, "Copied");
  } catch {
    getSelection().selectAllChildren(code);
    say(from, "Selected: press Ctrl+C");
  }
  setTimeout(() => say(from, "Copy"), 2500);
};

const setting = (one) =>
  h(
    "div",
    { tabindex: 0 },
    h("dt", {}, one.name),
    h("dd", {}, one.value),
    h("dd", { class: "rl-meaning" }, `${one.meaning}. Default: ${one.default}`),
  );

const settings = (/** @type {PickedRun} */ run) =>
  run.settings.length
    ? h("dl", { class: "rl-settings" }, run.settings.map(setting))
    : soft("All settings are the defaults.");

const summary = (/** @type {PickedRun} */ run) => {
  const id = run.title === run.id ? "" : `, ${run.id}`;
  const kind = h("span", { class: "rl-soft rl-plain-weight" }, `${kindOf(run.kind)}${id}`);
  const bad = ["failed", "damaged"].includes(run.status);
  const told = run.message && run.message !== run.status;
  return [
    h("h2", { class: "rl-h2" }, run.title, " ", kind),
    run.result ? h("p", {}, run.result) : null,
    told ? h("p", { class: bad ? "rl-problem" : "rl-soft" }, run.message) : null,
    run.log ? fold("The end of its log", h("pre", { class: "rl-log" }, run.log)) : null,
  ];
};

const repeatable = (/** @type {PickedRun} */ run) => {
  const code = h("code", { class: "rl-command" }, run.command);
  const copyCode = ({ currentTarget }) => copy(code, currentTarget);
  return [
    h(
      "h3",
      {},
      "Settings that are not the defaults ",
      h("span", {}, "point at one, or tap it, to see its meaning"),
    ),
    settings(run),
    h(
      "h3",
      {},
      "The command that repeats it ",
      h("span", {}, "on the same machine, the same seed gives the same numbers"),
    ),
    h("div", { class: "rl-command-line" }, code, button("Copy", copyCode)),
  ];
};

// The buttons of a run; `acts` are their actions.
const buttons = (/** @type {PickedRun} */ run, acts) => {
  const over = !BUSY.includes(run.status);
  const mayResume = run.mine && ["stopped", "failed"].includes(run.status);
  const mayDelete = run.mine && (over || run.status === "queued");
  const why = h("span", { class: "rl-soft" }, run.example ? SHIPPED : OTHERS);
  return h(
    "div",
    { class: "rl-inline" },
    run.has_board ? button("Open", () => showRun(run.id, run.kind), "rl-main") : null,
    run.mine && !over ? button("Stop", acts.stop) : null,
    mayResume ? button("Resume", acts.resume) : null,
    run.has_board ? button("Run again with other settings", acts.again) : null,
    run.damaged ? null : button("Download as zip", acts.zip),
    mayDelete ? button("Delete", acts.remove, "rl-danger") : null,
    run.mine ? null : why,
  );
};

const neededWords = (/** @type {string[]} */ titles) => {
  const some = titles.length > 1 ? ` and ${counted(titles.length - 1, "other run")}` : "";
  return (
    `\u201c${titles[0]}\u201d${some} began with this model, and could no longer be compared ` +
    "with it."
  );
};

/**
 * The actions of a run's buttons.
 * @param {PickedRun} run
 * @param {HTMLElement} problem
 * @param {object} around
 * @param {import("../../shared/server.js").Server} around.server
 * @param {(event: string, detail: object) => void} around.trigger
 * @param {() => void} around.changed
 * @param {(id: string) => void} around.deleted
 */
const actsOn = (run, problem, { server, trigger, changed, deleted }) => {
  const change = async (/** @type {string} */ name, /** @type {() => void} */ after) => {
    if (await answered(problem, server[name]({ run: run.id, ...proof() }))) after();
  };
  const question = `Delete \u201c${run.title}\u201d and its model for good?`;
  const remove = async (/** @type {HTMLElement} */ from, /** @type {boolean} */ sure) => {
    const answer = await answered(problem, server.delete_run({ run: run.id, sure, ...proof() }));
    if (!answer) return;
    if (answer.deleted) deleted(run.id);
    else confirmFirst(from, neededWords(answer.needed_by), "Delete it all the same", () => {
      remove(from, true);
    });
  };
  return {
    stop: () => change("stop_job", changed),
    resume: () => change("resume_job", changed),
    remove: ({ currentTarget: from }) =>
      confirmFirst(from, question, "Delete it", () => remove(from, false)),
    again: () => {
      trigger("select", { run: run.id });
      openTab(tabOf(run.id));
      openForm();
    },
    zip: async ({ currentTarget: from }) => {
      from.disabled = true;
      say(from, "Packing");
      const answer = await answered(problem, server.zip_run({ run: run.id }));
      if (answer) download({ link: answer.link, name: `${run.id}.zip` });
      from.disabled = false;
      say(from, "Download as zip");
    },
  };
};

/** @param {Parameters<typeof actsOn>[2]} around */
export const details = (around) => {
  const label = "The picked run";
  const root = h("section", { class: "rl-run-details", hidden: true, "aria-label": label });
  const problem = h("p", { hidden: true });
  let shown = "";
  /** @type {PickedRun | null} */
  let now = null;

  const draw = (/** @type {PickedRun | null} */ run) => {
    root.hidden = !run;
    if (!run) shown = "";
    // Drawn again only if something changed, and not while a question waits for its answer.
    const text = JSON.stringify(run);
    const same = now && run && now.id === run.id;
    if (!run || text === shown || (same && root.querySelector(".rl-confirm"))) return;
    if (!same) showProblem(problem, "");
    shown = text;
    now = run;
    fill(root, summary(run), buttons(run, actsOn(run, problem, around)), problem);
    if (!run.damaged) root.append(...repeatable(run));
  };
  return { element: root, draw, problem: (sentence) => showProblem(problem, sentence) };
};
