// @ts-check
// The Feedback tab: pairs to answer, one after another.
import { counted } from "../lib/format.js";
import { ballot } from "../shared/ballot.js";
import { fill, h, say, showProblem, soft } from "../shared/dom.js";
import { onTab } from "../shared/navigation.js";
import { countVotes, enter, secret, voter } from "../shared/visitor.js";
import { tellOfQuestion, tellOfVote } from "./feedback/events.js";

const HIDDEN =
  "The models\u2019 names stay hidden, and we choose at random which text is on the left. Now " +
  "and then, to check how careful the answers are, you see a pair again or the same text twice.";

const textsOf = (server, { longest, use }) => ({
  keep: (assignment, text) =>
    server.keep_text({ voter: voter(), assignment, text, secret: secret() }),
  remove: (assignment) => server.delete_text({ voter: voter(), assignment }),
  longest,
  use,
});

/** @param {import("../globals").Part} part its value: question, model, what to say about texts */
export const mount = ({ element, props, server, watch }) => {
  const problem = h("p", { hidden: true });
  const place = h("div", {});
  const count = h("p", { class: "rl-soft rl-ballot-count", "aria-live": "polite" }, "\u00A0");
  const { question, model, stored } = props.value;
  const about = soft(`${stored} ${HIDDEN}`);
  fill(element.querySelector(".rl-feedback"), problem, place, count, about);
  let asked = { question, model };
  let votes = null;

  const tell = (/** @type {{votes: number} | null} */ answer, /** @type {number} */ more) => {
    if (answer) votes = answer.votes;
    const own = countVotes(more);
    const all = votes === null ? "" : `; this page has ${votes} in all`;
    const counts = `You have given ${counted(own, "answer")}${all}.`;
    say(count, own ? counts : "Your answers will be counted here.");
    if (more) tellOfVote();
  };
  const source = {
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
  };
  const pairs = ballot(place, source, textsOf(server, props.value));
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
