// @ts-check
// Every answer of a comparison on many prompts: a table that can be sorted and saved.
import { fileRows } from "../../lib/comparison.js";
import { csv } from "../../lib/csv.js";
import { signed, upOrDown } from "../../lib/format.js";
import { button, fill, h, saveAs, say } from "../../shared/dom.js";

const first = ({ scores }) => scores[0];
const difference = (row) => first(row)[1] - first(row)[0];

const answerCell = (row, i, { names, judges }) => {
  const score = first(row)[i];
  const other = first(row)[1 - i];
  const won = score > other;
  const title = `${judges[0].unit}; green: the higher of the two`;
  const shade = `rl-chip ${upOrDown(score, other)}`;
  return h(
    "td",
    { "data-name": names[i] },
    h("span", { class: shade, title }, signed(score, 1), won ? " wins" : ""),
    h("span", { class: won ? "" : "rl-soft" }, row.responses[i]),
  );
};

const line = (row, seen) =>
  h(
    "tr",
    {},
    h("td", { class: "rl-prompt" }, row.prompt),
    answerCell(row, 0, seen),
    answerCell(row, 1, seen),
    h("td", { class: "rl-num" }, signed(difference(row), 1)),
  );

const saveButtons = ({ record, report, names, judges }) => {
  const file = `comparison-${record.id || "example"}`;
  const asCSV = () =>
    saveAs(`${file}.csv`, "text/csv;charset=utf-8", csv(fileRows(report, names, judges)));
  const asJSON = () => saveAs(`${file}.json`, "application/json", JSON.stringify(record, null, 2));
  return [button("Save as CSV", asCSV, "rl-quiet"), button("Save as JSON", asJSON, "rl-quiet")];
};

// The rows sorted by difference, largest or smallest first.
const sortedTable = (seen) => {
  let down = true;
  const body = h("tbody", {});
  const sort = h("button", { class: "rl-sort", type: "button" });
  const head = h("th", { scope: "col" }, sort);
  const draw = () => {
    const sign = down ? -1 : 1;
    const rows = [...seen.report.rows].sort((a, b) => sign * (difference(a) - difference(b)));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    say(sort, `Difference ${down ? "\u25BE" : "\u25B4"}`);
    fill(
      body,
      rows.map((row) => line(row, seen)),
    );
  };
  sort.onclick = () => {
    down = !down;
    draw();
  };
  draw();
  const heads = ["Prompt", ...seen.names].map((name) => h("th", { scope: "col" }, name));
  return h(
    "table",
    { class: "rl-table rl-answers" },
    h("thead", {}, h("tr", {}, heads, head)),
    body,
  );
};

/** @param {any} seen record, report, names and judges of the comparison */
export const answersCard = (seen) => {
  const [judge] = seen.judges;
  const about =
    `with its score by ${judge.name}, in ${judge.unit}; ` + "the difference is right minus left";
  const region = { tabindex: 0, role: "region", "aria-label": "Every response" };
  return h(
    "section",
    { class: "rl-card" },
    h(
      "div",
      { class: "rl-rows-head" },
      h("h3", {}, "Every response ", h("span", {}, about)),
      saveButtons(seen),
    ),
    h("div", { class: "rl-rows", ...region }, sortedTable(seen)),
  );
};
