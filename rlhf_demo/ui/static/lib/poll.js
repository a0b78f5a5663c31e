// @ts-check
// Asking the server again: at a steady pace, and where it was busy or did not answer.

const MOST_TRIES = 15;

/** @param {number} milliseconds */
export const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/**
 * Calls `ask` again and again: after as many seconds as it returns, or after `milliseconds`. Never
 * twice at once, and not while nobody looks.
 * @param {() => Promise<number | void>} ask
 * @param {object} around
 * @param {number} around.milliseconds
 * @param {() => boolean} around.alive false: nothing is asked any more
 * @param {() => boolean} around.seen whether somebody looks
 * @param {(well: boolean) => void} around.reached called after each answer, or the lack of one
 * @returns {(force: boolean) => Promise<void>} asks now if somebody looks. With `force` it asks in
 *   any case, and where an answer is under way again as soon as that is there.
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

// Heavy functions answer {busy: true} while others have the server's places; nothing was done then.
// The page asks again by itself for about a minute: later each time, and not when all others do.
const asked = async (ask, request) => {
  for (let tries = 1; ; tries++) {
    const answer = await ask(request);
    if (!(answer && answer.busy) || tries === MOST_TRIES) return answer;
    const seconds = Math.min(4, 0.5 * 2 ** (tries - 1)) * (0.5 + Math.random());
    await wait(1000 * seconds);
  }
};

/**
 * The same server functions, asked again while the server is busy.
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
 * Where the server cannot be reached Gradio's functions answer nothing, and do not always throw.
 * @template Answer
 * @param {Promise<Answer>} promise
 */
export const reached = async (promise) => {
  const answer = await promise;
  if (!answer) throw new Error("no answer");
  return answer;
};

/**
 * Asks never twice at once: what is wished for meanwhile is asked after it, and the older answer
 * is passed over.
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
