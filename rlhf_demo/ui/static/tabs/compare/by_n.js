// @ts-check
// How often the best of n responses wins, for growing n.
import { interval, number } from "../../lib/format.js";
import { reachOf } from "../../lib/series.js";
import { chartCard } from "../../shared/charts.js";

const DASHES = [undefined, "dot"];
const HOVER = "best of %{x}: %{y:.0%} %{customdata}<extra>%{fullData.name}</extra>";

const chartOf = (judges) => ({
  title: "Wins with the best of n",
  subtitle:
    "share of prompts won by the model on the right, with 95% intervals; every n is " +
    "estimated from the same responses, so the points are not independent",
  height: 240,
  hovermode: "closest",
  xTitle: "n",
  yFormat: ".0%",
  key_shown: true,
  lines: [{ y: 0.5, label: "even", color: "soft", left: true }],
  series: judges.map((judge, i) => ({
    name: judge.name,
    color: "ppo",
    dash: DASHES[i],
    mode: "lines+markers",
    size: 7,
    hover: HOVER,
  })),
});

const seriesOf = (rows, place) => {
  const rates = rows.map((row) => row.win_rates[place]);
  const ranges = rows.map((row) => row.intervals[place]);
  const reach = reachOf(
    rates,
    ranges.map(([low]) => low),
    ranges.map(([, high]) => high),
  );
  const detail = rows.map(({ kl_bound: kl, intervals }) => {
    const [low, high] = intervals[place];
    return `${interval(low, high)}; KL from choosing: at most ${number(kl)} nats`;
  });
  return { x: rows.map(({ n }) => n), y: rates, reach, detail };
};

/**
 * A card, to be drawn once it is on the page.
 * @param {any} seen report and judges of a comparison whose right model chose
 */
export const byNCard = ({ report, judges }) => {
  const made = chartCard(chartOf(judges));
  return {
    card: made.card,
    draw: () => made.chart.replace(judges.map((_, place) => seriesOf(report.by_n, place))),
  };
};
