// @ts-check
// The state of a ballot: which pair is shown, which one comes next, and what waits for an answer.
// It knows no page; the view is told whenever something has changed.
import { reached, wait } from "./poll.js";

/**
 * @typedef {{id: any, question: string, prompt: string, left: string, right: string}} Assignment
 */
/** @typedef {"left" | "right" | "tie" | "both_bad" | "skip"} Choice */

/**
 * Any of the promised answers may be {error: "one sentence"}: it is shown, and the pair is fetched
 * anew.
 * @typedef {object} Source where pairs come from and answers go
 * @property {(after?: any) => Promise<any>} next promise of {assignment, message}. assignment: a
 *   pair, or null; `message` then says in a sentence why there is none (the ballot asks again by
 *   itself). Without `after`: the pair to answer now, the same one until it is answered. With the
 *   id of the pair on the screen: the next pair, fetched ahead; only where `ahead` is true.
 * @property {(id: any, choice: Choice) => Promise<any>} vote It is sent again where the server does
 *   not answer, so it must count once.
 * @property {() => Promise<any>} [undo] promise of {undone}; left out where answers stay
 * @property {boolean} [ahead] the next pair is fetched while this one is read, and stands there at
 *   once
 * @property {(answer: any, choice: Choice, assignment: Assignment) => any} [onvote] called when an
 *   answer is kept; a promise it returns is waited for
 */

/**
 * @typedef {object} View
 * @property {(assignment: Assignment | null, message: string) => void} show a pair, or why not
 * @property {(ready: boolean) => void} enable whether an answer can be given
 * @property {(possible: boolean) => void} enableUndo
 * @property {(sentence: string | null | undefined) => void} problem
 * @property {() => boolean} alive false: the ballot is gone from the page
 * @property {() => boolean} seen whether somebody looks
 */

/**
 * How long things take, in milliseconds.
 * @typedef {{askAgain: number, sendAgain: number, readAtLeast: number}} Pauses
 */

/** @type {Pauses} the last one spares a double tap the next pair */
export const PAUSES = { askAgain: 1500, sendAgain: 2000, readAtLeast: 250 };

const SILENT = "The server is not answering. This page will try again by itself.";
const NONE = "There is no pair to show right now.";
const UNSENT = "The server is not answering. Your answer will be sent again by itself.";

export class BallotState {
  /** @type {Assignment | null} */
  now = null;
  /** @type {Assignment | null} */
  ahead = null;
  busy = false;
  paused = false;
  mayUndo = false;
  // Counts what was wished for: an answer to an older wish is too late.
  turn = 0;
  shownAt = -Infinity;
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
    this.view.enable(Boolean(this.now) && !this.busy);
  }

  async fetchAhead() {
    this.ahead = null;
    if (!this.source.ahead || !this.now) return;
    const { turn } = this;
    const after = this.now.id;
    try {
      const answer = await reached(this.source.next(after));
      const still = turn === this.turn && this.now && this.now.id === after;
      if (still && !answer.error) this.ahead = answer.assignment;
    } catch {
      // The pair is fetched when it is needed.
    }
  }

  /** @param {number} turn */
  askAgain(turn) {
    this.asking = setTimeout(() => {
      if (turn !== this.turn || !this.view.alive()) return;
      if (this.view.seen()) this.refresh();
      else this.askAgain(turn);
    }, this.pauses.askAgain);
  }

  // Asks until there is a pair, somebody paused the ballot, or a newer wish took over.
  async refresh() {
    const turn = ++this.turn;
    this.paused = false;
    this.ahead = null;
    clearTimeout(this.asking);
    const answer = await this.asked();
    if (turn !== this.turn || !this.view.alive()) return;
    const { assignment, error, message } = answer;
    if (error) this.view.problem(error);
    else if (assignment) this.view.problem("");
    if (assignment && this.now && assignment.id === this.now.id) this.enable();
    else this.show(assignment || null, message || error);
    if (this.now) this.fetchAhead();
    else this.askAgain(turn);
  }

  async asked() {
    try {
      return await reached(this.source.next());
    } catch {
      return { assignment: null, message: SILENT };
    }
  }

  // Kept in the order given; a lost line is waited for, since an answer that comes twice counts
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
    if (!this.now || this.busy || this.paused || this.tooSoon) return;
    this.busy = true;
    const turn = ++this.turn;
    const voted = this.now;
    if (this.ahead) this.show(this.ahead);
    this.enable();
    const kept = await this.send(voted.id, choice);
    this.busy = false;
    if (kept.error !== undefined) await this.refused(turn, kept.error);
    else await this.accepted(turn, kept, choice, voted);
  }

  /** @param {number} turn  @param {string} error */
  async refused(turn, error) {
    if (turn === this.turn) {
      this.now = null;
      await this.refresh();
    }
    this.view.problem(error);
  }

  /** @param {number} turn  @param {any} kept  @param {Choice} choice  @param {Assignment} voted */
  async accepted(turn, kept, choice, voted) {
    this.view.problem("");
    this.allowUndo(true);
    if (this.source.onvote) await this.source.onvote(kept, choice, voted);
    if (turn !== this.turn) return;
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
    if (!this.source.undo || !this.mayUndo || this.busy) return;
    this.busy = true;
    this.enable();
    const answer = await answered(reached(this.source.undo()));
    this.busy = false;
    this.enable();
    if (!answer) return;
    this.allowUndo(Boolean(answer.undone));
    if (answer.undone) await this.refresh();
  }

  /** @param {string} sentence in place of the pair, until `refresh` */
  pause(sentence) {
    this.turn++;
    this.paused = true;
    clearTimeout(this.asking);
    this.show(null, sentence);
  }
}
