// The header and the strip: where you are in the loop, what each stage has reached, and the way there.
(() => {
  const { h } = rlhf;

  rlhf.strip = ({ element, server }) => {
    rlhf.applySavedTheme();
    const root = element.querySelector(".rl-top");
    const nav = h("nav", { class: "rl-strip", "aria-label": "The loop" });
    const theme = h("button", { class: "rl-button rl-quiet", type: "button", title: "Light or dark", "aria-label": "Switch between light and dark", onclick: rlhf.switchTheme }, "\u25D0");
    const note = h("p", { class: "rl-note", hidden: true });
    rlhf.fill(root,
      h("header", {}, h("h1", {}, "RLHF, live"), h("p", {}, "Teach a small GPT-2 what people prefer, and watch it learn."), theme),
      nav, note,
    );
    const buttons = new Map();
    let current = (rlhf.address().tab || "start").toLowerCase();

    const mark = () => {
      for (const [tab, button] of buttons) button.toggleAttribute("aria-current", tab === current) || button.removeAttribute("aria-current");
      const now = buttons.get(current);
      if (now) now.setAttribute("aria-current", "page");
    };

    const draw = (stages) => {
      for (const stage of stages) {
        let button = buttons.get(stage.tab);
        if (!button) {
          button = h("button", { type: "button", onclick: () => rlhf.openTab(stage.tab) }, h("b", {}), h("small", {}));
          buttons.set(stage.tab, button);
          nav.append(button);
        }
        rlhf.say(button.querySelector("b"), stage.title);
        rlhf.say(button.querySelector("small"), stage.line);
        button.dataset.state = stage.state;
        button.dataset.run = stage.run;
      }
      mark();
    };

    window.addEventListener("rlhf:tab", (event) => {
      current = event.detail;
      mark();
    });
    const poller = rlhf.poll(element, 8000, async () => {
      const answer = await server.strip_state(0);
      draw(answer.stages);
      rlhf.overview = answer;
      note.hidden = !answer.note;
      rlhf.say(note, answer.note || "");
    });
    window.addEventListener("rlhf:run", () => poller.now());
    // Between two looks the strip counts along with the board in sight, which hears of each step.
    const statuses = new Map();
    window.addEventListener("rlhf:board", ({ detail: { kind, run } }) => {
      const button = buttons.get(rlhf.stages[kind].tab);
      const changed = statuses.has(run.id) && statuses.get(run.id) !== run.status;
      statuses.set(run.id, run.status);
      if (changed) poller.now();
      else if (button && button.dataset.run === run.id && run.status === "running")
        rlhf.say(button.querySelector("small"), `running, step ${run.step || 0} of ${run.total_steps || "?"}`);
    });

    // The address says which page, run or comparison to open.
    const wanted = rlhf.address();
    const open = (tries) => {
      const tab = wanted.tab || (wanted.compare ? "compare" : wanted.run ? rlhf.tabOf(wanted.run) : "start");
      if (!rlhf.openTab(tab) && tries) setTimeout(() => open(tries - 1), 50);
    };
    open(100);
  };
})();
