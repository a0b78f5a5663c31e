// @ts-check
// A text with a colour behind each token, and the token's figures on hover, tap or arrow keys.
import { number, signed } from "../lib/format.js";
import { NAMES, UNSIGNED, background, clipNote, colourings, scaleOf } from "../lib/tokens.js";
import { button, fill, h } from "./dom.js";

/** @type {HTMLElement | null} */
let tip = null;

const figureRow = ([name, value]) => {
  const [title, unit] = NAMES[name];
  const text = UNSIGNED.includes(name) ? number(value) : signed(value);
  return h("div", {}, h("span", {}, title), h("span", {}, `${text} ${unit}`));
};

const LINGER = 350; // milliseconds in which the pointer can reach the button in the tip
let leaving = 0;

const stay = () => clearTimeout(leaving);

const makeTip = () => {
  const acts = {
    onpointerenter: stay,
    onpointerleave: () => hideTip(),
    onmousedown: (/** @type {Event} */ event) => event.preventDefault(), // the text keeps the focus
  };
  return document.body.appendChild(h("div", { class: "rl-tip", role: "status", ...acts }));
};

const showTip = (span, piece, figures, { note, trace }) => {
  stay();
  tip = tip || makeTip();
  const known = ([name, value]) => NAMES[name] && value !== null && value !== undefined;
  fill(
    tip,
    h("b", {}, piece.trim() === "" ? "(space)" : piece),
    Object.entries(figures).filter(known).map(figureRow),
    note ? h("p", {}, note) : null,
    trace ? button("Trace (Enter)", trace) : null,
  );
  tip.hidden = false;
  placeTip(span.getBoundingClientRect());
};

const placeTip = (/** @type {DOMRect} */ box) => {
  const width = tip.offsetWidth;
  const left = Math.min(box.left + box.width / 2 - width / 2, innerWidth - width - 8);
  tip.style.left = `${Math.max(8, left)}px`;
  const above = box.top > tip.offsetHeight + 14;
  const gap = tip.querySelector("button") ? 1 : 6;
  tip.style.top = `${above ? box.top - tip.offsetHeight - gap : box.bottom + gap}px`;
};

const hideTip = () => {
  stay();
  if (tip) tip.hidden = true;
};
document.addEventListener("scroll", hideTip, true);
document.addEventListener("pointerdown", (event) => {
  const target = /** @type {Element} */ (event.target);
  if (!target.closest(".rl-token, .rl-tip")) hideTip();
});

const ENDED = "<|endoftext|>";

const tokenSpan = (token, index, { by, parting, clips, scale }) => {
  const parts = index === parting ? " rl-parting" : "";
  const stopped = clips && token.clipped ? " rl-clipped" : "";
  const style = { background: background(by, token[by], scale) };
  const attributes = { class: `rl-token${parts}${stopped}`, "data-index": index, style };
  return h("span", attributes, token.piece.replace(ENDED, "\u25A0"));
};

/**
 * @param {import("../lib/tokens.js").Token[]} tokens
 * @param {string} by a key of colourings
 * @param {object} [how]
 * @param {number | null} [how.parting] index of the token to mark
 * @param {string} [how.label]
 * @param {boolean} [how.clips] whether to mark the tokens that the clip stopped
 * @param {number} [how.clip] the clip range, if the tokens are of a PPO step
 * @param {import("../lib/tokens.js").Scale} [how.scale] of the colours, if other texts share it
 * @param {(index: number) => void} [how.trace] opens the microscope at a token
 */
export const tokenText = (tokens, by, how = {}) => {
  const { parting = null, label = "tokens", clips = false, clip, trace } = how;
  const scale = how.scale || scaleOf(by, tokens);
  const spans = tokens.map((one, index) => tokenSpan(one, index, { by, parting, clips, scale }));
  const activate = (/** @type {number} */ index) =>
    spans.forEach((span, place) => span.classList.toggle("rl-token-active", place === index));
  let active = -1;
  const show = (/** @type {number} */ index) => {
    active = index;
    activate(index);
    const token = tokens[index];
    const note = index === parting ? "The two texts differ from here on." : clipNote(token, clip);
    const more = { note, trace: trace && open };
    showTip(spans[index], token.piece.replace(ENDED, "end of text"), token, more);
  };
  const open = () => {
    hideTip();
    trace(active);
  };
  const leave = () => {
    hideTip();
    activate(-1);
  };
  const point = ({ target }) => {
    if (target.dataset.index !== undefined) show(Number(target.dataset.index));
  };
  const press = (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") hideTip();
    if (event.key === "Enter" && trace && active >= 0) {
      event.preventDefault(); // else the key also presses the button that gets the focus
      open();
    }
    if (!step || !spans.length) return;
    event.preventDefault();
    show(Math.max(0, Math.min(spans.length - 1, active + step)));
  };
  const traced = trace ? ", Enter traces them" : "";
  const told = `${label}; arrow keys show each token's figures${traced}`;
  const attributes = { class: "rl-tokens", tabindex: 0, role: "group", "aria-label": told };
  const acts = {
    onpointerover: point,
    onpointerleave: ({ pointerType }) => {
      if (pointerType !== "mouse") return;
      stay();
      if (trace) leaving = setTimeout(leave, LINGER);
      else leave();
    },
    onclick: point,
    onblur: leave,
    onkeydown: press,
  };
  return h("span", { ...attributes, ...acts }, spans);
};

const mixed = (/** @type {string} */ color) =>
  `color-mix(in srgb, var(--rl-${color}) 46%, transparent)`;

/**
 * @param {string} by a key of colourings
 * @param {Partial<import("../lib/tokens.js").Scale>} [scale] if the colouring has no fixed one
 */
export const tokenLegend = (by, { from, full } = {}) => {
  const spec = colourings[by];
  const low = spec.low ?? signed(from - full);
  const high = spec.high ?? signed(from + full);
  const start = spec.both ? `${mixed("below")}, transparent` : "transparent";
  const background = `linear-gradient(90deg, ${start}, ${mixed(spec.color)})`;
  const zero = `uncoloured: ${signed(from)}, the score after the first token`;
  return h(
    "p",
    { class: "rl-legend" },
    h("span", {}, low),
    h("i", { style: { background } }),
    h("span", {}, high),
    spec.full ? null : h("span", {}, zero),
  );
};
