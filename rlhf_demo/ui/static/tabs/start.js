// @ts-check
// The Start tab: the loop as a picture, a button that runs it, and its progress.
import { interval, percent, signed } from "../lib/format.js";
import { stageWords } from "../lib/loop.js";
import { button, fill, h, mark, say, soft } from "../shared/dom.js";
import { handOver, openTab, showRun } from "../shared/navigation.js";
import { answered, poll } from "../shared/server.js";
import { secret } from "../shared/visitor.js";

/** @typedef {import("../types").RunRow} RunRow */

const KEPT = "rlhf_demo_lesson";
const EVERY = 1500; // milliseconds
const LOOP_TABS = [
  {
    tab: "feedback",
    n: "1",
    title: "Feedback",
    color: "warn",
    text:
      "You read two texts and say which one you prefer. " +
      "In the shipped example, a simulated judge did this.",
  },
  {
    tab: "reward model",
    n: "2",
    title: "Reward model",
    color: "score",
    text:
      "A small model learns from these votes which text people would prefer. " +
      "It can then score any text.",
  },
  {
    tab: "ppo",
    n: "3",
    title: "PPO",
    color: "ppo",
    text:
      "GPT-2 writes texts, the reward model scores them, and PPO makes texts like the " +
      "high-scoring ones more likely, step by step.",
  },
  {
    tab: "compare",
    n: "4",
    title: "Compare",
    color: "base",
    text:
      "The base model and the PPO model answer the same prompt with the same random numbers. " +
      "Which answer do you prefer?",
  },
];
const FIRST_TRAINING = 1; // in LOOP_TABS

const LOOP = "RLHF (reinforcement learning from human feedback) is a loop: ";
const LEAD =
  "preferences train a reward model, the reward model trains a language model, and people judge " +
  "the result. Here you can run the whole loop for real, on this machine, with a GPT-2 small " +
  "enough that you can watch it change.";
const ABOUT =
  "This trains a reward model, then trains GPT-2 with PPO to please it. It takes about two " +
  "minutes on two CPU cores, and you can watch every step.";
const BACK =
  "\u21BA back to 1: the next round starts with new feedback " +
  "(blind votes in Compare are only a test)";

const learnLink = () => {
  const href = "?tab=learn&lesson=next_token";
  return h("a", { class: "rl-learn-link", href }, "Learn: what is a language model?");
};

/** @returns {{reward: string, ppo: string} | null} the runs that this browser started */
const started = () => JSON.parse(localStorage.getItem(KEPT) || "null");

const open = ({ tab }) => {
  const now = started();
  if (now && tab === "ppo") showRun(now.ppo, "ppo");
  else if (now && tab === "reward model") showRun(now.reward, "reward");
  else openTab(tab);
};

const tabCard = (tab) => {
  const color = `var(--rl-${tab.color})`;
  const line = h("small", {});
  const bar = mark(tab.color);
  const style = { "--stage": color };
  const card = h(
    "button",
    { class: "rl-stage", type: "button", style, onclick: () => open(tab) },
    h("b", {}, h("span", {}, tab.n), tab.title),
    h("p", {}, tab.text),
    h("div", { class: "rl-bar" }, bar),
    line,
  );
  return { card, line, bar };
};

// -- the shipped example --------------------------------------------------------------------------

const judgeLine = (judge) =>
  h(
    "li",
    {},
    h("b", {}, `${percent(judge.win_rate)} `),
    `${interval(judge.win_rate_low, judge.win_rate_high)} according to `,
    `${judge.name}, ${judge.title}`,
  );

const answerLine = (row, color, i) => {
  const score = `${i ? "PPO" : "base"} ${signed(row.scores[0][i], 1)}`;
  const chip = h("span", { class: "rl-chip" }, score);
  return h("p", { class: "rl-answer" }, mark(color), chip, row.responses[i]);
};

const exampleCard = (row) =>
  h(
    "article",
    { class: "rl-card" },
    h("p", { class: "rl-prompt" }, row.prompt),
    ["base", "ppo"].map((color, i) => answerLine(row, color, i)),
  );

