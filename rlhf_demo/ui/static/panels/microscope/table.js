// @ts-check
// The microscope's table: a column a token, a row a quantity. Arrow keys go from cell to cell.
import { GROUPS, ROWS, cellWords, rowOf, valueOf } from "../../lib/microscope.js";
import { fill, h } from "../../shared/dom.js";

/** @typedef {import("../../lib/microscope.js").Row} Row */
/** @typedef {import("../../lib/microscope.js").Trace} Trace */

const ENDED = "<|endoftext|>";
const piece = (/** @type {string} */ token) =>
  token === ENDED ? "\u25A0" : token.trim() || "\u2423";
const STEPS = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };

const bodyRow = (/** @type {Row} */ row, /** @type {Trace} */ trace, cells) => {
  const name = h("th", { scope: "row", title: row.unit }, row.label);
  const items = trace.tokens.map((_, at) => {
    const value = valueOf(trace, row.name, at);
    const stopped = row.name === "gradient" && trace.stopped && trace.stopped[at];
    const kind = stopped ? "rl-stopped" : undefined;
    const cell = h("td", { tabindex: -1, class: kind }, cellWords(row.name, value));
    cells.set(`${row.name} ${at}`, cell);
    return cell;
  });
  return h("tr", {}, name, items);
};

const rowsOf = (/** @type {Trace} */ trace, cells) =>
  GROUPS.flatMap(({ title, rows }) => [
    h("tr", { class: "rl-scope-group" }, h("th", { colspan: trace.tokens.length + 1 }, title)),
    ...rows.map((row) => bodyRow(row, trace, cells)),
  ]);

const show = (/** @type {HTMLElement} */ cell) => {
  cell.focus({ preventScroll: true });
  cell.scrollIntoView({ block: "nearest", inline: "nearest" });
};

/** @param {(name: string, at: number) => void} picked called when a cell is chosen */
export const scopeTable = (picked) => {
  /** @type {Map<string, HTMLElement>} */
  const cells = new Map();
  const table = h("table", { role: "grid", "aria-label": "Figures of each token" });
  let count = 0;
  let now = { name: "", at: 0 };
  const cellOf = ({ name, at }) => cells.get(`${name} ${at}`);
  const choose = (/** @type {string} */ name, /** @type {number} */ at) => {
    picked(name, at);
    show(cellOf({ name, at }));
  };
  table.onclick = ({ target }) => {
    const cell = /** @type {Element} */ (target).closest("td");
    const key = cell && [...cells].find(([, each]) => each === cell);
    if (!key) return;
    const [name, at] = key[0].split(" ");
    choose(name, Number(at));
  };
  table.onkeydown = (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    const down = Math.max(0, Math.min(ROWS.length - 1, ROWS.indexOf(rowOf(now.name)) + step[0]));
    choose(ROWS[down].name, Math.max(0, Math.min(count - 1, now.at + step[1])));
  };
  return {
    element: h("div", { class: "rl-scope-table" }, table),
    focus: () => show(cellOf(now)),
    /** @param {Trace} trace  @param {Set<string>} changed */
    draw: (trace, changed) => {
      count = trace.tokens.length;
      cells.clear();
      const tokens = trace.tokens.map((token) => h("th", { scope: "col" }, piece(token)));
      fill(
        table,
        h("thead", {}, h("tr", {}, h("th", {}, "token"), tokens)),
        h("tbody", {}, rowsOf(trace, cells)),
      );
      for (const key of changed) cells.get(key).classList.add("rl-changed");
    },
    /** @param {string} name  @param {number} at  @param {[string, number][]} sources */
    mark: (name, at, sources) => {
      now = { name, at };
      const from = new Set(sources.map(([source, ahead]) => `${source} ${at + ahead}`));
      for (const [key, cell] of cells) {
        const isNow = key === `${name} ${at}`;
        cell.classList.toggle("rl-source", from.has(key));
        cell.classList.toggle("rl-picked", isNow);
        cell.setAttribute("aria-selected", String(isNow));
        cell.tabIndex = isNow ? 0 : -1;
      }
    },
  };
};
