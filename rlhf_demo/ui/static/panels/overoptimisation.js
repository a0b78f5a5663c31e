// @ts-check
// A reward that is pushed too far: the shipped curves, or those of a run while it runs.
import { keysOf, linesOf, nameOf, proxyWords, textTitle } from "../lib/overoptimisation.js";
import { stateShade, stateWords } from "../lib/runs.js";
import { chartCard, keyOf } from "../shared/charts.js";
import { button, fill, fold, h, option, say, showProblem, soft } from "../shared/dom.js";
import { forgetRun, onRun, runWanted, showRun } from "../shared/navigation.js";
import { answered, poll } from "../shared/server.js";
import { proof } from "../shared/visitor.js";

/** @typedef {import("../types").Study} Study */
/** @typedef {import("../types").OveroptimisationState} State */

const KIND = "overoptimise";
const EVERY = 2000; // milliseconds
const AFTER_A_PROBLEM = 4; // seconds
const RECORD = "@"; // and a number of pairs: no run's id begins with it
const ALL = `${RECORD}all`;
const NO_POINTS = "no points yet";
const UNITS =
  "Vertical: the gain, which is how much higher the texts score than the base\u2019s, in " +
  "standard deviations of the base\u2019s scores. Horizontal: the square root of the KL from the " +
  "base; 3 means 9 nats, 6 means 36 nats.";
const FITTED =
  "Gao et al. 2022 fit R(d) = d (\u03B1 \u2212 \u03B2 log d) for PPO and " +
  "R(d) = d (\u03B1 \u2212 \u03B2 d) for best-of-N, where R is the gain and d is the square root " +
  "of the KL.";
const CHOOSE = "Choose one number of pairs to read texts.";
const OF_BEST = "best of 1, 2, 4, ... of the base\u2019s responses; the KL is an upper bound";
const AXES = {
  height: 280,
  xTitle: "square root of KL from the base",
  xFormat: ".3~g",
  hovermode: "closest",
  x: "distance",
  empty: NO_POINTS,
  lines: [{ y: 0, label: "base", dash: "dot", color: "soft" }],
  series: [{ color: "score" }],
};

const view = () => {
  const hidden = (/** @type {string} */ words) => {
    const made = button(words);
    made.hidden = true;
    return made;
  };
  const charts = {
    ppo: chartCard({ title: "PPO", subtitle: "without a KL penalty", ...AXES }),
    best_of_n: chartCard({ title: "Best-of-N", subtitle: OF_BEST, ...AXES }),
  };
  return {
    charts,
    picker: h("select", { "aria-label": "Curves shown" }),
    badge: h("span", { class: "rl-badge" }),
    phase: h("span", { "aria-live": "polite" }),
    stop: hidden("Stop"),
    resume: hidden("Resume"),
    problem: h("p", { hidden: true }),
    key: h("p", { class: "rl-key" }),
    words: h("div", { class: "rl-pushed-words" }),
    texts: h("div", { class: "rl-grid-3" }),
    command: h("code", { class: "rl-command" }),
  };
};

/** @typedef {ReturnType<typeof view>} View */

const lay = (/** @type {View} */ seen) => {
  const command = fold("The command that repeats this run", seen.command);
  const line = [h("label", {}, "Show ", seen.picker), seen.badge, seen.phase];
  return [
    h("div", { class: "rl-run-line" }, line, seen.stop, seen.resume),
    seen.problem,
    soft(UNITS),
    seen.key,
    h("div", { class: "rl-grid-2" }, seen.charts.ppo.card, seen.charts.best_of_n.card),
    seen.words,
    seen.texts,
    command,
  ];
};

const studyWords = (/** @type {Study} */ study) => {
  const ways = [
    ["PPO", study.ppo.words],
    ["Best-of-N", study.best_of_n.words],
  ].filter(([, words]) => words);
  return [
    h("h3", {}, `Proxy from ${nameOf(study.pairs)} `, h("span", {}, proxyWords(study))),
    ways.map(([name, words]) => h("p", {}, h("b", {}, `${name}: `), words)),
  ];
};

const textCard = (/** @type {Study} */ study) => (text, place) =>
  h(
    "article",
    { class: "rl-card" },
    h("h3", {}, textTitle(text, place, study)),
    h("p", {}, h("span", { class: "rl-prompt" }, text.prompt), text.response),
  );

