// @ts-check
// What a visitor has answered in the Learn tab, and the words about it.
import { keptObject } from "./kept.js";

/** @typedef {import("../types").ListedLesson} Lesson */
/** @typedef {import("../types").Outcome} Outcome */

/**
 * What a visitor said, and what came true.
 * @typedef {{said: number, came: number, result: string}} Answer
 */

/** The visitor did not know; that counts as an answer. */
export const UNKNOWN = -1;
export const UNKNOWN_WORDS = "I do not know";

const isAnswer = (/** @type {any} */ given) =>
  Boolean(given) &&
  Number.isInteger(given.said) &&
  given.said >= UNKNOWN &&
  Number.isInteger(given.came) &&
  typeof given.result === "string";

/**
 * The kept answers by lesson. What is no answer is left out: anybody may edit what a browser keeps.
 * @param {string | null} kept JSON
 * @returns {Record<string, Answer>}
 */
export const read = (kept) => {
  const entries = Object.entries(keptObject(kept));
  return Object.fromEntries(entries.filter(([, given]) => isAnswer(given)));
};

/**
 * @param {Pick<Lesson, "answers">} lesson
 * @param {number} place
 */
export const answerWords = ({ answers }, place) => answers[place] ?? UNKNOWN_WORDS;

const quoted = (/** @type {string} */ words) =>
  `\u201C${words.replaceAll("\u201C", "\u2018").replaceAll("\u201D", "\u2019")}\u201D`;

/**
 * What the visitor said beside what came out.
 * @param {Pick<Lesson, "answers">} lesson
 * @param {Answer} answer
 */
export const verdict = (lesson, { said, came }) => {
  const truth = quoted(answerWords(lesson, came));
  if (said === UNKNOWN) return `You did not know. What came out: ${truth}.`;
  if (said === came) return `You said ${truth}, and that is what came out.`;
  return `You said ${quoted(answerWords(lesson, said))}. What came out: ${truth}.`;
};

/**
 * The line under the tab's name, and over the list of lessons.
 * @param {Lesson[]} lessons
 * @param {Record<string, Answer>} answers
 */
export const progressWords = (lessons, answers) => {
  const core = lessons.filter((lesson) => lesson.core);
  const done = core.filter(({ id }) => id in answers).length;
  const minutes = core.reduce((sum, lesson) => sum + lesson.minutes, 0);
  if (Object.keys(answers).length) return `${done} of ${core.length} lessons`;
  return `how it works, ${minutes} min`;
};

/**
 * The lesson that an address names.
 * @param {Lesson[]} lessons
 * @param {string | undefined} wanted
 * @returns {{lesson: Lesson, problem: string}} the first lesson and a sentence if there is none
 */
export const opened = (lessons, wanted) => {
  const found = lessons.find(({ id }) => id === wanted);
  if (found || !wanted) return { lesson: found || lessons[0], problem: "" };
  const shown = wanted.length > 40 ? `${wanted.slice(0, 40)}\u2026` : wanted;
  const problem = `There is no lesson \u201C${shown}\u201D, so this is the first one.`;
  return { lesson: lessons[0], problem };
};

export const SHEET_TITLE = "What I predicted, and what came out";

/** @typedef {{title: string, question: string, result: string, sentence: string}} SheetPart */

/**
 * What the end sheet says of each answered lesson.
 * @param {Lesson[]} lessons
 * @param {Record<string, Answer>} answers
 * @returns {SheetPart[]}
 */
export const sheetParts = (lessons, answers) =>
  lessons
    .filter(({ id }) => id in answers)
    .map((lesson) => {
      const { title, question, sentence } = lesson;
      const answer = answers[lesson.id];
      return { title, question, sentence, result: `${verdict(lesson, answer)} ${answer.result}` };
    });

/**
 * The end sheet as Markdown.
 * @param {Lesson[]} lessons
 * @param {Record<string, Answer>} answers
 */
export const sheet = (lessons, answers) => {
  const parts = sheetParts(lessons, answers).map(({ title, question, result, sentence }) =>
    [`## ${title}`, question, result, `**In one sentence:** ${sentence}`].join("\n\n"),
  );
  return `${[`# ${SHEET_TITLE}`, ...parts].join("\n\n")}\n`;
};
