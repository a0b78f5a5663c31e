// @ts-check
// The alternatives to PPO: wins at the same distance from the base, and what each keeps and drops.
import { interval, percent } from "../../lib/format.js";
import { LOOKS } from "../../lib/frontier.js";
import { button, fill, h, say } from "../../shared/dom.js";
import { openTab } from "../../shared/navigation.js";
import { shareBar } from "./controls.js";

/** @typedef {import("../../types").AlternativesLook} Look */

const BRACKETS =
  "In brackets: where the true figure very likely lies (95%). A tie: too close to tell.";

/** @type {Record<string, string>} what each method keeps of PPO, and what it drops */
const ABOUT = {
  ppo:
    "PPO samples its own texts, scores them with a reward model, and learns a value for every " +
    "token as a baseline, which it subtracts from the score. A clip stops the push on a token " +
    "that a step has moved far enough.",
  rloo:
    "RLOO keeps the sampling, the reward model, the KL penalty and, here, the clip. It drops the " +
    "value head: it samples several responses to a prompt, and the others\u2019 mean score is " +
    "the baseline.",
  grpo:
    "GRPO keeps the clip and drops the value head too. It divides each response\u2019s advantage " +
    "by the standard deviation of the rewards in its group, the responses to one prompt.",
  dpo:
    "DPO keeps the KL penalty\u2019s beta and the reference, the frozen base from which KL is " +
    "measured. It drops sampling and the reward model: it learns from the pairs, as a " +
    "classification of which text was preferred.",
  sft:
    "Supervised fine-tuning keeps only the preferred texts and imitates them. It drops the " +
    "rejected texts, the reward and the reference.",
  "best-of-n":
    "Best-of-N keeps the reward model and drops the training. Every response costs N texts.",
};

export const alternatives = () => {
  /** @type {Look | null} */
  let shown = null;
  let place = 1;
  const levels = h("div", { class: "rl-asking", role: "group", "aria-label": "KL from the base" });
  const bars = h("div", { class: "rl-bars" });
  const sentence = h("p", {});
  const FARTHER = "did not reach this distance";
  const list = h("dl", { class: "rl-methods" });

  const bar = ([arm, title]) => {
    const { wins } = shown.levels[place];
    const share = wins[arm];
    if (!share) return h("div", { class: "rl-bar-row" }, h("span", {}, title), FARTHER);
    const range = interval(share.low, share.high);
    return h(
      "div",
      { class: "rl-bar-row" },
      h("span", {}, title),
      shareBar(share.mean, LOOKS[arm].color),
      h("b", {}, percent(share.mean)),
      h("span", { class: "rl-soft" }, range),
    );
  };
  const draw = () => {
    const level = (/** @type {{kl: number}} */ { kl }, /** @type {number} */ i) => {
      const at = button(`${kl} ${kl === 1 ? "nat" : "nats"}`, () => {
        place = i;
        draw();
      });
      at.setAttribute("aria-pressed", String(i === place));
      return at;
    };
    fill(levels, "Distance from the base: ", shown.levels.map(level));
    fill(bars, shown.arms.map(bar));
    const judge = `Judge: ${shown.judge}, which is simulated.`;
    say(sentence, `${shown.levels[place].sentence} ${judge} ${BRACKETS}`);
  };
  const show = (/** @type {Look | null} */ next) => {
    if (!next) return;
    shown = next;
    fill(
      list,
      next.arms.map(([arm, title]) => [h("dt", {}, title), h("dd", {}, ABOUT[arm])]),
    );
    draw();
  };
  const more = button("Open the whole comparison", () => openTab("compare"));
  return { element: h("div", {}, levels, bars, sentence, list, more), show };
};