const exampleOf = ({ rows = [], prompts, judges }) => {
  if (!rows.length) return [];
  const title =
    `Result of the shipped example: PPO\u2019s win rate over the base on ${prompts} prompts ` +
    "(a tie counts half; in brackets: the 95% interval)";
  const untouched =
    "No model was trained and no setting was chosen on these prompts, and no person judged the " +
    "texts. " +
    judges.map((judge) => judge.note).join(" ");
  const chosen =
    "Three examples. We sorted the prompts by how much higher PPO\u2019s text scores than the " +
    "base\u2019s, and took those at a quarter, half and three quarters of the list. Both models " +
    `used the same random numbers; the scores are by ${judges[0].name}, in ${judges[0].unit}:`;
  return [
    h("h2", { class: "rl-h2" }, title),
    h("ul", { class: "rl-judges" }, judges.map(judgeLine)),
    soft(untouched),
    soft(chosen),
    h("div", { class: "rl-examples" }, rows.map(exampleCard)),
  ];
};

// -- the whole loop -------------------------------------------------------------------------------

const view = () => {
  const go = button("Run the whole loop", undefined, "rl-main rl-large");
  const cards = LOOP_TABS.map(tabCard);
  const next = h("div", { class: "rl-next", hidden: true });
  const problem = h("p", { hidden: true });
  const arrow = () => h("span", { class: "rl-arrow", "aria-hidden": "true" }, "\u2192");
  const loop = cards.map(({ card }, i) => [card, i < cards.length - 1 ? arrow() : null]);
  const elements = [
    h("p", { class: "rl-lead" }, h("b", {}, LOOP), LEAD, " ", learnLink()),
    h("div", { class: "rl-loop", role: "group", "aria-label": "The loop" }, loop),
    h("div", { class: "rl-back" }, h("span", {}, BACK)),
    h("div", { class: "rl-go" }, go, h("span", { class: "rl-soft" }, ABOUT)),
    problem,
    next,
  ];
  return { go, cards, next, problem, elements };
};

const nextButton = (/** @type {RunRow} */ reward, /** @type {RunRow} */ ppo, done) => {
  if (done) {
    const compare = () => {
      handOver("ppo", ppo.id);
      openTab("compare");
    };
    return button("See the base and the PPO model side by side", compare, "rl-main");
  }
  const training = FIRST_TRAINING + (reward && reward.status === "running" ? 0 : 1);
  const live = LOOP_TABS[training];
  return button(`Watch it live: ${live.title}`, () => open(live), "rl-main");
};

const draw = ({ go, cards, next }, /** @type {(RunRow | null)[]} */ runs) => {
  runs.forEach((row, i) => {
    if (!row) return;
    const { card, line, bar } = cards[FIRST_TRAINING + i];
    say(line, stageWords(row, runs[i - 1]));
    card.dataset.state = row.status;
    const share = row.total_steps ? (row.step || 0) / row.total_steps : 0;
    bar.style.width = `${100 * share}%`;
  });
  const [reward, ppo] = runs;
  const done = ppo && ppo.status === "finished";
  const busy = [reward, ppo].some((row) => row && ["running", "queued"].includes(row.status));
  say(go, busy ? "The loop is running" : done ? "Run it again" : "Run the whole loop");
  go.disabled = busy;
  go.classList.toggle("rl-main", !busy && !done);
  next.hidden = !(busy || done);
  const state = `${busy} ${done} ${reward && reward.status}`;
  if (next.dataset.state !== state) {
    next.dataset.state = state;
    fill(next, nextButton(reward, ppo, done));
  }
  const last = cards.at(-1);
  last.card.dataset.state = done ? "ready" : "";
  say(last.line, done ? "ready: compare the two models" : "");
};

/** @param {import("../globals").Part} part */
export const mount = ({ element, props, server }) => {
  const seen = view();
  const { go, problem } = seen;
  const example = h("div", {}, exampleOf((props.value || {}).example || {}));
  fill(element.querySelector(".rl-whole-loop"), seen.elements, example);

  go.onclick = async () => {
    go.disabled = true;
    const answer = await answered(problem, server.start_loop({ secret: secret() }));
    go.disabled = false;
    if (!answer) return;
    localStorage.setItem(KEPT, JSON.stringify(answer));
    poller.now();
  };
  const poller = poll(element, EVERY, async () => {
    const now = started();
    if (!now) return;
    const answer = await server.loop_state(now);
    if (answer.runs.every((row) => row === null)) localStorage.removeItem(KEPT);
    else draw(seen, answer.runs);
  });
};
