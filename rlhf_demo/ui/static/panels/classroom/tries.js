// @ts-check
// The texts of a class that fool the reward model most, without names.
import { signed } from "../../lib/format.js";
import { confirmFirst, fill, h, soft } from "../../shared/dom.js";
import { askButton } from "./fields.js";

/** @typedef {import("../../types").ClassLesson} ClassLesson */
/** @typedef {import("../../types").BoardText} BoardText */
/** @typedef {(name: string, more?: object) => Promise<any>} Ask */

const ABOUT =
  "Write on your phone: a text that no reader would like, with the best score that you can get.";
const ALL = "Delete all texts? Nobody can send another until you send the lesson again.";

/** @param {Ask} ask */
export const triesBoard = (ask) => {
  const list = h("ol", { class: "rl-tries" });
  const title = h("h3", {}, "The worst texts with the best scores");
  const asksToClear = () => confirmFirst(all, ALL, "Delete them", () => ask("remove_texts"));
  const all = askButton("Remove all", asksToClear, "rl-quiet");
  const box = h("div", { hidden: true }, title, soft(ABOUT), list, all);
  let shown = "";
  const line = (/** @type {BoardText} */ { id, text, score }) =>
    h(
      "li",
      {},
      h("b", {}, signed(score)),
      h("span", {}, text),
      askButton("Remove", () => ask("remove_text", { text: id }), "rl-quiet"),
    );
  return {
    box,
    draw: (/** @type {ClassLesson} */ { tries }) => {
      box.hidden = !tries;
      const key = JSON.stringify(tries);
      if (key === shown) return;
      shown = key;
      fill(list, (tries || []).map(line));
      all.hidden = !(tries && tries.length);
    },
  };
};
