// @ts-check
// Two models on many prompts: who wins how often, what else differs, and every answer.
import { FIGURES } from "../../lib/comparison.js";
import { settingsLine } from "../../lib/duel.js";
import { signed } from "../../lib/format.js";
import { fill, h, progressBar, say, showProblem, soft } from "../../shared/dom.js";
import { setAddress } from "../../shared/navigation.js";
import { winBar, winFigure, winKey } from "../../shared/win_bar.js";
import { answersCard } from "./answers.js";
import { byNCard } from "./by_n.js";

const COLORS = ["base", "ppo"];
const EMPTY =
  "Press \u201CCompare on many prompts\u201D to see which model wins, how often, and every " +
  "response.";

// -- who wins -------------------------------------------------------------------------------------

const APART = "not comparable: another tokenizer";
const SURE = "The whole interval is on one side of 50%, so luck alone is an unlikely explanation. ";
const UNSURE =
  "The interval includes 50%: these prompts cannot tell whose texts this judge prefers. ";

const judged = (judge, { report, names }) => {
  const { win_rate: rate, win_rate_low: low, win_rate_high: high, wins, ties, losses } = judge;
  const { prompts } = report;
  const [left, right] = names;
  const half = ties ? "; a tie counts half" : "";
  const told = `won by ${right} against ${left}, with the 95% interval${half}`;
  const counts = `${losses} won by ${left}, ${ties} ties, ${wins} won by ${right}`;
  /** @type {[number, string][]} */
  const parts = [
    [wins / prompts, "ppo"],
    [ties / prompts, "line"],
    [losses / prompts, "base"],
  ];
  const sure = low > 0.5 || high < 0.5;
  return h(
    "div",
    { class: "rl-judged" },
    h("h4", {}, h("b", {}, judge.name), `, ${judge.title}`),
    winFigure(rate, low, high, told),
    winBar(parts, { low, high }, `${judge.name}: ${counts}`),
    winKey(`${right} ${wins}`, ties ? `ties ${ties}` : null, `${left} ${losses}`),
    soft(sure ? SURE : UNSURE, judge.note),
  );
};

const winCard = (seen) => {
  const about = `share of ${seen.report.prompts} prompts, by two judges (neither is a person)`;
  const title = h("h3", {}, "Who wins ", h("span", {}, about));
  return h(
    "section",
    { class: "rl-card" },
    title,
    seen.judges.map((judge) => judged(judge, seen)),
  );
};

// -- what else differs ----------------------------------------------------------------------------

const row = (label, unit, meaning, cells) => {
  const head = h("th", { scope: "row" }, label, " ", h("span", {}, unit));
  return h(
    "tr",
    { title: meaning },
    head,
    cells.map((cell) => h("td", {}, cell)),
  );
};

const judgeRow = (judge, place, models) => {
  const meaning =
    "mean over the texts, in this judge\u2019s own unit: do not compare the scores of two judges";
  const scores = models.map((model) => signed(model.scores[place], 2));
  return row(`Score by ${judge.name}`, judge.unit, meaning, scores);
};

const figureRow = (
  /** @type {import("../../lib/comparison.js").FigureRow} */ figure,
  { models, counted },
) => {
  const { key, label, unit, meaning, show } = figure;
  const value = (model) => (model[key] === undefined ? APART : show(model[key], model));
  const size = (counted[key] || 0).toLocaleString("en");
  return row(label, unit.replace("{}", size), meaning, models.map(value));
};

const costRow = (models) => {
  const meaning = "responses that were sampled and scored to choose one text";
  const sampled = models.map((model) => model.best_of || 1);
  return row("Sampled", "responses for each text", meaning, sampled);
};

const figureTable = ({ report, names, judges }) => {
  const head = (name, i) => {
    const dot = h("i", { class: "rl-dot", style: { background: `var(--rl-${COLORS[i]})` } });
    return h("th", { scope: "col" }, dot, name);
  };
  const scores = judges.map((judge, place) => judgeRow(judge, place, report.models));
  const figures = FIGURES.map((figure) => figureRow(figure, report));
  if (report.by_n) figures.unshift(costRow(report.models));
  const table = h(
    "table",
    { class: "rl-table" },
    h("thead", {}, h("tr", {}, h("td", {}), names.map(head))),
    h("tbody", {}, scores, figures),
  );
  const title = h("h3", {}, "What else differs ", h("span", {}, "over all texts"));
  return h("section", { class: "rl-card" }, title, table);
};

// -- the part -------------------------------------------------------------------------------------

// The contents of a record, with two different names for the models.
const seenOf = (record) => {
  const { settings, report } = record;
  const [left, right] = [settings.left.name, settings.right.name];
  const names = left === right ? [`${left} (left)`, `${right} (right)`] : [left, right];
  const judges = report.judges.map((verdict, i) => ({ ...verdict, ...settings.judges[i] }));
  return { record, report, names, judges };
};

const showReport = (body, record) => {
  const seen = seenOf(record);
  const curve = seen.report.by_n ? byNCard(seen) : null;
  fill(
    body,
    h("div", { class: "rl-grid-2" }, winCard(seen), figureTable(seen)),
    curve?.card,
    answersCard(seen),
    h("p", { class: "rl-soft rl-settings" }, settingsLine(record)),
  );
  curve?.draw();
};

const progressWords = ({ done, total }) =>
  done === total
    ? "All prompts are answered. Counting."
    : `Both models have answered ${done} of ${total} prompts.`;

/** @param {import("../../globals").Part} part its value: progress, or a comparison's record */
export const mount = ({ element, props, watch }) => {
  const problem = h("p", { hidden: true });
  const progress = progressBar("Prompts answered", h("i"));
  const done = h("p", { class: "rl-soft", "aria-live": "polite" });
  const busy = h("div", { class: "rl-busy", hidden: true }, progress.bar, done);
  const body = h("div", {});
  const empty = soft(EMPTY);
  fill(element.querySelector(".rl-many"), problem, busy, empty, body);

  const draw = () => {
    const record = props.value || {};
    showProblem(problem, record.error);
    busy.hidden = record.total === undefined;
    if (!busy.hidden || record.report) empty.hidden = true;
    if (!busy.hidden) {
      progress.set(record.done / record.total);
      say(done, progressWords(record));
      return;
    }
    if (!record.report) return;
    showReport(body, record);
    if (record.id) setAddress({ compare: record.id });
  };
  watch("value", draw);
  draw();
};
