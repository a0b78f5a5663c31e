import assert from "node:assert/strict";
import { test } from "node:test";

import {
  COSTS,
  costCells,
  costColumns,
  heldEqualWords,
  levelRows,
  LOOKS,
  outsideWords,
  progressWords,
  seriesOf,
  tableWords,
  widthOf,
  withEarlier,
} from "../../rlhf_demo/ui/static/lib/frontier.js";

const mark = (arm, changes = {}) => ({
  arm,
  setting: "",
  step: 40,
  seeds: 3,
  kl: 2.5,
  kl_low: 2.25,
  kl_high: 2.75,
  distinct_2: 0.8,
  mean: 0.7,
  low: 0.6,
  high: 0.75,
  ...changes,
});
const arms = [
  { arm: "ppo", title: "PPO" },
  { arm: "dpo", title: "DPO" },
  { arm: "best-of-n", title: "best-of-N" },
];
const state = { base: "b", prompts: 2, seeds: 3, arms, judges: [], costs: [] };
const view = {
  judge: "j",
  marks: [mark("ppo"), mark("best-of-n", { step: 4, seeds: 1, distinct_2: null })],
  levels: [
    { kl: 1, wins: { ppo: { mean: 0.634, low: 0.5, high: 0.766 } }, meetings: [], sentence: "" },
    { kl: 2, wins: {}, meetings: [], sentence: "" },
  ],
  notes: [],
  own: [{ name: "ppo-x7", marks: [mark("ppo", { seeds: 1 })], sentence: "" }],
};

test("each method is a series of points, best-of-N a line, and a visitor's run is joined", () => {
  const [ppo, dpo, best, own] = seriesOf(state, view);
  assert.deepEqual([ppo.name, ppo.mode, ppo.x, ppo.y], ["PPO", "markers", [2.5], [0.7]]);
  assert.deepEqual(dpo.x, []);
  assert.deepEqual([best.mode, own.name, own.mode], ["lines+markers", "ppo-x7", "lines+markers"]);
  assert.ok(Math.abs(ppo.reach.array[0] - 0.05) < 1e-9);
  assert.ok(Math.abs(ppo.reach.arrayminus[0] - 0.1) < 1e-9);
});

test("the chart is as wide as the record reaches, whatever a measured run's KL", () => {
  const far = { ...view, own: [{ name: "sft-x7", marks: [mark("sft", { kl: 301.5 })] }] };
  assert.deepEqual(widthOf(far), [0, 1.05 * 2.75]);
  assert.deepEqual(widthOf(far), widthOf(view));
});

test("a run with points outside the chart is said to have them", () => {
  const own = (name, ...kls) => ({ name, marks: kls.map((kl) => mark("ppo", { kl })) });
  const words = (...runs) => outsideWords({ ...view, own: runs });
  assert.deepEqual(words(own("ppo-a", 0.5, 2.75)), []);
  assert.deepEqual(words(own("ppo-a", 2, 64.96), own("ppo-b", 223.8, 301.5)), [
    "The chart ends at 2.9 nats. Outside it, ppo-a has 1 of 2 points, up to 65.0 nats.",
    "The chart ends at 2.9 nats. Outside it, ppo-b has 2 of 2 points, up to 301.5 nats.",
  ]);
});

test("a run that this page has measured stays when the next one comes", () => {
  const shown = (judge, ...names) => ({ ...view, judge, own: names.map((name) => ({ name })) });
  const before = { ...state, judges: [shown("j", "ppo-a", "ppo-b"), shown("k", "ppo-a")] };
  const next = { ...state, judges: [shown("j", "ppo-a"), shown("k", "ppo-c")] };
  const names = withEarlier(before, next).judges.map(({ own }) => own.map(({ name }) => name));
  assert.deepEqual(names, [["ppo-b", "ppo-a"], ["ppo-a", "ppo-c"]]);
  assert.equal(withEarlier(null, next), next);
});

