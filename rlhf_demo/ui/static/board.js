// The live board of one run: where it stands, what it means, the curves, and the texts of that step.
(() => {
  const { h } = rlhf;

  const figure = (color) => {
    const value = h("b", { style: { color: color ? `var(--rl-${color})` : null } }, "\u2013");
    const meaning = h("span", {}, "\u00A0");
    const set = (text, words) => {
      const [number, error] = text.split(" \u00B1 ");
      if (value.textContent !== text) rlhf.fill(value, number, error ? h("small", {}, ` \u00B1 ${error}`) : null);
      rlhf.say(meaning, words);
    };
    return { box: h("div", { class: "rl-figure" }, value, meaning), set };
  };

  // The reference and the newest saved model on one prompt, same random numbers.
  const bothModels = (server) => {
    const sides = ["base", "ppo"].map(rlhf.duelSide);
    const note = h("p", { class: "rl-soft" });
    const section = h("section", { class: "rl-both", hidden: true, "aria-label": "Both models on one prompt" }, h("div", { class: "rl-grid-2" }, sides.map((one) => one.card)), note);
    let shown = null;
    return {
      section,
      update: async (run, { model_step: step }) => {
        const key = `${run.id} ${step}`;
        if (key === shown) return;
        shown = key;
        const answer = await server.board_duel({ run: run.id }).catch(() => ({ state: null }));
        if (shown !== key) return;
        section.hidden = !answer.state;
        if (!answer.state) return;
        const { state, settings } = answer;
        const names = [settings.base, answer.step ? `PPO, step ${answer.step}` : "PPO"];
        const pieces = [state.left, state.right];
        sides.forEach((side, i) => {
          side.begin({ name: names[i] }, settings);
          side.finish(pieces[i], settings, "kl", { parting: state.parting, other: pieces[1 - i].score });
        });
        const piece = state.parting === null ? null : (state.right.token[state.parting] || "end of text").trim();
        rlhf.say(note, `Same prompt, same random numbers. ${piece === null ? "They wrote the same." : `They part at \u201C${piece}\u201D.`} Darker: the model\u2019s choice there is further from the base\u2019s (KL from the base). The scores here are raw ones, in the units of ${settings.scorer.name}.`);
      },
    };
  };

  // kind: "ppo" or "reward"; specs: the charts, as ui/panels/charts.py declares them.
  rlhf.board = ({ element, props, server }) => {
    const { kind, charts, small, folded, inside: curves } = props.value;
    const root = element.querySelector(".rl-board");
    const picker = h("select", { "aria-label": "Run shown", onchange: () => rlhf.showRun(picker.value, kind, false) });
    const title = h("span", { class: "rl-run-title" });
    const badge = h("span", { class: "rl-badge" });
    const figures = kind === "ppo" ? [figure("score"), figure("kl"), figure(null)] : [figure("score"), figure("base"), figure(null)];
    const bar = h("i");
    const progress = h("div", { class: "rl-bar", role: "progressbar", "aria-label": "Progress", "aria-valuemin": 0, "aria-valuemax": 100 }, bar);
    const stop = h("button", { class: "rl-button", type: "button", hidden: true }, "Stop");
    const resume = h("button", { class: "rl-button", type: "button", hidden: true }, "Resume");
    const next = h("button", { class: "rl-button rl-main", type: "button", hidden: true }, kind === "ppo" ? "Compare now" : "Use it in PPO");
    const problem = h("p", { hidden: true });
    const story = h("p", { class: "rl-story", "aria-live": "polite" });
    const result = h("p", { class: "rl-soft rl-result" });
    const cards = charts.map((spec) => rlhf.chartCard({ ...spec, height: 200, head: true }));
    const smalls = small.map((spec) => rlhf.chartCard({ ...spec, height: 44, small: true }));
    const foldedCards = folded.map((spec) => rlhf.chartCard({ ...spec, height: 150, empty: "this run has no such figure so far" }));
    const inside = kind === "ppo" ? rlhf.inside(server, curves) : null;
    const samples = kind === "ppo" ? rlhf.samples(server, (step) => inside.show(step)) : null;
    const pair = kind === "ppo" ? bothModels(server) : null;
    const log = h("pre", { class: "rl-log" });
    const fold = h("details", { class: "rl-fold" },
      h("summary", {}, kind === "ppo" ? "Losses and the rest" : "The rest"),
      kind === "ppo" ? h("p", { class: "rl-soft" }, "These need not fall: each step samples new texts, so the losses are measured on a moving target. Score and KL say how it goes.") : null,
      h("div", { class: "rl-grid-3" }, foldedCards.map((one) => one.card)));
    const repeat = h("details", { class: "rl-fold" }, h("summary", {}, "The command that repeats this run, and its log"), h("code", { class: "rl-command" }), log);
    rlhf.fill(root,
      h("div", { class: "rl-run-line" }, h("label", {}, "Run ", picker), badge, title),
      h("div", { class: "rl-head" }, figures.map((one) => one.box), progress, stop, resume, next),
      problem, story, result,
      h("div", { class: samples ? "rl-grid" : "rl-grid-1" },
        h("div", {}, h("div", { class: kind === "reward" ? "rl-grid-3" : "" }, cards.map((one) => one.card)), smalls.length ? h("div", { class: "rl-small" }, smalls.map((one) => one.card)) : null),
        samples ? samples.card : null),
      inside ? inside.fold : null, pair ? pair.section : null, foldedCards.length ? fold : null, repeat,
    );

    // What is folded draws its curves when it is opened, and follows them while it is open.
    const groups = [
      { cards: [...cards, ...smalls], specs: [...charts, ...small] },
      { cards: foldedCards, specs: folded, fold },
      ...(inside ? [{ cards: inside.cards, specs: curves, fold: inside.fold }] : []),
    ];
    const seen = () => groups.filter((group) => !group.fold || group.fold.open);
    let run = null, created = null, since = -1, columns = {}, shownLines = "";

    const reset = () => {
      since = -1;
      columns = {};
      shownLines = "";
      for (const group of seen()) group.cards.forEach((one) => one.chart.replace(one.spec.series.map(() => ({ x: [], y: [] }))));
      if (samples) samples.reset();
      if (inside) inside.reset();
    };

    // Some figures stand in some rows only.
    const points = (spec, from) =>
      spec.series.map((one) => {
        const [xs, ys, spreads] = [spec.x || "step", one.key, one.spread_key].map((name) => from[name] || []);
        const is = ys.map((_, i) => i).filter((i) => [xs[i], ys[i]].every((value) => value !== null && value !== undefined));
        const told = { x: is.map((i) => xs[i]), y: is.map((i) => ys[i]), ...(spec.x ? { told: is.map((i) => from.step[i]) } : {}) };
        return is.some((i) => typeof spreads[i] === "number") ? { ...told, spread: is.map((i) => spreads[i] ?? 0) } : told;
      });
    const extend = ({ cards: ours, specs }, fresh) =>
      ours.forEach((one, index) => {
        one.chart.extend(points(specs[index], fresh));
        const last = (columns[specs[index].series[0].key] || []).filter((v) => v !== null).at(-1);
        if (one.spec.small) rlhf.fill(one.value, h("b", {}, valueText(specs[index], last)), " ", specs[index].unit || "");
      });
    const valueText = (spec, value) => (spec.percent ? rlhf.percent(value) : rlhf.number(value, spec.digits ?? 2));

    for (const group of groups.filter((one) => one.fold))
      group.fold.addEventListener("toggle", () => group.fold.open && group.cards.forEach((one, i) => one.chart.replace(points(group.specs[i], columns))));

    const setLines = (lines, total) => {
      const key = JSON.stringify([lines, total]);
      if (key === shownLines) return;
      shownLines = key;
      for (const group of groups) for (const { spec } of group.cards) if (lines[spec.key]) spec.lines = lines[spec.key];
      for (const { spec } of cards) spec.xRange = total ? [0, 1.015 * total] : undefined; // room for the last point
      for (const group of seen()) for (const one of group.cards) one.chart.draw();
    };

    const poller = rlhf.poll(element, 1000, async () => {
      const wanted = (rlhf.wanted || {})[kind] || (runIs(rlhf.address().run, kind) ? rlhf.address().run : "");
      const answer = await server.board_rows({ kind, run: wanted, since, created, texts_after: samples ? samples.following() : null, inside_after: inside ? inside.following(samples.following() !== null) : null, ...rlhf.proof() });
      if (answer.error) {
        rlhf.problem(problem, answer.error);
        if (rlhf.wanted) delete rlhf.wanted[kind];
        if (rlhf.address().run === wanted) rlhf.setAddress({ run: null });
        return 3;
      }
      if (answer.run.id !== run || answer.created !== created) {
        run = answer.run.id;
        created = answer.created;
        reset();
        rlhf.problem(problem, "");
        if (answer.since >= 0) return poller.now();
      }
      const fresh = answer.columns;
      for (const [name, values] of Object.entries(fresh)) columns[name] = [...(columns[name] || []), ...values];
      if (fresh.step && fresh.step.length) since = fresh.step.at(-1);
      setLines(answer.lines, answer.run.total_steps);
      if (fresh.step && fresh.step.length) for (const group of seen()) extend(group, fresh);
      show(answer);
      return answer.ask_again;
    });
    const runIs = (id, wantedKind) => id && id.startsWith(wantedKind);
    window.addEventListener("rlhf:run", (event) => event.detail.kind === kind && poller.now());

    const show = (answer) => {
      const { run: now } = answer;
      // The address of the tab in sight names what is shown, so that a copied link shows the same.
      if (element.offsetParent !== null && rlhf.address().run !== now.id) rlhf.setAddress({ run: now.id });
      drawPicker(answer.runs, now.id);
      rlhf.say(title, now.example ? "A finished example, really trained, shipped with this page." : now.message || "");
      const early = now.status === "finished" && now.step < now.total_steps;
      badge.dataset.state = early ? "failed" : now.status;
      rlhf.say(badge, now.status === "queued" ? `waiting, place ${now.place ?? 1}` : early ? "ended early" : now.example ? "example" : now.status);
      answer.figures.forEach(([value, words], i) => figures[i].set(value, words));
      const share = now.total_steps ? Math.min(1, now.step / now.total_steps) : 0;
      bar.style.width = `${100 * share}%`;
      progress.setAttribute("aria-valuenow", Math.round(100 * share));
      stop.hidden = !(now.mine && (now.status === "running" || now.status === "queued"));
      resume.hidden = !(now.mine && (now.status === "stopped" || now.status === "failed") && !now.example);
      next.hidden = !answer.has_model;
      rlhf.fill(story, answer.story.what, " ", h("em", {}, answer.story.try));
      story.dataset.level = answer.story.level;
      rlhf.say(result, answer.result);
      rlhf.say(repeat.querySelector("code"), now.command || "");
      rlhf.say(log, answer.log || "");
      if (samples) {
        samples.update(now, answer);
        inside.update(now, samples.following() === null ? samples.step() : answer.inside_step, answer);
      }
      if (pair) pair.update(now, answer);
      window.dispatchEvent(new CustomEvent("rlhf:board", { detail: { kind, run: now } }));
    };

    const drawPicker = (runs, id) => {
      const key = JSON.stringify(runs);
      if (picker.dataset.key !== key) {
        picker.dataset.key = key;
        rlhf.fill(picker, runs.map((one) => h("option", { value: one.id }, one.label)));
      }
      if (document.activeElement !== picker) picker.value = id;
    };

    const change = async (name) => (await rlhf.call(problem, server[name]({ run, ...rlhf.proof() }))) && poller.now();
    stop.onclick = () => (rlhf.say(stop, "Stopping"), change("stop_job").then(() => rlhf.say(stop, "Stop")));
    resume.onclick = () => change("resume_job");
    next.onclick = () => {
      window.dispatchEvent(new CustomEvent("rlhf:use", { detail: { kind, run } }));
      rlhf.openTab(kind === "ppo" ? "compare" : "ppo");
      if (kind === "reward") rlhf.openForm();
    };
  };
})();
