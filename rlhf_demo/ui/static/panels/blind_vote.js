// @ts-check
// The blind vote: a ballot without names, the names after each answer, and the win rate of all
// votes.
import { counted } from "../lib/format.js";
import { ballot } from "../shared/ballot.js";
import { fill, h, showProblem, soft } from "../shared/dom.js";
import { answered } from "../shared/server.js";
import { enter, voter } from "../shared/visitor.js";
import { winBar, winFigure, winKey } from "../shared/win_bar.js";

/** @typedef {import("../lib/ballot_state.js").Choice} Choice */

const choiceWords = (/** @type {Choice} */ choice, /** @type {string[]} */ [left, right]) => {
  if (choice === "tie") return "You saw no difference.";
  if (choice === "both_bad") return "You found both bad.";
  if (choice === "skip") return "You skipped it.";
  return `You preferred ${choice === "left" ? left : right}.`;
};

const namesOf = (/** @type {string[]} */ names, /** @type {Choice} */ choice) => {
  const said = (one, other) =>
    `That was ${names[0]} ${one}, ${names[1]} ${other}. ${choiceWords(choice, names)}`;
  return [
    h("span", { class: "rl-wide-only" }, said("on the left", "on the right")),
    h("span", { class: "rl-narrow-only" }, said("above", "below")),
  ];
};

const SURE = "The whole interval is on one side of 50%, so luck alone is an unlikely explanation.";
const UNSURE = "The interval includes 50%: these votes cannot tell which model is better.";

const earlierWords = (/** @type {number} */ earlier) =>
  earlier
    ? ` ${counted(earlier, "vote")} on texts of an earlier model of a run, from before it was ` +
      `resumed, ${earlier === 1 ? "does" : "do"} not count here.`
    : "";

const resultCard = (/** @type {Record<string, any>} */ result, { left, right }) => {
  const { rate, low, high, votes, pairs, wins, losses, ties, both_bad: bad, earlier } = result;
  const size = `${counted(votes, "vote")} on ${counted(pairs, "pair")}`;
  const told =
    `for ${right} against ${left}, from ${size}; a tie or "both bad" counts half. ` +
    "The 95% interval stays valid however often you look";
  /** @type {[number, string][]} */
  const parts = [
    [wins / votes, "ppo"],
    [(ties + bad) / votes, "line"],
    [losses / votes, "base"],
  ];
  const counts = `${wins} for ${right}, ${ties + bad} ties, ${losses} for ${left}`;
  return h(
    "section",
    { class: "rl-card" },
    h("h3", {}, "Who wins ", h("span", {}, "over all blind votes on this page")),
    winFigure(rate, low, high, told),
    winBar(parts, { low, high }, counts),
    winKey(`${right} ${wins}`, `ties ${ties}, both bad ${bad}`, `${left} ${losses}`),
    soft(`${low > 0.5 || high < 0.5 ? SURE : UNSURE}${earlierWords(earlier)}`),
  );
};

/** @param {import("../globals").Part} part its value: the two models that are voted on */
export const mount = ({ element, props, server, watch }) => {
  const problem = h("p", { hidden: true });
  const place = h("div", {});
  const names = h("p", { class: "rl-story", "aria-live": "polite", hidden: true });
  const result = h("div", {});
  fill(element.querySelector(".rl-blind"), problem, place, names, result);
  let asked = null;
  /** @type {ReturnType<typeof ballot> | null} */
  let pairs = null;

  const load = async () => {
    const answer = await answered(problem, server.blind_result(asked));
    if (!answer) return;
    const { votes, earlier } = answer;
    fill(result, votes ? resultCard(answer, asked) : earlier ? soft(earlierWords(earlier)) : null);
  };
  const source = {
    ahead: true,
    next: async (after) => {
      await enter(server);
      return server.blind_next({ ...asked, voter: voter(), after: after || null });
    },
    vote: (assignment, choice) => server.blind_vote({ voter: voter(), assignment, choice }),
    onvote: (answer, choice) => {
      names.hidden = false;
      fill(names, namesOf(answer.names, choice));
      load();
    },
  };
  watch("value", () => {
    const { error, left } = props.value || {};
    showProblem(problem, error);
    if (error || !left) return;
    asked = { ...props.value };
    names.hidden = true;
    fill(result);
    if (pairs) pairs.refresh();
    else pairs = ballot(place, source);
  });
};
