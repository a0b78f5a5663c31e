// @ts-check
// Who is in the class, and who looks careless. Folded, because the class sees the screen and these
// lists show names.
import { counted } from "../../lib/format.js";
import { confirmFirst, fill, fold, h, say, soft } from "../../shared/dom.js";
import { askButton, field, numberField } from "./fields.js";

/** @typedef {import("../../types").ClassState} ClassState */
/** @typedef {ClassState["voters"][number]} Voter */
/** @typedef {(name: string, more?: object) => Promise<any>} Ask */

const REMOVED =
  "This deletes the student\u2019s votes and texts, takes the phone out of the class and frees " +
  "the nickname. The phone can join again with the code, unless you stop new students joining.";
const SHARED = "a school\u2019s phones often share one address";

/** @param {Ask} ask */
export const carelessList = (ask) => {
  const list = h("div", { class: "rl-careless" });
  const summary = h("span", {});
  const box = fold(summary, list);
  box.hidden = true;
  const line = (/** @type {ClassState["careless"][number]} */ row) => {
    const { voter, left_out: out } = row;
    const act = () => ask("leave_out", { voter, left_out: !out });
    const words = out ? "Train on these votes again" : "Leave these votes out of training";
    return h(
      "p",
      { class: "rl-careless-row" },
      h("b", {}, row.nickname),
      " ",
      row.careless.join("; ") || "answers like the others",
      out ? "; left out. " : ". ",
      askButton(words, act, "rl-quiet"),
    );
  };
  return {
    box,
    draw: (/** @type {ClassState} */ { careless }) => {
      box.hidden = !careless.length;
      say(summary, `${counted(careless.length, "student")} to check: for you, not for the class`);
      fill(list, careless.map(line));
    },
  };
};

// How many joined later from the same address.
const laterThan = (/** @type {Voter[]} */ voters, /** @type {number} */ voter) => {
  const me = voters.find((one) => one.voter === voter);
  const place = me ? me.place : undefined;
  const same = (/** @type {Voter} */ one) => one.place !== null && one.place === place;
  return voters.filter((one) => one.voter > voter && same(one)).length;
};

const studentLine = ({ voter, nickname }, /** @type {Ask} */ ask, now) => {
  const votes = h("span", {});
  const remove = () => {
    const others = h("input", { type: "checkbox" });
    const later = laterThan(now().voters, voter);
    const those = counted(later, "student");
    const words = ` Also remove ${those} who joined later from the same address`;
    const also = later ? h("label", { class: "rl-check" }, others, words) : null;
    const act = () => ask("remove_student", { voter, later: others.checked });
    confirmFirst(out, h("span", {}, REMOVED, also), "Remove", act);
  };
  const out = askButton("Remove", remove, "rl-quiet");
  const box = h("p", { class: "rl-careless-row" }, h("b", {}, nickname), votes, out);
  return { box, votes };
};

// A student's line is kept while the student is, because it may show the question before a removal.
const register = (/** @type {Ask} */ ask, /** @type {() => ClassState} */ now) => {
  const box = h("div", {});
  /** @type {Map<number, ReturnType<typeof studentLine>>} */
  const lines = new Map();
  const lineOf = (/** @type {Voter} */ one) => {
    if (!lines.has(one.voter)) {
      lines.set(one.voter, studentLine(one, ask, now));
      box.append(lines.get(one.voter).box);
    }
    return lines.get(one.voter);
  };
  const draw = (/** @type {Voter[]} */ voters) => {
    const there = new Set(voters.map((one) => one.voter));
    for (const [voter, line] of lines)
      if (!there.has(voter)) {
        line.box.remove();
        lines.delete(voter);
      }
    for (const one of voters) {
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
  const limit = field("Maximum number of students from one network address", most, SHARED);
  const box = fold(
    summary,
    soft("For you, not for the class: this list shows names."),
    names.box,
    h("div", { class: "rl-class-form" }, limit),
  );
  return {
    box,
    draw: (/** @type {ClassState} */ view) => {
      if (document.activeElement !== most) most.value = String(view.most_joins);
      const real = view.voters.filter((one) => !one.simulated);
      say(summary, `${counted(real.length, "student")} on phones: see names, remove a student`);
      names.draw(real);
    },
  };
};
