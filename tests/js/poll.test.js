import assert from "node:assert/strict";
import { test } from "node:test";

import { latest, patient, reached, repeated } from "../../rlhf_demo/ui/static/lib/poll.js";

const settled = async () => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};
// An answer that comes when the test says so.
const asking = () => {
  const waiting = [];
  const ask = () => new Promise((done, fail) => waiting.push({ done, fail }));
  return { ask, waiting };
};
const around = (changes = {}) => {
  const wells = [];
  const told = { milliseconds: 1000, alive: () => true, seen: () => true, ...changes };
  return { ...told, reached: (well) => wells.push(well), wells };
};

test("it asks again after the pause, or after as many seconds as the answer says", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { ask, waiting } = asking();
  repeated(ask, around())(false);
  waiting[0].done(undefined);
  await settled();
  t.mock.timers.tick(999);
  assert.equal(waiting.length, 1);
  t.mock.timers.tick(1);
  assert.equal(waiting.length, 2);
  waiting[1].done(3);
  await settled();
  t.mock.timers.tick(2999);
  assert.equal(waiting.length, 2);
  t.mock.timers.tick(1);
  assert.equal(waiting.length, 3);
});

test("it asks nothing out of sight unless forced, and nothing once it is gone", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { ask, waiting } = asking();
  const tick = repeated(ask, around({ seen: () => false }));
  tick(false);
  assert.equal(waiting.length, 0);
  tick(true);
  assert.equal(waiting.length, 1);
  repeated(ask, around({ alive: () => false }))(true);
  assert.equal(waiting.length, 1);
});

test("two never run at once: a click meanwhile asks once more right after", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { ask, waiting } = asking();
  const tick = repeated(ask, around());
  tick(false);
  tick(true);
  tick(true);
  assert.equal(waiting.length, 1);
  waiting[0].done(60);
  await settled();
  t.mock.timers.tick(0);
  assert.equal(waiting.length, 2);
});

test("a lost answer is told of, and the next one too", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { ask, waiting } = asking();
  const place = around();
  repeated(ask, place)(false);
  waiting[0].fail(new Error("gone"));
  await settled();
  t.mock.timers.tick(1000);
  waiting[1].done();
  await settled();
  assert.deepEqual(place.wells, [false, true]);
});

test("a busy server is asked again, and no other", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  t.mock.method(Math, "random", () => 0.5);
  const answers = [{ busy: true }, { busy: true }, { score: 1 }];
  const heard = [];
  const server = patient({ score: async (request) => (heard.push(request), answers.shift()) });
  const told = server.score({ text: "a" });
  await settled();
  t.mock.timers.tick(500);
  await settled();
  t.mock.timers.tick(1000);
  assert.deepEqual(await told, { score: 1 });
  assert.deepEqual(heard, [{ text: "a" }, { text: "a" }, { text: "a" }]);
});

test("of several wishes the newest counts", async () => {
  const { ask, waiting } = asking();
  const used = [];
  const load = latest(ask, (answer) => used.push(answer));
  load();
  load();
  load();
  assert.equal(waiting.length, 1);
  waiting[0].done("old");
  await settled();
  assert.equal(waiting.length, 2);
  waiting[1].done("new");
  await settled();
  assert.deepEqual(used, ["new"]);
});

test("no answer is an error", async () => {
  await assert.rejects(reached(Promise.resolve(undefined)));
  assert.deepEqual(await reached(Promise.resolve({})), {});
});
