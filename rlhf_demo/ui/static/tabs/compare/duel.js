// @ts-check
// Two models continue one prompt: plain text while it grows, then coloured tokens with figures.
import { partingWords, settingsLine } from "../../lib/duel.js";
import { colourings, scaleOf, tokensOfSide } from "../../lib/tokens.js";
import { fill, h, say, select, showProblem, soft } from "../../shared/dom.js";
import { makeSide } from "../../shared/duel_side.js";
import { onHandOver, setAddress } from "../../shared/navigation.js";
import { tokenLegend } from "../../shared/token_text.js";

/** @typedef {import("../../types").ShownRecord} ShownRecord */

const BY = ["log_ratio", "kl", "logprob", "value", "score_if_ended"];
const COLORS = ["base", "ppo"];
const EMPTY =
  "Press \u201CWrite side by side\u201D, and both models will write here, token by token.";

const view = () => {
  const problem = h("p", { hidden: true });
  const verdict = h("p", { class: "rl-verdict", "aria-live": "polite" });
  const labels = BY.map((one) => /** @type {[string, string]} */ ([colourings[one].label, one]));
  const by = select({ "aria-label": "Colour tokens by" }, labels);
  const legend = h("div", {});
  const sides = COLORS.map(makeSide);
  const line = h("p", { class: "rl-soft rl-settings" });
  const label = h("label", { class: "rl-by" }, "Colour by ", by);
  const colour = h("div", { class: "rl-duel-colour" }, label, legend);
  const shown = h(
    "div",
    {},
    h("div", { class: "rl-duel-head" }, verdict, colour),
    h(
      "div",
      { class: "rl-grid-2" },
      sides.map((one) => one.card),
    ),
    line,
  );
  return { problem, verdict, by, legend, sides, line, shown, empty: soft(EMPTY) };
};

/** @typedef {ReturnType<typeof view>} View */

// Only figures that at least one side has can be chosen.
const offer = (/** @type {HTMLSelectElement} */ by, { left, right }) => {
  for (const one of by.options) one.disabled = !left[one.value] && !right[one.value];
  if (by.selectedOptions[0].disabled) by.value = [...by.options].find((one) => !one.disabled).value;
};

const colour = (/** @type {View} */ seen, /** @type {ShownRecord} */ { state, settings }) => {
  const { by, legend, sides } = seen;
  offer(by, state);
  const key = by.value;
  const pieces = [state.left, state.right];
  const scale = scaleOf(key, pieces.flatMap(tokensOfSide));
  fill(legend, tokenLegend(key, scale));
  const { parting } = state;
  sides.forEach((side, i) =>
    side.finish(pieces[i], settings, key, { parting, other: pieces[1 - i].score, scale }),
  );
  if (key !== "value" || pieces.filter((side) => !side[key]).length !== 1) return;
  const { name } = settings[state.left.value ? "right" : "left"];
  const why = `Only a model trained with PPO has a value head; ${name} has none.`;
  fill(legend, tokenLegend(key), soft(why));
};

const LOADING = "Loading any model that is not in memory yet.";
const WRITING = "Both models are writing, token by token, with the same random numbers.";

const drawLoading = (/** @type {View} */ { verdict, line }) => {
  say(verdict, LOADING);
  say(line, "\u00A0");
  if (verdict.getBoundingClientRect().top > 0.75 * innerHeight)
    verdict.scrollIntoView({ block: "start" });
};

const drawGrowing = (/** @type {View} */ { verdict, sides }, { left, right }) => {
  say(verdict, WRITING);
  sides[0].grow(left);
  sides[1].grow(right);
};

const drawFinished = (/** @type {View} */ seen, /** @type {ShownRecord} */ record) => {
  seen.by.disabled = false;
  colour(seen, record);
  say(seen.verdict, partingWords(record.state, record.settings));
  say(seen.line, settingsLine(record));
  if (record.id) setAddress({ compare: record.id });
};

/** @param {import("../../globals").Part} part its value: the record of a duel */
export const mount = ({ element, props, server, watch, trigger }) => {
  const seen = view();
  const { by, sides, problem } = seen;
  fill(element.querySelector(".rl-duel"), problem, seen.empty, seen.shown);
  let begun = null;
  /** @type {ShownRecord | null} */
  let finished = null;
  by.onchange = () => colour(seen, finished);
  by.disabled = true;

  const begin = (/** @type {ShownRecord} */ { id, settings, state }) => {
    const key = JSON.stringify([id, { ...settings, same_tokens: null }]);
    if (key === begun && state) return;
    begun = key;
    sides.forEach((side, i) => side.begin(settings[i ? "right" : "left"], settings));
    by.disabled = true;
  };
  const draw = () => {
    /** @type {ShownRecord} */
    const record = props.value || {};
    const { settings, state } = record;
    showProblem(problem, record.error);
    if (record.error && !begun) return;
    seen.empty.hidden = !!settings || !!begun;
    seen.shown.hidden = !settings && !begun;
    if (!settings) return;
    begin(record);
    if (!state || !state.finished) sides.forEach((side) => side.reserve(settings));
    if (!state) drawLoading(seen);
    else if (!state.finished) drawGrowing(seen, state);
    else {
      finished = record;
      drawFinished(seen, record);
    }
  };
  watch("value", draw);
  draw();

  // Loading early only saves time; if it fails, pressing the button says why.
  if (!onHandOver("ppo", (run) => trigger("select", { run })))
    server.get_ready(0).catch(() => null);
};
