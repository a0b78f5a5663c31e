// @ts-check
// The view of each lesson.
import { agent } from "./agent.js";
import { alternatives } from "./alternatives.js";
import { attention } from "./attention.js";
import { changed } from "./changed.js";
import { heads_off } from "./heads_off.js";
import { layers } from "./layers.js";
import { leash } from "./leash.js";
import { loss } from "./loss.js";
import { next_token } from "./next_token.js";
import { ppo_step } from "./ppo_step.js";
import { reward_head } from "./reward_head.js";
import { tokens } from "./tokens.js";
import { uses } from "./uses.js";
import { vectors } from "./vectors.js";
import { votes } from "./votes.js";
import { word_scores } from "./word_scores.js";

/**
 * What a lesson's view gets, and what it returns.
 * @typedef {object} Stage
 * @property {(request?: object) => Promise<any>} look asks for what the lesson shows; null if the
 *   server refused, which the page then says
 */

/** @typedef {{element: HTMLElement, show: (look: any) => void}} View */

/** @type {Record<string, (stage: Stage) => View>} by the lesson's id */
export const views = {
  next_token,
  tokens,
  vectors,
  attention,
  heads_off,
  layers,
  loss,
  votes,
  reward_head,
  agent,
  ppo_step,
  leash,
  changed,
  alternatives,
  uses,
  word_scores,
};
