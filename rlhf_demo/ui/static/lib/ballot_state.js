// @ts-check
// The state of a ballot: which texts are shown, which come next, and whether an answer is being
// sent. It does not touch the page; it tells the view about each change.
import { reached, wait } from "./poll.js";

/** @typedef {import("../types").ShownAssignment} Assignment */
/**
 * @typedef {string} Choice "left", "right", "tie", "both_bad" or "skip"; for four texts to rank
 *   their order, such as "CADB", or "skip"
 */

/**
 * Each answer may be {error: "one sentence"}: the ballot shows it and fetches the pair again.
 * @typedef {object} Source the server functions of a ballot
 * @property {(after?: any) => Promise<any>} next promise of {assignment, message}. assignment: a
 *   pair, or null; `message` then says in a sentence why there is none (the ballot asks again by
 *   itself). Without `after`: the pair to answer now, the same one until it is answered. With
 *   `after`, the id of the pair on the screen: the next pair, fetched ahead (only if `ahead`).
 * @property {(id: any, choice: Choice) => Promise<any>} vote sent again if the server does not
 *   answer, so it must count once
 * @property {() => Promise<any>} [undo] promise of {undone}; missing if answers are final
 * @property {boolean} [ahead] whether the next pair is fetched while this one is read
 * @property {(answer: any, choice: Choice, assignment: Assignment) => any} [onvote] called when an
 *   answer has been kept; the ballot awaits its result
 */

/**
 * @typedef {object} View
 * @property {(assignment: Assignment | null, message: string) => void} show a pair, or the reason
 * @property {(ready: boolean) => void} enable whether an answer can be given
 * @property {(possible: boolean) => void} enableUndo
 * @property {(sentence: string | null | undefined) => void} problem
 * @property {() => boolean} alive false if the ballot has left the page
 * @property {() => boolean} seen whether the ballot is in sight
 */

/**
 * How long things take, in milliseconds.
 * @typedef {{askAgain: number, sendAgain: number, readAtLeast: number, stayAgain: number}} Pauses
 */

/** @type {Pauses} `readAtLeast` keeps a double tap from answering the next pair too; the server
 *  keeps a place for two minutes, four times `stayAgain` */
export const PAUSES = { askAgain: 1500, sendAgain: 2000, readAtLeast: 250, stayAgain: 30_000 };

const SILENT = "The server is not answering. This page will try again by itself.";
const NONE = "There is no pair to show right now.";
const UNSENT = "The server is not answering. This page will send your answer again by itself.";

export class BallotState {
  /** @type {Assignment | null} */
  now = null;
  /** @type {Assignment | null} */
  ahead = null;
  busy = false;
  paused = false;
  // While the voter writes a text for the pair, the pair stays.
  writing = false;
  mayUndo = false;
  // Counts requests: the answer to an older request is ignored.
  request = 0;
  shownAt = -Infinity;
  askedAt = -Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  asking = undefined;

  /**
   * @param {Source} source
   * @param {View} view
   * @param {Pauses} [pauses]
   */
  constructor(source, view, pauses = PAUSES) {
    this.source = source;
    this.view = view;
    this.pauses = pauses;
  }

  /** @param {Assignment | null} assignment  @param {string} [message] */
  show(assignment, message) {
    this.now = assignment;
    this.shownAt = performance.now();
    this.view.show(assignment, message || NONE);
    this.enable();
  }

  enable() {
    this.view.enable(Boolean(this.now) && !this.busy && !this.writing);
  }

  async fetchAhead() {
    this.ahead = null;
    if (!this.source.ahead || !this.now) return;
    const { request } = this;
    const after = this.now.id;
    try {
      const answer = await reached(this.source.next(after));
      const still = request === this.request && this.now && this.now.id === after;
      if (still && !answer.error) this.ahead = answer.assignment;
    } catch {
      // The pair is fetched when it is needed.
    }
  }

