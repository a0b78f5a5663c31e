// @ts-check
// What the page says about two models that continue one prompt.
import { counted } from "./format.js";

/**
 * @param {import("../types").ShownRecord} record of a duel, or of a comparison on many prompts
 */
export const settingsLine = ({ settings, report, date, example }) => {
  const how = report || settings;
  const { scorer, base, chosen_by: chooser } = settings;
  const parts = [`temperature ${how.temperature}`];
  if (how.top_k) parts.push(`top-k ${how.top_k}`);
  if (how.top_p !== undefined && how.top_p < 1) parts.push(`top-p ${how.top_p}`);
  parts.push(`at most ${how.max_new_tokens} tokens`, `seed ${how.seed}`);
  parts.push(`scored by ${scorer.name}${scorer.unit ? ` in ${scorer.unit}` : ""}`);
  parts.push(`KL from ${base}`);
  if (chooser) parts.push(`best responses chosen by ${chooser.name}`);
  if (settings.own) parts.unshift("own prompts");
  return `${origin(example, date)}Settings: ${parts.join(", ")}.`;
};

const origin = (example, date) => {
  if (example) return "A finished example that ships with this page, written by these models. ";
  if (!date) return "";
  const when = `${date.slice(0, 10)} ${date.slice(11, 16)} UTC`;
  return `Saved ${when}. The address of this page opens it again. `;
};

/**
 * Where the two texts first differ.
 * @param {import("../types").DuelState} state
 * @param {Record<string, any>} settings
 */
export const partingWords = ({ left, right, parting }, settings) => {
  if (!settings.same_tokens)
    return (
      "Same prompt. These two models split text into different tokens, " +
      "so the same random numbers mean different words to them."
    );
  if (parting === null) return "Same prompt, same random numbers. Both models wrote the same text.";
  const piece = (/** @type {import("../types").DuelSide} */ side) =>
    side.ended && parting === side.token.length - 1
      ? "end of text"
      : side.token[parting].trim() || "space";
  return (
    `Same prompt, same random numbers. The texts first differ at token ${parting + 1}: ` +
    `\u201C${piece(left)}\u201D against \u201C${piece(right)}\u201D.`
  );
};

/**
 * How a text ended, and how far its model is from the base.
 * @param {import("../types").DuelSide} side
 * @param {string} name of its model
 * @param {string} base
 * @param {string} kl nats over its tokens; empty where that cannot be counted
 */
export const outcomeWords = (side, name, base, kl) => {
  const count = counted(side.token.length, "token");
  const end = side.ended ? `Ended by itself after ${count}` : `Cut short at ${count}`;
  const far = `KL ${kl} nats, summed over its tokens`;
  const own = name === base ? "this is the base, so its KL is 0" : far;
  const distance = kl ? own : `KL cannot be computed, because ${base} uses other tokens`;
  const cut = " The prompt is too long for this model, so its beginning was cut.";
  return `${end}; ${distance}.${side.prompt_cut ? cut : ""}`;
};
