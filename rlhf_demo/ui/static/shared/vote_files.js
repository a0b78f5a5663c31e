// @ts-check
// The forms in which votes, rankings and written texts can be downloaded.

/** @type {[string, string, boolean][]} label, format, whether it holds every answer */
const FILES = [
  ["Preferences, JSONL", "jsonl", false],
  ["Preferences, Parquet", "parquet", false],
  ["Every answer, JSONL", "jsonl", true],
  ["Every answer, Parquet", "parquet", true],
];

/**
 * @template Button
 * @param {(label: string, act: () => any) => Button} button makes a button
 * @param {(format: string, everything: boolean) => any} save
 */
export const fileButtons = (button, save) =>
  FILES.map(([label, format, everything]) => button(label, () => save(format, everything)));

/**
 * @template Button
 * @param {(label: string, act: () => any) => Button} button makes a button
 * @param {string} what they are called
 * @param {(format: string) => any} save
 */
export const textButtons = (button, what, save) => [
  button(`${what}, JSONL`, () => save("jsonl")),
  button(`${what}, Parquet`, () => save("parquet")),
];
