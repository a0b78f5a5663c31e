// @ts-check
// Below a start button: says why a run could not start, or shows the run. It also takes the run
// that another tab hands over for this form, even before this tab was first opened.
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
