// @ts-check
// The result of a class's blind vote, told for PPO, whether it was A or B.
import { counted, interval } from "./format.js";

/**
 * Turns A's win rate and its interval into PPO's. A missing rate stays null.
 * @param {string} contender "a" or "b": which of the two PPO had trained
 * @param {number | null} rate
 * @param {number} [low]
 * @param {number} [high]
 */
export const ofPPO = (contender, rate, low, high) =>
  contender === "a" || rate === null ? [rate, low, high] : [1 - rate, 1 - high, 1 - low];

/** @param {import("../types").BlindResult} result */
export const verdict = (result) => {
  const { votes, simulated } = result;
  const [, low, high] = ofPPO(result.contender, result.rate, result.low, result.high);
  const who = simulated ? `The class (${simulated} of its ${votes} votes simulated)` : "The class";
  const people = simulated === votes ? "simulated students" : "people";
  if (!votes) return "There are no votes.";
  if (low > 0.5) return `${who} prefers what PPO writes.`;
  if (high < 0.5)
    return `${who} prefers the base: PPO has learned something other than what ${people} like.`;
  const some = simulated ? ` (${simulated} of ${votes} simulated)` : "";
  return `The interval includes 50%: these votes${some} cannot tell the two apart.`;
};

/** @param {import("../types").BlindResult} result */
export const countWords = (result) => {
  const { wins, losses } = result;
  const [ppo, base] = result.contender === "a" ? [wins, losses] : [losses, wins];
  const even = result.ties + result.both_bad;
  return `Votes: PPO ${ppo}, base ${base}, tie or both bad ${even} (half a vote to each model).`;
};

/** @param {import("../types").BlindResult} result */
export const preferWords = ({ votes, simulated, pairs, contender, rate, low, high }) => {
  const [, least, most] = ofPPO(contender, rate, low, high);
  const some = simulated ? ` (${simulated} simulated)` : "";
  const range = votes ? interval(least, most) : "";
  return (
    `of ${counted(votes, "vote")}${some} on ${counted(pairs, "pair")} ` +
    `${votes === 1 ? "prefers" : "prefer"} PPO\u2019s text ${range}; ` +
    "50% means no difference"
  );
};
