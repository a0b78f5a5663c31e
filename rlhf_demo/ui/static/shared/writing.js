// @ts-check
// "Write it better": the form in which a voter continues the prompt in own words.
import { WritingState } from "../lib/writing_state.js";
import { button, confirmFirst, h, say, showProblem, soft } from "./dom.js";

/** @typedef {import("../lib/writing_state.js").Texts} Texts */

const ABOUT =
  "Your text is not a vote: it does not decide between the two texts, and no reward model learns " +
  "from it. Please write nothing personal.";

const wideOrNarrow = (/** @type {string} */ wide, /** @type {string} */ narrow) => [
  h("span", { class: "rl-wide-only" }, wide),
  h("span", { class: "rl-narrow-only" }, narrow),
];

const keyName = (/** @type {string} */ name) => h("kbd", { "aria-hidden": "true" }, name);

const form = (/** @type {WritingState} */ state) => {
  const prompt = h("b", {});
  const field = h("textarea", {
    rows: 3,
    oninput: () => state.typed(field.value),
  });
  const counter = h("span", { class: "rl-soft rl-write-count", "aria-live": "off" });
  const copy = (/** @type {"left" | "right"} */ side) => {
    state.typed(state.now[side].trim());
    field.focus();
  };
  const copies = [
    button("", () => copy("left"), "rl-quiet"),
    button("", () => copy("right"), "rl-quiet"),
  ];
  copies[0].append(...wideOrNarrow("Copy the left text", "Copy the upper text"));
  copies[1].append(...wideOrNarrow("Copy the right text", "Copy the lower text"));
  const keep = h("button", { class: "rl-button rl-main", type: "submit" }, "Save my text");
  keep.append(keyName("Ctrl \u21B5"));
  const cancel = button("Close", () => state.close());
  cancel.append(keyName("Esc"));
  const label = h("label", {}, h("span", {}, "Continue \u201C", prompt, "\u201D"), field);
  const box = h(
    "form",
    { class: "rl-card rl-write" },
    label,
    h("div", { class: "rl-write-line" }, copies, counter),
    h("div", { class: "rl-write-line" }, keep, cancel),
    soft(`${ABOUT} ${state.source.use}`),
  );
  box.addEventListener("submit", (event) => {
    event.preventDefault();
    state.keep();
  });
  box.addEventListener("keydown", (event) => {
    if (event.key === "Escape") state.close();
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) state.keep();
    else return;
    event.preventDefault();
  });
  const draw = () => {
    box.hidden = !state.open;
    if (!state.open) return;
    say(prompt, state.now.prompt);
    if (field.value !== state.text) field.value = state.text;
    field.readOnly = state.busy;
    say(counter, state.counter);
    counter.classList.toggle("rl-over", state.length > state.source.longest);
    for (const one of copies) one.hidden = field.value !== "";
    keep.setAttribute("aria-disabled", String(!state.ready));
  };
  return { box, field, draw };
};

// What the voter has written for this pair, and how to change it.
const line = (/** @type {WritingState} */ state) => {
  const write = button("", () => state.begin(), "rl-quiet");
  const words = h("span", {});
  write.append(words, keyName("w"));
  const written = h("span", { class: "rl-write-kept" });
  const asks = () => confirmFirst(remove, "Delete your text?", "Delete it", () => state.remove());
  const remove = button("Delete it", asks, "rl-quiet");
  const said = h("p", { class: "rl-soft", role: "status" });
  const box = h("div", { class: "rl-write-line" }, write, remove, written);
  const draw = () => {
    const text = state.whole;
    box.hidden = !state.possible || state.open;
    say(words, text ? "Change your text" : "Write it better");
    say(written, text ? `Your text: \u201C${text}\u201D` : "");
    written.hidden = remove.hidden = !text;
    say(said, state.said);
  };
  return { box, write, said, draw };
};

/**
 * @param {Texts} texts
 * @param {{opened: (open: boolean) => void, typed: () => void}} told
 */
export const writing = (texts, told) => {
  const state = new WritingState(texts, () => draw());
  const shown = line(state);
  const opened = form(state);
  const problem = h("p", { hidden: true });
  let wasOpen = false;
  const draw = () => {
    const inside = opened.box.contains(document.activeElement);
    shown.draw();
    opened.draw();
    showProblem(problem, state.problem);
    if (state.open === wasOpen) return;
    wasOpen = state.open;
    told.opened(state.open);
    if (state.open) opened.field.focus();
    else if (inside && state.possible) shown.write.focus();
  };
  opened.field.addEventListener("input", told.typed);
  draw();
  return {
    box: h("div", { class: "rl-writing" }, shown.box, opened.box, problem, shown.said),
    show: (/** @type {any} */ assignment) => state.show(assignment),
    allow: (/** @type {boolean} */ allowed) => state.allow(allowed),
    begin: () => state.begin(),
  };
};
