// @ts-check
// The ballot of all panels: a pair of texts, and buttons, taps and keys to answer it.
import { BallotState } from "../lib/ballot_state.js";
import { fill, h, say, showProblem } from "./dom.js";
import { answered } from "./server.js";
import { writing } from "./writing.js";

/** @typedef {import("../lib/ballot_state.js").Choice} Choice */
/** @typedef {import("../lib/ballot_state.js").Assignment} Assignment */

/** @type {Record<string, Choice>} */
const KEYS = {
  arrowleft: "left",
  a: "left",
  arrowright: "right",
  l: "right",
  arrowdown: "tie",
  t: "tie",
  b: "both_bad",
  s: "skip",
};
const TYPED =
  "input, textarea, select, [contenteditable], [role=listbox], [role=radiogroup], [role=slider]";

export const typing = (/** @type {Element | null} */ element) => element && element.closest(TYPED);

export const keyName = (/** @type {string} */ name) => h("kbd", { "aria-hidden": "true" }, name);

// Not `disabled`, because a disabled button loses the keyboard's focus.
const choiceButton = (answer, /** @type {Choice} */ choice, name, ...label) => {
  const attributes = { class: "rl-button", type: "button", "aria-disabled": "true" };
  return h("button", { ...attributes, onclick: () => answer(choice) }, label, keyName(name));
};

const sideCard = (answer, /** @type {Choice} */ choice, wide, narrow, name) => {
  const text = h("p", { class: "rl-ballot-text" }, "\u00A0");
  const words = [
    h("span", { class: "rl-wide-only" }, wide),
    h("span", { class: "rl-narrow-only" }, narrow),
  ];
  const pick = choiceButton(answer, choice, name, words);
  // A tap on a text answers too; selecting some of it does not.
  const tap = (event) => {
    if (!event.target.closest("button") && !String(window.getSelection())) answer(choice);
  };
  const card = h("article", { class: "rl-card rl-ballot-side", onclick: tap }, text, pick);
  return { text, pick, card };
};

const view = (answer, takeBack, text) => {
  const question = h("h2", { class: "rl-question", "aria-live": "polite" }, "\u00A0");
  const prompt = h("p", { class: "rl-ballot-prompt" }, "\u00A0");
  const problem = h("p", { hidden: true });
  const empty = h("p", { class: "rl-ballot-empty", "aria-live": "polite" }, "\u00A0");
  const left = sideCard(answer, "left", "Left", "Upper text", "\u2190");
  const right = sideCard(answer, "right", "Right", "Lower text", "\u2192");
  const others = [
    choiceButton(answer, "tie", "\u2193", "Tie"),
    choiceButton(answer, "both_bad", "b", "Both bad"),
    choiceButton(answer, "skip", "s", "Skip"),
  ];
  const quiet = { class: "rl-button rl-quiet", type: "button", disabled: true };
  const undo = takeBack && h("button", { ...quiet, onclick: takeBack }, "Undo", keyName("u"));
  const sides = h("div", { class: "rl-ballot-sides" }, left.card, right.card);
  const pair = h("div", { class: "rl-ballot-pair" }, prompt, sides);
  const section = h(
    "section",
    { class: "rl-ballot", "aria-label": "Two texts to compare" },
    question,
    h("div", { class: "rl-ballot-stage" }, pair, empty),
    h("div", { class: "rl-ballot-others" }, others, undo),
    problem,
    text && text.box,
  );
  const buttons = [left.pick, right.pick, ...others];
  return { question, prompt, problem, empty, left, right, undo, pair, section, buttons };
};

const draw = (seen, /** @type {Assignment | null} */ assignment, /** @type {string} */ message) => {
  seen.pair.dataset.empty = assignment ? "" : "yes";
  seen.empty.hidden = !!assignment;
  if (!assignment) {
    say(seen.empty, message);
    return;
  }
  say(seen.question, assignment.question);
  say(seen.prompt, assignment.prompt);
  // The texts continue the prompt, so a leading space belongs to the prompt.
  say(seen.left.text, assignment.left.trim() || "(empty)");
  say(seen.right.text, assignment.right.trim() || "(empty)");
};

// Keys answer only a ballot in sight; elsewhere the arrow keys must still scroll.
export const onScreen = (/** @type {HTMLElement} */ card) => {
  const { top, bottom, height } = card.getBoundingClientRect();
  return height > 0 && top < window.innerHeight && bottom > 0;
};

const listenToKeys = (card, /** @type {BallotState} */ state, takeBack, text) =>
  document.addEventListener("keydown", (event) => {
    const held = event.ctrlKey || event.metaKey || event.altKey || event.repeat;
    if (held || !onScreen(card) || typing(document.activeElement)) return;
    const pressed = event.key.toLowerCase();
    if (pressed === "u" && takeBack) {
      takeBack();
      return;
    }
    if (pressed === "w" && text) {
      event.preventDefault(); // or the letter would stand in the field
      text.begin();
      return;
    }
    if (!KEYS[pressed] || !state.now) return;
    event.preventDefault();
    state.answer(KEYS[pressed]);
  });

/**
 * Fills an element with a pair and the buttons to answer it.
 * @param {HTMLElement} place
 * @param {import("../lib/ballot_state.js").Source} source
 * @param {import("../lib/writing_state.js").Texts} [texts] missing if the voter cannot write any
 */
export const ballot = (place, source, texts) => {
  const answer = (/** @type {Choice} */ choice) => state.answer(choice);
  const undo = () => state.takeBack((promise) => answered(seen.problem, promise));
  const takeBack = source.undo ? undo : null;
  const text =
    texts &&
    writing(texts, {
      opened: (open) => state.write(open),
      typed: () => state.stay(),
    });
  const seen = view(answer, takeBack, text);
  const problem = (sentence) => showProblem(seen.problem, sentence);
  const state = new BallotState(source, {
    show: (assignment, message) => {
      draw(seen, assignment, message);
      if (text) text.show(assignment);
    },
    enable: (ready) =>
      seen.buttons.forEach((one) => one.setAttribute("aria-disabled", String(!ready))),
    enableUndo: (possible) => {
      if (seen.undo) seen.undo.disabled = !possible;
    },
    problem,
    alive: () => place.isConnected,
    seen: () => !(document.hidden || place.offsetParent === null),
  });
  fill(place, seen.section);
  listenToKeys(seen.left.card, state, takeBack, text);
  state.refresh();
  return {
    refresh: () => state.refresh(),
    pause: (/** @type {string} */ sentence) => state.pause(sentence),
    problem,
    assignment: () => state.now,
    allowTexts: (/** @type {boolean} */ allowed) => text.allow(allowed),
  };
};
