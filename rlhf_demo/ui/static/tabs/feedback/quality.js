// @ts-check
// How good the votes on a question are, who looks careless, training on them, and vote files.
import { number } from "../../lib/format.js";
import { latest } from "../../lib/poll.js";
import {
  alphaWords,
  answersWords,
  agreementWords,
  importWords,
  trainWords,
} from "../../lib/quality_words.js";
import { button, download, fill, fold, h, say, showProblem, soft } from "../../shared/dom.js";
import { onTab, showRun } from "../../shared/navigation.js";
import { answered } from "../../shared/server.js";
import { fileButtons, textButtons } from "../../shared/vote_files.js";
import { secret } from "../../shared/visitor.js";
import { onQuestion, onVote } from "./events.js";
import { measure } from "./measure.js";

/** @typedef {import("../../types").QualityState} QualityState */

const AFTER_A_BURST = 600; // milliseconds without another answer
const FEW_PAIRS = 5; // enough for the few pairs that test how careful voters are

const ABOUT = {
  alpha:
    "Krippendorff\u2019s alpha over the pairs that several people saw: 1 is full agreement, 0 is " +
    "agreement by chance.",
  self: "How often people give the same answer when they see a pair again.",
  ties:
    "How often people see no difference. If there are many ties, a reward model can learn little " +
    "from these texts or this question.",
  left:
    "How often people prefer the left text (on a phone, the upper one). The sides are random, so " +
    "a share far from 50%, with an interval that leaves 50% out, shows a habit.",
  caught:
    "How often people prefer one of two identical texts. A careful reader answers \u201CTie\u201D.",
  files:
    "Preferences are in the format of the TRL library (prompt, chosen, rejected), with the " +
    "question, the voter\u2019s number, the round and the time. \u201CEvery answer\u201D also " +
    "includes Tie, Both bad and Skip. A ranking has its four texts and their order. Texts that " +
    "people wrote are in TRL\u2019s format for supervised fine-tuning (prompt, completion). You " +
    "can import these files again below.",
};

// -- the figures ----------------------------------------------------------------------------------

const figures = (/** @type {number} */ fewestShared) => {
  const agreement = measure("Agreement with others", "\u00A0", "base", true);
  const alpha = measure("Agreement beyond chance", ABOUT.alpha, "base");
  const self = measure("Same answer again", ABOUT.self, "base");
  const ties = measure("Ties", ABOUT.ties, "soft");
  const left = measure("Left side preferred", ABOUT.left, "soft", true);
  const caught = measure("Identical texts not noticed", ABOUT.caught, "warn");
  const cards = [agreement, alpha, self, ties, left, caught].map((one) => one.card);
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
      const few = quality.with_others.units < fewestShared;
      const highest = few ? null : quality.highest_accuracy;
      agreement.set(quality.with_others, fewestShared);
      agreement.limit(highest);
      agreement.about(agreementWords(highest));
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
  const why = row.careless.join("; ") || "left out earlier";
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
  const out = `${without.size} left out of the figures above and of training`;
  const about = without.size ? out : "their votes count until you leave them out";
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
  const mix = h("label", { class: "rl-check" }, box, " include the votes on other questions");
  const about = h("span", { class: "rl-soft" });
  return {
    go,
    together: box,
    line: h("div", { class: "rl-go rl-train" }, go, mix, about),
    draw: (/** @type {QualityState} */ state) => {
      const alone = [state.preferences, state.rankings];
      const all = [state.together, state.rankings_together];
      const [votes, rankings] = box.checked ? all : alone;
      go.disabled = votes + rankings < fewest;
      say(about, trainWords(votes, rankings, fewest, few));
      mix.hidden = String(all) === String(alone);
    },
  };
};

// -- the part -------------------------------------------------------------------------------------

