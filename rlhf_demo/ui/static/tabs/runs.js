// @ts-check
// The Runs tab: the list of all runs, the picked run, and the overlaid curves of two runs.
import { fill } from "../shared/dom.js";
import { forgetRun, onRun, query, setAddress } from "../shared/navigation.js";
import { poll } from "../shared/server.js";
import { proof } from "../shared/visitor.js";
import { details } from "./runs/details.js";
import { instructor } from "./runs/instructor.js";
import { list } from "./runs/list.js";
import { overlay } from "./runs/overlay.js";

const EVERY = 2000; // milliseconds

/** @param {import("../globals").Part} part */
export const mount = ({ element, props, server, trigger }) => {
  let picked = query().run || "";
  /** @type {string[]} */
  let ticked = [];
  const changed = () => poller.now();
  const pick = async (/** @type {string} */ id) => {
    picked = id;
    setAddress({ run: id });
    await poller.now();
    shown.element.scrollIntoView({ block: "nearest", behavior: "smooth" });
  };
  const tick = (/** @type {string} */ id, /** @type {boolean} */ on) => {
    ticked = on ? [...ticked, id] : ticked.filter((one) => one !== id);
    changed();
  };
  const deleted = (/** @type {string} */ id) => {
    picked = "";
    forgetRun(id);
    changed();
  };
  const runs = list({ pick, tick });
  const shown = details({ server, trigger, changed, deleted });
  const curves = overlay(server);
  fill(
    element.querySelector(".rl-runs"),
    runs.element,
    curves.element,
    shown.element,
    props.value.password ? instructor(server, changed) : null,
  );

  const poller = poll(element, EVERY, async () => {
    const answer = await server.runs_state({ run: picked, ...proof() });
    if (answer.error) {
      shown.problem(answer.error);
      return;
    }
    ticked = ticked.filter((id) => answer.runs.some((row) => row.id === id));
    runs.draw(answer.runs, picked, ticked);
    shown.draw(answer.picked);
    await curves.draw(ticked.map((id) => answer.runs.find((row) => row.id === id)));
  });
  onRun(({ id }) => (picked = id));
};
