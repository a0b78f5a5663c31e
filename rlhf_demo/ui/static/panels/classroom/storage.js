// @ts-check
// The classes that this browser has opened, and the current one.

const TOKEN = "rlhf_demo_class";
const ALL = "rlhf_demo_classes"; // newest first
const ALONE = "rlhf_demo_class_alone"; // whether only the class is shown

/** @typedef {{code: string, token: string, opened: number}} KeptClass */

// The instructor's token of the class on the screen.
export const classToken = {
  get: () => localStorage.getItem(TOKEN),
  keep: (/** @type {string} */ token) => localStorage.setItem(TOKEN, token),
  forget: () => {
    localStorage.removeItem(TOKEN);
    localStorage.removeItem(ALONE);
  },
};

export const keptAlone = () => localStorage.getItem(ALONE) !== "no";

export const keepAlone = (/** @type {boolean} */ yes) =>
  localStorage.setItem(ALONE, yes ? "yes" : "no");

/** @returns {KeptClass[]} */
export const classes = () => JSON.parse(localStorage.getItem(ALL) || "[]");

const keepClasses = (/** @type {KeptClass[]} */ list) =>
  localStorage.setItem(ALL, JSON.stringify(list));

export const remember = (/** @type {string} */ code, /** @type {string} */ token) => {
  const before = classes().find((one) => one.code === code);
  const others = classes().filter((one) => one.code !== code);
  keepClasses([{ code, token, opened: before ? before.opened : Date.now() }, ...others]);
};

export const forget = (/** @type {string} */ token) =>
  keepClasses(classes().filter((one) => one.token !== token));
