// @ts-check
// Asking the server again: at a steady pace, and when it was busy or did not answer.

const MOST_TRIES = 15;

/** @param {number} milliseconds */
export const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/**
 * Calls `ask` repeatedly: after as many seconds as it returns, else after `milliseconds`. Never
 * twice at once, and not while the element is out of sight.
 * @param {() => Promise<number | void>} ask
 * @param {object} around
 * @param {number} around.milliseconds
 * @param {() => boolean} around.alive false ends the polling
 * @param {() => boolean} around.seen whether the element is in sight
 * @param {(well: boolean) => void} around.reached called after each attempt: was it answered?
 * @returns {(force: boolean) => Promise<void>} asks now if the element is in sight. With `force` it
 *   asks in any case; if a request is under way, it asks again when that is answered.
 */
export const repeated = (ask, { milliseconds, alive, seen, reached }) => {
  let busy = false;
  let again = false;
  /** @type {ReturnType<typeof setTimeout>} */
  let timer;
  const tick = async (/** @type {boolean} */ force) => {
    clearTimeout(timer);
    if (!alive()) return;
    if (busy) {
      again = again || force;
      return;
    }
    let pause = milliseconds;
    if (force || seen()) {
      busy = true;
      try {
        pause = 1000 * Number(await ask()) || milliseconds;
        reached(true);
      } catch {
        reached(false);
      }
      busy = false;
    }
    const repeat = again;
    again = false;
    timer = setTimeout(tick, repeat ? 0 : pause, repeat);
  };
  return tick;
};

// A heavy function answers {busy: true}, and does nothing, while the server works for others. The
// page asks again for about a minute, with growing and random pauses.
const asked = async (ask, request) => {
  for (let tries = 1; ; tries++) {
    const answer = await ask(request);
    if (!(answer && answer.busy) || tries === MOST_TRIES) return answer;
    const seconds = Math.min(4, 0.5 * 2 ** (tries - 1)) * (0.5 + Math.random());
    await wait(1000 * seconds);
  }
};

/**
 * The same server functions, but they ask again while the server is busy.
 * @template {Record<string, (request: any) => Promise<any>>} Server
 * @param {Server} server
 * @returns {Server}
 */
export const patient = (server) =>
  /** @type {Server} */ (
    Object.fromEntries(
      Object.entries(server).map(([name, ask]) => [name, (request) => asked(ask, request)]),
    )
  );

/**
 * If the server cannot be reached, Gradio's functions return nothing and do not always throw.
 * @template Answer
 * @param {Promise<Answer>} promise
 */
export const reached = async (promise) => {
  const answer = await promise;
  if (!answer) throw new Error("no answer");
  return answer;
};

/**
 * Asks once at a time. A request made meanwhile is sent afterwards, and the older answer is
 * ignored.
 * @template Answer
 * @param {() => Promise<Answer>} ask
 * @param {(answer: Answer) => void} use
 */
export const latest = (ask, use) => {
  let asking = false;
  let again = false;
  const run = async () => {
    again = asking;
    if (asking) return;
    asking = true;
    const answer = await ask();
    asking = false;
    if (again) await run();
    else use(answer);
  };
  return run;
};
