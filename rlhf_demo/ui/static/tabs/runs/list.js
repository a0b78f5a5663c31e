// @ts-check
// The list of all runs, one row each.
import { stateShade, stateWords, when } from "../../lib/runs.js";
import { fill, h, say } from "../../shared/dom.js";
import { curvesOf, kindOf } from "./kinds.js";

/** @typedef {import("../../types").ListedRun} ListedRun */

const COLUMNS = ["Curves", "Run", "Kind", "State", "Last figures", "Started"];
const OVER = "Overlay its curves on another run\u2019s";
const EMPTY = "There are no runs yet. Start one on the Start, Reward model or PPO tab.";

const figureChip = ([name, value, color]) => {
  const amount = h("b", { style: { color: `var(--rl-${color})` } }, value);
  return h("span", { class: "rl-run-figure" }, amount, ` ${name}`);
};

const figureChips = (/** @type {ListedRun} */ row) => {
  if (row.figures.length) return row.figures.map(figureChip);
  const none = row.status === "queued" ? "not started" : "no figures yet";
  return h("span", { class: "rl-soft" }, none);
};

const view = () => {
  const body = h("tbody");
  const heads = COLUMNS.map((name) => h("th", { scope: "col" }, name));
  const table = h(
    "table",
    { class: "rl-runs-table" },
    h("caption", { class: "rl-unseen" }, "All runs, newest first"),
    h("thead", {}, h("tr", {}, heads)),
    body,
  );
  return { body, table, empty: h("p", { class: "rl-soft", hidden: true }, EMPTY) };
};

const lineOf = (/** @type {ListedRun} */ row, { pick, tick }) => {
  const label = `Draw the curves of ${row.title}`;
  const ticked = () => tick(row.id, box.checked);
  const box = h("input", { type: "checkbox", "aria-label": label, onchange: ticked });
  const picked = { class: "rl-run-name", type: "button", onclick: () => pick(row.id) };
  // A visitor can choose a title that looks like a class's, so a class's own runs are marked.
  const origin = row.example ? "example" : row.of_class ? "class" : "";
  const state = h("span", { class: "rl-badge" });
  const figures = h("td", { class: "rl-run-figures" });
  const click = (event) => event.target.closest("label, button") || pick(row.id);
  const tr = h(
    "tr",
    { onclick: click },
    h("td", { class: "rl-run-tick" }, h("label", { title: OVER }, box)),
    h(
      "td",
      {},
      h("button", picked, row.title),
      origin ? h("span", { class: "rl-chip" }, origin) : null,
      row.title === row.id ? null : h("small", {}, row.id),
    ),
    h("td", { class: "rl-soft" }, kindOf(row.kind)),
    h("td", {}, state),
    figures,
    h("td", { class: "rl-soft rl-run-date" }, when(row.created_at)),
  );
  return { tr, box, state, figures, shown: "" };
};

// Only two runs of the same kind can be overlaid.
const mayTick = (/** @type {ListedRun} */ row, /** @type {string[]} */ ticked, kind) =>
  curvesOf(row.kind).length > 0 &&
  (ticked.includes(row.id) || (ticked.length < 2 && (!kind || kind === row.kind)));

const drawLine = (line, /** @type {ListedRun} */ row) => {
  const shown = JSON.stringify(row);
  if (line.shown === shown) return;
  line.shown = shown;
  line.state.dataset.state = stateShade(row);
  say(line.state, stateWords(row));
  fill(line.figures, figureChips(row));
};

const differ = (/** @type {Element[]} */ wanted, /** @type {HTMLCollection} */ there) =>
  wanted.length !== there.length || wanted.some((one, i) => one !== there[i]);

/** @param {{pick: (id: string) => void, tick: (id: string, on: boolean) => void}} acts */
export const list = (acts) => {
  const { body, table, empty } = view();
  /** @type {Map<string, ReturnType<typeof lineOf>>} */
  const lines = new Map();

  const draw = (/** @type {ListedRun[]} */ rows, picked, /** @type {string[]} */ ticked) => {
    const kind = (rows.find((row) => row.id === ticked[0]) || { kind: "" }).kind;
    for (const row of rows) {
      if (!lines.has(row.id)) lines.set(row.id, lineOf(row, acts));
      const line = lines.get(row.id);
      line.tr.toggleAttribute("data-picked", row.id === picked);
      line.box.checked = ticked.includes(row.id);
      line.box.disabled = !mayTick(row, ticked, kind);
      drawLine(line, row);
    }
    const wanted = rows.map((row) => lines.get(row.id).tr);
    if (differ(wanted, body.children)) body.replaceChildren(...wanted);
    for (const id of lines.keys()) if (!rows.some((row) => row.id === id)) lines.delete(id);
    empty.hidden = rows.length > 0;
    table.hidden = rows.length === 0;
  };
  return { element: [h("div", { class: "rl-runs-list" }, table), empty], draw };
};
