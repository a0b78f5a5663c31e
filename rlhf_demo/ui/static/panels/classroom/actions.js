// @ts-check
// One main button at a time: the next action in the class.
import { stageOf, stageWords } from "../../lib/class_words.js";
import { blindResult } from "../../shared/blind_result.js";
import { fill, h, option, say } from "../../shared/dom.js";
import { showRun } from "../../shared/navigation.js";
import { askButton, questionField } from "./fields.js";

/** @typedef {import("../../types").ClassState} ClassState */

/** @type {[string, number][]} */
const STEPS = [
  ["5 steps, for a rehearsal", 5],
  ["15 steps, about half a minute on two CPU cores", 15],
  ["40 steps, about a minute on two CPU cores", 40],
  ["80 steps, about two minutes on two CPU cores", 80],
];
const USUAL = "40";
const MAIN = "rl-main rl-large";

/**
 * What each stage offers.
 * @param {string[]} questions
 * @param {(name: string, more?: object) => Promise<any>} ask
 * @param {() => ClassState} view
 * @param {() => void} started
 */
const offers = (questions, ask, view, started) => {
  const watch = () => askButton("Watch PPO live", () => showRun(view().ppo.id, "ppo"));
  const start = () => {
    const options = STEPS.map(([label, steps]) => option([label, String(steps)]));
    const steps = h("select", { "aria-label": "Length of PPO" }, options);
    steps.value = USUAL;
    const begin = async () => {
      if (await ask("start_ppo", { steps: Number(steps.value) })) started();
    };
    return [askButton("Start PPO on the class\u2019s reward model", begin, MAIN), steps];
  };
  const next = () => {
    const again = questionField(questions, "the same question");
    const go = () => ask("next_round", { question: again.get(), round: view().round });
    return [askButton("Next round", go, MAIN), again.box];
  };
  const blind = "Open the blind vote: base against PPO";
  return {
    votes: () => [],
    reward: start,
    ppo: () => [watch(), askButton("Stop PPO", () => ask("stop_ppo"))],
    trained: () => [askButton(blind, () => ask("open_blind"), MAIN), watch()],
    open: () => [askButton("Reveal", () => ask("reveal"), MAIN)],
    revealed: next,
  };
};

/**
 * @param {any} about
 * @param {(name: string, more?: object) => Promise<any>} ask
 * @param {() => ClassState} now
 */
export const actions = (about, ask, now) => {
  const story = h("p", { class: "rl-story", "aria-live": "polite" });
  const box = h("div", { class: "rl-class-actions" });
  const outcome = h("div", { hidden: true });
  let shown = "";
  let told = "";
  const offered = offers(about.questions, ask, now, () => (shown = ""));
  return {
    story,
    box,
    outcome,
    draw: (/** @type {ClassState} */ view) => {
      const stage = stageOf(view);
      say(story, stageWords(stage, view));
      outcome.hidden = stage !== "revealed";
      const result = JSON.stringify(view.blind); // it changes if a student is removed
      if (stage === "revealed" && result !== told) fill(outcome, blindResult(view.blind));
      told = result;
      const key = `${stage} ${view.round} ${view.ppo && view.ppo.id}`;
      if (key === shown) return;
      shown = key;
      fill(box, offered[stage]());
    },
  };
};
