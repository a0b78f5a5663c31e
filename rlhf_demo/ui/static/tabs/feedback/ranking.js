// @ts-check
// Four texts that a voter ranks by taps or keys, best first.
import { BallotState } from "../../lib/ballot_state.js";
import { LETTERS, isComplete, letterOf, placeWords, tapped } from "../../lib/order.js";
import { keyName, onScreen, typing } from "../../shared/ballot.js";
import { fill, h, say, showProblem, soft } from "../../shared/dom.js";
import { answered } from "../../shared/server.js";

const HOW =
  "Tap the texts in your order, best first. Tap a text again to take it back. All six pairs of a " +
  "ranking together count as one vote in training.";

// Not `disabled`, because a disabled button loses the keyboard's focus.
const actButton = (/** @type {string} */ kind, act, words, key) => {
  const attributes = { class: `rl-button ${kind}`, type: "button", "aria-disabled": "true" };
  return h("button", { ...attributes, onclick: act }, words, keyName(key));
};

const textCard = (/** @type {string} */ letter, /** @type {(letter: string) => void} */ tap) => {
  const text = h("span", { class: "rl-rank-text" }, "\u00A0");
  const rank = h("span", { class: "rl-rank-place" });
  const attributes = { class: "rl-card rl-rank-card", type: "button", "aria-pressed": "false" };
  const card = h(
    "button",
    { ...attributes, onclick: () => tap(letter) },
    h("span", { class: "rl-rank-letter" }, letter),
    text,
    rank,
  );
  return { letter, text, rank, card };
};

const view = (tap, save, skip, takeBack) => {
  const question = h("h2", { class: "rl-question", "aria-live": "polite" }, "\u00A0");
  const prompt = h("p", { class: "rl-ballot-prompt" }, "\u00A0");
  const problem = h("p", { hidden: true });
  const empty = h("p", { class: "rl-ballot-empty", "aria-live": "polite" }, "\u00A0");
  const cards = LETTERS.map((letter) => textCard(letter, tap));
  const keep = actButton("rl-main", save, "Save this ranking", "\u21B5");
  const pass = actButton("", skip, "Skip", "s");
  const quiet = { class: "rl-button rl-quiet", type: "button", disabled: true };
  const undo = h("button", { ...quiet, onclick: takeBack }, "Undo", keyName("u"));
  const texts = h("div", { class: "rl-rank-cards" }, cards.map((one) => one.card));
  const four = h("div", { class: "rl-ballot-pair" }, prompt, texts);
  const section = h(
    "section",
    { class: "rl-ballot rl-rank", "aria-label": "Four texts to rank" },
    question,
    h("div", { class: "rl-ballot-stage" }, four, empty),
    h("div", { class: "rl-ballot-others" }, keep, pass, undo),
    problem,
    soft(HOW),
  );
  return { question, prompt, problem, empty, cards, keep, pass, undo, four, section };
};

/** @typedef {ReturnType<typeof view>} View */

const drawTexts = (/** @type {View} */ seen, assignment, /** @type {string} */ message) => {
  seen.four.dataset.empty = assignment ? "" : "yes";
  seen.empty.hidden = Boolean(assignment);
  if (!assignment) {
    say(seen.empty, message);
    return;
  }
  say(seen.question, assignment.question);
  say(seen.prompt, assignment.prompt);
  // The texts continue the prompt, so a leading space belongs to the prompt.
  seen.cards.forEach((one, index) => say(one.text, assignment.texts[index].trim()));
};

const drawOrder = (/** @type {View} */ seen, /** @type {string} */ order, ready) => {
  for (const { letter, rank, card } of seen.cards) {
    say(rank, placeWords(order, letter));
    card.setAttribute("aria-pressed", String(order.includes(letter)));
    card.setAttribute("aria-disabled", String(!ready));
  }
  seen.keep.setAttribute("aria-disabled", String(!ready || !isComplete(order)));
  seen.pass.setAttribute("aria-disabled", String(!ready));
};

const listenToKeys = (/** @type {View} */ seen, tap, save, skip, takeBack) =>
  document.addEventListener("keydown", (event) => {
    const held = event.ctrlKey || event.metaKey || event.altKey || event.repeat;
    const { activeElement } = document;
    if (held || !onScreen(seen.four) || typing(activeElement)) return;
    const pressed = event.key.toLowerCase();
    const letter = letterOf(pressed);
    // Enter on a button presses that button.
    if (pressed === "enter" && !activeElement?.closest("button, a, summary")) save();
    else if (letter) tap(letter);
    else if (pressed === "s") skip();
    else if (pressed === "u") takeBack();
    else return;
    event.preventDefault();
  });

/**
 * Fills an element with four texts and the buttons to rank them.
 * @param {HTMLElement} place
 * @param {import("../../lib/ballot_state.js").Source} source its choices are orders, or "skip"
 */
export const ranking = (place, source) => {
  let order = "";
  let ready = false;
  const draw = () => drawOrder(seen, order, ready);
  const tap = (/** @type {string} */ letter) => {
    if (!ready) return;
    order = tapped(order, letter);
    draw();
    if (isComplete(order)) seen.keep.focus({ preventScroll: true }); // so that Enter saves
  };
  const save = () => {
    if (isComplete(order)) state.answer(order);
  };
  const skip = () => state.answer("skip");
  const takeBack = () => state.takeBack((promise) => answered(seen.problem, promise));
  const seen = view(tap, save, skip, takeBack);
  const state = new BallotState(source, {
    show: (assignment, message) => {
      order = "";
      drawTexts(seen, assignment, message);
    },
    enable: (may) => {
      ready = may;
      draw();
    },
    enableUndo: (possible) => (seen.undo.disabled = !possible),
    problem: (sentence) => showProblem(seen.problem, sentence),
    alive: () => place.isConnected,
    seen: () => !(document.hidden || place.offsetParent === null),
  });
  fill(place, seen.section);
  listenToKeys(seen, tap, save, skip, takeBack);
  return { refresh: () => state.refresh(), assignment: () => state.now };
};
