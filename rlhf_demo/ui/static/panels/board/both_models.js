// @ts-check
// The reference and the newest saved model on one prompt, with the same random numbers.
import { h, say, soft } from "../../shared/dom.js";
import { makeSide } from "../../shared/duel_side.js";
import { stages } from "../../shared/navigation.js";

/** @param {import("../../types").DuelState} state  @param {any} settings */
const words = (state, settings) => {
  const piece = (state.right.token[state.parting] || "end of text").trim();
  const parted = `The texts first differ at \u201C${piece}\u201D.`;
  return (
    "Same prompt, same random numbers. " +
    `${state.parting === null ? "Both models wrote the same text." : parted} ` +
    "The stronger a token\u2019s colour, the further the model\u2019s probabilities there are " +
    "from the base\u2019s (KL from the base). The scores here are raw scores, in the units of " +
    `${settings.scorer.name}.`
  );
};

/** @param {import("../../shared/server.js").Server} server of the board */
export const bothModels = (server) => {
  const sides = ["base", "ppo"].map(makeSide);
  const note = soft();
  const label = { hidden: true, "aria-label": "Both models on one prompt" };
  const cards = sides.map((one) => one.card);
  const section = h(
    "section",
    { class: "rl-both", ...label },
    h("div", { class: "rl-grid-2" }, cards),
    note,
  );

  const draw = ({ state, settings, step }, /** @type {string} */ method) => {
    const names = [settings.base, step ? `${method}, step ${step}` : method];
    const pieces = [state.left, state.right];
    const { parting } = state;
    sides.forEach((side, i) => {
      side.begin({ name: names[i] }, settings);
      side.finish(pieces[i], settings, "kl", { parting, other: pieces[1 - i].score });
    });
    say(note, words(state, settings));
  };

  let shown = null;
  return {
    section,
    /** @param {import("../../types").RunRow} run  @param {{model_step?: number}} answer */
    update: async (run, { model_step: step }) => {
      const key = `${run.id} ${step}`;
      if (key === shown) return;
      shown = key;
      const answer = await server.board_duel({ run: run.id }).catch(() => ({ state: null }));
      if (shown !== key) return;
      if (answer.later) shown = null; // a stranger's model is being tried
      section.hidden = !answer.state;
      if (answer.state) draw(answer, stages[run.kind].title);
    },
  };
};
