// @ts-check
// Under a start button: the sentence that says why it could not start, or the way to the run. It
// also takes what another tab hands over for its form, which may happen before it is first opened.
import { h, showProblem } from "../shared/dom.js";
import { onHandOver, showRun } from "../shared/navigation.js";

/** @param {import("../globals").Part} part */
export const mount = ({ element, props, watch, trigger }) => {
  const place = h("p", { hidden: true });
  element.querySelector(".rl-notice").append(place);
  const { takes } = props.value;
  if (takes) onHandOver(takes, (run) => trigger("select", { run }));
  watch("value", () => {
    const { error, run, kind } = props.value || {};
    showProblem(place, error);
    if (run) showRun(run, kind);
  });
};
