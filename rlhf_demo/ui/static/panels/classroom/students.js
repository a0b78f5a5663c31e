// @ts-check
// Who is in the class, and who looks careless. Folded: the screen is on the wall, and these lines
// name people.
import { counted } from "../../lib/format.js";
import { confirmFirst, fill, fold, h, say, soft } from "../../shared/dom.js";
import { askButton, field, numberField } from "./fields.js";

/** @typedef {import("../../types").ClassState} ClassState */
/** @typedef {ClassState["raters"][number]} Rater */
/** @typedef {(name: string, more?: object) => Promise<any>} Ask */

const REMOVED =
  "This student\u2019s votes will be deleted, the phone is out of the class, and the nickname is " +
  "free again. With the code the phone can come back, unless the door is closed.";
const SHARED = "a school\u2019s phones often share one address";

/** @param {Ask} ask */
export const carelessList = (ask) => {
  const list = h("div", { class: "rl-careless" });
  const summary = h("span", {});
  const box = fold(summary, list);
  box.hidden = true;
  const line = (/** @type {ClassState["careless"][number]} */ row) => {
    const { rater, left_out: out } = row;
    const act = () => ask("leave_out", { rater, left_out: !out });
    const words = out ? "Take in again" : "Leave these votes out";
    return h(
      "p",
      { class: "rl-careless-row" },
      h("b", {}, row.nickname),
      " ",
      row.careless.join("; ") || "answers as others do",
      out ? "; left out. " : ". ",
      askButton(words, act, "rl-quiet"),
    );
  };
  return {
    box,
    draw: (/** @type {ClassState} */ { careless }) => {
      box.hidden = !careless.length;
      say(summary, `${careless.length} to look at, for you rather than the class`);
      fill(list, careless.map(line));
    },
  };
};

// How many joined later from the same address.
const laterThan = (/** @type {Rater[]} */ raters, /** @type {number} */ rater) => {
  const me = raters.find((one) => one.rater === rater);
  const place = me ? me.place : undefined;
  const same = (/** @type {Rater} */ one) => one.place !== null && one.place === place;
  return raters.filter((one) => one.rater > rater && same(one)).length;
};

const studentLine = ({ rater, nickname }, /** @type {Ask} */ ask, now) => {
  const votes = h("span", {});
  const remove = () => {
    const others = h("input", { type: "checkbox" });
    const later = laterThan(now().raters, rater);
    const words = ` Remove those too who joined later from the same address: ${later}`;
    const also = later ? h("label", { class: "rl-check" }, others, words) : null;
    const act = () => ask("remove_student", { rater, later: others.checked });
    confirmFirst(out, h("span", {}, REMOVED, also), "Remove", act);
  };
  const out = askButton("Remove", remove, "rl-quiet");
  const box = h("p", { class: "rl-careless-row" }, h("b", {}, nickname), votes, out);
  return { box, votes };
};

// A line stays what it is while its student does: the question before a removal may stand in it.
const register = (/** @type {Ask} */ ask, /** @type {() => ClassState} */ now) => {
  const box = h("div", {});
  /** @type {Map<number, ReturnType<typeof studentLine>>} */
  const lines = new Map();
  const lineOf = (/** @type {Rater} */ one) => {
    if (!lines.has(one.rater)) {
      lines.set(one.rater, studentLine(one, ask, now));
      box.append(lines.get(one.rater).box);
    }
    return lines.get(one.rater);
  };
  const draw = (/** @type {Rater[]} */ raters) => {
    const there = new Set(raters.map((one) => one.rater));
    for (const [rater, line] of lines)
      if (!there.has(rater)) {
        line.box.remove();
        lines.delete(rater);
      }
    for (const one of raters) {
      const out = one.left_out ? ", left out" : "";
      say(lineOf(one).votes, ` ${counted(one.votes, "vote")}${out} `);
    }
  };
  return { box, draw };
};

/** @param {any} about  @param {Ask} ask  @param {() => ClassState} now */
export const studentList = (about, ask, now) => {
  const most = numberField(60, 1, about.most_students);
  most.onchange = () => ask("set_most_joins", { most: most.value });
  const summary = h("span", {});
  const names = register(ask, now);
  const limit = field("Students from one address, at most", most, SHARED);
  const box = fold(
    summary,
    soft("For you rather than the class: these lines name people."),
    names.box,
    h("div", { class: "rl-class-form" }, limit),
  );
  return {
    box,
    draw: (/** @type {ClassState} */ view) => {
      if (document.activeElement !== most) most.value = String(view.most_joins);
      const real = view.raters.filter((one) => !one.simulated);
      say(summary, `${counted(real.length, "student")}: names, and removing one`);
      names.draw(real);
    },
  };
};
