// Answers in the Learn tab: what the browser keeps, and the words about them.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  UNKNOWN,
  opened,
  progressWords,
  read,
  sheet,
  verdict,
} from "../../rlhf_demo/ui/static/lib/lessons.js";

const lessons = [
  { id: "one", title: "One", minutes: 3, core: true, question: "Which?", answers: ["a", "b"] },
  { id: "two", title: "Two", minutes: 4, core: true, question: "What?", answers: ["\u201Cc\u201D"] },
  { id: "more", title: "More", minutes: 2, core: false, question: "Why?", answers: ["d"] },
].map((lesson) => ({ ...lesson, sentence: `${lesson.title} it is.` }));

test("what is no answer is left out", () => {
  for (const odd of [null, "", "{", "[1]", "3", "null"]) assert.deepEqual(read(odd), {});
  const right = { said: UNKNOWN, came: 0, result: "It is a." };
  const odd = { said: 0.5, came: 0, result: "" };
  const kept = { right, odd, none: null, early: { ...right, said: -2 }, mute: { said: 0, came: 0 } };
  assert.deepEqual(read(JSON.stringify(kept)), { right });
});

test("what was said stands beside what came out", () => {
  const [one, two] = lessons;
  assert.equal(
    verdict(one, { said: 0, came: 1 }),
    "You said \u201Ca\u201D. What came out: \u201Cb\u201D.",
  );
  assert.equal(
    verdict(one, { said: 1, came: 1 }),
    "You said \u201Cb\u201D, and that is what came out.",
  );
  assert.equal(
    verdict(one, { said: UNKNOWN, came: 0 }),
    "You did not know. What came out: \u201Ca\u201D.",
  );
  assert.match(verdict(two, { said: 0, came: 0 }), /\u201C\u2018c\u2019\u201D/);
});

test("progress counts the core lessons", () => {
  assert.equal(progressWords(lessons, {}), "how it works, 7 min");
  assert.equal(progressWords(lessons, { more: {} }), "0 of 2 lessons");
  assert.equal(progressWords(lessons, { one: {}, more: {} }), "1 of 2 lessons");
});

test("an address opens a lesson, and a wrong name says so", () => {
  assert.deepEqual(opened(lessons, "two"), { lesson: lessons[1], problem: "" });
  assert.deepEqual(opened(lessons, undefined), { lesson: lessons[0], problem: "" });
  const { lesson, problem } = opened(lessons, "x".repeat(60));
  assert.equal(lesson, lessons[0]);
  assert.equal(
    problem,
    `There is no lesson \u201C${"x".repeat(40)}\u2026\u201D, so this is the first one.`,
  );
});

test("the end sheet has what was answered", () => {
  const text = sheet(lessons, { two: { said: 0, came: 0, result: "Two is 2." } });
  assert.match(text, /^# What I predicted, and what came out\n\n## Two\n\nWhat\?/);
  assert.match(text, /that is what came out\. Two is 2\.\n\n\*\*In one sentence:\*\* Two it is\.\n$/);
});
