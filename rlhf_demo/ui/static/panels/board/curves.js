// @ts-check
// The curves of a board: which are unfolded, what new rows add to them, and their lines.
import { number, percent } from "../../lib/format.js";
import { lacks, pointsOf } from "../../lib/series.js";
import { chartCard } from "../../shared/charts.js";
import { fill, h } from "../../shared/dom.js";

/** @typedef {import("../../shared/charts.js").Spec} Spec */
/** @typedef {import("../../shared/charts.js").ChartCard} ChartCard */
/** @typedef {{cards: ChartCard[], specs: Spec[], fold?: HTMLDetailsElement}} Group */

const NO_FIGURE = "not measured in this run so far";

/** @param {{charts: Spec[], small: Spec[], folded: Spec[]}} specs by panels/charts.py */
export const boardCards = ({ charts, small, folded }) => ({
  large: charts.map((spec) => chartCard({ ...spec, height: 200, head: true })),
  small: small.map((spec) => chartCard({ ...spec, height: 44, small: true })),
  folded: folded.map((spec) => chartCard({ ...spec, height: 150, empty: NO_FIGURE })),
});

const valueText = (spec, value) =>
  spec.percent ? percent(value) : number(value, spec.digits ?? 2);

/**
 * What the run's method does not have is left out: charts, but for those that say why they are
 * empty, and the names of lines.
 * @param {Group[]} groups
 * @param {import("../../types").Columns} columns
 * @param {string} kind of run
 */
const leaveOut = (groups, columns, kind) => {
  const isMissing = (/** @type {Spec} */ spec) =>
    (spec.only && spec.only !== kind) || (!spec.empty && lacks(spec, columns));
  for (const { cards, specs } of groups)
    cards.forEach((one, i) => {
      one.card.hidden = isMissing(specs[i]);
      /** @type {NodeListOf<HTMLElement>} */
      const names = one.card.querySelectorAll(".rl-key > span");
      specs[i].series.forEach((line, at) => {
        if (names[at]) names[at].hidden = lacks({ series: [line] }, columns);
      });
    });
};

/**
 * A folded group draws its curves when it is opened, and updates them while it is open.
 * @param {Group[]} groups
 */
export const curvesOf = (groups) => {
  /** @type {import("../../types").Columns} */
  let columns = {};
  let shownLimits = "";
  let kind = "";
  const seen = () => groups.filter((group) => !group.fold || group.fold.open);

  for (const { fold, cards, specs } of groups)
    fold?.addEventListener("toggle", () => {
      if (!fold.open) return;
      cards.forEach((one, i) => {
        if (!one.card.hidden) one.chart.replace(pointsOf(specs[i], columns));
      });
    });

  const extend = (/** @type {Group} */ { cards, specs }, fresh) =>
    cards.forEach((one, i) => {
      one.chart.extend(pointsOf(specs[i], fresh));
      if (one.spec.small) showNewest(one, specs[i]);
    });

  const showNewest = (/** @type {ChartCard} */ one, /** @type {Spec} */ spec) => {
    const known = (columns[spec.series[0].key] || []).filter((value) => value !== null);
    fill(one.value, h("b", {}, valueText(spec, known.at(-1))), " ", spec.unit || "");
  };

  return {
    reset: (/** @type {string} */ newKind) => {
      columns = {};
      shownLimits = "";
      kind = newKind;
      leaveOut(groups, columns, kind);
      for (const { cards, specs } of seen())
        cards.forEach((one, i) => {
          one.chart.replace(one.spec.series.map(() => ({ x: [], y: [] })));
          if (one.spec.small) showNewest(one, specs[i]);
        });
    },
    /** @param {import("../../types").Columns} fresh the columns of new rows */
    extend: (fresh) => {
      for (const [name, values] of Object.entries(fresh))
        columns[name] = [...(columns[name] || []), ...values];
      leaveOut(groups, columns, kind);
      if (fresh.step && fresh.step.length) for (const group of seen()) extend(group, fresh);
    },
    /**
     * @param {Record<string, object[]>} limits by the key of a chart
     * @param {number | null} total steps of the run
     */
    limit: (limits, total) => {
      const key = JSON.stringify([limits, total]);
      if (key === shownLimits) return;
      shownLimits = key;
      for (const { cards } of groups)
        for (const { spec } of cards) if (limits[spec.key]) spec.lines = limits[spec.key];
      // Leaves room for the last point.
      for (const { spec } of groups[0].cards)
        if (!spec.small) spec.xRange = total ? [0, 1.015 * total] : undefined;
      for (const { cards } of seen()) for (const one of cards) one.chart.draw();
    },
  };
};
