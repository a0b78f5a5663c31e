// @ts-check
// The state of a voter's own text for the pair on the screen: whether the form is open, what is in
// it, and what the server has kept. It does not touch the page; it tells the view about changes.
import { counted } from "./format.js";
import { reached } from "./poll.js";

/** @typedef {import("../types").ShownAssignment} Assignment */

/**
 * Each answer may be {error: "one sentence"}.
 * @typedef {object} Texts the server functions for a voter's texts
 * @property {(id: number, text: string) => Promise<any>} keep promise of {written, count}: what is
 *   on disk then, and how many texts the voter has
 * @property {(id: number) => Promise<any>} remove promise of {deleted}
 * @property {number} longest characters of a text
 * @property {string} use who can read a text, and what can learn from it
 */

const SILENT = "The server is not answering, so nothing has changed. Press the button again.";
const NO_VOTE = "It is not a vote, so please also answer the question above.";

// As people count them: an emoji is one character, not two.
const lengthOf = (/** @type {string} */ text) => [...text.trim()].length;

export class WritingState {
  /** @type {Assignment | null} */
  now = null;
  allowed = true;
  open = false;
  busy = false;
  text = "";
  problem = "";
  said = "";
  // Texts that have been begun and not kept, by the assignment's id.
  /** @type {Map<number, string>} */
  drafts = new Map();

  /**
   * @param {Texts} source
   * @param {() => void} changed
   */
  constructor(source, changed) {
    this.source = source;
    this.changed = changed;
  }

  /** @param {Assignment | null} assignment the pair that is on the screen from now on */
  show(assignment) {
    const same = assignment && this.now && assignment.id === this.now.id;
    this.now = assignment;
    if (!same) {
      this.open = false;
      this.problem = "";
      this.said = "";
    }
    this.changed();
  }

  /** @param {boolean} allowed whether this vote takes texts */
  allow(allowed) {
    this.allowed = allowed;
    this.open = this.open && allowed;
    this.changed();
  }

  // Whether there is a pair that a text can be written for.
  get possible() {
    return Boolean(this.now) && this.allowed;
  }

  // The text that the server has kept, after its prompt, as a model reads them.
  get whole() {
    const { prompt, written } = this.now || {};
    return written ? `${prompt}${written}` : "";
  }

  get length() {
    return lengthOf(this.text);
  }

  get ready() {
    return !this.busy && this.length > 0 && this.length <= this.source.longest;
  }

  get counter() {
    const count = `${this.length} of ${counted(this.source.longest, "character")}`;
    return this.length > this.source.longest ? `${count}: please shorten it` : count;
  }

  begin() {
    if (!this.possible || this.open) return;
    this.open = true;
    this.said = "";
    this.text = this.drafts.get(this.now.id) ?? (this.now.written || "").trim();
    this.changed();
  }

  // The text stays, in case the form is opened again for this pair.
  close() {
    this.open = false;
    this.problem = "";
    this.changed();
  }

  /** @param {string} text */
  typed(text) {
    this.text = text;
    this.drafts.set(this.now.id, text);
    this.changed();
  }

  async keep() {
    if (!this.open || !this.ready) return;
    const { id } = this.now;
    const answer = await this.asked(this.source.keep(id, this.text));
    if (!answer) return;
    this.drafts.delete(id);
    if (!this.now || this.now.id !== id) return;
    this.now.written = answer.written;
    this.open = false;
    this.said = `Your text is saved; you have written ${counted(answer.count, "text")}. ${NO_VOTE}`;
    this.changed();
  }

  async remove() {
    if (!this.possible || this.busy) return;
    const { id } = this.now;
    const answer = await this.asked(this.source.remove(id));
    if (!answer) return;
    this.drafts.delete(id);
    if (!this.now || this.now.id !== id) return;
    this.now.written = null;
    this.said = "Your text is deleted. A training run that was started with it keeps its copy.";
    this.changed();
  }

  /** @param {Promise<any>} promise  @returns the answer, or null after showing what went wrong */
  async asked(promise) {
    this.busy = true;
    this.problem = "";
    this.changed();
    let answer;
    try {
      answer = await reached(promise);
    } catch {
      answer = { error: SILENT };
    }
    this.busy = false;
    this.problem = answer.error || "";
    this.changed();
    return answer.error === undefined ? answer : null;
  }
}