test("the hover says setting, step, the spread of KL over the seeds, and variety", () => {
  const [ppo, , best, own] = seriesOf(state, view);
  assert.equal(
    ppo.detail[0],
    "[60, 75]<br>default, step 40, 2.50 nats, 2.25 to 2.75 over 3 seeds<br>distinct-2 0.80",
  );
  assert.equal(best.detail[0], "[60, 75]<br>N = 4, at most 2.50 nats");
  assert.ok(!own.detail[0].includes("seeds"));
});

test("methods differ in colour and in shape", () => {
  const looks = Object.values(LOOKS);
  for (const key of ["color", "symbol", "sign"])
    assert.equal(new Set(looks.map((one) => one[key])).size, looks.length);
});

test("the table at equal KL has every method, and dashes where it was not measured", () => {
  assert.deepEqual(levelRows(state, view), [
    ["PPO", "63% [50, 77]", "\u2013"],
    ["DPO", "\u2013", "\u2013"],
    ["best-of-N", "\u2013", "\u2013"],
  ]);
});

test("the spread of the seeds is named if there is one, a measured run's seed if it is shown", () => {
  assert.ok(tableWords(state, view).includes("prompt, and the spread of the seeds counts. We"));
  assert.ok(tableWords(state, view).includes("A measured run is one seed"));
  assert.ok(!tableWords(state, view).includes("Two seeds"));
  assert.ok(tableWords({ ...state, seeds: 2 }, view).includes("Two seeds say little"));
  const words = tableWords({ ...state, seeds: 1 }, { ...view, own: [] });
  assert.ok(words.includes("Differences are taken prompt by prompt. We interpolate"));
  assert.ok(words.endsWith("on both sides of this KL."));
});

test("a column of costs without any figure is left out", () => {
  const row = { arm: "ppo", title: "PPO", labels: 5, generated: 0, reward_calls: 0, read: 7 };
  const rows = [row, { ...row, answer: "1" }];
  const titles = (costs) => costColumns(costs).map(([title]) => title);
  const shown = ["labels", "texts sampled", "reward calls", "texts read", "texts per answer"];
  assert.deepEqual(titles(rows), shown);
  assert.ok(titles([{ ...row, seconds: 60 }, row]).includes("seconds"));
});

test("a cost that is not known is a dash, not a zero", () => {
  const row = { arm: "ppo", title: "PPO", generated: 2816, reward_calls: 0, read: 5120, answer: "1" };
  assert.deepEqual(costCells(row, COSTS), ["\u2013", "2,816", "0", "5,120", "\u2013", "1"]);
  assert.deepEqual(costCells({ ...row, labels: 1241, seconds: 59.6 }, COSTS).slice(0, 5), [
    "1,241",
    "2,816",
    "0",
    "5,120",
    "60",
  ]);
});

test("the texts of each method that trains are listed, and who needs the reward model", () => {
  const row = { generated: 0, reward_calls: 0, read: 0, answer: "1" };
  const costs = [
    { ...row, arm: "reward", title: "Reward model", read: 9 },
    { ...row, arm: "ppo", title: "PPO", generated: 2816, reward_calls: 2816, read: 5120 },
    { ...row, arm: "rloo", title: "RLOO", generated: 2560, reward_calls: 2560, read: 5120 },
    { ...row, arm: "dpo", title: "DPO", read: 2482 },
    { ...row, arm: "best-of-n", title: "best-of-N" },
  ];
  assert.equal(
    heldEqualWords({ ...state, costs }),
    "Held equal: the base, the labelled pairs and the prompts. The number of texts is not equal: " +
      "PPO sampled 2,816, RLOO sampled 2,560, DPO read 2,482. PPO and RLOO also need the reward " +
      "model. Best-of-N is not trained: it samples N texts for each response instead.",
  );
});

test("a measurement says how far it is", () => {
  const words = (done) => progressWords({ run: "ppo-x7", done, total: 256 });
  assert.equal(words(0), "Loading any model that is not in memory yet.");
  assert.equal(words(64), "ppo-x7 has written 64 of 256 responses.");
});
