// @ts-check
// The Feedback tab: pairs to answer, one after another.
import { counted } from "../lib/format.js";
import { ballot } from "../shared/ballot.js";
import { fill, h, say, showProblem, soft } from "../shared/dom.js";
import { onTab } from "../shared/navigation.js";
import { countVotes, enter, voter } from "../shared/visitor.js";
import { tellOfQuestion, tellOfVote } from "./feedback/events.js";

const STORED =
  "We keep your answers, their times, and any prompts you type, under a number instead of a " +
  "name. Anyone can download them below. The models\u2019 names stay hidden, and we choose at " +
  "random which text is on the left. Now and then you see a pair again, or the same text twice: " +
  "this shows how careful the answers are.";

/** @param {import("../globals").Part} part its value: the question and the model */
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
    const yours = `You have given ${counted(own, "answer")}`;
    const counts = `${yours}; this page has ${votes ?? own} in all.`;
    say(count, own ? counts : "Your answers will be counted here.");
    if (more) tellOfVote();
  };
  const pairs = ballot(place, {
    ahead: true,
    next: async (after) => {
      await enter(server);
      const request = { ...asked, voter: voter(), after: after || null };
      const answer = await server.next_pair(request);
      if (answer && (answer.error || answer.assignment)) delete asked.prompt; // it has been written
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
