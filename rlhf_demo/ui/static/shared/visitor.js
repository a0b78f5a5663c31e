// @ts-check
// The secrets in this browser, and what a request proves with them.
import { reached } from "../lib/poll.js";

const MINE = "rlhf_demo_votes";

export const secret = () => window.rlhf.secret();

// The instructor's token, which the server gives for the password; kept until the tab is closed.
export const instructorToken = {
  get: () => sessionStorage.getItem("rlhf_demo_instructor") || "",
  keep: (/** @type {string} */ token) => sessionStorage.setItem("rlhf_demo_instructor", token),
  forget: () => sessionStorage.removeItem("rlhf_demo_instructor"),
};

let start = "";

/** @param {string} token of this start of the app, for runs that no browser started */
export const keepStart = (token) => {
  start = token;
};

// What a request sends to prove that it may change a run.
export const proof = () => ({ secret: secret(), start });

// The voter's secret: made by the server, kept in this browser, sent with every vote.
export const voter = () => window.rlhf.voter();

/** @param {number} more answers to add; returns how many this browser has given */
export const countVotes = (more) => {
  const now = Math.max(0, Number(localStorage.getItem(MINE) || 0) + more);
  localStorage.setItem(MINE, String(now));
  return now;
};

/** @type {Promise<void> | null} */
let entering = null;

/**
 * Gets this browser a voter's secret, if it has none.
 * @param {Record<string, (request: any) => Promise<any>>} server
 */
export const enter = (server) => {
  entering = entering || entered(server);
  return entering;
};

const entered = async (server) => {
  try {
    const answer = await reached(server.enter({ voter: voter() }));
    if (answer.error) throw new Error(answer.error);
    if (answer.voter !== voter()) localStorage.setItem(MINE, "0");
    localStorage.setItem("rlhf_demo_rater", answer.voter);
  } catch (error) {
    entering = null;
    throw error;
  }
};
