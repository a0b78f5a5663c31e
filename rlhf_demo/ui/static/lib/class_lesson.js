// @ts-check
// A lesson of a class: the rows of its answers, and the words about the predictions.
import { signed } from "./format.js";
import { UNKNOWN, answerWords, verdict } from "./lessons.js";

/** @typedef {import("../types").ClassLesson} ClassLesson */
/** @typedef {import("../types").StudentLesson} StudentLesson */
/** @typedef {import("../types").ClassState["voters"][number]} Voter */

/**
 * One answer. `count` and `share` (of all predictions, 0 to 1) are null while they are hidden.
 * @typedef {object} Row
 * @property {number} place
 * @property {string} words
 * @property {number | null} count
 * @property {number | null} share
 * @property {boolean} came whether it came true
 */

const total = (/** @type {number[]} */ counts) => counts.reduce((sum, one) => sum + one, 0);

/**
 * All answers, last "I do not know".
 * @param {ClassLesson} lesson
 * @param {boolean} [counted] whether the numbers are shown
 * @returns {Row[]}
 */
export const rows = (lesson, counted = true) => {
  const counts = counted ? lesson.counts : null;
  const all = counts ? Math.max(1, total(counts)) : 1;
  const places = [...lesson.answers.keys(), UNKNOWN];
  return places.map((place, number) => ({
    place,
    words: answerWords(lesson, place),
    count: counts && counts[number],
    share: counts && counts[number] / all,
    came: place === lesson.came,
  }));
};

/**
 * How many of the students on phones have answered.
 * @param {ClassLesson} lesson
 * @param {Voter[]} voters
 */
export const progress = ({ counts }, voters) => {
  const students = voters.filter((one) => !one.simulated).length;
  const answered = total(counts || []);
  return {
    words: `${answered} of ${students} have answered.`,
    complete: students > 0 && answered >= students,
  };
};

/**
 * What the phone says under the answers.
 * @param {StudentLesson} lesson
 */
export const phoneWords = (lesson) => {
  const { said, came, result } = lesson;
  if (came !== null && said !== null) return `${verdict(lesson, { said, came, result })} ${result}`;
  if (came !== null) return `You did not answer before the reveal. ${result}`;
  if (said === null) {
    return "Tap what you expect. The answer appears when the instructor reveals it.";
  }
  return "Your answer is saved. You can change it until the reveal.";
};

/**
 * What became of a student's texts.
 * @param {number | null} score of the newest text; null before the first one
 * @param {{text: string, score: number} | undefined} best the one that was kept
 */
export const triedWords = (score, best) => {
  const newest = score === null ? "" : `This text scores ${signed(score)}. `;
  if (!best) return newest && `${newest}Your instructor has removed it.`;
  return `${newest}Your best: \u201C${best.text}\u201D, ${signed(best.score)}.`;
};
