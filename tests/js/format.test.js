import assert from "node:assert/strict";
import { test } from "node:test";

import {
  counted,
  duration,
  interval,
  number,
  percent,
  signed,
  upOrDown,
} from "../../rlhf_demo/ui/static/lib/format.js";

test("numbers have a true minus, and no minus where they round to nothing", () => {
  assert.equal(number(-1.256), "\u22121.26");
  assert.equal(number(-0.001), "0.00");
  assert.equal(number(3, 0), "3");
});

test("what was not measured is a dash", () => {
  for (const none of [null, undefined]) {
    assert.equal(number(none), "\u2013");
    assert.equal(signed(none), "\u2013");
    assert.equal(percent(none), "\u2013");
    assert.equal(duration(none), "\u2013");
  }
  assert.equal(number(NaN), "\u2013");
});

test("signed numbers say plus", () => {
  assert.equal(signed(0.5), "+0.50");
  assert.equal(signed(-0.5), "\u22120.50");
  assert.equal(signed(0), "+0.00");
});

test("shares and intervals are in percent", () => {
  assert.equal(percent(0.815), "82%");
  assert.equal(percent(0.8154, 1), "81.5%");
  assert.equal(interval(0.625, 0.875), "[63, 88]");
});

test("durations are in the unit that reads best", () => {
  assert.equal(duration(-3), "0 s");
  assert.equal(duration(99.4), "99 s");
  assert.equal(duration(100), "2 min");
  assert.equal(duration(7200), "2 h");
});

test("a score is coloured by the other one, whatever its sign", () => {
  assert.equal(upOrDown(-1, -2), "rl-up");
  assert.equal(upOrDown(1, 2), "rl-down");
  assert.equal(upOrDown(1, 1), "");
  assert.equal(upOrDown(1, null), "");
});

test("one vote, two votes, three people", () => {
  assert.equal(counted(1, "vote"), "1 vote");
  assert.equal(counted(2, "vote"), "2 votes");
  assert.equal(counted(3, "person", "people"), "3 people");
});
