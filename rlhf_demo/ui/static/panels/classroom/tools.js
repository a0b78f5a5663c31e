// @ts-check
// Actions that are possible at any time.
import { confirmFirst, h, say } from "../../shared/dom.js";
import { askButton } from "./fields.js";
import { keepAlone, keptAlone } from "./storage.js";

/** @typedef {import("../../types").ClassState} ClassState */
/** @typedef {(name: string, more?: object) => Promise<any>} Ask */

const GONE =
  "This deletes the students, pairs, votes, texts and reward models, and cannot be undone. PPO " +
  "runs hold no votes and stay under Runs.";
const SHUT = "Stop new students joining";
const STAYS = "This class is kept: this browser lists it under your earlier classes.";

// Shows only the class, or the whole page.
const aloneButton = () => {
  const { classList } = document.documentElement;
  const show = (/** @type {boolean} */ yes) => {
    classList.toggle("rl-class-alone", yes);
    say(button, yes ? "Show the rest of the page" : "Show only the class");
    keepAlone(yes);
    window.dispatchEvent(new Event("resize"));
  };
  const switchIt = () => show(!classList.contains("rl-class-alone"));
  const button = askButton("Show only the class", switchIt);
  show(keptAlone());
  return { button, show };
};

const stopOthersButton = (/** @type {Ask} */ ask) => {
  const told = h("p", { class: "rl-soft", role: "status" });
  const stop = async () => {
    const answer = await ask("stop_others");
    if (!answer) return;
    const one = answer.stopped === 1;
    const done = one
      ? "1 training run is stopping; its owner can resume it."
      : `${answer.stopped} training runs are stopping; their owners can resume them.`;
    say(told, answer.stopped ? done : "No run outside classes is training or waiting.");
  };
  return { button: askButton("Stop all training runs outside classes", stop), told };
};

/**
 * @param {Ask} ask
 * @param {() => ClassState} now
 * @param {{leave: () => void, removeAll: () => void}} acts
 */
export const tools = (ask, now, { leave, removeAll }) => {
  const change = () => ask(now().state === "open" ? "pause" : "reopen");
  const pause = askButton("Pause", change);
  const door = askButton(SHUT, () => ask("set_door", { open: !now().door_open }));
  const others = stopOthersButton(ask);
  const alone = aloneButton();
  const asksToEnd = () => confirmFirst(another, STAYS, "New class", leave);
  const another = askButton("New class", asksToEnd);
  const asksToRemove = () => confirmFirst(remove, GONE, "Delete everything", removeAll);
  const remove = askButton("Delete the class", asksToRemove, "rl-danger");
  const buttons = [pause, door, others.button, alone.button, another, remove];
  return {
    line: h("div", { class: "rl-class-tools" }, buttons),
    told: others.told,
    showAlone: alone.show,
    draw: (/** @type {ClassState} */ view) => {
      say(pause, view.state === "open" ? "Pause" : "Continue");
      say(door, view.door_open ? SHUT : "Let new students join");
    },
  };
};
