// @ts-check
// How students join, and how many have.
import { ofThem } from "../../lib/class_words.js";
import { h, say, soft } from "../../shared/dom.js";

/** @typedef {import("../../types").ClassState} ClassState */

const LOCAL = ["localhost", "127.0.0.1", "[::1]", "0.0.0.0", "[::]"];
const NEARBY =
  "This address works only on this computer. To let phones in, start the app with " +
  "GRADIO_SERVER_NAME=0.0.0.0 and open this page at the computer\u2019s network name or IP " +
  "address.";

const roundWords = (/** @type {ClassState} */ view) => {
  if (view.state !== "open") return "paused";
  if (view.kind !== "blind") return "feedback";
  return view.round_state === "revealed" ? "revealed" : "blind vote";
};

const peopleWords = (/** @type {ClassState} */ { voters, door_open: open }) => {
  const simulated = voters.filter((one) => one.simulated).length;
  const some = `${voters.length} joined${ofThem(simulated)}`;
  const joined = voters.length ? some : "No one has joined yet";
  return `${joined}${open ? "." : "; new students cannot join now."}`;
};

/** @param {(address: string) => Promise<any>} pictureOf returns a QR code of an address */
export const room = (pictureOf) => {
  const code = h("div", { class: "rl-class-code" }, "\u00A0");
  const address = h("p", { class: "rl-class-address" });
  const nearby = h("p", { class: "rl-soft", hidden: true }, NEARBY);
  const alt = "QR code of the students\u2019 address";
  const picture = h("img", { class: "rl-class-qr", alt });
  const people = h("p", { class: "rl-class-people" });
  const question = h("p", { class: "rl-class-question" });
  const state = h("span", { class: "rl-badge" });
  const way = [soft("Join at"), address, soft("with the code"), code];
  const top = h(
    "div",
    { class: "rl-class-top" },
    h("div", { class: "rl-class-join" }, way),
    picture,
    h("div", { class: "rl-class-room" }, h("div", {}, state), question, people),
  );

  let shown = "";
  const drawAddress = async (/** @type {string} */ link) => {
    say(address, link.replace(/^https?:\/\//, ""));
    nearby.hidden = !LOCAL.includes(location.hostname);
    if (shown === link) return;
    shown = link;
    const answer = await pictureOf(link);
    picture.src = answer.picture || "";
  };
  return {
    top,
    nearby,
    draw: (/** @type {ClassState} */ view) => {
      say(code, view.code);
      drawAddress(`${location.origin}${location.pathname}?class=${view.code}`);
      say(state, `class ${view.collection}, round ${view.round}, ${roundWords(view)}`);
      state.dataset.state = view.state === "open" ? "running" : "failed";
      say(question, view.question);
      // Once PPO or a lesson has started, everyone has joined: the screen is for the results.
      const busy = Boolean(view.ppo || view.lesson);
      top.classList.toggle("rl-compact", view.kind === "blind" || busy);
      say(people, peopleWords(view));
    },
  };
};
