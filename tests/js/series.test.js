import assert from "node:assert/strict";
import { test } from "node:test";

import {
  band,
  lacks,
  newestReach,
  outline,
  pointsOf,
  reachOf,
  smoothed,
} from "../../rlhf_demo/ui/static/lib/series.js";

test("smoothing is the mean of the last few, fewer at the beginning", () => {
  assert.deepEqual(smoothed([2, 4, 6, 8], 2), [2, 3, 5, 7]);
  assert.deepEqual(smoothed([], 3), []);
});

test("an outline goes down to 0 at both ends", () => {
  const { x, y, shape } = outline([1, 2], [0.25, 0.75], 1);
  assert.deepEqual([x, y, shape], [[0, 1, 2, 3], [0, 0.25, 0.75, 0], "hvh"]);
});

test("a band goes along its upper edge and back along its lower one", () => {
  assert.deepEqual(band({ x: [1, 2], y: [10, 20], spread: [1, 2] }), {
    x: [1, 2, 2, 1],
    y: [11, 22, 18, 9],
  });
});

test("rows that lack a figure give no point", () => {
  const from = { step: [1, 2, 3], "objective/kl": [5, null, 7] };
  assert.deepEqual(pointsOf({ series: [{ key: "objective/kl" }] }, from), [
    { x: [1, 3], y: [5, 7] },
  ]);
});

test("a standard error comes along where there is any, the step where x is another figure", () => {
  const spec = { x: "objective/kl", series: [{ key: "score", spread_key: "score_se" }] };
  const from = { step: [1, 2], "objective/kl": [0.5, 1], score: [3, 4], score_se: [0.1, null] };
  assert.deepEqual(pointsOf(spec, from), [
    { x: [0.5, 1], y: [3, 4], detail: [1, 2], spread: [0.1, 0] },
  ]);
  assert.equal("spread" in pointsOf(spec, { ...from, score_se: [null, null] })[0], false);
});

test("error bars reach to the ends of the interval", () => {
  const { array, arrayminus } = reachOf([0.5], [0.25], [1]);
  assert.deepEqual([array, arrayminus], [[0.5], [0.25]]);
});

test("only the newest point has a bar", () => {
  const { array, arrayminus } = newestReach(3, 0.5, 0.25, 0.625);
  assert.deepEqual(
    [array, arrayminus],
    [
      [0, 0, 0.125],
      [0, 0, 0.25],
    ],
  );
  assert.deepEqual(newestReach(0, undefined).array, []);
});

test("a chart is left out where a run with rows has none of its figures", () => {
  const spec = { series: [{ key: "value/loss" }, { key: "policy/loss" }] };
  assert.equal(lacks(spec, { step: [1], "value/loss": [null], "policy/loss": [null] }), true);
  assert.equal(lacks(spec, { step: [1], "value/loss": [null], "policy/loss": [0] }), false);
  assert.equal(lacks(spec, { step: [1, 2], "value/loss": [null, 0.5] }), false);
  assert.equal(lacks(spec, { step: [], "value/loss": [] }), false); // nothing is known yet
  assert.equal(lacks(spec, {}), false);
});