const view = (/** @type {any} */ value, save, saveTexts, saveRankings) => {
  const problem = h("p", { hidden: true });
  const said = h("p", { class: "rl-soft", "aria-live": "polite", hidden: true });
  const line = soft("\u00A0");
  const shares = figures(value.fewest_shared);
  const careless = h("div", { class: "rl-careless" });
  const train = training(value);
  const texts = value.own ? "Your texts" : "Written texts";
  const buttons = [
    fileButtons(button, save),
    textButtons(button, "Rankings", saveRankings),
    textButtons(button, texts, saveTexts),
  ];
  const files = h("div", { class: "rl-inline" }, buttons);
  const elements = [
    train.line,
    problem,
    h("h2", { class: "rl-h2" }, "How good are the votes?"),
    line,
    shares.grid,
    careless,
    fold("Download the votes, rankings and texts", soft(ABOUT.files), files),
    said, // above the button that imports a file
  ];
  const tell = (/** @type {string} */ text) => {
    said.hidden = !text;
    say(said, text || "");
  };
  return { problem, line, shares, careless, train, tell, elements };
};

/** @typedef {ReturnType<typeof view>} View */
/** @typedef {import("../../shared/server.js").Server} Server */

/**
 * The figures of one question: asked for by `load`, drawn when they come.
 * @param {View} seen
 * @param {Server} server
 * @param {string} question
 */
const questionFigures = (seen, server, question) => {
  /** @type {Set<number>} */
  const without = new Set();
  /** @type {QualityState | null} */
  let state = null;
  const asked = () => ({ question, without: [...without] });
  const leaveOut = (/** @type {number} */ voter, /** @type {boolean} */ out) => {
    if (out) without.add(voter);
    else without.delete(voter);
    load();
  };
  const draw = (/** @type {QualityState | null} */ answer) => {
    if (!answer) return;
    state = answer;
    // The other voters belong to another question, or no longer look careless.
    const listed = new Set(state.careless.map((row) => row.voter));
    for (const voter of without) if (!listed.has(voter)) without.delete(voter);
    say(seen.line, answersWords(state));
    seen.shares.draw(state);
    drawCareless(seen.careless, state.careless, without, leaveOut);
    seen.train.draw(state);
  };
  const load = latest(() => answered(seen.problem, server.quality(asked())), draw);
  return {
    asked,
    load,
    state: () => state,
    change: (/** @type {string} */ wanted) => {
      question = wanted;
      load();
    },
  };
};

/** @typedef {ReturnType<typeof questionFigures>} Figures */

const trainOnClick = (
  /** @type {View} */ { train, problem },
  /** @type {Server} */ server,
  /** @type {Figures} */ shown,
) => {
  train.together.onchange = () => train.draw(shown.state());
  train.go.onclick = async () => {
    train.go.disabled = true;
    const request = { ...shown.asked(), together: train.together.checked, secret: secret() };
    const answer = await answered(problem, server.train(request));
    train.go.disabled = false;
    if (answer) showRun(answer.run, "reward");
  };
};

const loadOnEvents = (/** @type {Figures} */ shown) => {
  let soon = undefined;
  onVote(() => {
    clearTimeout(soon);
    soon = setTimeout(shown.load, AFTER_A_BURST);
  });
  onQuestion(({ question }) => shown.change(question));
  onTab("feedback", shown.load);
};

/** @param {import("../../globals").Part} part */
export const mount = ({ element, props, server, watch }) => {
  const offer = async (/** @type {Promise<any>} */ promise) => {
    const answer = await answered(seen.problem, promise);
    if (!answer) return;
    download(answer);
    seen.tell(`${answer.rows} rows written to ${answer.name}.`);
  };
  const save = (/** @type {string} */ format, /** @type {boolean} */ everything) =>
    offer(server.export({ format, everything }));
  const saveTexts = (/** @type {string} */ format) =>
    offer(server.export_texts({ format, secret: secret() }));
  const saveRankings = (/** @type {string} */ format) => offer(server.export_rankings({ format }));
  const seen = view(props.value, save, saveTexts, saveRankings);
  fill(element.querySelector(".rl-quality"), seen.elements);
  const shown = questionFigures(seen, server, props.value.question);
  trainOnClick(seen, server, shown);
  loadOnEvents(shown);
  watch("value", () => {
    const { error, imported } = props.value;
    showProblem(seen.problem, error);
    if (!imported) return;
    seen.tell(importWords(imported));
    shown.load();
  });
  shown.load();
};
