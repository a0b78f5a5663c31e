// @ts-check
// Which tab, run and comparison are open: in the address, in Gradio's tabs, and from tab to tab.

// The kinds of runs, by name: what the tabs, boards and lists say of each.
export const stages = window.rlhf.stages;

/** @returns {Record<string, string>} what the address says */
export const query = () => Object.fromEntries(new URLSearchParams(location.search));

/** @param {Record<string, string | null | undefined>} changes null takes a name out */
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
 * The strip is the navigation; Gradio's own tab buttons do the switching, out of sight.
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

/** @param {string} name  @param {() => void} act whenever that tab is opened */
export const onTab = (name, act) =>
  window.addEventListener("rlhf:tab", (/** @type {CustomEvent} */ event) => {
    if (event.detail === name) act();
  });

// Opens the folded form of the tab in sight, when something has been put into it.
export const openForm = () =>
  setTimeout(() => {
    /** @type {NodeListOf<HTMLElement>} */
    const folds = document.querySelectorAll(".rl-form > button.label-wrap");
    const fold = [...folds].find((one) => one.offsetParent !== null);
    if (fold && !fold.classList.contains("open")) fold.click();
  }, 300);

// The tab that shows a run, by the kind that its id begins with; PPO's where no tab does.
export const tabOf = (/** @type {string} */ id) => (stages[id.split("-")[0]] || {}).tab || "ppo";

// The run that each kind's board is asked to show.
/** @type {Record<string, string>} */
const runsWanted = {};

/**
 * @param {string} id
 * @param {string} kind
 * @param {boolean} [tab] whether its tab is opened too
 */
export const showRun = (id, kind, tab = true) => {
  setAddress({ run: id });
  runsWanted[kind] = id;
  window.dispatchEvent(new CustomEvent("rlhf:run", { detail: { id, kind } }));
  if (tab) openTab(stages[kind].tab);
};

/** @param {(told: {id: string, kind: string}) => void} act whenever a run is to be shown */
export const onRun = (act) =>
  window.addEventListener("rlhf:run", (/** @type {CustomEvent} */ event) => act(event.detail));

/** @param {string} kind */
export const runWanted = (kind) => {
  const { run } = query();
  return runsWanted[kind] || (run && run.startsWith(kind) ? run : "");
};

/** @param {string} id of a run that is gone, or cannot be shown */
export const forgetRun = (id) => {
  for (const kind of Object.keys(runsWanted)) if (runsWanted[kind] === id) delete runsWanted[kind];
  if (query().run === id) setAddress({ run: null });
};

// -- what one tab hands to another, which may not have been opened yet ---------------------------

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
 * Takes what was handed over before, and whatever comes.
 * @param {string} kind
 * @param {(run: string) => void} take
 * @returns {boolean} whether there was something
 */
export const onHandOver = (kind, take) => {
  const look = () => {
    const run = handed.get(kind);
    handed.delete(kind);
    if (run) take(run);
    return Boolean(run);
  };
  window.addEventListener("rlhf:use", look);
  return look();
};

// -- what a board tells of its run ----------------------------------------------------------------

/** @param {string} kind  @param {import("../types").RunRow} run */
export const tellOfBoard = (kind, run) =>
  window.dispatchEvent(new CustomEvent("rlhf:board", { detail: { kind, run } }));

/** @param {(told: {kind: string, run: import("../types").RunRow}) => void} act */
export const onBoard = (act) =>
  window.addEventListener("rlhf:board", (/** @type {CustomEvent} */ event) => act(event.detail));
