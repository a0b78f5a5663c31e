// The lines of over-optimisation's two charts, their key, and what stands under them.
import assert from "node:assert/strict";
import test from "node:test";
import {
  colorOf,
  keysOf,
  linesOf,
  proxyWords,
  textTitle,
} from "../../rlhf_demo/ui/static/lib/overoptimisation.js";

const SIZES = [100, 400, 1241];

const drawn = (gain) => ({ points: [[0, 0], [2, gain]], line: [[0, 0], [3, gain]], fitted: true });
const study = (pairs, more = {}) => ({
  pairs,
  seeds: 1,
  batch_size: 64,
  accuracy: 0.694,
  judge: "fluency-judge",
  ppo: { proxy: drawn(1), judge: drawn(-1), words: "" },
  best_of_n: { proxy: drawn(0.5), judge: drawn(0.25), words: "" },
  texts: [],
  ...more,
});

test("a size has the colour of the first shipped size that is not smaller", () => {
  assert.deepEqual([8, 100, 101, 400, 1241, 5000].map((pairs) => colorOf(pairs, SIZES)), [
    "warn", "warn", "kl", "kl", "base", "base",
  ]);
  assert.equal(colorOf(100, []), "warn");
});

test("several sizes are lines alone, the judge's dashed, in the colour of the size", () => {
  const lines = linesOf([study(100), study(1241)], "ppo", { sizes: SIZES, points: false });
  assert.deepEqual(
    lines.map(({ name, color, dash, mode }) => [name, color, dash, mode]),
    [
      ["proxy, 100 pairs", "warn", undefined, "lines"],
      ["judge, 100 pairs", "warn", "dash", "lines"],
      ["proxy, 1,241 pairs", "base", undefined, "lines"],
      ["judge, 1,241 pairs", "base", "dash", "lines"],
    ],
  );
  assert.deepEqual(lines[1].x, [0, 3]);
  assert.deepEqual(lines[1].y, [0, -1]);
  assert.deepEqual(lines[1].detail, [0, 9]); // nats
});

test("a single size has its points too, and its judge another colour", () => {
  const lines = linesOf([study(400)], "best_of_n", { sizes: SIZES, points: true });
  assert.deepEqual(
    lines.map(({ mode, color, y }) => [mode, color, y[1]]),
    [
      ["markers", "kl", 0.5],
      ["lines", "kl", 0.5],
      ["markers", "ink", 0.25],
      ["lines", "ink", 0.25],
    ],
  );
});

test("the key names the sizes if there are several", () => {
  assert.deepEqual(keysOf([study(400)], SIZES), [
    { name: "proxy", color: "kl" },
    { name: "judge", color: "ink", dash: "dash" },
  ]);
  assert.deepEqual(
    keysOf([study(100), study(400)], SIZES).map(({ name, color }) => [name, color]),
    [["100 pairs", "warn"], ["400 pairs", "kl"], ["proxy", "soft"], ["judge", "soft"]],
  );
});

test("the proxy is described with its accuracy, its seeds and the judge", () => {
  assert.equal(
    proxyWords(study(1241, { seeds: 3 })),
    "right on 69% of held-out pairs; 3 seeds together; judged by fluency-judge, which is simulated",
  );
  assert.equal(
    proxyWords(study(100, { accuracy: null })),
    "its accuracy is not measured yet; judged by fluency-judge, which is simulated",
  );
});

test("a text says which step it is from, among how many and of which seed", () => {
  const texts = [1, 9, 30].map((step) => ({ step, prompt: "It", response: " is" }));
  const titles = (seeds) =>
    texts.map((text, place) => textTitle(text, place, { texts, batch_size: 64, seeds }));
  assert.deepEqual(titles(1), [
    "Step 1, the base: one of 64 texts",
    "Step 9, where the judge\u2019s mean is highest: one of 64 texts",
    "Step 30, the last: one of 64 texts",
  ]);
  assert.equal(titles(3)[0], "Step 1, the base: one of 64 texts, first seed");
});
