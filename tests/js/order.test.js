import assert from "node:assert/strict";
import { test } from "node:test";

import {
  isComplete,
  letterOf,
  placeWords,
  tapped,
} from "../../rlhf_demo/ui/static/lib/order.js";

test("taps put texts in order, and a second tap takes one back", () => {
  const order = [..."CADB"].reduce(tapped, "");
  assert.equal(order, "CADB");
  assert.equal(tapped(order, "A"), "CDB"); // the later ones move up
  assert.equal(tapped(tapped(order, "A"), "A"), "CDBA");
  assert.deepEqual(["", "CDB", "CADB"].map(isComplete), [false, false, true]);
});

test("a text has a place once it is tapped", () => {
  assert.equal(placeWords("CA", "C"), "1st");
  assert.equal(placeWords("CA", "A"), "2nd");
  assert.equal(placeWords("CA", "B"), "");
  assert.equal(placeWords("CADB", "B"), "4th");
});

test("letters and digits stand for texts, and other keys for none", () => {
  assert.deepEqual(["a", "B", "3", "4"].map(letterOf), ["A", "B", "C", "D"]);
  for (const key of ["e", "5", "0", "Enter", "ArrowLeft", ""]) {
    assert.equal(letterOf(key), undefined);
  }
});
