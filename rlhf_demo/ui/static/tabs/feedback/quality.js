// @ts-check
// What the votes on a question are worth, who looks careless, training on them, and votes as files.
import { number } from "../../lib/format.js";
import { latest } from "../../lib/poll.js";
import {
  alphaWords,
  answersWords,
  foretoldWords,
  importWords,
  trainWords,
} from "../../lib/quality_words.js";
import { button, download, fill, fold, h, say, showProblem, soft } from "../../shared/dom.js";
import { onTab, showRun } from "../../shared/navigation.js";
import { answered } from "../../shared/server.js";
import { fileButtons } from "../../shared/vote_files.js";
import { secret } from "../../shared/visitor.js";
import { onQuestion, onVote } from "./events.js";
import { measure } from "./measure.js";

/** @typedef {import("../../types").QualityState} QualityState */

const AFTER_A_BURST = 600; // milliseconds, of quick answers
const FEW_PAIRS = 5; // enough for shares of few pairs that are made to test care

const ABOUT = {
  alpha:
    "Krippendorff\u2019s alpha over pairs that several people saw: 1 is full agreement, 0 is " +
    "what chance gives.",
  self: "How often somebody answers a pair the same way when it comes again.",
  ties:
    "How often people see no difference. Many ties mean that the texts, or the question, tell " +
    "little.",
  left:
    "How often the left text (on a phone the upper one) is preferred. Sides are drawn at random: " +
    "away from 50% it is habit.",
  caught: "How often one of two identical texts is preferred. A careful reader says tie.",
  files:
    "Preferences in TRL\u2019s format (prompt, chosen, rejected), with question, voter\u2019s " +
    "number, round and time beside; or every answer, ties and skips too. What is written here " +
    "can be imported again below.",
};

// -- the figures ----------------------------------------------------------------------------------

const figures = (/** @type {number} */ fewestShared) => {
  const foretold = measure("Others foretell a vote", "\u00A0", "base", true);
  const alpha = measure("Beyond chance", ABOUT.alpha, "base");
  const self = measure("With themselves", ABOUT.self, "base");
  const ties = measure("Ties", ABOUT.ties, "soft");
  const left = measure("Left side", ABOUT.left, "soft", true);
  const caught = measure("Caught", ABOUT.caught, "warn");
  const cards = [foretold, alpha, self, ties, left, caught].map((one) => one.card);
  const grid = h("div", { class: "rl-grid-3 rl-measures", hidden: true }, cards);
  const drawAlpha = (/** @type {import("../../types").Quality} */ quality, few) => {
    if (few) alpha.say("too few to tell", "");
    else if (quality.alpha === null) alpha.say("too few to tell", alphaWords(null));
    else alpha.say(number(quality.alpha), alphaWords(quality.alpha));
  };
  return {
    grid,
    draw: (/** @type {QualityState} */ { votes, quality }) => {
      grid.hidden = !votes;
      const few = quality.foretold.units < fewestShared;
      const highest = few ? null : quality.highest_accuracy;
      foretold.set(quality.foretold, fewestShared);
      foretold.limit(highest);
      foretold.about(foretoldWords(highest));
      drawAlpha(quality, few);
      self.set(quality.self_agreement, FEW_PAIRS);
      ties.set(quality.ties);
      left.set(quality.left);
      caught.set(quality.caught, FEW_PAIRS);
    },
  };
};

// -- who looks careless ---------------------------------------------------------------------------

const carelessLine = (row, /** @type {Set<number>} */ without, leaveOut) => {
  const why = row.careless.join("; ") || "left out before";
  const box = h("input", {
    type: "checkbox",
    checked: without.has(row.voter) || row.left_out,
    disabled: row.left_out,
    onchange: (event) => leaveOut(row.voter, event.target.checked),
  });
  return h(
    "label",
    { class: "rl-check" },
    box,
    ` leave out voter ${row.voter}`,
    row.simulated ? " (simulated)" : "",
    h("span", { class: "rl-soft" }, `: ${row.votes} answers; ${why}`),
  );
};

