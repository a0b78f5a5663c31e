// @ts-check
// How good the votes on a question are, in words.
import { counted, percent } from "./format.js";

/** @param {number | null} alpha Krippendorff's */
export const alphaWords = (alpha) => {
  if (alpha === null) return "no pair has answers from two people yet";
  if (alpha < 0) return "less than chance";
  if (alpha < 0.2) return "hardly more than chance";
  return alpha < 2 / 3 ? "some agreement" : "good agreement";
};

const PAIRS = 6; // of a ranking of four

/** @param {number} rankings */
export const rankingWords = (rankings) =>
  `${counted(rankings, "ranking")} with ${counted(PAIRS * rankings, "pair")}`;

/** @param {import("../types").QualityState} state */
export const answersWords = ({ votes, voters, question, preferences, rankings, simulated }) => {
  const ranked = rankings ? `${rankingWords(rankings)} to learn from.` : "";
  if (!votes) return ranked || `There are no answers to \u201C${question}\u201D yet.`;
  const some = simulated ? `; ${counted(simulated, "answer is", "answers are")} simulated` : "";
  return (
    `${counted(votes, "answer")} from ${counted(voters, "voter")} to \u201C${question}\u201D, ` +
    `including ${counted(preferences, "preference")} that a reward model can learn from${some}.` +
    (ranked ? ` There are also ${ranked}` : "")
  );
};

/** @param {number | null} highest share that any model can get right */
export const agreementWords = (highest) => {
  const most =
    ` No model can get more than ${percent(highest)} of these votes right (the solid mark), ` +
    "because it gives one answer per pair and people disagree on some pairs.";
  return (
    "How often a voter agrees with most of the others who saw the same pair. A few people are a " +
    `noisy guide, so a good reward model can do better.${highest === null ? "" : most}`
  );
};

/**
 * @param {number} votes with a preference
 * @param {number} rankings
 * @param {number} fewest that training takes
 * @param {number} few held-out pairs that an accuracy needs
 */
export const trainWords = (votes, rankings, fewest, few) => {
  const count = votes + rankings;
  if (count < fewest) {
    const counts = rankings ? "Only Left, Right and rankings count" : "Only Left and Right count";
    return `${count} of the ${fewest} preferences that training needs. ${counts}.`;
  }
  const ranked = rankings ? [rankingWords(rankings)] : [];
  const parts = votes || !rankings ? [counted(votes, "preference"), ...ranked] : ranked;
  const weight = rankings ? " Each pair of a ranking counts as a sixth of a vote." : "";
  const tested = rankings ? "pairs or rankings" : "pairs";
  return (
    `${parts.join(" and ")}. A fifth of them, on the prompts voted on last, is held out for ` +
    `testing. The accuracy is shown once ${few} ${tested} are held out.${weight} Training ` +
    "takes about half a minute on two CPU cores."
  );
};

// What a reward model that people's votes trained has learned from.
export const votesWords = (/** @type {import("../types").VoteFacts} */ votes) => {
  const { voters, simulated, held_out: held, held_out_pairs: pairs } = votes;
  const some = simulated ? ` (${simulated} simulated)` : "";
  const few = " These pairs are too few to tell whether it does better than a coin flip.";
  const both = (/** @type {string | 0} */ first, /** @type {number | undefined} */ rankings) =>
    [first, rankings && rankingWords(rankings)].filter(Boolean).join(" and ");
  const trained = both(votes.votes && `${counted(votes.votes, "vote")}${some}`, votes.rankings);
  const tested = both(
    held && `${counted(held, "vote")} (on ${counted(pairs, "pair")})`,
    votes.held_out_rankings,
  );
  return (
    `From ${trained} by ${counted(voters, "voter")}, of which ${tested}, on the prompts voted on ` +
    "last, only test it." +
    (votes.too_few_to_tell ? few : "")
  );
};

/** @param {{kept: number, double: number, what: string}} imported */
export const importWords = ({ kept, double, what }) => {
  const was = double === 1 ? "it was" : "they were";
  if (what === "text") {
    const twice = double ? `; ${double} left out because ${was} here already` : "";
    return `${counted(kept, "written text")} imported${twice}.`;
  }
  const toTrain = "choose their question on the Reward model tab.";
  const did = what === "ranking" ? "ranked the same texts" : "answered the same pair";
  const twice = `because ${was} here already, or the same voter had already ${did}`;
  const out = double ? `; ${double} left out ${twice}` : "";
  return `${counted(kept, what)} imported${out}. To train on imported ${what}s, ${toTrain}`;
};