  /** @param {number} request */
  askAgain(request) {
    this.asking = setTimeout(() => {
      if (request !== this.request || !this.view.alive()) return;
      if (this.view.seen()) this.refresh();
      else this.askAgain(request);
    }, this.pauses.askAgain);
  }

  // Asks until there is a pair, the ballot is paused, or a newer request takes over.
  async refresh() {
    const request = ++this.request;
    this.paused = false;
    this.ahead = null;
    clearTimeout(this.asking);
    const answer = await this.asked();
    if (request !== this.request || !this.view.alive()) return;
    const { assignment, error, message } = answer;
    if (error) this.view.problem(error);
    else if (assignment) this.view.problem("");
    if (assignment && this.now && assignment.id === this.now.id) this.enable();
    else this.show(assignment || null, message || error);
    if (this.now) this.fetchAhead();
    else this.askAgain(request);
  }

  async asked() {
    try {
      return await reached(this.source.next());
    } catch {
      return { assignment: null, message: SILENT };
    }
  }

  // Tries until the server answers, so answers are kept in order. One that arrives twice counts
  // once.
  /** @param {any} id  @param {Choice} choice */
  async send(id, choice) {
    for (;;) {
      try {
        return await reached(this.source.vote(id, choice));
      } catch {
        this.view.problem(UNSENT);
        if (!this.view.alive()) return { error: "" };
        await wait(this.pauses.sendAgain);
      }
    }
  }

  get tooSoon() {
    return performance.now() - this.shownAt < this.pauses.readAtLeast;
  }

  /** @param {Choice} choice */
  async answer(choice) {
    if (!this.now || this.busy || this.paused || this.writing || this.tooSoon) return;
    this.busy = true;
    const request = ++this.request;
    const voted = this.now;
    if (this.ahead) this.show(this.ahead);
    this.enable();
    const kept = await this.send(voted.id, choice);
    this.busy = false;
    if (kept.error !== undefined) await this.refused(request, kept.error);
    else await this.accepted(request, kept, choice, voted);
  }

  /** @param {number} request  @param {string} error */
  async refused(request, error) {
    if (request === this.request) {
      this.now = null;
      await this.refresh();
    }
    this.view.problem(error);
  }

  /**
   * @param {number} request
   * @param {any} kept
   * @param {Choice} choice
   * @param {Assignment} voted
   */
  async accepted(request, kept, choice, voted) {
    this.view.problem("");
    this.allowUndo(true);
    if (this.source.onvote) await this.source.onvote(kept, choice, voted);
    if (request !== this.request) return;
    if (this.now === voted) {
      await this.refresh();
      return;
    }
    this.enable();
    this.fetchAhead();
  }

  /** @param {boolean} possible */
  allowUndo(possible) {
    this.mayUndo = possible;
    this.view.enableUndo(possible);
  }

  /** @param {(promise: Promise<any>) => Promise<any>} answered shows an error, and is then null */
  async takeBack(answered) {
    if (!this.source.undo || !this.mayUndo || this.busy || this.writing) return;
    this.busy = true;
    this.enable();
    const answer = await answered(reached(this.source.undo()));
    this.busy = false;
    this.enable();
    if (!answer) return;
    this.allowUndo(Boolean(answer.undone));
    if (answer.undone) await this.refresh();
  }

  /** @param {boolean} writing */
  write(writing) {
    this.writing = writing;
    this.enable();
  }

  // Asking for the pair keeps the voter's place in it; a voter who writes takes long to answer.
  async stay() {
    if (performance.now() - this.askedAt < this.pauses.stayAgain) return;
    this.askedAt = performance.now();
    try {
      await this.source.next();
    } catch {
      // The text can be kept without the place.
    }
  }

  /** @param {string} sentence in place of the pair, until `refresh` */
  pause(sentence) {
    this.request++;
    this.paused = true;
    clearTimeout(this.asking);
    this.show(null, sentence);
  }
}
