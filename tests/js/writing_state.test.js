import assert from "node:assert/strict";
import { test } from "node:test";

import { WritingState } from "../../rlhf_demo/ui/static/lib/writing_state.js";

const pair = (id, written = null) => ({
  id,
  question: "Which?",
  prompt: "The film",
  left: " is",
  right: " was",
  written,
});

// A state, and what the server was sent.
const writer = (changes = {}) => {
  const sent = [];
  const source = {
    keep: async (id, text) => {
      sent.push([id, text]);
      return { written: ` ${text}`, count: sent.length };
    },
    remove: async (id) => {
      sent.push([id]);
      return { deleted: true };
    },
    longest: 10,
    use: "",
    ...changes,
  };
  const state = new WritingState(source, () => {});
  state.show(pair(1));
  return { sent, state };
};

test("a text is written, saved and shown after its prompt, and is said to be no vote", async () => {
  const { sent, state } = writer();
  state.begin();
  assert.deepEqual([state.open, state.text, state.ready], [true, "", false]);
  state.typed("is fun.");
  assert.equal(state.ready, true);
  await state.keep();
  assert.deepEqual(sent, [[1, "is fun."]]);
  assert.deepEqual([state.open, state.whole, state.problem], [false, "The film is fun.", ""]);
  assert.equal(
    state.said,
    "Your text is saved; you have written 1 text. " +
      "It is not a vote, so please also answer the question above.",
  );
});

test("nothing is said to be saved before the server has answered", async () => {
  let answer;
  const { state } = writer({ keep: () => new Promise((done) => (answer = done)) });
  state.begin();
  state.typed("is fun.");
  const kept = state.keep();
  assert.deepEqual([state.open, state.busy, state.said, state.whole], [true, true, "", ""]);
  answer({ written: " is fun.", count: 1 });
  await kept;
  assert.equal(state.whole, "The film is fun.");
});

test("a text that is refused, or gets no answer, stays in the form with the reason", async () => {
  const { state } = writer({ keep: async () => ({ error: "too rude" }) });
  state.begin();
  state.typed("is fun.");
  await state.keep();
  assert.deepEqual([state.open, state.text, state.problem], [true, "is fun.", "too rude"]);
  state.source.keep = async () => undefined;
  await state.keep();
  assert.match(state.problem, /not answering, so nothing has changed/);
  assert.deepEqual([state.open, state.text, state.whole], [true, "is fun.", ""]);
});

test("the counter counts characters as people do, and an overlong text is not sent", async () => {
  const { sent, state } = writer();
  state.begin();
  state.typed(" \u{1F600}\u{1F600} ok ");
  assert.equal(state.counter, "5 of 10 characters");
  state.typed("x".repeat(11));
  assert.equal(state.counter, "11 of 10 characters: please shorten it");
  await state.keep();
  state.typed("  ");
  await state.keep();
  assert.deepEqual(sent, []);
});

test("a text that was begun is there again, for its own pair alone", () => {
  const { state } = writer();
  state.begin();
  state.typed("is fun.");
  state.close();
  assert.equal(state.open, false);
  state.begin();
  state.show(pair(2));
  assert.equal(state.open, false);
  state.begin();
  assert.equal(state.text, "");
  state.show(pair(1));
  state.begin();
  assert.equal(state.text, "is fun.");
});

test("the same pair shown again does not close the form", () => {
  const { state } = writer();
  state.begin();
  state.typed("is fun.");
  state.show(pair(1));
  assert.deepEqual([state.open, state.text], [true, "is fun."]);
});

test("a saved text can be changed and deleted", async () => {
  const { sent, state } = writer();
  state.show(pair(3, " is ok."));
  assert.equal(state.whole, "The film is ok.");
  state.begin();
  assert.equal(state.text, "is ok.");
  state.close();
  await state.remove();
  assert.deepEqual(sent, [[3]]);
  assert.equal(state.whole, "");
  assert.match(state.said, /^Your text is deleted\. A training .* keeps its copy\.$/);
});

test("without a pair, or in a blind vote, there is no form", () => {
  const { state } = writer();
  state.begin();
  state.allow(false);
  assert.deepEqual([state.possible, state.open], [false, false]);
  state.begin();
  assert.equal(state.open, false);
  state.allow(true);
  state.show(null);
  state.begin();
  assert.deepEqual([state.possible, state.open, state.whole], [false, false, ""]);
});

test("an answer that comes after the pair has gone changes nothing on the next one", async () => {
  let answer;
  const { state } = writer({ keep: () => new Promise((done) => (answer = done)) });
  state.begin();
  state.typed("is fun.");
  const kept = state.keep();
  state.show(pair(2));
  answer({ written: " is fun.", count: 1 });
  await kept;
  assert.deepEqual([state.now.id, state.whole, state.said], [2, "", ""]);
});
