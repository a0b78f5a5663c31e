// @ts-check
// The four forms in which votes can be downloaded.

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
