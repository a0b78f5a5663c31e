// @ts-check
// A step of PPO: reward and advantage of each token of a response, and whether the clip stops one.
import { number, signed } from "../../lib/format.js";
import { button, fill, h, say } from "../../shared/dom.js";
import { openTrace } from "../../shared/navigation.js";
import { pieceWords, slider } from "./controls.js";

/** @typedef {import("../../types").PPOStepLook} Look */

const name = (/** @type {string} */ token) =>
  token === "<|endoftext|>" ? "end of text" : pieceWords(token);

const signedBar = (/** @type {number} */ value, /** @type {number} */ most) => {
  const width = (50 * Math.abs(value)) / most;
  const left = value < 0 ? 50 - width : 50;
  const background = `var(--rl-${value < 0 ? "below" : "ppo"})`;
  return h(
    "div",
    { class: "rl-signed" },
    h("i", { style: { left: `${left}%`, width: `${width}%`, background } }),
  );
};

const rowsOf = (/** @type {Look} */ look, /** @type {(at: number) => void} */ trace) => {
  const most = Math.max(...look.advantage.map(Math.abs), 0.01);
  const row = (/** @type {string} */ token, /** @type {number} */ at) => {
    const words = name(token);
    const open = h("button", { type: "button", onclick: () => trace(at) }, words);
    const reward = number(look.reward[at]);
    const advantage = signed(look.advantage[at]);
    const bar = signedBar(look.advantage[at], most);
    return h("tr", {}, h("th", { scope: "row" }, open), cell(reward), cell(bar), cell(advantage));
  };
  const heads = ["token", "reward", "", "advantage"].map((each) => h("th", { scope: "col" }, each));
  return [h("thead", {}, h("tr", {}, heads)), h("tbody", {}, look.tokens.map(row))];
};

const cell = (/** @type {Node | string} */ child) => h("td", {}, child);

// Whether the clip stops a token, and why.
const clipWords = (/** @type {Look} */ look) => {
  const { asked, clip_range: range } = look;
  const ratio = look.ratio[asked];
  const edge = ratio < 1 ? 1 - range : 1 + range;
  const beyond = Math.abs(ratio - 1) > range;
  const place = beyond ? (ratio < 1 ? "below" : "above") : "inside the range, not beyond";
  const why = look.stopped[asked]
    ? `Yes. The ratio is ${place} ${number(edge)}, and the advantage pushes it further that way. ` +
      "One more update would get no gradient from this token."
    : beyond
      ? `No. The ratio is ${place} ${number(edge)}, but the advantage pushes it back.`
      : `No. The ratio is ${place} ${number(edge)}, so one more update would still move it.`;
  const some = look.clipped[asked] ? "at least one" : "none";
  return `${why} In this step itself, the clip stopped ${some} of the token\u2019s updates.`;
};

const clipQuestion = () => {
  const legend = h("legend", {});
  const answer = h("p", { "aria-live": "polite" });
  /** @type {Look} */
  let shown;
  const tell = (/** @type {boolean} */ said) => {
    const right = said === shown.stopped[shown.asked];
    say(answer, `${right ? "You are right" : "It is the other way round"}. ${clipWords(shown)}`);
  };
  const yes = button("Yes", () => tell(true));
  const no = button("No", () => tell(false));
  const unknown = button("I do not know", () => say(answer, clipWords(shown)), "rl-quiet");
  const choices = h("div", { class: "rl-asking" }, yes, no, unknown);
  return {
    element: h("fieldset", {}, legend, choices, answer),
    draw: (/** @type {Look} */ look) => {
      shown = look;
      const { asked } = look;
      const range = `${number(1 - look.clip_range)} to ${number(1 + look.clip_range)}`;
      say(answer, "");
      say(
        legend,
        `After the step\u2019s updates, \u201C${name(look.tokens[asked])}\u201D is ` +
          `${number(look.ratio[asked])} times as likely as before (the ratio), and its ` +
          `advantage is ${signed(look.advantage[asked])}. The clip range is ${range}. ` +
          "If PPO made one more update, would the clip stop this token\u2019s push?",
      );
    },
  };
};

/** @param {import("./views.js").Stage} stage */
export const ppo_step = ({ look }) => {
  /** @type {Look | null} */
  let shown = null;
  const about = h("p", {});
  const table = h("table", { class: "rl-step-table" });
  const clip = clipQuestion();
  const open = (/** @type {number} */ token) => {
    const { run, step, sample } = shown;
    openTrace({ run, step, sample, token });
  };
  const ask = async () =>
    show(await look({ step: Number(step.input.value), sample: Number(text.input.value) - 1 }));
  const step = slider("Step", { min: 1, max: 40, step: 1, value: 1 }, ask);
  const text = slider("Text", { min: 1, max: 8, step: 1, value: 1 }, ask);
  const microscope = button("Open the microscope: every number of this text", () =>
    open(shown.asked),
  );
  const show = (/** @type {Look | null} */ next) => {
    if (!next) return;
    shown = next;
    step.input.max = String(next.steps);
    text.input.max = String(next.samples);
    const written = next.tokens.join("").replace("<|endoftext|>", "");
    fill(
      about,
      h("span", { class: "rl-soft" }, `Step ${next.step}: `),
      h("span", { class: "rl-prompt" }, next.prompt),
      `${written} `,
      h("span", { class: "rl-chip" }, signed(next.score, 1)),
    );
    fill(table, rowsOf(next, open));
    clip.draw(next);
  };
  const controls = h("div", { class: "rl-sliders" }, step.line, text.line, microscope);
  const parts = h("div", { class: "rl-step-parts" }, table, clip.element);
  return { element: h("div", {}, about, parts, controls), show };
};
