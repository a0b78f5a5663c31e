// @ts-check
// Light and dark, and the style sheet's colours for charts, which CSS does not reach.

const KEPT = "rlhf_demo_theme";
/** @type {(() => void)[]} */
const listeners = [];

const notify = () => listeners.forEach((draw) => draw());

/** @param {() => void} draw called when the colours have changed */
export const onTheme = (draw) => listeners.push(draw);

/** @param {string} name */
export const themeColour = (name) =>
  getComputedStyle(document.body).getPropertyValue(`--rl-${name}`).trim();

const apply = (/** @type {boolean} */ dark) => {
  document.body.classList.toggle("dark", dark);
  notify();
};

export const switchTheme = () => {
  const dark = !document.body.classList.contains("dark");
  localStorage.setItem(KEPT, dark ? "dark" : "light");
  apply(dark);
};

export const applySavedTheme = () => {
  const theme = localStorage.getItem(KEPT);
  if (theme) apply(theme === "dark");
};

new MutationObserver(notify).observe(document.documentElement, {
  attributes: true,
  attributeFilter: ["class"],
  subtree: false,
});
