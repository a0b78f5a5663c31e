import assert from "node:assert/strict";
import { test } from "node:test";

import {
  background,
  clipNote,
  colourings,
  scaleOf,
  share,
  tokensOf,
  tokensOfSide,
} from "../../rlhf_demo/ui/static/lib/tokens.js";

test("a scale is the colouring's own, or goes from the first token to the furthest", () => {
  assert.deepEqual(scaleOf("kl", [{ piece: "a", kl: 9 }]), { from: 0, full: 1 });
  const values = [2, 5, -2, null].map((value) => ({ piece: "a", score_if_ended: value }));
  assert.deepEqual(scaleOf("score_if_ended", values), { from: 2, full: 4 });
  assert.deepEqual(scaleOf("score_if_ended", []), { from: 0, full: 1 });
});

test("shares are bounded, and below 0 only where a colouring has both sides", () => {
  const scale = { from: 0, full: 2 };
  assert.equal(share("advantage", -1, scale), -0.5);
  assert.equal(share("advantage", 7, scale), 1);
  assert.equal(share("kl", -1, scale), 0);
  assert.equal(share("logprob", -1, scale), 0.5); // a surprise
  assert.equal(share("kl", null, scale), 0);
});

test("backgrounds have the colour of their side, or none for next to nothing", () => {
  const scale = { from: 0, full: 1 };
  assert.match(background("advantage", 0.5, scale), /--rl-ppo\) 23%/);
  assert.match(background("advantage", -1, scale), /--rl-below\) 46%/);
  assert.equal(background("advantage", 0.03, scale), "transparent");
  for (const by of Object.keys(colourings)) assert.ok(colourings[by].label);
});

test("columns of figures become one object a token", () => {
  const sample = { token: ["a", "b"], logprob: [-1, -2], log_ratio: [0.5, 0], kl: [0.1, 0.2] };
  assert.deepEqual(tokensOf(sample), [
    { piece: "a", logprob: -1, log_ratio: 0.5, kl: 0.1 },
    { piece: "b", logprob: -2, log_ratio: 0, kl: 0.2 },
  ]);
});

test("runs of before log ratios have neither KL nor clip, which meant something else then", () => {
  const sample = { token: ["a"], kl: [0.1], clipped: [true], value: [3] };
  assert.deepEqual(tokensOf(sample), [{ piece: "a", value: 3 }]);
});

test("a side's last token is the end where it ended by itself", () => {
  const side = { token: ["a", ""], ended: true, kl: [0, 1], value: null };
  assert.deepEqual(tokensOfSide(side), [
    { piece: "a", kl: 0 },
    { piece: "<|endoftext|>", kl: 1 },
  ]);
  assert.equal(tokensOfSide({ ...side, ended: false })[1].piece, "");
});

test("the clip is told of where it stopped a token or one ended outside it", () => {
  assert.match(clipNote({ piece: "a", clipped: true, ratio: 1 }, 0.2), /stopped at least one/);
  assert.match(clipNote({ piece: "a", ratio: 1.25 }, 0.2), /outside the clip range/);
  assert.equal(clipNote({ piece: "a", ratio: 0.85 }, 0.2), null);
  assert.equal(clipNote({ piece: "a" }, undefined), null);
});
