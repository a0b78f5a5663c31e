// @ts-check
// Equations as MathML, which browsers draw by themselves.

/** @typedef {import("../lib/microscope.js").Piece} Piece */

const SPACE = "http://www.w3.org/1998/Math/MathML";

const m = (/** @type {string} */ tag, /** @type {(Node | string)[]} */ ...children) => {
  const element = document.createElementNS(SPACE, tag);
  element.append(...children);
  return element;
};

const symbol = (/** @type {import("../lib/microscope.js").Symbol} */ of) => {
  const { symbol: name, sub, sup } = of;
  const base = m("mi", name);
  const below = sub && m("mrow", m("mi", sub));
  const above = sup && m("mtext", sup);
  if (below && above) return m("msubsup", base, below, above);
  if (below) return m("msub", base, below);
  return above ? m("msup", base, above) : base;
};

const text = (/** @type {string} */ piece) => {
  if (/^\(?[\u2212\d]/.test(piece) && piece.length > 1) return m("mn", piece);
  if (/^\d$/.test(piece)) return m("mn", piece);
  return /^[a-z]+$/.test(piece) ? m("mi", piece) : m("mo", piece);
};

/** @param {Piece} piece @returns {Element} */
const drawn = (piece) => {
  if (typeof piece === "string") return text(piece);
  if ("over" in piece) return m("mfrac", row(piece.over), row(piece.under));
  if ("squared" in piece) {
    const inside = m("mrow", m("mo", "("), row(piece.squared), m("mo", ")"));
    return m("msup", inside, m("mn", "2"));
  }
  return symbol(piece);
};

const row = (/** @type {Piece[]} */ pieces) => m("mrow", ...pieces.map(drawn));

/** @param {Piece[]} pieces */
export const math = (pieces) => m("math", row(pieces));
