// @ts-check
// What the list of runs says about each run.

/** @typedef {Omit<import("../types").ListedRun, "figures">} ListedRun */

/** @param {string} text a moment, as ISO 8601 */
export const when = (text) =>
  new Date(text).toLocaleString("en-GB", {
    day: "numeric",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
  });

const endedEarly = (/** @type {ListedRun} */ row) =>
  row.status === "finished" && row.step < row.total_steps;

/** @param {ListedRun} row */
export const stateWords = (row) => {
  const { status, place, step, total_steps: total } = row;
  if (status === "queued") return place ? `queued, position ${place}` : "queued";
  if (status === "running" && step) return `running, step ${step}${total ? ` of ${total}` : ""}`;
  return endedEarly(row) ? "ended early" : status;
};

/**
 * The state that decides the colour.
 * @param {ListedRun} row
 */
export const stateShade = (row) =>
  row.status === "damaged" || endedEarly(row) ? "failed" : row.status;
