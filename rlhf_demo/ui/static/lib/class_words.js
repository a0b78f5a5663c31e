// @ts-check
// What the instructor's screen says about a class.
import { ofPPO } from "./blind_result.js";
import { counted, interval, number, percent, signed } from "./format.js";

/** @typedef {import("../types").ClassState} ClassState */
/** @typedef {import("../types").RunRow} RunRow */
/** @typedef {"votes" | "reward" | "ppo" | "trained" | "open" | "revealed"} Stage */

/** @param {number} count */
export const ofThem = (count) => (count ? `, ${count} of them simulated` : "");

/** @param {ClassState} view */
export const newest = (view) => view.history.at(-1);

/**
 * The stage that the class has reached.
 * @param {ClassState} view
 * @returns {Stage}
 */
export const stageOf = (view) => {
  const { ppo } = view;
  if (view.kind === "blind") return view.round_state === "revealed" ? "revealed" : "open";
  if (ppo && ["queued", "running"].includes(ppo.status)) return "ppo";
  if (ppo && ["finished", "stopped"].includes(ppo.status) && ppo.step) return "trained";
  return view.reward ? "reward" : "votes";
};

const trainingWords = (/** @type {ClassState} */ { training }) => {
  if (!training) return "";
  if (training.row && training.row.status === "queued")
    return "A new reward model is waiting in the queue.";
  const votes = `${training.votes} votes${ofThem(training.simulated)}`;
  return `A new reward model is training, from ${votes}.`;
};

const rewardWords = (/** @type {ClassState} */ view) => {
  const { ppo } = view;
  const more = view.all_votes && view.state === "open";
  const again = more ? "The reward model is trained again after every ten new preferences." : "";
  const failed = ppo && ppo.status === "failed" ? ` PPO failed: ${ppo.message}` : "";
  const soon = trainingWords(view);
  const last = newest(view);
  const next =
    soon && last
      ? `If you start PPO now, it uses the reward model from ${last.votes} votes.`
      : "When the class has voted enough, start PPO on its reward model.";
  return `${soon || again} ${next}${failed}`;
};

const ppoWords = (/** @type {RunRow} */ ppo) => {
  if (ppo.status === "queued") return `PPO is in the queue, position ${ppo.place || 1}.`;
  if (!ppo.step) return "PPO is starting: it is loading its models.";
  return (
    `PPO is training: step ${ppo.step} of ${ppo.total_steps}. ` +
    "Students see its progress on their phones."
  );
};

const trainedWords = (/** @type {RunRow} */ ppo) => {
  const stopped = `was stopped at step ${ppo.step} of ${ppo.total_steps}`;
  const end = ppo.status === "finished" ? "has finished" : stopped;
  return `PPO ${end}. Now let the class judge the texts without knowing which model wrote which.`;
};

const OPEN =
  "Blind vote: the class compares texts of the base and the PPO model without knowing which is " +
  "which, on prompts that no model is trained on. The result stays hidden until the reveal, even " +
  "from you: someone who watches it change could stop the vote at a convenient moment.";
const REVEALED =
  "The result is revealed. Blind votes only test the models. The next reward model also learns " +
  "from the feedback of the next round, in which students compare PPO\u2019s texts, too.";

/**
 * What happens in a stage, and what the instructor can do next.
 * @param {Stage} stage
 * @param {ClassState} view
 */
export const stageWords = (stage, view) => {
  const first =
    "The first reward model is trained once there are ten preferences: " +
    `${view.preferences} so far.`;
  if (stage === "votes") return trainingWords(view) || first;
  if (stage === "reward") return rewardWords(view);
  if (stage === "ppo") return ppoWords(view.ppo);
  if (stage === "trained") return trainedWords(view.ppo);
  return stage === "open" ? OPEN : REVEALED;
};

// -- the four figures: each a value and what it means ---------------------------------------------

/** @param {ClassState} view  @returns {[string, string]} */
export const votesFigure = (view) => {
  const about = `, about ${view.expected} expected, attention checks included`;
  const expected = view.expected ? about : "";
  const texts = view.written ? `; students have written ${counted(view.written, "text")}` : "";
  return [String(view.votes), `votes this round${ofThem(view.simulated)}${expected}${texts}`];
};

/** @param {ClassState} view  @param {number} fewestShared  @returns {[string, string]} */
export const agreementFigure = ({ quality }, fewestShared) => {
  const { with_others: others, alpha, votes, simulated } = quality;
  const few = "agreement: too few pairs seen by two students";
  if (others.units < fewestShared) return ["\u2013", few];
  const words =
    "of votes agree with most other votes on the same pair " +
    `${interval(others.low, others.high)}; Krippendorff\u2019s alpha ${number(alpha)} ` +
    `(1 is full agreement, 0 is agreement by chance); ${votes} votes${ofThem(simulated)}`;
  return [percent(others.share), words];
};

/** @param {ClassState} view  @param {number} few held-out pairs  @returns {[string, string]} */
export const rewardFigure = (view, few) => {
  const now = newest(view);
  if (!now && view.training) return ["\u2013", "the first reward model is training"];
  const first = `reward model: training starts at ten preferences, ${view.preferences} so far`;
  if (!now) return ["\u2013", first];
  const votes = `${now.votes} votes${ofThem(now.simulated)}`;
  if (now.too_few) {
    const told = `accuracy appears at ${few} held-out pairs, ${now.pairs} so far`;
    return ["too few to tell", `reward model from ${votes}; ${told}`];
  }
  const highest = now.highest === null ? "" : `, highest possible ${percent(now.highest)}`;
  const right = `right on held-out votes ${interval(now.low, now.high)}${highest}`;
  return [percent(now.accuracy), `${right}; reward model from ${votes}`];
};

/** @param {ClassState} view  @returns {[string, string]} */
export const lastFigure = ({ blind, ppo }) => {
  if (blind && blind.revealed) {
    const [rate] = ofPPO(blind.contender, blind.rate);
    return [percent(rate), "prefer PPO\u2019s text to the base\u2019s"];
  }
  if (blind) {
    const some = blind.simulated ? ` (${blind.simulated} simulated)` : "";
    const size = `blind votes${some} on ${counted(blind.pairs, "pair")}`;
    return [String(blind.votes), `${size}; the result is shown at the reveal`];
  }
  if (!ppo) return ["\u2013", "PPO has not started"];
  const step = `step ${ppo.step || 0} of ${ppo.total_steps}`;
  const score = ppo.step ? signed(ppo.figures["objective/score"]) : "\u2013";
  return [score, `PPO\u2019s score, in standard deviations of the base\u2019s scores, ${step}`];
};
