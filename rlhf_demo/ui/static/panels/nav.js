// @ts-check
// The header and the strip: a button for each stage, which shows how far it is and leads there.
import { stateWords } from "../lib/runs.js";
import { fill, h, say } from "../shared/dom.js";
import {
  onBoard,
  onCourse,
  onRun,
  openTab,
  query,
  showLesson,
  stages,
  tabOf,
} from "../shared/navigation.js";
import { poll } from "../shared/server.js";
import { applySavedTheme, switchTheme } from "../shared/theme.js";
import { keepStart } from "../shared/visitor.js";

const EVERY = 8000; // milliseconds
const TRIES = 100;

const header = () => {
  const label = { title: "Light or dark", "aria-label": "Switch between light and dark" };
  const quiet = { class: "rl-button rl-quiet", type: "button", onclick: switchTheme };
  return h(
    "header",
    {},
    h("h1", {}, "RLHF, live"),
    h("p", {}, "Teach a small GPT-2 what people prefer, and watch it learn."),
    h("button", { ...quiet, ...label }, "\u25D0"),
  );
};

/** One button for each tab, made when the server first names the tab. */
const strip = () => {
  const nav = h("nav", { class: "rl-strip", "aria-label": "The loop" });
  /** @type {Map<string, HTMLButtonElement>} */
  const buttons = new Map();
  let current = (query().tab || "start").toLowerCase();
  let course = "";

  const mark = () => {
    for (const [tab, button] of buttons)
      if (tab === current) button.setAttribute("aria-current", "page");
      else button.removeAttribute("aria-current");
  };
  const buttonOf = (/** @type {string} */ tab) => {
    if (!buttons.has(tab)) {
      const open = { type: "button", onclick: () => openTab(tab) };
      buttons.set(tab, h("button", open, h("b", {}), h("small", {})));
      nav.append(buttons.get(tab));
    }
    return buttons.get(tab);
  };
  return {
    nav,
    draw: (/** @type {import("../types").StripStage[]} */ told) => {
      for (const stage of told) {
        const button = buttonOf(stage.tab);
        say(button.querySelector("b"), stage.title);
        say(button.querySelector("small"), (stage.tab === "learn" && course) || stage.line);
        button.dataset.state = stage.state;
        button.dataset.run = stage.run;
      }
      mark();
    },
    tellCourse: (/** @type {string} */ line) => {
      course = line;
      const button = buttons.get("learn");
      if (button) say(button.querySelector("small"), line);
    },
    go: (/** @type {string} */ tab) => {
      current = tab;
      mark();
    },
    count: (/** @type {string} */ tab, /** @type {import("../types").RunRow} */ run) => {
      const button = buttons.get(tab);
      if (button && button.dataset.run === run.id && run.status === "running" && run.step)
        say(button.querySelector("small"), stateWords(run));
    },
  };
};

// The address says which tab, run or comparison to open. The tabs may not exist yet.
const openWanted = () => {
  const { tab, compare, run } = query();
  const wanted = tab || (compare ? "compare" : run ? tabOf(run) : "start");
  const open = (/** @type {number} */ tries) => {
    if (!openTab(wanted) && tries) setTimeout(() => open(tries - 1), 50);
  };
  open(TRIES);
};

// A link to a lesson opens it without loading the page again; in a new tab, it is a plain link.
const followLearnLink = (/** @type {MouseEvent} */ event) => {
  const link = event.target instanceof Element && event.target.closest("a.rl-learn-link");
  if (!(link instanceof HTMLAnchorElement) || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  showLesson(new URL(link.href).searchParams.get("lesson"));
};

/** @param {import("../globals").Part} part */
export const mount = ({ element, server }) => {
  applySavedTheme();
  const note = h("p", { class: "rl-note", hidden: true });
  const stripOfTabs = strip();
  fill(element.querySelector(".rl-top"), header(), stripOfTabs.nav, note);

  window.addEventListener("rlhf:tab", (event) => stripOfTabs.go(event.detail));
  onCourse(stripOfTabs.tellCourse);
  document.addEventListener("click", followLearnLink);
  const poller = poll(element, EVERY, async () => {
    /** @type {import("../types").StripState} */
    const answer = await server.strip_state(0);
    stripOfTabs.draw(answer.stages);
    keepStart(answer.start || "");
    note.hidden = !answer.note;
    say(note, answer.note || "");
  });
  onRun(() => poller.now());
  // Between two polls, the strip takes its step count from the open board.
  /** @type {Map<string, string>} */
  const statuses = new Map();
  onBoard(({ kind, run }) => {
    const changed = statuses.has(run.id) && statuses.get(run.id) !== run.status;
    statuses.set(run.id, run.status);
    if (changed) poller.now();
    else stripOfTabs.count(stages[kind].tab, run);
  });
  openWanted();
};
