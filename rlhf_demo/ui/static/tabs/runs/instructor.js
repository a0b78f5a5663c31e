// @ts-check
// The instructor's password, with which every run can be changed.
import { button, fold, h, say } from "../../shared/dom.js";
import { answered } from "../../shared/server.js";
import { instructorToken } from "../../shared/visitor.js";

const KNOWN = "You can stop and delete any run until you close this browser tab.";
const UNKNOWN = "With it you can stop and delete any run.";

/**
 * @param {import("../../shared/server.js").Server} server
 * @param {() => void} changed called when the password was accepted or forgotten
 */
export const instructor = (server, changed) => {
  const problem = h("p", { hidden: true });
  const label = { "aria-label": "Instructor\u2019s password", autocomplete: "off" };
  const input = h("input", { type: "password", ...label });
  const said = h("span", { class: "rl-soft", role: "status" });
  const draw = () => {
    const known = !!instructorToken.get();
    forget.hidden = !known;
    say(said, known ? KNOWN : UNKNOWN);
  };
  const use = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const answer = await answered(problem, server.check_password({ password: input.value }));
    if (!answer) return;
    instructorToken.keep(answer.token);
    input.value = "";
    draw();
    changed();
  };
  const forget = button("Forget it", () => {
    instructorToken.forget();
    draw();
    changed();
  });
  const go = h("button", { class: "rl-button", type: "submit" }, "Use this password");
  const form = h("form", { class: "rl-inline", onsubmit: use }, input, go, forget, said);
  draw();
  return fold("Instructor", form, problem);
};
