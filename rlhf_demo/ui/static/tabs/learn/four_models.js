// @ts-check
// PPO's four models as a drawing: what each reads and returns, and which of them learn.
import { h, soft } from "../../shared/dom.js";

const SPACE = "http://www.w3.org/2000/svg";
const SAID =
  "The policy reads a prompt and writes a response. Three models read both. The reference gives " +
  "each token a probability. Comparing it with the policy\u2019s gives the token\u2019s KL. The " +
  "reward model gives one score for the text. The value head gives a value for each token. From " +
  "these, PPO computes rewards and advantages. The policy and the value head learn from them; " +
  "the reference and the reward model stay as they are.";
const LEGEND = "Orange: PPO changes it. Grey: it stays as it is. Dashed: what they learn from.";

const s = (/** @type {string} */ tag, /** @type {Record<string, any>} */ given, ...children) => {
  const element = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(given)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
};

const words = (/** @type {number} */ x, /** @type {number} */ y, /** @type {string[]} */ lines) =>
  lines.map((line, i) => s("text", { x, y: y + 16 * i }, line));

// A model, drawn around its middle.
const model = (/** @type {number} */ x, /** @type {number} */ y, name, learns = false) => {
  const rect = s("rect", { x: x - 51, y: y - 22, width: 102, height: 44, rx: 6 });
  const [first, second] = words(x, y - 4, [name, learns ? "learns" : "frozen"]);
  first.classList.add("rl-name");
  return s("g", { class: learns ? "rl-learns" : "rl-frozen" }, rect, first, second);
};

const arrow = (/** @type {string} */ d, learned = false) =>
  s("path", { d, class: learned ? "rl-learned" : "rl-flow", "marker-end": "url(#rl-arrow)" });

const head = () => {
  const size = { viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8 };
  const tip = s("path", { d: "M0 0 L8 4 L0 8 Z" });
  return s("marker", { id: "rl-arrow", orient: "auto", ...size }, tip);
};

const drawing = () => {
  const [left, middle, right] = [57, 165, 273];
  const columns = [left, middle, right];
  const returned = [
    ["KL of", "each token"],
    ["one score", "for the text"],
    ["value of", "each token"],
  ];
  return s(
    "svg",
    { viewBox: "-8 0 346 264", role: "img", "aria-label": SAID, class: "rl-four-models" },
    s("defs", {}, head()),
    ...words(left, 42, ["prompt"]),
    arrow("M84 38 H113"),
    model(middle, 38, "Policy", true),
    arrow("M216 38 H242"),
    ...words(right, 42, ["response"]),
    s("path", { d: `M${left} 50 V84 H${right} V50`, class: "rl-flow" }),
    ...columns.map((x) => arrow(`M${x} 84 V106`)),
    model(left, 130, "Reference"),
    model(middle, 130, "Reward model"),
    model(right, 130, "Value head", true),
    ...columns.flatMap((x, i) => words(x, 174, returned[i])),
    ...columns.map((x) => arrow(`M${x} 198 V222`)),
    s("rect", { x: 6, y: 224, width: 318, height: 34, rx: 6, class: "rl-computed" }),
    ...words(middle, 245, ["rewards and advantages of the tokens"]),
    arrow("M6 241 H-3 V6 H165 V14", true),
    arrow("M324 241 H333 V130 H326", true),
  );
};

export const fourModels = () => h("div", {}, drawing(), soft(LEGEND));
