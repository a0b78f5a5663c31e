// @ts-check
// What the microscope says of one cell: its equation, a sentence, and the lines that compute it.
import {
  CONSTANT_WORDS,
  cellWords,
  equation,
  noted,
  rowOf,
  sentence,
  symbolOf,
  valueOf,
} from "../../lib/microscope.js";
import { fill, fold, h, say } from "../../shared/dom.js";
import { math } from "../../shared/mathml.js";

/** @typedef {import("../../lib/microscope.js").Trace} Trace */
/** @typedef {import("../../types").TracedQuantity} TracedQuantity */

const lines = ({ source, line }) =>
  source
    .trimEnd()
    .split("\n")
    .map((text, i) => `${String(line + i).padStart(4)}  ${text}`)
    .join("\n");

const constantsOf = (/** @type {string[]} */ names, /** @type {Trace} */ trace) =>
  names.flatMap((name, i) => [
    i ? "; " : "",
    math([symbolOf(name)]),
    ` ${CONSTANT_WORDS[name]}, ${cellWords(name, valueOf(trace, name, 0)).replace("+", "")}`,
  ]);

export const cellView = () => {
  const title = h("h3", {});
  const equations = h("div", { class: "rl-scope-math" });
  const words = h("p", { "aria-live": "polite" });
  const constants = h("p", { class: "rl-soft" });
  const code = h("pre", {});
  const where = h("span", {});
  const source = fold(where, code);
  source.open = true;
  return {
    element: h("section", { class: "rl-scope-cell" }, title, words, equations, constants, source),
    /** @param {Trace} trace  @param {string} name  @param {number} at
     *  @param {TracedQuantity} quantity */
    draw: (trace, name, at, quantity) => {
      const { label, unit } = rowOf(name);
      const value = valueOf(trace, name, at);
      const token = trace.tokens[at].replace("<|endoftext|>", "end of text").trim();
      const figure = value === null ? "not known" : `${cellWords(name, value)} ${unit}`.trim();
      fill(title, `${label}, \u201C${token}\u201D: `, h("b", {}, figure));
      say(words, sentence(trace, name, at));
      const found = equation(trace, name, at);
      const result = value === null ? [] : ["=", cellWords(name, value).replace("+", "")];
      const whole = found && value !== null;
      const counted = whole && found.rule.length > 1; // else the rule is a number already
      fill(
        equations,
        found
          ? [math([found.left, "=", ...found.rule]), counted ? math(["=", ...found.numbers]) : null]
          : [math([symbolOf(name), ...result]), h("span", { class: "rl-soft" }, noted(name))],
        whole ? math(result) : null,
      );
      fill(constants, found ? constantsOf(found.constants, trace) : null);
      say(where, `${quantity.function}, ${quantity.file} line ${quantity.line}`);
      say(code, lines(quantity));
    },
  };
};
