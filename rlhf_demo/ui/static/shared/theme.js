// @ts-check
// Light and dark, and the colours of the style sheet for what is drawn and not styled.

const KEPT = "rlhf_demo_theme";
/** @type {(() => void)[]} */
const told = [];

const tell = () => told.forEach((draw) => draw());

/** @param {() => void} draw called whenever the colours have changed */
export const onTheme = (draw) => told.push(draw);

/** @param {string} name */
export const themeColour = (name) =>
  getComputedStyle(document.body).getPropertyValue(`--rl-${name}`).trim();

const apply = (/** @type {boolean} */ dark) => {
  document.body.classList.toggle("dark", dark);
  tell();
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

new MutationObserver(tell).observe(document.documentElement, {
  attributes: true,
  attributeFilter: ["class"],
  subtree: false,
});
