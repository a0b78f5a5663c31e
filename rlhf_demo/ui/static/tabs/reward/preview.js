// @ts-check
// Some of the chosen pairs, before a reward model is trained on them.
import { counted } from "../../lib/format.js";
import { fill, fold, h } from "../../shared/dom.js";

// Rows that are left out, one and several, by reason.
/** @type {Record<string, [string, string]>} */
const ROWS = {
  empty: ["with an empty text", "with an empty text"],
  equal: ["with two equal texts", "with two equal texts"],
  duplicate: ["duplicate", "duplicates"],
};

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
    const reasons = Object.entries(dropped).map(([reason, n]) => counted(n, ...ROWS[reason]));
    const out = reasons.length ? `; rows dropped: ${reasons.join(", ")}` : "; no rows dropped";
    const some = count > pairs.length ? `${pairs.length} of the ` : "the ";
    const noun = count === 1 ? "pair" : "pairs";
    const title = [`See ${some}${count.toLocaleString("en")} ${noun}`, h("span", {}, out)];
    fill(root, fold(title, h("div", { class: "rl-pairs" }, pairs.map(pairCard))));
  };
  watch("value", draw);
  draw();
};
