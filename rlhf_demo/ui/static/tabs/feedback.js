// @ts-check
// The Feedback tab: pairs to answer, one after another.
import { counted } from "../lib/format.js";
import { ballot } from "../shared/ballot.js";
import { fill, h, say, showProblem, soft } from "../shared/dom.js";
import { onTab } from "../shared/navigation.js";
import { countVotes, enter, voter } from "../shared/visitor.js";
import { tellOfQuestion, tellOfVote } from "./feedback/events.js";

const STORED =
  "Kept here, and downloadable below by everybody: your answers with their times, and beginnings " +
  "that you type, under a number in place of a name. The models\u2019 names stay hidden, and " +
  "sides are drawn at random. Now and then a pair comes again, or one text twice: that tells how " +
  "careful answers are.";

/** @param {import("../globals").Part} part its value: the question, and what pairs are made of */
export const mount = ({ element, props, server, watch }) => {
  const problem = h("p", { hidden: true });
  const place = h("div", {});
  const count = h("p", { class: "rl-soft rl-ballot-count", "aria-live": "polite" }, "\u00A0");
  fill(element.querySelector(".rl-feedback"), problem, place, count, soft(STORED));
  let asked = { ...props.value };
  let votes = null;

  const tell = (/** @type {{votes: number} | null} */ answer, /** @type {number} */ more) => {
    if (answer) votes = answer.votes;
    const own = countVotes(more);
    const counts = `${counted(own, "answer")} of yours, ${votes ?? own} in all on this page.`;
    say(count, own ? counts : "Your first answer will be counted here.");
    if (more) tellOfVote();
  };
  const pairs = ballot(place, {
    ahead: true,
    next: async (beside) => {
      await enter(server);
      const request = { ...asked, voter: voter(), beside: beside || null };
      const answer = await server.next_pair(request);
      if (answer && (answer.error || answer.assignment)) delete asked.prompt; // waited for once
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
  watch("value", () => {
    showProblem(problem, props.value.error);
    if (props.value.error) return;
    asked = { ...props.value };
    tellOfQuestion(asked);
    pairs.refresh();
  });
  onTab("feedback", () => {
    if (!pairs.assignment()) pairs.refresh();
  });
  tell(null, 0);
};
