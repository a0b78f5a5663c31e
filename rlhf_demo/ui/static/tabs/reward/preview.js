// @ts-check
// Some of the chosen pairs, before a reward model is trained on them.
import { fill, fold, h } from "../../shared/dom.js";

const pairCard = ({ prompt, chosen, rejected }) =>
  h(
    "article",
    {},
    h("p", { class: "rl-prompt" }, prompt),
    h("p", {}, h("span", { class: "rl-chip rl-up" }, "preferred"), " ", chosen),
    h("p", {}, h("span", { class: "rl-chip" }, "rejected"), " ", rejected),
  );

/** @param {import("../../globals").Part} part */
export const mount = ({ element, props, watch }) => {
  const root = element.querySelector(".rl-preview");
  const draw = () => {
    const { error, count, dropped, pairs } = props.value || {};
    if (error) fill(root, h("p", { class: "rl-problem", role: "alert" }, error));
    if (error || !pairs) return;
    const reasons = Object.entries(dropped).map(([reason, n]) => `${n} ${reason}`);
    const out = reasons.length ? `; rows dropped: ${reasons.join(", ")}` : "; no rows dropped";
    const title = [`See ten of the ${count.toLocaleString("en")} pairs`, h("span", {}, out)];
    fill(root, fold(title, h("div", { class: "rl-pairs" }, pairs.map(pairCard))));
  };
  watch("value", draw);
  draw();
};
