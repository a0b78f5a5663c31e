// What the browser keeps of predictions, and the words about what came true.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  SKIPPED,
  read,
  resultWords,
  runWords,
  written,
} from "../../rlhf_demo/ui/static/lib/experiments.js";

const experiment = { answers: ["less", "the same", "more"] };
const state = (answer, run = null) => ({ run, answer, measured: answer === null ? "" : "KL 60." });

test("an answer is kept beside others, changed, and forgotten", () => {
  const one = written({}, "no-kl", 2);
  assert.deepEqual(read(one), { "no-kl": 2 });
  const two = written(read(one), "rloo", 0);
  assert.deepEqual(read(two), { "no-kl": 2, rloo: 0 });
  assert.deepEqual(read(written(read(two), "no-kl", SKIPPED)), { rloo: 0, "no-kl": -1 });
  assert.deepEqual(read(written(read(two), "no-kl", null)), { rloo: 0 });
});

test("what is no answer is left out", () => {
  for (const odd of [null, "", "{", "[1]", "null", "3", '"x"']) assert.deepEqual(read(odd), {});
  const odd = '{"a": "1", "b": 1.5, "c": null, "d": -2, "e": [0], "f": 1}';
  assert.deepEqual(read(odd), { f: 1 });
});

test("what was said stands beside what was measured", () => {
  assert.equal(resultWords(experiment, 0, null), "You said \u201Cless\u201D.");
  assert.equal(resultWords(experiment, 0, state(null)), "You said \u201Cless\u201D.");
  assert.equal(
    resultWords(experiment, 0, state(2)),
    "You said \u201Cless\u201D; measured: \u201Cmore\u201D. KL 60.",
  );
  assert.equal(
    resultWords(experiment, 2, state(2)),
    "You said \u201Cmore\u201D, and that is what came out. KL 60.",
  );
});

test("who looked without an answer, or has one that is gone, said nothing", () => {
  for (const said of [SKIPPED, 3])
    assert.equal(
      resultWords(experiment, said, state(1)),
      "You looked without answering first; measured: \u201Cthe same\u201D. KL 60.",
    );
});

test("the run's progress is told until there is a result", () => {
  const run = { status: "running", step: 7, total_steps: 40, place: null, message: "" };
  assert.equal(runWords(null), "");
  assert.equal(runWords(state(1, run)), "");
  assert.equal(runWords(state(null, run)), "The run is at step 7 of 40.");
  assert.equal(runWords(state(null, { ...run, step: null })), "The run is starting.");
  const queued = { ...run, status: "queued", place: 2 };
  assert.equal(runWords(state(null, queued)), "The run is queued, position 2.");
  assert.match(runWords(state(null)), /^The run was stopped, failed or was deleted/);
});
