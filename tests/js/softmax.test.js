// From logits to probabilities, against numbers worked by hand.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  best,
  cut,
  divergence,
  draw,
  entropy,
  softmax,
} from "../../rlhf_demo/ui/static/lib/softmax.js";

const close = (/** @type {number[]} */ got, /** @type {number[]} */ wanted) =>
  got.forEach((value, i) => assert.ok(Math.abs(value - wanted[i]) < 1e-9, `${got} ${wanted}`));

test("softmax at two temperatures", () => {
  const logits = [Math.log(4), Math.log(2), Math.log(2)];
  close(softmax(logits, 1), [0.5, 0.25, 0.25]);
  close(softmax(logits, 0.5), [16 / 24, 4 / 24, 4 / 24]);
});

test("top-k and top-p leave tokens out and share their part", () => {
  const shares = [0.5, 0.3, 0.2];
  close(cut(shares, 0, 1), shares);
  close(cut(shares, 2, 1), [0.625, 0.375, 0]);
  close(cut(shares, 0, 0.5), [1, 0, 0]);
  close(cut(shares, 0, 0.6), [0.625, 0.375, 0]);
  close(cut(shares, 1, 1), [1, 0, 0]);
});

test("entropy", () => {
  close([entropy([1, 0])], [0]);
  close([entropy([0.25, 0.25, 0.25, 0.25])], [Math.log(4)]);
});

test("drawing follows the random numbers", () => {
  const numbers = [0.1, 0.55, 0.95, 0.49];
  const counts = draw([0.5, 0.3, 0.2], 4, () => numbers.shift());
  assert.deepEqual(counts, [2, 1, 1]);
});

test("the best policy under a penalty, as tests/explain/test_optimum.py has it", () => {
  close(best([0.75, 0.25], [0, Math.log(9)], 1), [0.25, 0.75]);
  close(best([0.5, 0.5], [0, 1000], 0.02), [0, 1]);
});

test("divergence", () => {
  close([divergence([0.25, 0.75], [0.75, 0.25])], [0.5 * Math.log(3)]);
  close([divergence([1, 0], [0.5, 0.5])], [Math.log(2)]);
});
