// What all parts of the page share: elements made from text (never from markup), numbers with their
// units, the visitor's secret, the address, and polling that is quiet while nobody looks.
(() => {
  const rlhf = (window.rlhf = {});

  // h("p", {class: "soft"}, "text", child): an element. Strings become text nodes, so whatever a
  // model or a person wrote stays text.
  rlhf.h = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === undefined || value === null || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (name === "style") setStyle(element, value);
      else if (name === "value" || name === "checked") element[name] = value;
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
    return element;
  };

  const setStyle = (element, values) => {
    for (const [name, value] of Object.entries(values)) {
      if (name.startsWith("--")) element.style.setProperty(name, value);
      else element.style[name] = value;
    }
  };

  rlhf.fill = (element, ...children) => {
    element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
    return element;
  };

  // Text is only touched where it changed: a screen reader then reads only what is new.
  rlhf.say = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };

  // -- numbers ------------------------------------------------------------------------------------

  const minus = (text) => text.replace("-", "\u2212");
  rlhf.number = (value, digits = 2) => {
    if (value === null || value === undefined || Number.isNaN(value)) return "\u2013";
    const text = Number(value).toFixed(digits);
    return minus(Number(text) === 0 ? text.replace("-", "") : text);
  };
  rlhf.signed = (value, digits = 2) =>
    value === null || value === undefined ? "\u2013" : (value >= 0 ? "+" : "") + rlhf.number(value, digits);
  // The colour of a score beside another one. Where a score's 0 lies says nothing: each scorer has its own.
  rlhf.upOrDown = (score, other) =>
    other === null || other === undefined || score === other ? "" : score > other ? "rl-up" : "rl-down";
  rlhf.percent = (value, digits = 0) =>
    value === null || value === undefined ? "\u2013" : `${rlhf.number(100 * value, digits)}%`;
  rlhf.interval = (low, high) => `[${Math.round(100 * low)}, ${Math.round(100 * high)}]`;
  rlhf.duration = (seconds) => {
    if (seconds === null || seconds === undefined) return "\u2013";
    const whole = Math.max(0, Math.round(seconds));
    if (whole < 100) return `${whole} s`;
    return whole < 6000 ? `${Math.round(whole / 60)} min` : `${Math.round(whole / 3600)} h`;
  };

  // -- the visitor --------------------------------------------------------------------------------

  // A secret made in this browser is all that says who owns a run. It never leaves but to be hashed.
  rlhf.secret = () => {
    let secret = localStorage.getItem("rlhf_demo_secret");
    if (!secret) {
      const bytes = crypto.getRandomValues(new Uint8Array(16));
      secret = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      localStorage.setItem("rlhf_demo_secret", secret);
    }
    return rlhf.instructor.get() || secret;
  };
  // The instructor's token, which the password opens, until this browser tab is closed.
  rlhf.instructor = {
    get: () => sessionStorage.getItem("rlhf_demo_instructor") || "",
    keep: (token) => sessionStorage.setItem("rlhf_demo_instructor", token),
    forget: () => sessionStorage.removeItem("rlhf_demo_instructor"),
  };
  // What a request to change a run proves its right with; at home the strip has heard of `start`.
  rlhf.proof = () => ({ secret: rlhf.secret(), start: (rlhf.overview || {}).start || "" });

  // -- the address: which tab, which run, which comparison ----------------------------------------

  rlhf.address = () => Object.fromEntries(new URLSearchParams(location.search));
  rlhf.setAddress = (changes) => {
    const query = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(changes)) {
      if (value === null || value === undefined || value === "") query.delete(name);
      else query.set(name, value);
    }
    const text = query.toString();
    history.replaceState(history.state, "", location.pathname + (text ? `?${text}` : ""));
  };

  // The strip is the navigation; Gradio's own tab buttons do the switching and are kept out of sight.
  rlhf.openTab = (name) => {
    const buttons = [...document.querySelectorAll("#pages > .tab-wrapper button[role=tab]")];
    const button = buttons.find((one) => one.textContent.trim().toLowerCase() === name.toLowerCase());
    if (!button) return false;
    button.click();
    rlhf.setAddress({ tab: name === "start" ? null : name });
    rlhf.tab = name;
    window.dispatchEvent(new CustomEvent("rlhf:tab", { detail: name }));
    return true;
  };

  // Opens the folded form of the tab in sight, when something has been put into it.
  rlhf.openForm = () =>
    setTimeout(() => {
      const folds = [...document.querySelectorAll(".rl-form > button.label-wrap")];
      const fold = folds.find((one) => one.offsetParent !== null);
      if (fold && !fold.classList.contains("open")) fold.click();
    }, 300);

  // The tab that shows a run, by the kind that its id begins with; PPO's where no tab does.
  rlhf.tabOf = (id) => (rlhf.stages[id.split("-")[0]] || {}).tab || "ppo";

  rlhf.showRun = (id, kind, tab = true) => {
    rlhf.setAddress({ run: id });
    rlhf.wanted = { ...(rlhf.wanted || {}), [kind]: id };
    window.dispatchEvent(new CustomEvent("rlhf:run", { detail: { id, kind } }));
    if (tab) rlhf.openTab(rlhf.stages[kind].tab);
  };

  // -- asking the server --------------------------------------------------------------------------

  // Calls `ask` again and again: after as many seconds as it returns, or after `milliseconds`. Never
  // twice at once, and not while the page or the element is hidden. `now()`, after something was
  // clicked, asks at once, or again as soon as the answer under way is there.
  rlhf.poll = (element, milliseconds, ask) => {
    let busy = false, again = false, timer;
    const tick = async (force) => {
      clearTimeout(timer);
      if (!element.isConnected) return;
      let wait = milliseconds;
      if (busy) {
        again = again || force === true;
        return;
      }
      if (force || !(document.hidden || element.offsetParent === null)) {
        busy = true;
        try {
          wait = 1000 * (await ask()) || milliseconds;
          document.documentElement.classList.remove("rl-offline");
        } catch (error) {
          document.documentElement.classList.add("rl-offline");
        }
        busy = false;
      }
      const repeat = again;
      again = false;
      timer = setTimeout(tick, repeat ? 0 : wait, repeat);
    };
    document.addEventListener("visibilitychange", () => tick(false));
    window.addEventListener("rlhf:tab", () => setTimeout(() => tick(false), 60));
    tick(false);
    return { now: () => tick(true) };
  };

  // Heavy functions answer {busy: true} while others have the server's places; nothing was done then.
  // The page asks again by itself for about a minute: later each time, and not when all others do.
  const MOST_TRIES = 15;
  const asked = async (ask, request) => {
    for (let tries = 1; ; tries++) {
      const answer = await ask(request);
      if (!(answer && answer.busy) || tries === MOST_TRIES) return answer;
      const seconds = Math.min(4, 0.5 * 2 ** (tries - 1)) * (0.5 + Math.random());
      await new Promise((done) => setTimeout(done, 1000 * seconds));
    }
  };
  rlhf.patient = (server) =>
    Object.fromEntries(Object.entries(server).map(([name, ask]) => [name, (request) => asked(ask, request)]));

  // A server function answers {error: "one sentence"} where something cannot be done.
  rlhf.call = async (place, promise) => {
    let answer;
    try {
      answer = await promise;
    } catch (error) {
      answer = { error: "The server did not answer: check that the app still runs, then try again." };
    }
    rlhf.problem(place, answer && answer.error);
    return answer && answer.error ? null : answer;
  };

  rlhf.problem = (place, sentence) => {
    place.classList.add("rl-problem");
    place.setAttribute("role", "alert");
    place.hidden = !sentence;
    rlhf.say(place, sentence || "");
  };

  // A question before something is lost, in the place of the button that asked for it.
  rlhf.confirm = (button, question, yes, act) => {
    const keep = rlhf.h("button", { class: "rl-button", type: "button", onclick: () => done() }, "Keep it");
    const go = rlhf.h("button", { class: "rl-button rl-danger", type: "button", onclick: () => (done(), act()) }, yes);
    const row = rlhf.h("span", { class: "rl-confirm", role: "group" }, rlhf.h("span", {}, question), go, keep);
    const done = () => (row.replaceWith(button), button.focus());
    button.replaceWith(row);
    keep.focus();
  };

  rlhf.download = (name, kind, text) => {
    const link = rlhf.h("a", { href: URL.createObjectURL(new Blob([text], { type: kind })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  // -- light and dark -----------------------------------------------------------------------------

  rlhf.colour = (name) => getComputedStyle(document.body).getPropertyValue(`--rl-${name}`).trim();
  rlhf.onTheme = [];
  const theme = localStorage.getItem("rlhf_demo_theme");
  const applyTheme = (dark) => {
    document.body.classList.toggle("dark", dark);
    for (const told of rlhf.onTheme) told();
  };
  rlhf.switchTheme = () => {
    const dark = !document.body.classList.contains("dark");
    localStorage.setItem("rlhf_demo_theme", dark ? "dark" : "light");
    applyTheme(dark);
  };
  rlhf.applySavedTheme = () => theme && applyTheme(theme === "dark");
  new MutationObserver(() => rlhf.onTheme.forEach((told) => told())).observe(document.documentElement, {
    attributes: true, attributeFilter: ["class"], subtree: false,
  });
})();

// Under a start button: the sentence that says why it could not start, or the way to the run. It
// also takes what another tab hands over for its form, which may happen before it is first opened.
rlhf.handed = {};
window.addEventListener("rlhf:use", ({ detail }) => (rlhf.handed[detail.kind] = detail.run));

rlhf.notice = ({ element, props, watch, trigger }) => {
  const place = rlhf.h("p", { hidden: true });
  element.querySelector(".rl-notice").append(place);
  const { takes } = props.value;
  const take = () => {
    if (!rlhf.handed[takes]) return;
    trigger("select", { run: rlhf.handed[takes] });
    delete rlhf.handed[takes];
  };
  if (takes) window.addEventListener("rlhf:use", take);
  take();
  watch("value", () => {
    const { error, run, kind } = props.value || {};
    rlhf.problem(place, error);
    if (run) rlhf.showRun(run, kind);
  });
};
