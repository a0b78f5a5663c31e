// @ts-check
// The result of a class's blind vote, the same on every screen.
import { countWords, ofPPO, preferWords, verdict } from "../lib/blind_result.js";
import { percent } from "../lib/format.js";
import { h } from "./dom.js";

/** @param {import("../types").BlindResult} result */
export const blindResult = (result) => {
  const [rate] = ofPPO(result.contender, result.rate);
  return h(
    "section",
    { class: "rl-card rl-blind-result" },
    h(
      "div",
      { class: "rl-figure" },
      h("b", { style: { color: "var(--rl-ppo)" } }, percent(rate)),
      h("span", {}, preferWords(result)),
    ),
    h("p", {}, verdict(result)),
    h("p", { class: "rl-soft" }, countWords(result)),
  );
};
