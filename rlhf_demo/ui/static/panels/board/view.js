// @ts-check
// The elements of a board, and how the server's answers change them.
import { button, fill, figure, fold, h, option, progressBar, say } from "../../shared/dom.js";

/** @typedef {import("../../types").BoardState} BoardState */

const MOVING =
  "The losses of PPO, RLOO and GRPO need not fall: each step samples new texts, so they are " +
  "measured on a moving target. Watch the score and the KL instead.";
const JUMPING =
  "The loss jumps from step to step, because a step has few texts. Watch its mean, the score and " +
  "the KL.";
const LOSSES = new Map([
  ["dpo", JUMPING],
  ["sft", JUMPING],
]);
const SHIPPED = "A finished example that ships with this page, from a real training run.";

/** The elements of a board for one kind of run. */
export const boardView = (/** @type {string} */ kind) => {
  const ppo = kind === "ppo";
  const hidden = (words, more = "") => {
    const made = button(words, undefined, more);
    made.hidden = true;
    return made;
  };
  return {
    picker: h("select", { "aria-label": "Run shown" }),
    title: h("span", { class: "rl-run-title" }),
    badge: h("span", { class: "rl-badge" }),
    figures: ["score", ppo ? "kl" : "base", null].map(figure),
    progress: progressBar("Progress", h("i")),
    stop: hidden("Stop"),
    resume: hidden("Resume"),
    next: hidden(ppo ? "Compare now" : "Use it in PPO", "rl-main"),
    problem: h("p", { hidden: true }),
    story: h("p", { class: "rl-story", "aria-live": "polite" }),
    losses: h("p", { class: "rl-soft" }),
    result: h("p", { class: "rl-soft rl-result" }),
    command: h("code", { class: "rl-command" }),
    log: h("pre", { class: "rl-log" }),
  };
};

/** @typedef {ReturnType<typeof boardView>} View */

/** @typedef {Record<"large" | "small" | "folded", import("./curves.js").ChartCard[]>} Cards */

const of = (/** @type {import("./curves.js").ChartCard[]} */ some) => some.map((one) => one.card);

/** The fold of the curves that people rarely look at. */
export const restOf = (
  /** @type {string} */ kind,
  /** @type {View} */ view,
  /** @type {Cards} */ cards,
) => {
  const ppo = kind === "ppo";
  return fold(
    ppo ? "Losses and more" : "More curves",
    ppo ? view.losses : null,
    h("div", { class: "rl-grid-3" }, of(cards.folded)),
  );
};

/**
 * @param {string} kind
 * @param {View} view
 * @param {Cards} cards
 * @param {{samples: HTMLElement, inside: HTMLElement, pair: HTMLElement} | null} more of PPO
 * @param {HTMLElement} rest
 */
export const lay = (kind, view, cards, more, rest) => {
  const large = h("div", { class: kind === "reward" ? "rl-grid-3" : "" }, of(cards.large));
  const small = cards.small.length ? h("div", { class: "rl-small" }, of(cards.small)) : null;
  const buttons = [view.stop, view.resume, view.next];
  const boxes = view.figures.map((one) => one.box);
  return [
    h("div", { class: "rl-run-line" }, h("label", {}, "Run ", view.picker), view.badge, view.title),
    h("div", { class: "rl-head" }, boxes, view.progress.bar, buttons),
    view.problem,
    view.story,
    view.result,
    h("div", { class: more ? "rl-grid" : "rl-grid-1" }, h("div", {}, large, small), more?.samples),
    more?.inside,
    more?.pair,
    cards.folded.length ? rest : null,
    fold("The command that repeats this run, and its log", view.command, view.log),
  ];
};

const stateWords = (
  /** @type {import("../../types").BoardRun} */ run,
  /** @type {boolean} */ early,
) => {
  if (run.status === "queued") return `queued, position ${run.place ?? 1}`;
  if (early) return "ended early";
  return run.example ? "example" : run.status;
};

const drawPicker = (picker, runs, id) => {
  const key = JSON.stringify(runs);
  if (picker.dataset.key !== key) {
    picker.dataset.key = key;
    fill(
      picker,
      runs.map((one) => option([one.label, one.id])),
    );
  }
  if (document.activeElement !== picker) picker.value = id;
};

const drawButtons = (/** @type {View} */ view, run, hasModel) => {
  const { status, mine, example } = run;
  view.stop.hidden = !(mine && (status === "running" || status === "queued"));
  view.resume.hidden = !(mine && (status === "stopped" || status === "failed") && !example);
  view.next.hidden = !hasModel;
};

/**
 * @param {View} view
 * @param {BoardState} answer
 */
export const drawState = (view, answer) => {
  const { run } = answer;
  drawPicker(view.picker, answer.runs, run.id);
  say(view.title, run.example ? SHIPPED : run.message || "");
  const early = run.status === "finished" && run.step < run.total_steps;
  view.badge.dataset.state = early ? "failed" : run.status;
  say(view.badge, stateWords(run, early));
  answer.figures.forEach(([value, words], i) => view.figures[i].set(value, words));
  view.progress.set(run.total_steps ? Math.min(1, run.step / run.total_steps) : 0);
  drawButtons(view, run, answer.has_model);
  fill(view.story, answer.story.what, " ", h("em", {}, answer.story.try));
  view.story.dataset.level = answer.story.level;
  say(view.losses, LOSSES.get(run.kind) || MOVING);
  say(view.result, answer.result);
  say(view.command, run.command || "");
  say(view.log, answer.log || "");
};
