// @ts-check
// Who is here: the secrets in this browser, and what proves a right with them.
import { reached } from "../lib/poll.js";

const MINE = "rlhf_demo_votes";

export const secret = () => window.rlhf.secret();

// The instructor's token, which the password opens, until this browser tab is closed.
export const instructorToken = {
  get: () => sessionStorage.getItem("rlhf_demo_instructor") || "",
  keep: (/** @type {string} */ token) => sessionStorage.setItem("rlhf_demo_instructor", token),
  forget: () => sessionStorage.removeItem("rlhf_demo_instructor"),
};

let start = "";

/** @param {string} token of this start of the app; at home it is the right to change any run */
export const keepStart = (token) => {
  start = token;
};

// What a request to change a run proves its right with.
export const proof = () => ({ secret: secret(), start });

// The voter's secret: made by the server, kept in this browser, sent with every vote.
export const voter = () => window.rlhf.voter();

/** @param {number} more answers than before; returns how many this browser has given */
export const countVotes = (more) => {
  const now = Math.max(0, Number(localStorage.getItem(MINE) || 0) + more);
  localStorage.setItem(MINE, String(now));
  return now;
};

/** @type {Promise<void> | null} */
let entering = null;

/**
 * Makes sure that this browser may vote.
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
