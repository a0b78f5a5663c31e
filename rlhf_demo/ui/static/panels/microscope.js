// @ts-check
// The PPO microscope: one dialog for the whole page, whichever tab opens it.
import { changedCells } from "../lib/microscope.js";
import { latest } from "../lib/poll.js";
import { button, fill, h, say, showProblem, soft } from "../shared/dom.js";
import { onTrace } from "../shared/navigation.js";
import { answered } from "../shared/server.js";
import { cellView } from "./microscope/cell.js";
import { scopeTable } from "./microscope/table.js";
import { whatIf } from "./microscope/what_if.js";

/** @typedef {import("../lib/microscope.js").Trace} Trace */
/** @typedef {import("../lib/microscope.js").Place} Place */
/** @typedef {import("../shared/server.js").Server} Server */

const FIRST_ROW = "advantage";
const HONEST =
  "The ratio is the one after all updates of the step; the clip acts on those in between. The " +
  "mean and standard deviation of the advantages come from all the step\u2019s responses, of " +
  "which only some were kept. The settings above change neither these two nor what was sampled. " +
  "A dash: the run did not record what the figure needs.";

const view = (close, what, table, cell) => {
  const title = h("h2", { class: "rl-h2" }, "One response of a PPO step");
  const about = h("p", {});
  const problem = h("p", { hidden: true });
  const shut = button("Close", close);
  const parts = h("div", { class: "rl-scope-parts" }, table.element, cell.element);
  const dialog = h(
    "dialog",
    { class: "rl-root rl-scope", "aria-label": "PPO microscope" },
    h("header", {}, title, shut),
    about,
    problem,
    what.element,
    parts,
    soft(HONEST),
  );
  dialog.onclick = ({ target }) => {
    if (target === dialog) close(); // beside it
  };
  return { dialog, about, problem, parts };
};

const aboutOf = (/** @type {Trace} */ trace) => [
  h("span", { class: "rl-soft" }, `${trace.run}, step ${trace.step}: \u201C${trace.prompt} `),
  h("b", {}, trace.tokens.join("").replace("<|endoftext|>", "").trim()),
  h("span", { class: "rl-soft" }, "\u201D"),
];

const microscope = (/** @type {() => Server} */ server) => {
  /** @type {Place} */
  let place;
  /** @type {Trace} */
  let logged;
  /** @type {Trace} */
  let now;
  /** @type {Record<string, import("../types").TracedQuantity>} */
  let functions = null;
  let row = FIRST_ROW;
  let changes = {};

  const pick = (/** @type {string} */ name, /** @type {number} */ at) => {
    row = name;
    place.token = at;
    table.mark(name, at, functions[name].sources);
    cell.draw(now, name, at, functions[name]);
  };
  const draw = () => {
    table.draw(now, changedCells(logged, now));
    pick(row, Math.min(place.token, now.tokens.length - 1));
  };
  const ask = async () => {
    const mine = place;
    const { run, step, sample } = place;
    const request = { run, step, sample, ...changes };
    const found = await answered(seen.problem, server().trace_response(request));
    return mine === place ? found : null; // else another response has been opened
  };
  // A moving slider sends an event for each step of its way.
  const askAgain = latest(ask, (/** @type {Trace} */ found) => {
    if (!found || !logged) return;
    now = found;
    draw();
  });
  const change = (/** @type {object} */ wanted) => {
    changes = wanted;
    askAgain();
  };
  const table = scopeTable(pick);
  const cell = cellView();
  const what = whatIf(change);
  const seen = view(() => seen.dialog.close(), what, table, cell);
  // Beside the tabs, of which all but one are hidden. Gradio confines rules for phones to here.
  document.querySelector(".gradio-container .contain").append(seen.dialog);
  return async (/** @type {Place} */ wanted) => {
    place = { ...wanted };
    row = FIRST_ROW;
    changes = {};
    logged = null;
    seen.parts.hidden = what.element.hidden = true;
    say(seen.about, "Computing \u2026");
    showProblem(seen.problem, "");
    seen.dialog.showModal();
    functions = functions || (await answered(seen.problem, server().trace_functions({})));
    const found = functions && (await ask());
    if (!found) {
      if (!seen.problem.hidden) say(seen.about, "");
      return;
    }
    logged = now = found;
    fill(seen.about, aboutOf(found));
    what.reset(found.settings);
    seen.parts.hidden = what.element.hidden = false;
    draw();
    table.focus();
  };
};

/** @type {Server} */
let server = null;

/** @param {import("../globals").Part} part */
export const mount = (part) => {
  if (!server) onTrace(microscope(() => server));
  server = part.server;
};
