// @ts-check
// Simulated students, to try a class without people.
import { counted } from "../../lib/format.js";
import { fold, h, option, say, soft } from "../../shared/dom.js";
import { askButton, field, numberField } from "./fields.js";

const ABOUT =
  "They join this class, marked as simulated, and each answers every two seconds. Noise is how " +
  "often a careful student makes a mistake. A careless student does not read the texts.";

/**
 * @param {{tastes: [string, string][]}} about ids and what they prefer
 * @param {(name: string, more?: object) => Promise<any>} ask
 * @param {() => import("../../types").ClassState | null} now
 */
export const simulation = ({ tastes }, ask, now) => {
  const crowd = numberField(12, 1, 60);
  const noise = numberField(0.1, 0, 0.5, 0.05);
  const careless = numberField(0.1, 0, 1, 0.05);
  const taste = h(
    "select",
    {},
    tastes.map(([id, words]) => option([words, id])),
  );
  const told = soft();
  const begin = () => {
    const kind = { taste: taste.value, noise: noise.value, careless: careless.value };
    return ask("simulate", { students: crowd.value, ...kind });
  };
  const draw = () => {
    const view = now();
    const running = view && view.simulation;
    start.disabled = !!running;
    stop.disabled = !running;
    const [, words] = tastes.find(([id]) => running && id === running.taste) || ["", ""];
    const many = running ? `${counted(running.students, "simulated student")}` : "";
    const prefer = running && running.students === 1 ? "prefers" : "prefer";
    say(told, running ? `In the class: ${many}, who ${prefer} ${words}.` : "");
  };
  const start = askButton("Let them vote", begin, "", draw);
  const stop = askButton("Stop them", () => ask("stop_simulation"), "", draw);
  const form = h(
    "div",
    { class: "rl-class-form" },
    field("How many", crowd),
    field("They prefer", taste),
    field("Noise", noise, "share of wrong answers, 0 to 0.5"),
    field("Careless", careless, "share of students, 0 to 1"),
    start,
    stop,
  );
  const title = "Try it without a class: simulated students";
  return { box: fold(title, soft(ABOUT), form, told), draw };
};