const drawCareless = (place, rows, /** @type {Set<number>} */ without, leaveOut) => {
  const out = `${without.size} left out: of the figures above, and of the training`;
  const about = without.size ? out : "counted like everybody until you leave them out";
  place.hidden = !rows.length;
  fill(
    place,
    h("h3", {}, "Voters who look careless ", h("span", {}, about)),
    rows.map((row) => carelessLine(row, without, leaveOut)),
  );
};

// -- training -------------------------------------------------------------------------------------

const training = ({ fewest, few }) => {
  const go = button("Train the reward model on these votes", undefined, "rl-main");
  const box = h("input", { type: "checkbox" });
  const mix = h("label", { class: "rl-check" }, box, " together with the votes on other questions");
  const about = h("span", { class: "rl-soft" });
  return {
    go,
    together: box,
    line: h("div", { class: "rl-go rl-train" }, go, mix, about),
    draw: (/** @type {QualityState} */ { together, preferences }) => {
      const count = box.checked ? together : preferences;
      go.disabled = count < fewest;
      say(about, trainWords(count, fewest, few));
      mix.hidden = together === preferences;
    },
  };
};

// -- the part -------------------------------------------------------------------------------------

const view = (/** @type {any} */ value, save) => {
  const problem = h("p", { hidden: true });
  const said = h("p", { class: "rl-soft", "aria-live": "polite", hidden: true });
  const line = soft("\u00A0");
  const shares = figures(value.fewest_shared);
  const careless = h("div", { class: "rl-careless" });
  const train = training(value);
  const files = h("div", { class: "rl-inline" }, fileButtons(button, save));
  const elements = [
    train.line,
    problem,
    h("h2", { class: "rl-h2" }, "How good are the votes"),
    line,
    shares.grid,
    careless,
    fold("Votes as files", soft(ABOUT.files), files, said),
  ];
  const tell = (/** @type {string} */ text) => {
    said.hidden = !text;
    say(said, text || "");
  };
  return { problem, line, shares, careless, train, tell, elements };
};

/** @param {import("../../globals").Part} part */
export const mount = ({ element, props, server, watch }) => {
  /** @type {Set<number>} */
  const without = new Set();
  let asked = { question: props.value.question };

  const save = async (/** @type {string} */ format, /** @type {boolean} */ everything) => {
    const answer = await answered(problem, server.export({ format, everything }));
    if (!answer) return;
    download(answer);
    tell(`${answer.rows} rows written to ${answer.name}.`);
  };
  const seen = view(props.value, save);
  const { problem, train, tell } = seen;
  fill(element.querySelector(".rl-quality"), seen.elements);
  /** @type {QualityState | null} */
  let state = null;

  train.together.onchange = () => train.draw(state);
  train.go.onclick = async () => {
    train.go.disabled = true;
    const together = train.together.checked;
    const left = { without: [...without], secret: secret() };
    const request = { question: asked.question, together, ...left };
    const answer = await answered(problem, server.train(request));
    train.go.disabled = false;
    if (answer) showRun(answer.run, "reward");
  };
  const leaveOut = (/** @type {number} */ voter, /** @type {boolean} */ out) => {
    if (out) without.add(voter);
    else without.delete(voter);
    load();
  };
  const ask = () => {
    const request = { question: asked.question, without: [...without] };
    return answered(problem, server.quality(request));
  };
  const draw = (/** @type {QualityState | null} */ answer) => {
    if (!answer) return;
    state = answer;
    // Others are of another question, or careful meanwhile.
    const listed = new Set(state.careless.map((row) => row.voter));
    for (const voter of without) if (!listed.has(voter)) without.delete(voter);
    say(seen.line, answersWords(state));
    seen.shares.draw(state);
    drawCareless(seen.careless, state.careless, without, leaveOut);
    train.draw(state);
  };
  const load = latest(ask, draw);

  let soon = undefined;
  onVote(() => {
    clearTimeout(soon);
    soon = setTimeout(load, AFTER_A_BURST);
  });
  onQuestion((question) => {
    asked = question;
    load();
  });
  onTab("feedback", load);
  watch("value", () => {
    const { error, imported } = props.value;
    showProblem(problem, error);
    if (!imported) return;
    tell(importWords(imported));
    load();
  });
  load();
};
