// @ts-check
// Which tab, run and comparison are open, and what the tabs tell each other.

// Title, tab and curves of each kind of run.
export const stages = window.rlhf.stages;

/** @returns {Record<string, string>} what the address says */
export const query = () => Object.fromEntries(new URLSearchParams(location.search));

/** @param {Record<string, string | null | undefined>} changes null removes a name */
export const setAddress = (changes) => {
  const search = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") search.delete(name);
    else search.set(name, value);
  }
  const text = search.toString();
  history.replaceState(history.state, "", location.pathname + (text ? `?${text}` : ""));
};

/**
 * The strip is the navigation. It clicks Gradio's own tab buttons, which are hidden.
 * @param {string} name
 */
export const openTab = (name) => {
  /** @type {NodeListOf<HTMLElement>} */
  const buttons = document.querySelectorAll("#pages > .tab-wrapper button[role=tab]");
  const lower = name.toLowerCase();
  const button = [...buttons].find((one) => one.textContent.trim().toLowerCase() === lower);
  if (!button) return false;
  button.click();
  setAddress({ tab: name === "start" ? null : name });
  window.dispatchEvent(new CustomEvent("rlhf:tab", { detail: name }));
  return true;
};

/** @param {string} name  @param {() => void} act called when that tab is opened */
export const onTab = (name, act) =>
  window.addEventListener("rlhf:tab", (event) => {
    if (event.detail === name) act();
  });

// Unfolds the form of the open tab, after something has been filled in.
export const openForm = () =>
  setTimeout(() => {
    /** @type {NodeListOf<HTMLElement>} */
    const folds = document.querySelectorAll(".rl-form > button.label-wrap");
    const fold = [...folds].find((one) => one.offsetParent !== null);
    if (fold && !fold.classList.contains("open")) fold.click();
  }, 300);

// The tab that shows a run; its id begins with its kind. PPO's if the kind has no tab.
export const tabOf = (/** @type {string} */ id) => (stages[id.split("-")[0]] || {}).tab || "ppo";

// Kinds with the same tab share its board.
export const sameBoard = (/** @type {string} */ kind, /** @type {string} */ other) =>
  stages[kind].tab === stages[other].tab;

// The run that each tab's board should show.
/** @type {Record<string, string>} */
const runsWanted = {};

/**
 * @param {string} id
 * @param {string} kind
 * @param {boolean} [tab] whether to open its tab too
 */
export const showRun = (id, kind, tab = true) => {
  setAddress({ run: id });
  runsWanted[stages[kind].tab] = id;
  window.dispatchEvent(new CustomEvent("rlhf:run", { detail: { id, kind } }));
  if (tab) openTab(stages[kind].tab);
};

/** @param {(run: {id: string, kind: string}) => void} act called when a run is to be shown */
export const onRun = (act) => window.addEventListener("rlhf:run", (event) => act(event.detail));

/** @param {string} kind of the board */
export const runWanted = (kind) => {
  const { run } = query();
  const { tab } = stages[kind];
  // A run that does not exist, too: its board then says so.
  const ofTab = Object.keys(stages).some((it) => stages[it].tab === tab && run?.startsWith(it));
  return runsWanted[tab] || (ofTab ? run : "");
};

/** @param {string} id of a run that is deleted or cannot be shown */
export const forgetRun = (id) => {
  for (const tab of Object.keys(runsWanted)) if (runsWanted[tab] === id) delete runsWanted[tab];
  if (query().run === id) setAddress({ run: null });
};

/** @param {string} id of the lesson to show, in its tab */
export const showLesson = (id) => {
  window.dispatchEvent(new CustomEvent("rlhf:show-lesson", { detail: id }));
  setAddress({ lesson: id });
  openTab("learn");
};

/** @param {(id: string) => void} act called when a lesson is to be shown */
export const onLesson = (act) =>
  window.addEventListener("rlhf:show-lesson", (event) => act(event.detail));

/** @param {string} line under the name of the Learn tab */
export const tellOfCourse = (line) =>
  window.dispatchEvent(new CustomEvent("rlhf:course", { detail: line }));

/** @param {(line: string) => void} act */
export const onCourse = (act) =>
  window.addEventListener("rlhf:course", (event) => act(event.detail));

// -- what one tab hands to another, which may not be open yet ------------------------------------

/** @type {Map<string, string>} */
const handed = new Map();

/**
 * @param {string} kind of the run
 * @param {string} run
 */
export const handOver = (kind, run) => {
  handed.set(kind, run);
  window.dispatchEvent(new CustomEvent("rlhf:use"));
};

/**
 * Takes a run that has been handed over already, and each later one.
 * @param {string} kind
 * @param {(run: string) => void} take
 * @returns {boolean} whether a run was waiting
 */
export const onHandOver = (kind, take) => {
  const takeNext = () => {
    const run = handed.get(kind);
    handed.delete(kind);
    if (run) take(run);
    return Boolean(run);
  };
  window.addEventListener("rlhf:use", takeNext);
  return takeNext();
};

// -- what a board tells the other panels ----------------------------------------------------------

/** @param {string} kind  @param {import("../types").RunRow} run */
export const tellOfBoard = (kind, run) =>
  window.dispatchEvent(new CustomEvent("rlhf:board", { detail: { kind, run } }));

/** @param {(shown: {kind: string, run: import("../types").RunRow}) => void} act */
export const onBoard = (act) => window.addEventListener("rlhf:board", (event) => act(event.detail));

// -- the microscope -------------------------------------------------------------------------------

/** @typedef {import("../lib/microscope.js").Place} Place */

/** @param {Place} place the token whose figures to open in the microscope */
export const openTrace = (place) =>
  window.dispatchEvent(new CustomEvent("rlhf:trace", { detail: place }));

/** @param {(place: Place) => void} act */
export const onTrace = (act) => window.addEventListener("rlhf:trace", (event) => act(event.detail));
