// @ts-check
// The Feedback tab: pairs to compare, one after another, or four texts to rank.
import { counted } from "../lib/format.js";
import { ballot } from "../shared/ballot.js";
import { button, fill, h, say, showProblem, soft } from "../shared/dom.js";
import { onTab } from "../shared/navigation.js";
import { countVotes, enter, secret, voter } from "../shared/visitor.js";
import { tellOfQuestion, tellOfVote } from "./feedback/events.js";
import { ranking } from "./feedback/ranking.js";

const HIDDEN =
  "The models\u2019 names stay hidden, and we choose at random which text is on the left. Now " +
  "and then, to check how careful the answers are, you see a pair again or the same text twice.";

/** @typedef {import("../shared/server.js").Server} Server */
/** @typedef {{question: string, model: string, prompt?: string}} Asked */

const textsOf = (/** @type {Server} */ server, { longest, use }) => ({
  keep: (assignment, text) =>
    server.keep_text({ voter: voter(), assignment, text, secret: secret() }),
  remove: (assignment) => server.delete_text({ voter: voter(), assignment }),
  longest,
  use,
});

/**
 * @param {Server} server
 * @param {() => Asked} asked
 * @param {(answer: {votes: number}, more: number) => void} tell
 */
const pairsOf = (server, asked, tell) => ({
  ahead: true,
  next: async (after) => {
    await enter(server);
    const answer = await server.next_pair({ ...asked(), voter: voter(), after: after || null });
    if (answer && (answer.error || answer.assignment)) delete asked().prompt; // it has been written
    return answer;
  },
  vote: (assignment, choice) => server.vote({ voter: voter(), assignment, choice }),
  undo: async () => {
    const answer = await server.undo({ voter: voter() });
    if (answer && answer.undone) tell(answer, -1);
    return answer;
  },
  onvote: (answer) => tell(answer, 1),
});

/**
 * @param {Server} server
 * @param {() => Asked} asked
 * @param {(answer: {mine: number, all: number}) => void} tell
 */
const foursOf = (server, asked, tell) => ({
  next: async () => {
    await enter(server);
    const { question, model } = asked();
    return server.next_four({ question, model, voter: voter() });
  },
  vote: (four, order) =>
    order === "skip"
      ? server.skip_four({ voter: voter(), four })
      : server.rank({ voter: voter(), four, order }),
  undo: async () => {
    const answer = await server.undo_ranking({ voter: voter() });
    if (answer && answer.undone) tell(answer);
    return answer;
  },
  onvote: (answer, order) => {
    if (order !== "skip") tell(answer);
  },
});

// Where a visitor compares or ranks, with the number of what has been given so far.
const desk = () => {
  const pairs = h("div", {});
  const fours = h("div", { hidden: true });
  const ofPairs = soft(HIDDEN);
  const count = h("p", { class: "rl-soft rl-ballot-count", "aria-live": "polite" }, "\u00A0");
  const swap = button("", undefined, "rl-quiet rl-swap");
  const foot = h("div", { class: "rl-ballot-foot" }, count, swap);
  const counts = { votes: "", rankings: "Your rankings will be counted here." };
  const ranks = () => !fours.hidden;
  const tell = (/** @type {Partial<typeof counts>} */ news) => {
    Object.assign(counts, news);
    say(count, ranks() ? counts.rankings : counts.votes);
  };
  const choose = (/** @type {boolean} */ rank) => {
    pairs.hidden = rank;
    fours.hidden = !rank;
    ofPairs.hidden = rank;
    say(swap, rank ? "Compare two" : "Rank four");
    tell({});
  };
  choose(false);
  return { pairs, fours, ofPairs, swap, foot, ranks, choose, tell };
};

const counters = (/** @type {ReturnType<typeof desk>} */ { tell }) => {
  let all = null;
  return {
    votes: (/** @type {{votes: number} | null} */ answer, /** @type {number} */ more) => {
      if (answer) all = answer.votes;
      const own = countVotes(more);
      const others = all === null ? "" : `; this page has ${all} in all`;
      const given = `You have given ${counted(own, "answer")}${others}.`;
      tell({ votes: own ? given : "Your answers will be counted here." });
      if (more) tellOfVote();
    },
    rankings: (/** @type {{mine: number, all: number}} */ answer) => {
      const own = counted(answer.mine, "ranking");
      tell({ rankings: `You have given ${own}; this page has ${answer.all} in all.` });
      tellOfVote();
    },
  };
};

/** @param {import("../globals").Part} part its value: question, model, what to say about texts */
export const mount = ({ element, props, server, watch }) => {
  const problem = h("p", { hidden: true });
  const { question, model, stored } = props.value;
  /** @type {Asked} */
  let asked = { question, model };
  const seen = desk();
  const { pairs: two, fours: four, ofPairs, foot } = seen;
  const about = soft(stored);
  fill(element.querySelector(".rl-feedback"), problem, two, four, foot, ofPairs, about);

  const tell = counters(seen);
  const texts = textsOf(server, props.value);
  const pairs = ballot(seen.pairs, pairsOf(server, () => asked, tell.votes), texts);
  const fours = ranking(seen.fours, foursOf(server, () => asked, tell.rankings));
  const now = () => (seen.ranks() ? fours : pairs);
  seen.swap.onclick = () => {
    seen.choose(!seen.ranks());
    now().refresh();
  };
  watch("value", () => {
    showProblem(problem, props.value.error);
    if (props.value.error) return;
    asked = { ...props.value };
    tellOfQuestion(asked);
    if (asked.prompt) seen.choose(false); // pairs are written from it
    now().refresh();
  });
  onTab("feedback", () => {
    if (!now().assignment()) now().refresh();
  });
  tell.votes(null, 0);
};
