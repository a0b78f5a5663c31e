// @ts-check
// The microscope's sliders: what would the figures be under other settings?
import { CHANGES } from "../../lib/microscope.js";
import { number } from "../../lib/format.js";
import { button, h, say } from "../../shared/dom.js";

/** @typedef {import("../../types").TraceSettings} TraceSettings */

const slider = ({ name, label }, /** @type {() => void} */ act) => {
  const input = h("input", { type: "range", min: 0, step: 0.01, "aria-label": label });
  const output = h("output", {});
  input.oninput = act;
  return { name, input, output, line: h("label", { class: "rl-slider" }, label, input, output) };
};

/** @param {(changes: object) => void} ask called with what differs from the log */
export const whatIf = (ask) => {
  /** @type {TraceSettings} */
  let logged;
  /** @type {Set<string>} */
  const moved = new Set();
  const off = h("input", { type: "checkbox" });
  const changes = () => {
    const numbers = sliders.filter(({ name }) => moved.has(name));
    const values = numbers.map(({ name, input }) => [name, Number(input.value)]);
    return { ...Object.fromEntries(values), ...(off.checked ? { with_values: false } : {}) };
  };
  const act = () => {
    for (const { name, input, output } of sliders) {
      say(output, number(moved.has(name) ? Number(input.value) : logged[name]));
    }
    back.disabled = moved.size === 0 && !off.checked;
    ask(changes());
  };
  const sliders = CHANGES.map((change) =>
    slider(change, () => {
      moved.add(change.name);
      act();
    }),
  );
  const reset = (/** @type {TraceSettings} */ settings) => {
    logged = settings;
    moved.clear();
    off.checked = false;
    for (const { name, input, output } of sliders) {
      input.max = String(Math.max(1, Math.ceil(settings[name])));
      input.value = String(settings[name]);
      say(output, number(settings[name]));
    }
    back.disabled = true;
  };
  const back = button("As logged", () => {
    reset(logged);
    ask({});
  });
  off.onchange = act;
  const values = h("label", { class: "rl-scope-off" }, off, "without values (V = 0)");
  const lines = sliders.map(({ line }) => line);
  return {
    element: h(
      "div",
      { class: "rl-sliders rl-scope-if", role: "group", "aria-label": "What if" },
      lines,
      values,
      back,
    ),
    reset,
  };
};
