// @ts-check
// PPO's progress on a student's phone.
import { number, signed } from "../../lib/format.js";
import { h, say } from "../../shared/dom.js";

/** @typedef {NonNullable<import("../../types").StudentState["ppo"]>} StudentPPO */

const words = (/** @type {StudentPPO} */ { status, step, total_steps: total }) => {
  if (status === "queued") return "PPO is waiting in the queue.";
  if (status === "running" && step) return `PPO is training: step ${step} of ${total}`;
  if (status === "running") return "PPO is starting: it is loading its models.";
  if (status === "finished") return "PPO has finished. The blind vote comes next.";
  return `PPO has ${status}.`;
};

const cell = (/** @type {string} */ meaning, color = "") => {
  const value = h("b", { style: color ? { color: `var(--rl-${color})` } : {} }, "\u2013");
  return { value, box: h("div", { class: "rl-figure" }, value, h("span", {}, meaning)) };
};

const SCORE =
  "score by the class\u2019s reward model, in standard deviations of the base\u2019s scores";

export const ppoPanel = () => {
  const line = h("p", { "aria-live": "polite" });
  const done = h("i");
  const step = cell("steps done");
  const score = cell(SCORE, "score");
  const kl = cell("nats of KL: how far the model is from the base", "kl");
  const box = h(
    "section",
    { class: "rl-card rl-student-ppo", hidden: true },
    line,
    h("div", { class: "rl-bar" }, done),
    h("div", { class: "rl-head" }, step.box, score.box, kl.box),
  );
  return {
    box,
    set: (/** @type {StudentPPO | null} */ ppo) => {
      box.hidden = !ppo;
      if (!ppo) return;
      say(line, words(ppo));
      done.style.width = `${(100 * ppo.step) / (ppo.total_steps || 1)}%`;
      say(step.value, String(ppo.step));
      say(score.value, signed(ppo.score));
      say(kl.value, number(ppo.kl, 1));
    },
  };
};
