// The Runs tab: the list of all runs, the one that is picked, and two runs' curves over each other.
(() => {
  const { h } = rlhf;

  const kindOf = (kind) => (rlhf.stages[kind] || { title: kind }).title;
  const curvesOf = (kind) => (rlhf.stages[kind] || { curves: [] }).curves;
  const DASHES = ["solid", "dash"];
  const BUSY = ["running", "queued"];

  const when = (text) => new Date(text).toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  const stateWords = (row) => {
    if (row.status === "queued") return row.place ? `waiting, place ${row.place}` : "waiting";
    return row.status === "running" && row.step ? `running, step ${row.step}${row.total_steps ? ` of ${row.total_steps}` : ""}` : row.status === "finished" && row.step < row.total_steps ? "ended early" : row.status;
  };
  const figureChips = (row) =>
    row.figures.length
      ? row.figures.map(([name, value, color]) => h("span", { class: "rl-run-figure" }, h("b", { style: { color: `var(--rl-${color})` } }, value), ` ${name}`))
      : h("span", { class: "rl-soft" }, row.status === "queued" ? "not begun" : "no figures yet");

  // -- the list -----------------------------------------------------------------------------------

  const list = ({ pick, tick }) => {
    const body = h("tbody");
    const lines = new Map();
    const empty = h("p", { class: "rl-soft", hidden: true }, "No run yet. The first one starts on the page Start, Reward model or PPO.");
    const table = h("table", { class: "rl-runs-table" },
      h("caption", { class: "rl-unseen" }, "All runs, newest first"),
      h("thead", {}, h("tr", {}, ["Curves", "Run", "Kind", "State", "Last figures", "Begun"].map((name) => h("th", { scope: "col" }, name)))),
      body);

    const line = (row) => {
      const box = h("input", { type: "checkbox", "aria-label": `Draw the curves of ${row.title}`, onchange: () => tick(row.id, box.checked) });
      const name = h("button", { class: "rl-run-name", type: "button", onclick: () => pick(row.id) }, row.title);
      const state = h("span", { class: "rl-badge" });
      const figures = h("td", { class: "rl-run-figures" });
      const mark = row.example ? "example" : row.of_class ? "class" : ""; // anybody may choose a title like a class's
      const tr = h("tr", { onclick: (event) => event.target.closest("label, button") || pick(row.id) },
        h("td", { class: "rl-run-tick" }, h("label", { title: "Draw its curves over another run\u2019s" }, box)),
        h("td", {}, name, mark ? h("span", { class: "rl-chip" }, mark) : null, row.title === row.id ? null : h("small", {}, row.id)),
        h("td", { class: "rl-soft" }, kindOf(row.kind)), h("td", {}, state), figures,
        h("td", { class: "rl-soft rl-run-date" }, when(row.created_at)));
      return { tr, box, state, figures, shown: "" };
    };

    const draw = (rows, picked, ticked) => {
      const kind = (rows.find((row) => row.id === ticked[0]) || {}).kind;
      for (const row of rows) {
        if (!lines.has(row.id)) lines.set(row.id, line(row));
        const one = lines.get(row.id);
        one.tr.toggleAttribute("data-picked", row.id === picked);
        one.box.checked = ticked.includes(row.id);
        one.box.disabled = !curvesOf(row.kind).length || (!one.box.checked && (ticked.length === 2 || (kind && kind !== row.kind)));
        const shown = JSON.stringify(row);
        if (one.shown === shown) continue;
        one.shown = shown;
        one.state.dataset.state = row.status === "damaged" || (row.status === "finished" && row.step < row.total_steps) ? "failed" : row.status;
        rlhf.say(one.state, stateWords(row));
        rlhf.fill(one.figures, figureChips(row));
      }
      const wanted = rows.map((row) => lines.get(row.id).tr);
      if (wanted.length !== body.children.length || wanted.some((tr, i) => tr !== body.children[i])) body.replaceChildren(...wanted);
      for (const id of lines.keys()) if (!rows.some((row) => row.id === id)) lines.delete(id);
      empty.hidden = rows.length > 0;
      table.hidden = rows.length === 0;
    };
    return { element: [h("div", { class: "rl-runs-list" }, table), empty], draw };
  };

  // -- the one that is picked -----------------------------------------------------------------------

  const copy = async (code, button) => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      rlhf.say(button, "Copied");
    } catch (error) {
      // A page that came over plain HTTP may not write the clipboard.
      getSelection().selectAllChildren(code);
      rlhf.say(button, "Selected: press Ctrl C");
    }
    setTimeout(() => rlhf.say(button, "Copy"), 2500);
  };

  const details = ({ server, trigger, changed, deleted }) => {
    const root = h("section", { class: "rl-run-details", hidden: true, "aria-label": "The run that is picked" });
    const problem = h("p", { hidden: true });
    let shown = "", now = null;

    const change = async (name, after) => (await rlhf.call(problem, server[name]({ run: now.id, ...rlhf.proof() }))) && after();
    const button = (text, act, more = "") => h("button", { class: `rl-button ${more}`, type: "button", onclick: (event) => act(event.currentTarget) }, text);
    const download = async (from) => {
      from.disabled = true;
      rlhf.say(from, "Packing");
      const answer = await rlhf.call(problem, server.zip_run({ run: now.id }));
      if (answer) h("a", { href: encodeURI(answer.link), download: `${now.id}.zip` }).click();
      from.disabled = false;
      rlhf.say(from, "Download as zip");
    };
    const again = () => {
      trigger("select", { run: now.id });
      rlhf.openTab(rlhf.tabOf(now.id));
      rlhf.openForm();
    };

    const buttons = () => {
      const over = !BUSY.includes(now.status);
      return h("div", { class: "rl-inline" },
        now.has_board ? button("Open", () => rlhf.showRun(now.id, now.kind), "rl-main") : null,
        now.mine && !over ? button("Stop", () => change("stop_job", changed)) : null,
        now.mine && ["stopped", "failed"].includes(now.status) ? button("Resume", () => change("resume_job", changed)) : null,
        now.has_board ? button("Run again with other settings", again) : null,
        now.damaged ? null : button("Download as zip", download),
        now.mine && (over || now.status === "queued") ? button("Delete", (from) => rlhf.confirm(from, `Delete \u201c${now.title}\u201d and its model for good?`, "Delete it", () => change("delete_run", () => deleted(now.id))), "rl-danger") : null,
        now.mine ? null : h("span", { class: "rl-soft" }, now.example ? "An example, really trained, shipped with this page: it cannot be changed." : "Only whoever started it can stop or delete it."));
    };

    const settings = () =>
      now.settings.length
        ? h("dl", { class: "rl-settings" }, now.settings.map((one) => h("div", { tabindex: 0 }, h("dt", {}, one.name), h("dd", {}, one.value), h("dd", { class: "rl-meaning" }, `${one.meaning}. Default: ${one.default}`))))
        : h("p", { class: "rl-soft" }, "All settings are the defaults.");

    const draw = (answer) => {
      root.hidden = !answer;
      if (!answer) return (shown = "");
      // Drawn anew only when something changed, and not under a question that waits for its answer.
      const text = JSON.stringify(answer);
      if (text === shown || (now && now.id === answer.id && root.querySelector(".rl-confirm"))) return;
      if (!now || now.id !== answer.id) rlhf.problem(problem, "");
      shown = text;
      now = answer;
      const code = h("code", { class: "rl-command" }, now.command);
      rlhf.fill(root,
        h("h2", { class: "rl-h2" }, now.title, " ", h("span", { class: "rl-soft rl-plain-weight" }, `${kindOf(now.kind)}${now.title === now.id ? "" : `, ${now.id}`}`)),
        now.result ? h("p", {}, now.result) : null,
        now.message && now.message !== now.status ? h("p", { class: ["failed", "damaged"].includes(now.status) ? "rl-problem" : "rl-soft" }, now.message) : null,
        now.log ? h("details", { class: "rl-fold" }, h("summary", {}, "The end of its log"), h("pre", { class: "rl-log" }, now.log)) : null,
        buttons(), problem);
      if (now.damaged) return;
      root.append(
        h("h3", {}, "Settings that are not the defaults ", h("span", {}, "point at one, or tap it, for its meaning")), settings(),
        h("h3", {}, "The command that repeats it ", h("span", {}, "with the same seed: the same numbers")),
        h("div", { class: "rl-command-line" }, code, button("Copy", (from) => copy(code, from))));
    };
    return { element: root, draw, problem: (sentence) => rlhf.problem(problem, sentence) };
  };

  // -- two curves over each other -------------------------------------------------------------------

  const overlay = (server) => {
    const root = h("section", { hidden: true, "aria-label": "Curves over each other" });
    const problem = h("p", { hidden: true });
    const legend = h("p", { class: "rl-overlay-legend" });
    const grid = h("div", { class: "rl-grid-2" });
    rlhf.fill(root, h("h2", { class: "rl-h2" }, "Over each other"), legend, problem, grid);
    let cards = [], shownKind = null, fetched = "";

    const prepare = (kind) => {
      if (kind === shownKind) return;
      shownKind = kind;
      // The two lines are called A and B inside the charts: Plotly reads names as markup.
      cards = curvesOf(kind).map((spec) => rlhf.chartCard({
        ...spec, height: 230, series: DASHES.map((dash, i) => ({ name: "AB"[i], color: spec.color, dash, mode: spec.mode, size: 6 })),
      }));
      rlhf.fill(grid, cards.map((one) => one.card));
    };

    const draw = async (rows) => {
      root.hidden = rows.length === 0;
      if (root.hidden) return (fetched = "");
      prepare(rows[0].kind);
      rlhf.fill(legend, rows.map((row, i) => h("span", {}, h("i", { "data-dash": DASHES[i] }), h("b", {}, "AB"[i]), ` ${row.title}`, row.title === row.id ? null : h("small", { class: "rl-soft" }, ` ${row.id}`))),
        rows.length === 1 ? h("span", { class: "rl-soft" }, `Tick a second ${kindOf(rows[0].kind)} run to compare.`) : null);
      // What is over does not change any more.
      const state = JSON.stringify(rows.map((row) => [row.id, row.step, row.status]));
      if (state === fetched) return;
      const answer = await rlhf.call(problem, server.run_curves({ runs: rows.map((row) => row.id) }));
      if (!answer) return;
      fetched = state;
      cards.forEach((one, c) => one.chart.replace(DASHES.map((dash, i) => {
        const points = answer.runs[i] ? answer.runs[i].curves[curvesOf(shownKind)[c].key] : [];
        return { x: points.map(([step]) => step), y: points.map(([, value]) => value) };
      })));
    };
    return { element: root, draw };
  };

  // -- the instructor -------------------------------------------------------------------------------

  const instructor = (server, changed) => {
    const problem = h("p", { hidden: true });
    const input = h("input", { type: "password", "aria-label": "Instructor\u2019s password", autocomplete: "off" });
    const said = h("span", { class: "rl-soft", role: "status" });
    const forget = h("button", { class: "rl-button", type: "button" }, "Forget it");
    const draw = () => {
      const known = !!rlhf.instructor.get();
      forget.hidden = !known;
      rlhf.say(said, known ? "You can stop and delete every run, until this browser tab is closed." : "Whoever knows it can stop and delete every run.");
    };
    const form = h("form", { class: "rl-inline", onsubmit: async (event) => {
      event.preventDefault();
      const answer = await rlhf.call(problem, server.check_password({ password: input.value }));
      if (!answer) return;
      rlhf.instructor.keep(answer.token);
      input.value = "";
      draw();
      changed();
    } }, input, h("button", { class: "rl-button", type: "submit" }, "Use this password"), forget, said);
    forget.onclick = () => (rlhf.instructor.forget(), draw(), changed());
    draw();
    return h("details", { class: "rl-fold" }, h("summary", {}, "Instructor"), form, problem);
  };

  rlhf.runs = ({ element, props, server, trigger }) => {
    let picked = rlhf.address().run || "", ticked = [];
    const changed = () => poller.now();
    const pick = (id) => {
      picked = id;
      rlhf.setAddress({ run: id });
      poller.now().then(() => shown.element.scrollIntoView({ block: "nearest", behavior: "smooth" }));
    };
    const tick = (id, on) => {
      ticked = on ? [...ticked, id] : ticked.filter((one) => one !== id);
      changed();
    };
    const forgetRun = (id) => {
      picked = "";
      for (const kind of Object.keys(rlhf.wanted || {})) if (rlhf.wanted[kind] === id) delete rlhf.wanted[kind];
      if (rlhf.address().run === id) rlhf.setAddress({ run: null });
      changed();
    };
    const runs = list({ pick, tick });
    const shown = details({ server, trigger, changed, deleted: forgetRun });
    const curves = overlay(server);
    rlhf.fill(element.querySelector(".rl-runs"), runs.element, curves.element, shown.element, props.value.password ? instructor(server, changed) : null);

    const poller = rlhf.poll(element, 2000, async () => {
      const answer = await server.runs_state({ run: picked, ...rlhf.proof() });
      if (answer.error) return shown.problem(answer.error);
      ticked = ticked.filter((id) => answer.runs.some((row) => row.id === id));
      runs.draw(answer.runs, picked, ticked);
      shown.draw(answer.picked);
      await curves.draw(ticked.map((id) => answer.runs.find((row) => row.id === id)));
    });
    window.addEventListener("rlhf:run", (event) => (picked = event.detail.id));
  };
})();
