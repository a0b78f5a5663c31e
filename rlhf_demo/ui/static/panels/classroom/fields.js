// @ts-check
// The fields and buttons of the instructor's screen.
import { button, h, option } from "../../shared/dom.js";

/**
 * A button that stays disabled until its request has been answered.
 * @param {string} words
 * @param {() => any} act
 * @param {string} [kind]
 * @param {() => void} [settle] called when the request has ended, answered or not
 */
export const askButton = (words, act, kind = "", settle = () => {}) => {
  const press = async () => {
    made.disabled = true;
    try {
      await act();
    } finally {
      made.disabled = false;
      settle();
      // Disabling the button took its focus away.
      if (document.activeElement === document.body && made.isConnected) made.focus();
    }
  };
  const made = button(words, press, kind);
  return made;
};

/** @param {string} label  @param {HTMLElement} input  @param {string} [about] */
export const field = (label, input, about) => {
  const more = about ? h("small", {}, about) : null;
  return h("label", { class: "rl-class-field" }, h("span", {}, label), input, more);
};

/** @param {number} value  @param {number} low  @param {number} high  @param {number} [step] */
export const numberField = (value, low, high, step = 1) =>
  h("input", { type: "number", value, min: low, max: high, step });

/**
 * A question from the list, or the instructor's own.
 * @param {string[]} questions
 * @param {string} [first] label of a first choice that keeps the current question
 */
export const questionField = (questions, first) => {
  const label = "Your own question";
  const typed = { type: "text", maxlength: 120, "aria-label": label };
  const own = h("input", { ...typed, hidden: true, placeholder: "Which \u2026?" });
  const choose = () => {
    own.hidden = pick.value !== "";
    if (!own.hidden) own.focus();
  };
  const pick = h(
    "select",
    { onchange: choose },
    first ? option([first, "same"]) : null,
    questions.map(option),
    option(["your own question \u2026", ""]),
  );
  const get = () => {
    if (pick.value === "") return own.value;
    return pick.value === "same" ? null : pick.value;
  };
  return { box: h("span", { class: "rl-question-field" }, pick, own), get };
};