const drawStudies = (/** @type {View} */ seen, /** @type {Study[]} */ studies, sizes) => {
  const how = { sizes, points: studies.length === 1 };
  for (const way of /** @type {const} */ (["ppo", "best_of_n"]))
    seen.charts[way].chart.replace(linesOf(studies, way, how));
  fill(seen.key, keyOf(keysOf(studies, sizes)));
  fill(seen.words, soft(FITTED), studies.map(studyWords));
  const [study, ...others] = studies;
  fill(seen.texts, others.length ? soft(CHOOSE) : study?.texts.map(textCard(study)));
};

const drawPicker = (/** @type {View} */ seen, /** @type {[string, string][]} */ choices, at) => {
  const key = JSON.stringify(choices);
  if (seen.picker.dataset.key !== key) {
    seen.picker.dataset.key = key;
    fill(seen.picker, choices.map(option));
  }
  if (document.activeElement !== seen.picker) seen.picker.value = at;
};

const drawRun = (/** @type {View} */ seen, /** @type {State["run"]} */ run, phase) => {
  const { status = "", mine = false, example = false, message = "" } = run || {};
  seen.badge.hidden = !run;
  seen.badge.dataset.state = run ? stateShade(run) : "";
  say(seen.badge, run ? stateWords(run) : "");
  say(seen.phase, run ? phase || message : "");
  seen.stop.hidden = !(mine && (status === "running" || status === "queued"));
  seen.resume.hidden = !(mine && (status === "stopped" || status === "failed") && !example);
  seen.command.parentElement.hidden = !run;
  say(seen.command, run?.command || "");
};

/** @returns {[string, string][]} label and view: the runs, then the record */
const choicesOf = (/** @type {State["runs"]} */ runs, /** @type {number[]} */ sizes) => {
  /** @type {[string, string][]} */
  const record = [
    ["all numbers of pairs, finished record", ALL],
    ...sizes.map((size) => /** @type {[string, string]} */ ([
      `${nameOf(size)}, finished record`,
      `${RECORD}${size}`,
    ])),
  ];
  const own = runs.map(({ id, label }) => /** @type {[string, string]} */ ([label, id]));
  return [...own, ...(sizes.length ? record : [])];
};

/** @param {import("../globals").Part} part its value: the shipped studies, by number of pairs */
export const mount = ({ element, props, server }) => {
  /** @type {Study[]} */
  const shipped = props.value;
  const sizes = shipped.map(({ pairs }) => pairs);
  const seen = view();
  const chosen = { view: runWanted(KIND) || ALL };
  /** @type {State["runs"]} */
  let runs = [];
  fill(element.querySelector(".rl-overoptimisation"), lay(seen));

  const drawList = () => drawPicker(seen, choicesOf(runs, sizes), chosen.view);
  const isRun = () => !chosen.view.startsWith(RECORD);
  const drawRecord = () => {
    const wanted = ({ pairs }) => chosen.view === ALL || chosen.view === `${RECORD}${pairs}`;
    drawRun(seen, null, "");
    drawStudies(seen, shipped.filter(wanted), sizes);
  };
  const poller = poll(element, EVERY, async () => {
    const request = { run: isRun() ? chosen.view : "", ...proof() };
    /** @type {State & {error?: string}} */
    const answer = await server.overoptimisation(request);
    if (answer.error) {
      forgetRun(request.run);
      show(ALL);
      showProblem(seen.problem, answer.error);
      return AFTER_A_PROBLEM;
    }
    runs = answer.runs;
    drawList();
    if (answer.run?.id === chosen.view) {
      drawRun(seen, answer.run, answer.phase);
      drawStudies(seen, [answer.study], sizes);
    }
    return answer.ask_again;
  });
  const show = (/** @type {string} */ at) => {
    chosen.view = at;
    showProblem(seen.problem, "");
    if (isRun()) poller.now();
    else drawRecord();
  };
  const change = async (/** @type {string} */ name) => {
    const request = { run: chosen.view, ...proof() };
    if (await answered(seen.problem, server[name](request))) poller.now();
  };
  seen.picker.onchange = () => {
    if (seen.picker.value.startsWith(RECORD)) show(seen.picker.value);
    else showRun(seen.picker.value, KIND, false);
  };
  seen.stop.onclick = () => change("stop_job");
  seen.resume.onclick = () => change("resume_job");
  // The section is far down its tab.
  const lead = () => setTimeout(() => element.scrollIntoView({ block: "start" }), 300);
  onRun((run) => {
    if (run.kind !== KIND) return;
    show(run.id);
    lead();
  });
  drawList();
  if (isRun()) lead();
  else drawRecord();
};
