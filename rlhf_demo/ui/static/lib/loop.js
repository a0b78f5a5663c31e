// @ts-check
// What the Start tab says of each training of the loop.
import { duration } from "./format.js";

/**
 * @param {import("../types").RunRow} row
 * @param {import("../types").RunRow | null | undefined} before the training that it waits for
 */
export const stageWords = (row, before) => {
  if (row.status === "queued" && before && before.status === "running")
    return "waiting for the reward model";
  if (row.status === "queued") return `queued, position ${row.place || 1}`;
  if (row.status === "running" && !row.step) return "loading the model";
  if (row.status === "running")
    return `step ${row.step} of ${row.total_steps}, ${duration(row.seconds_left)} left`;
  return row.status === "failed" ? row.message : row.status;
};
