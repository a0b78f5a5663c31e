// A lesson of a class: the rows of its answers, and the words about the predictions.
import assert from "node:assert/strict";
import { test } from "node:test";
import { phoneWords, progress, rows, triedWords } from "../../rlhf_demo/ui/static/lib/class_lesson.js";

const lesson = { answers: ["a", "b"], came: null, result: "", counts: [1, 3, 0], said: null };
const revealed = { ...lesson, came: 1, result: "b, by 0.5." };

test("numbers stand beside the answers once they may be seen", () => {
  assert.deepEqual(
    rows(lesson).map(({ words, count, share }) => [words, count, share]),
    [
      ["a", 1, 0.25],
      ["b", 3, 0.75],
      ["I do not know", 0, 0],
    ],
  );
  for (const hidden of [rows(lesson, false), rows({ ...lesson, counts: null })])
    assert.deepEqual(
      hidden.map(({ place, count, share }) => [place, count, share]),
      [
        [0, null, null],
        [1, null, null],
        [-1, null, null],
      ],
    );
  assert.deepEqual(
    rows({ ...lesson, counts: [0, 0, 0] }).map(({ share }) => share),
    [0, 0, 0],
  );
});

test("the answer that came true is marked after the reveal", () => {
  assert.ok(rows(lesson).every(({ came }) => !came));
  assert.deepEqual(
    rows(revealed).map(({ came }) => came),
    [false, true, false],
  );
});

test("only students on phones are waited for", () => {
  const voters = [{ simulated: false }, { simulated: true }];
  const none = { ...lesson, counts: [0, 0, 0] };
  assert.deepEqual(progress(none, voters), { words: "0 of 1 have answered.", complete: false });
  const one = { ...lesson, counts: [0, 0, 1] };
  assert.deepEqual(progress(one, voters), { words: "1 of 1 have answered.", complete: true });
  assert.equal(progress(none, []).complete, false);
});

test("the phone says what to do, what was kept, and what came out", () => {
  assert.match(phoneWords(lesson), /^Tap what you expect/);
  assert.match(phoneWords({ ...lesson, said: -1 }), /^Your answer is saved/);
  assert.equal(
    phoneWords({ ...revealed, said: 0 }),
    "You said \u201Ca\u201D. What came out: \u201Cb\u201D. b, by 0.5.",
  );
  assert.equal(phoneWords(revealed), "You did not answer before the reveal. b, by 0.5.");
});

test("the phone says what a text scores and which one is kept", () => {
  const best = { text: "Good good.", score: 1.234 };
  assert.equal(triedWords(null, undefined), "");
  assert.equal(triedWords(null, best), "Your best: \u201CGood good.\u201D, +1.23.");
  assert.equal(
    triedWords(-0.5, best),
    "This text scores \u22120.50. Your best: \u201CGood good.\u201D, +1.23.",
  );
  const removed = "This text scores +1.20. Your instructor has removed it.";
  assert.equal(triedWords(1.2, undefined), removed);
});
