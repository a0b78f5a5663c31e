import assert from "node:assert/strict";
import { test } from "node:test";

import { BallotState } from "../../rlhf_demo/ui/static/lib/ballot_state.js";

const PAUSES = { askAgain: 5, sendAgain: 5, readAtLeast: 0, stayAgain: 5 };
const pair = (id) => ({ id, question: "Which?", prompt: "It", left: " is", right: " was" });
const soon = (milliseconds = 0) => new Promise((done) => setTimeout(done, milliseconds));

// What a view was told, and a source of the pairs 1, 2, 3, ...
const ballot = (changes = {}, pauses = {}) => {
  const seen = { shown: [], ready: null, problem: "", mayUndo: false, votes: [] };
  const given = { next: 1 };
  const source = {
    ahead: true,
    next: async (after) => ({ assignment: pair(after === undefined ? given.next : after + 1) }),
    vote: async (id, choice) => {
      seen.votes.push([id, choice]);
      given.next = id + 1;
      return { votes: id };
    },
    undo: async () => {
      given.next -= 1;
      return { undone: true };
    },
    ...changes,
  };
  const view = {
    show: (assignment, message) => seen.shown.push(assignment ? assignment.id : message),
    enable: (ready) => (seen.ready = ready),
    enableUndo: (possible) => (seen.mayUndo = possible),
    problem: (sentence) => (seen.problem = sentence),
    alive: () => true,
    seen: () => true,
  };
  return { seen, given, state: new BallotState(source, view, { ...PAUSES, ...pauses }) };
};

test("the pair fetched ahead stands there before the answer is kept", async () => {
  let keep;
  const { seen, state } = ballot({ vote: () => new Promise((done) => (keep = done)) });
  await state.refresh();
  await soon();
  state.answer("left");
  assert.deepEqual(seen.shown, [1, 2]);
  assert.equal(seen.ready, false); // until the first one is kept
  keep({});
  await soon();
  assert.equal(seen.ready, true);
  assert.equal(seen.mayUndo, true);
});

test("without one ahead the next is asked for", async () => {
  const { seen, state } = ballot({ ahead: false });
  await state.refresh();
  await state.answer("tie");
  assert.deepEqual(seen.shown, [1, 2]);
  assert.deepEqual(seen.votes, [[1, "tie"]]);
});

test("a second answer waits for the first, and for the pair to be read", async () => {
  const { seen, state } = ballot({}, { readAtLeast: 1000 });
  await state.refresh();
  await state.answer("left");
  assert.deepEqual(seen.votes, []);
  state.shownAt = -Infinity;
  state.answer("left");
  state.shownAt = -Infinity;
  state.answer("right");
  await soon();
  assert.deepEqual(seen.votes, [[1, "left"]]);
});

test("a lost answer is sent again until it arrives, once", async () => {
  let tries = 0;
  const { seen, state } = ballot({
    vote: async () => {
      tries += 1;
      if (tries === 1) throw new Error("offline");
      return tries === 2 ? undefined : {};
    },
  });
  await state.refresh();
  await soon();
  await state.answer("left");
  assert.equal(tries, 3);
  assert.equal(seen.problem, "");
});

test("a refused answer is told of, and the pair is fetched anew", async () => {
  const { seen, state } = ballot({ ahead: false, vote: async () => ({ error: "too late" }) });
  await state.refresh();
  await state.answer("left");
  assert.equal(seen.problem, "too late");
  assert.deepEqual(seen.shown, [1, 1]);
  assert.equal(seen.mayUndo, false);
});

test("without a pair it says why, and asks again", async () => {
  const answers = [
    { assignment: null, message: "wait" },
    { assignment: null },
    { assignment: pair(7) },
  ];
  const { seen, state } = ballot({ next: async () => answers.shift() ?? { assignment: pair(7) } });
  await state.refresh();
  await soon(40);
  assert.deepEqual(seen.shown, ["wait", "There is no pair to show right now.", 7]);
});

test("a pause holds against an answer that was under way", async () => {
  let answer;
  const { seen, state } = ballot({ next: () => new Promise((done) => (answer = done)) });
  state.refresh();
  state.pause("The class is paused.");
  answer({ assignment: pair(1) });
  await soon(20);
  assert.deepEqual(seen.shown, ["The class is paused."]);
  await state.answer("left");
  assert.deepEqual(seen.votes, []);
});

test("taking back shows the pair before", async () => {
  const answered = (promise) => promise;
  const { seen, given, state } = ballot({ ahead: false });
  await state.takeBack(answered); // nothing was answered yet
  await state.refresh();
  await state.answer("left");
  assert.equal(given.next, 2);
  await state.takeBack(answered);
  assert.deepEqual(seen.shown, [1, 2, 1]);
});

test("a pair that is still the same is not shown anew", async () => {
  const { seen, state } = ballot();
  await state.refresh();
  await state.refresh();
  assert.deepEqual(seen.shown, [1]);
});

test("while a text is written, no answer is taken and none taken back", async () => {
  const { seen, state } = ballot();
  await state.refresh();
  await state.answer("left");
  state.write(true);
  assert.equal(seen.ready, false);
  await state.answer("right");
  await state.takeBack((promise) => promise);
  assert.deepEqual(seen.votes, [[1, "left"]]);
  assert.equal(state.now.id, 2);
  state.write(false);
  assert.equal(seen.ready, true);
  await state.answer("right");
  assert.deepEqual(seen.votes.at(-1), [2, "right"]);
});

test("a voter who writes keeps the place, asks seldom, and the pair stays", async () => {
  let asked = 0;
  const next = async () => ({ assignment: pair(++asked) });
  const { seen, state } = ballot({ next, ahead: false }, { stayAgain: 1000 });
  await state.refresh();
  await state.stay();
  await state.stay();
  assert.equal(asked, 2);
  assert.deepEqual(seen.shown, [1]);
});

test("a line lost while the place is kept is no problem", async () => {
  const { seen, state } = ballot({ ahead: false });
  await state.refresh();
  state.source.next = async () => {
    throw new Error("gone");
  };
  await state.stay();
  assert.equal(seen.problem, "");
});
