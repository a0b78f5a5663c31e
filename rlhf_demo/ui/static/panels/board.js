// @ts-check
// The live board of one run: its state, what that means, the curves, and the texts of a step.
import { fill, say, showProblem } from "../shared/dom.js";
import {
  forgetRun,
  handOver,
  onRun,
  openForm,
  openTab,
  query,
  runWanted,
  sameBoard,
  setAddress,
  showRun,
  tellOfBoard,
} from "../shared/navigation.js";
import { answered, poll } from "../shared/server.js";
import { proof } from "../shared/visitor.js";
import { bothModels } from "./board/both_models.js";
import { cover } from "./board/cover.js";
import { boardCards, curvesOf } from "./board/curves.js";
import { inside } from "./board/inside.js";
import { samples } from "./board/samples.js";
import { boardView, drawState, lay, restOf } from "./board/view.js";

/** @typedef {import("../types").BoardState} BoardState */

const EVERY = 1000; // milliseconds
const AFTER_A_PROBLEM = 3; // seconds

// What only a PPO board has: the texts of a step, the inside of a step, and both models on one
// prompt.
const partsOfPPO = (server, /** @type {import("../shared/charts.js").Spec[]} */ curves) => {
  const within = inside(server, curves);
  const texts = samples(server, (step) => within.show(step));
  const pair = bothModels(server);
  return {
    within,
    texts,
    elements: { samples: texts.card, inside: within.fold, pair: pair.section },
    reset: () => {
      texts.reset();
      within.reset();
    },
    // The server sends what the page follows together with the rows.
    asked: () => {
      const following = texts.following();
      return { texts_after: following, inside_after: within.following(following !== null) };
    },
    update: (/** @type {BoardState} */ answer) => {
      const { run } = answer;
      texts.update(run, answer);
      const step = texts.following() === null ? texts.step() : answer.inside_step;
      within.update(run, step, answer);
      pair.update(run, answer);
    },
  };
};

// Connects the buttons to the server functions.
const connect = (view, kind, server, asked, again) => {
  const change = async (/** @type {string} */ name) => {
    const request = { run: asked.run, ...proof() };
    if (await answered(view.problem, server[name](request))) again();
  };
  view.picker.onchange = () => showRun(view.picker.value, kind, false);
  view.stop.onclick = async () => {
    say(view.stop, "Stopping");
    await change("stop_job");
    say(view.stop, "Stop");
  };
  view.resume.onclick = () => change("resume_job");
  view.next.onclick = () => {
    handOver(kind, asked.run);
    openTab(kind === "ppo" ? "compare" : "ppo");
    if (kind === "reward") openForm();
  };
};

const groupsOf = (
  /** @type {import("./board/view.js").Cards} */ cards,
  /** @type {any} */ specs,
  /** @type {HTMLDetailsElement} */ rest,
) => {
  /** @type {import("./board/curves.js").Group[]} */
  const groups = [
    { cards: [...cards.large, ...cards.small], specs: [...specs.charts, ...specs.small] },
    { cards: cards.folded, specs: specs.folded, fold: rest },
  ];
  return groups;
};

const requestOf = (/** @type {string} */ kind, { since, created }, ppo) => {
  const following = ppo ? ppo.asked() : { texts_after: null, inside_after: null };
  return { kind, run: runWanted(kind), since, created, ...following, ...proof() };
};

/** @param {import("../globals").Part} part its value: a board as ui/panels/charts.py declares it */
export const mount = ({ element, props, server }) => {
  const { kind, inside: insideSpecs, ...specs } = props.value;
  const view = boardView(kind);
  const cards = boardCards(specs);
  const ppo = kind === "ppo" ? partsOfPPO(server, insideSpecs) : null;
  const rest = restOf(kind, view, cards);
  /** @type {HTMLElement} */
  const board = element.querySelector(".rl-board");
  const covering = cover(board);
  const [line, ...others] = lay(kind, view, cards, ppo && ppo.elements, rest);
  fill(board, line, covering.box, others);
  const groups = groupsOf(cards, specs, rest);
  if (ppo) groups.push({ cards: ppo.within.cards, specs: insideSpecs, fold: ppo.within.fold });
  const curves = curvesOf(groups);
  const asked = { run: null, created: null, since: -1 };
  let missing = ""; // why the run that was asked for cannot be shown
  let later = false; // it can be shown later

  const begin = (/** @type {BoardState} */ answer) => {
    Object.assign(asked, { run: answer.run.id, created: answer.created, since: -1 });
    curves.reset(answer.run.kind);
    if (ppo) ppo.reset();
    showProblem(view.problem, missing && `${missing}; another run is shown below`);
    missing = "";
  };
  const show = (/** @type {BoardState} */ answer) => {
    const { run } = answer;
    // While this tab is in sight, the address names the run, so that a copied link shows the same.
    if (element.offsetParent !== null && query().run !== run.id) setAddress({ run: run.id });
    drawState(view, answer);
    covering.update(run);
    if (ppo) ppo.update(answer);
    tellOfBoard(kind, run);
  };
  const poller = poll(element, EVERY, async () => {
    const request = requestOf(kind, asked, ppo);
    /** @type {BoardState & Partial<import("../types").TryLater>} */
    const answer = await server.board_rows(request);
    if (answer.error) {
      showProblem(view.problem, answer.error);
      if (answer.later) {
        later = true; // the run stays the one that is asked for
        return AFTER_A_PROBLEM;
      }
      missing = answer.error;
      forgetRun(request.run);
      return AFTER_A_PROBLEM;
    }
    if (later) showProblem(view.problem, "");
    later = false;
    const changed = answer.run.id !== asked.run || answer.created !== asked.created;
    if (changed) begin(answer);
    if (changed && answer.since >= 0) {
      poller.now();
      return;
    }
    asked.since = answer.columns.step?.at(-1) ?? asked.since;
    curves.limit(answer.lines, answer.run.total_steps);
    curves.extend(answer.columns);
    show(answer);
    return answer.ask_again;
  });
  onRun((run) => sameBoard(run.kind, kind) && poller.now());
  connect(view, kind, server, asked, () => poller.now());
};
