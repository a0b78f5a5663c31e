// @ts-check
// Elements made from text, never from markup, and what all panels do with them.

/** @typedef {Node | string | number | null | undefined} One  @typedef {One | any[]} Child */

const setStyle = (element, values) => {
  for (const [name, value] of Object.entries(values)) {
    if (name.startsWith("--")) element.style.setProperty(name, value);
    else element.style[name] = value;
  }
};

const given = (/** @type {any[]} */ children) =>
  children.flat(Infinity).filter((child) => child !== null && child !== undefined);

/**
 * h("p", {class: "soft"}, "text", child): an element. Strings become text nodes, so the words of
 * models and people stay text.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} [attributes] `onclick` and the like are functions, `style` an object
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export const h = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") setStyle(element, value);
    else if (name === "value" || name === "checked") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...given(children));
  return element;
};

/**
 * @template {Element} Some
 * @param {Some} element
 * @param {...Child} children its new content
 */
export const fill = (element, ...children) => {
  element.replaceChildren(...given(children));
  return element;
};

/** @param {...Child} children of a paragraph in the quiet colour */
export const soft = (...children) => h("p", { class: "rl-soft" }, ...children);

/**
 * @param {string} words
 * @param {(event: any) => void} [act]
 * @param {string} [kind] further classes
 */
export const button = (words, act, kind = "") =>
  h("button", { class: `rl-button ${kind}`.trim(), type: "button", onclick: act }, words);

/**
 * Content folded away under a summary.
 * @param {Child} summary
 * @param {...Child} children
 */
export const fold = (summary, ...children) =>
  h("details", { class: "rl-fold" }, h("summary", {}, summary), ...children);

/**
 * A list to choose from: of labels, or of [label, value].
 * @param {Record<string, any>} attributes
 * @param {(string | [string, string])[]} options
 */
export const select = (attributes, options) => h("select", attributes, options.map(option));

/** @param {string | [string, string]} choice a label, or a label and a value */
export const option = (choice) => {
  const [label, value] = typeof choice === "string" ? [choice, choice] : choice;
  return h("option", { value }, label);
};

/** @param {string} color a small mark in the colour of a model */
export const mark = (color) => h("i", { style: { background: `var(--rl-${color})` } });

/** @param {string} label  @param {HTMLElement} fillElement its width shows the progress */
export const progressBar = (label, fillElement) => {
  const range = { "aria-valuemin": 0, "aria-valuemax": 100 };
  const said = { role: "progressbar", "aria-label": label, ...range };
  const bar = h("div", { class: "rl-bar", ...said }, fillElement);
  return {
    bar,
    /** @param {number} share */
    set: (share) => {
      fillElement.style.width = `${100 * share}%`;
      bar.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    },
  };
};

/**
 * Changes the text only if it differs, so that a screen reader reads only what is new.
 * @param {Element} element
 * @param {string} text
 */
export const say = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};

/**
 * Shows a sentence that says what went wrong; without one, hides the place.
 * @param {HTMLElement} place
 * @param {string | null | undefined} sentence
 */
export const showProblem = (place, sentence) => {
  place.classList.add("rl-problem");
  place.setAttribute("role", "alert");
  place.hidden = !sentence;
  say(place, sentence || "");
};

/**
 * Asks before something is lost, in place of the button that was pressed.
 * @param {HTMLElement} button
 * @param {Child} question
 * @param {string} yes
 * @param {() => void} act
 */
export const confirmFirst = (button, question, yes, act) => {
  const done = () => {
    row.replaceWith(button);
    button.focus();
  };
  const go = () => {
    done();
    act();
  };
  const keep = h("button", { class: "rl-button", type: "button", onclick: done }, "Cancel");
  const row = h(
    "span",
    { class: "rl-confirm", role: "group" },
    h("span", {}, question),
    h("button", { class: "rl-button rl-danger", type: "button", onclick: go }, yes),
    keep,
  );
  button.replaceWith(row);
  keep.focus();
};

/**
 * A large number and what it means.
 * @param {string | null} color
 */
export const figure = (color) => {
  const value = h("b", { style: { color: color ? `var(--rl-${color})` : null } }, "\u2013");
  const meaning = h("span", {}, "\u00A0");
  return {
    box: h("div", { class: "rl-figure" }, value, meaning),
    /** @param {string} text a value, its standard error behind " \u00B1 " where it has one
     *  @param {string} words */
    set: (text, words) => {
      const [amount, error] = text.split(" \u00B1 ");
      if (value.textContent !== text)
        fill(value, amount, error ? h("small", {}, ` \u00B1 ${error}`) : null);
      say(meaning, words);
    },
  };
};

/** @param {{link: string, name?: string}} file that the server has written */
export const download = ({ link, name }) =>
  h("a", { href: encodeURI(link), download: name }).click();

/**
 * Saves a text of this page as a file.
 * @param {string} name
 * @param {string} kind a MIME type
 * @param {string} text
 */
export const saveAs = (name, kind, text) => {
  const address = URL.createObjectURL(new Blob([text], { type: kind }));
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
};
