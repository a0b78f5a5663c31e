// @ts-check
// Which trained model the lessons show beside its base; out of sight while there is only one.
import { fill, h, option } from "../../shared/dom.js";
import { onTab } from "../../shared/navigation.js";

/** @typedef {import("../../shared/server.js").Server} Server */

const NAMED =
  " Whatever method trained it, the lessons call it \u201CPPO model\u201D or " +
  "\u201Cafter PPO\u201D.";

/**
 * @param {Server} server
 * @param {() => void} act called when another model is chosen
 */
export const modelPicker = (server, act) => {
  const picker = h("select", { "aria-label": "Trained model" });
  const element = h(
    "label",
    { class: "rl-trained", hidden: true },
    ["Trained model ", picker, NAMED],
  );
  picker.onchange = act;
  const update = async () => {
    const choices = await server.lesson_models(0);
    if (!Array.isArray(choices)) return; // the next opening asks again
    const chosen = picker.value;
    fill(picker, choices.map(option));
    if (choices.some(([, id]) => id === chosen)) picker.value = chosen;
    element.hidden = choices.length < 2;
  };
  onTab("learn", update);
  update();
  return { element, value: () => picker.value || undefined };
};
