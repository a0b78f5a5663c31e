// @ts-check
// Whose taste, and what for: wrong answers in votes, uses with their weak points, and sources.
import { percent } from "../../lib/format.js";
import { fill, fold, h, say } from "../../shared/dom.js";
import { shareBar, slider } from "./controls.js";
import { PAPERS, THEN_AND_NOW, USES } from "./uses_texts.js";

/** @typedef {import("../../types").UsesLook} Look */

const SCALE =
  "InstructGPT (Ouyang et al. 2022) used about 13,000 prompts for supervised fine-tuning, 33,000 " +
  "for the reward model and 31,000 for PPO. People preferred its model of 1.3 billion weights to " +
  "GPT-3 with 175 billion. The loop on this page takes 1,241 pairs, 6.9 million weights and " +
  "about two minutes on two CPU cores.";

const FOR_WHAT = "What RLHF is used for, and how each use could fail";

const use = ([name, reward, fooled, harmed]) => [
  h("dt", {}, name),
  h("dd", {}, `Reward: ${reward}. How it is fooled: ${fooled}. Who is harmed: ${harmed}.`),
];

const change = ([then, now]) =>
  h("tr", {}, h("td", {}, h("code", {}, then)), h("td", {}, h("code", {}, now)));

const thenAndNow = () => {
  const heads = ["Code from before TRL 1.13", "Here, today"];
  const head = h("tr", {}, heads.map((name) => h("th", { scope: "col" }, name)));
  const body = h("tbody", {}, THEN_AND_NOW.map(change));
  const table = h("table", { class: "rl-table" }, h("thead", {}, head), body);
  return h("div", { class: "rl-wide-table" }, table);
};

const paper = ([title, number]) => h("li", {}, `${title}, arXiv:${number}`);

export const uses = () => {
  /** @type {Look | null} */
  let shown = null;
  const bars = h("div", { class: "rl-bars" });
  const summary = h("p", { class: "rl-soft" });
  const range = { min: 0, max: 50, step: 5, value: 20 };
  const errors = slider("Wrong answers, %", range, () => draw());

  const bar = (/** @type {string} */ name, /** @type {number} */ share, color) =>
    h(
      "div",
      { class: "rl-bar-row" },
      h("span", {}, name),
      shareBar(share, color),
      h("b", {}, percent(share)),
      h("span", {}),
    );
  const draw = () => {
    const place = shown.error_rates.indexOf(Number(errors.input.value) / 100);
    const agreed = shown.agreement[place];
    const most = shown.ceiling[place];
    fill(bars, bar("two voters agree", agreed, "base"), bar("a perfect model", most, "score"));
    say(
      summary,
      `No reward model can be expected to be right on more than ${percent(most)} of the ` +
        `held-out votes. If two voters agree on about half of the pairs, the votes say nothing.`,
    );
  };
  const show = (/** @type {Look | null} */ next) => {
    if (!next) return;
    shown = next;
    draw();
  };
  const element = h(
    "div",
    {},
    h("div", { class: "rl-sliders" }, errors.line),
    bars,
    summary,
    h("p", {}, SCALE),
    fold(FOR_WHAT, h("dl", { class: "rl-methods" }, USES.map(use))),
    fold("Then and now: code written for TRL 0.7 to 1.12", thenAndNow()),
    fold("Further reading", h("ul", {}, PAPERS.map(paper))),
  );
  return { element, show };
};
