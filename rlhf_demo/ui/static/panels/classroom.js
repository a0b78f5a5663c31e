// @ts-check
// The instructor's screen: open a class, watch it vote, train PPO, hold the blind vote, and start
// the next round.
import { classToken } from "./classroom/storage.js";
import { opening } from "./classroom/opening.js";
import { screen } from "./classroom/screen.js";

/** @param {import("../globals").Part} part its value: the choices for a new class */
export const mount = ({ element, props, server }) => {
  /** @type {HTMLElement} */
  const root = element.querySelector(".rl-classroom");
  const about = props.value;
  const show = (/** @type {string} */ token) => {
    classToken.keep(token);
    screen(root, about, server, token, leave);
  };
  const leave = (/** @type {string} */ sentence = "") => {
    classToken.forget();
    opening(root, about, server, show, sentence);
  };
  const token = classToken.get();
  if (token) show(token);
  else opening(root, about, server, show);
};
