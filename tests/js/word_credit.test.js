// Which word lowers a score most, by each way, and what a visitor said.
import assert from "node:assert/strict";
import { test } from "node:test";
import { guessWords, lowest } from "../../rlhf_demo/ui/static/lib/word_credit.js";

const words = [
  { piece: "A", running: 0.2, left_out: 0, shapley: 0.1 },
  { piece: " dull", running: -0.1, left_out: -0.9, shapley: -0.8 },
  { piece: " film.", running: -0.6, left_out: 0.1, shapley: 0 },
];

test("each way names its own word", () => {
  assert.deepEqual(
    ["running", "left_out", "shapley"].map((way) => lowest(words, /** @type {any} */ (way))),
    [2, 1, 1],
  );
});

test("a guess stands beside each way", () => {
  assert.equal(
    guessWords(words, 1),
    "You said \u201Cdull\u201D. The word that adds least to the score, measured in three ways: " +
      "Running score: \u201Cfilm.\u201D; Left out: \u201Cdull\u201D, as you said; Shapley " +
      "value: \u201Cdull\u201D, as you said.",
  );
  assert.ok(guessWords(words, -1).startsWith("You did not know."));
});
