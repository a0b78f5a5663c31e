// The instructor's screen: open a class, watch it vote and learn, train PPO on it, vote blind, and round again.
(() => {
  const { h } = rlhf;
  const KEPT = "rlhf_demo_class"; // the instructor's token, in this browser
  const ALL = "rlhf_demo_classes"; // [{code, token, opened}]: every class that this browser has opened, newest first
  const ALONE = "rlhf_demo_class_alone"; // whether the class has the page for itself
  const STEPS = [[5, "5 steps, a rehearsal"], [15, "15 steps, about half a minute"], [40, "40 steps, about a minute"], [80, "80 steps, about two minutes"]];

  rlhf.classroom = ({ element, props, server }) => {
    const root = element.querySelector(".rl-classroom");
    localStorage.getItem(KEPT) ? screen(root, props.value, server) : opening(root, props.value, server);
  };

  const classes = () => JSON.parse(localStorage.getItem(ALL) || "[]");
  const keepClasses = (list) => localStorage.setItem(ALL, JSON.stringify(list));
  const remember = (code, token) => {
    const before = classes().find((one) => one.code === code);
    keepClasses([{ code, token, opened: before ? before.opened : Date.now() }, ...classes().filter((one) => one.code !== code)]);
  };
  const forget = (token) => keepClasses(classes().filter((one) => one.token !== token));

  // A button that cannot be pressed again before its request has been answered.
  const button = (words, act, kind = "", settle = () => {}) => {
    const made = h("button", { class: `rl-button ${kind}`, type: "button", onclick: async () => {
      made.disabled = true;
      try {
        await act();
      } finally {
        made.disabled = false;
        settle();
        if (document.activeElement === document.body && made.isConnected) made.focus(); // a disabled button loses it
      }
    } }, words);
    return made;
  };

  const field = (label, input, about) => h("label", { class: "rl-class-field" }, h("span", {}, label), input, about ? h("small", {}, about) : null);
  const numberField = (value, low, high, step) => h("input", { type: "number", value, min: low, max: high, step: step || 1 });

  // A question from the list, or own words.
  const questionField = (questions, first) => {
    const own = h("input", { type: "text", maxlength: 120, hidden: true, "aria-label": "The question in own words", placeholder: "Which \u2026?" });
    const pick = h("select", { onchange: () => ((own.hidden = pick.value !== ""), own.hidden || own.focus()) },
      first ? h("option", { value: "same" }, first) : null, questions.map((one) => h("option", { value: one }, one)), h("option", { value: "" }, "own words \u2026"));
    return { box: h("span", { class: "rl-question-field" }, pick, own), get: () => (pick.value === "" ? own.value : pick.value === "same" ? null : pick.value) };
  };

  // -- before a class is open -----------------------------------------------------------------------

  const opening = (root, about, server, sentence) => {
    const problem = h("p", { hidden: true });
    const question = questionField(about.questions);
    const each = numberField(about.each, 4, 100), overlap = numberField(3, 1, 30);
    const clean = h("input", { type: "checkbox", checked: true });
    const password = h("input", { type: "password", autocomplete: "current-password" });
    const go = h("button", { class: "rl-button rl-main", type: "submit" }, "Open a class");
    const enter = (answer) => {
      if (!answer) return;
      localStorage.setItem(KEPT, answer.token);
      screen(root, about, server);
    };
    const form = h("form", { class: "rl-class-form" },
      field("Question over every pair", question.box),
      field("Pairs for each student", each, "in a round"),
      field("Students for each pair", overlap, "more show how far they agree"),
      about.password ? field("Instructor\u2019s password", password) : null,
      h("label", { class: "rl-check" }, clean, " Keep coarse words out: they are neither sampled nor scored"), go);
    form.onsubmit = async (event) => {
      event.preventDefault();
      go.disabled = true;
      const answer = await rlhf.call(problem, server.open_class({ question: question.get(), each: each.value, overlap: overlap.value, clean_words: clean.checked, password: password.value || rlhf.instructor.get() }));
      go.disabled = false;
      enter(answer);
    };
    const code = h("input", { type: "text", maxlength: 12, autocomplete: "off" }), word = h("input", { type: "password" });
    const move = h("form", { class: "rl-class-form" }, field("Its code", code), field("Instructor\u2019s password", word), h("button", { class: "rl-button", type: "submit" }, "Go on here"));
    move.onsubmit = async (event) => {
      event.preventDefault();
      enter(await rlhf.call(problem, server.take_over({ code: code.value, password: word.value || rlhf.instructor.get() })));
    };
    const before = classes().map((one) => button(`${one.code}, opened ${new Date(one.opened).toLocaleDateString()}`, () => enter(one)));
    rlhf.fill(root, h("h2", { class: "rl-h2" }, "Teach a class"),
      h("p", { class: "rl-lead" }, "Students join on their phones by a code, compare texts, and see on your screen how a reward model learns from them, how PPO follows it, and, in a blind vote, whether that was what they meant."),
      about.closed ? h("p", { class: "rl-note" }, about.closed) : form, problem,
      before.length ? h("div", {}, h("p", {}, "Your earlier classes"), h("div", { class: "rl-inline" }, before)) : null,
      about.password ? h("details", { class: "rl-fold" }, h("summary", {}, "Go on with a class that was opened at another computer"), move) : null);
    rlhf.problem(problem, sentence);
  };

  // -- the screen of an open class ------------------------------------------------------------------

  const figure = (color) => {
    const value = h("b", { style: { color: color ? `var(--rl-${color})` : null } }, "\u2013");
    const words = h("span", {}, "\u00A0");
    return { box: h("div", { class: "rl-figure" }, value, words), set: (text, meaning) => (rlhf.say(value, text), rlhf.say(words, meaning)) };
  };

  const screen = (root, about, server) => {
    const token = localStorage.getItem(KEPT);
    const problem = h("p", { hidden: true }), told = h("p", { hidden: true });
    const ask = async (name, more = {}) => {
      const answer = await rlhf.call(problem, server[name]({ token, secret: rlhf.secret(), ...more }));
      await poller.now();
      return answer;
    };

    // Who joins, and how.
    const code = h("div", { class: "rl-class-code" }, "\u00A0");
    const address = h("p", { class: "rl-class-address" });
    const nearby = h("p", { class: "rl-soft", hidden: true }, "This address works on this computer only. Start the app with GRADIO_SERVER_NAME=0.0.0.0 and open this page by the computer\u2019s name or number in the network.");
    const picture = h("img", { class: "rl-class-qr", alt: "QR picture of the students\u2019 address" });
    const people = h("p", { class: "rl-class-people" });
    const question = h("p", { class: "rl-class-question" });
    const state = h("span", { class: "rl-badge" });

    // How it goes.
    const votes = figure(null), agree = figure("base"), right = figure("score"), last = figure(null);
    const story = h("p", { class: "rl-story", "aria-live": "polite" });
    const actions = h("div", { class: "rl-class-actions" });
    const coming = rlhf.chartCard({ title: "Votes coming in", subtitle: "over the time of this round", height: 150, fromZero: true, series: [{ name: "votes", color: "base", type: "bar" }], hoverFormat: "d", xTitle: "minutes" });
    const curve = rlhf.chartCard({ title: "Reward model: right on the last-rated fifth", subtitle: "over votes", height: 150, yRange: [0, 1.05], yFormat: ".0%", hoverFormat: ".0%", xTitle: "votes", series: [{ name: "right", color: "score", mode: "lines+markers" }, { name: "at most possible", color: "base", dash: "dot", mode: "lines+markers", size: 5 }], lines: [] });
    const wins = rlhf.chartCard({ title: "Blind vote: PPO preferred to base", subtitle: "as the votes came in; the interval is that of the end", height: 190, yRange: [0, 1.05], yFormat: ".0%", hoverFormat: ".0%", xTitle: "votes", series: [{ name: "PPO preferred", color: "ppo" }], lines: [{ y: 0.5, label: "no difference", dash: "dot", color: "soft", left: true }] });
    const outcome = h("div", { hidden: true });
    const careless = h("div", { class: "rl-careless" });
    // Folded: the screen is on the wall, and these lines name people.
    const toCheck = h("summary", {}), checks = h("details", { class: "rl-fold", hidden: true }, toCheck, careless);

    // Folded for the same reason.
    const door = button("Close the door", () => ask("set_door", { open: !view.door_open }));
    const stopOthers = button("Stop all other trainings", async () => {
      const answer = await ask("stop_others");
      if (answer) rlhf.say(stopped, answer.stopped ? `${answer.stopped} ${answer.stopped === 1 ? "training is" : "trainings are"} saved and stopped; whoever started one can resume it.` : "No other training waits or runs.");
    });
    const stopped = h("p", { class: "rl-soft", role: "status" });
    const most = numberField(60, 1, about.most_students);
    most.onchange = () => ask("set_most_joins", { most: most.value });
    const named = h("summary", {}), register = h("div", {}), registered = new Map();
    const students = h("details", { class: "rl-fold" }, named,
      h("p", { class: "rl-soft" }, "For you rather than the class: these lines name people."), register,
      h("div", { class: "rl-class-form" }, field("Students from one address, at most", most, "a school\u2019s phones often share one address")));

    const pause = button("Pause", () => ask(view.state === "open" ? "pause" : "reopen"));
    const alone = button("Show the class alone", () => showAlone(!document.documentElement.classList.contains("rl-class-alone")));
    const showAlone = (yes) => {
      document.documentElement.classList.toggle("rl-class-alone", yes);
      rlhf.say(alone, yes ? "Show the rest of the page" : "Show the class alone");
      localStorage.setItem(ALONE, yes ? "yes" : "no");
      window.dispatchEvent(new Event("resize"));
    };
    const leave = (sentence) => {
      showAlone(false);
      localStorage.removeItem(ALONE);
      localStorage.removeItem(KEPT);
      opening(root, about, server, sentence);
    };
    const save = async (format, everything) => {
      const answer = await ask("export_class", { format, everything });
      if (answer) h("a", { href: encodeURI(answer.link), download: answer.name }).click();
    };
    const remove = button("Delete the class", () => rlhf.confirm(remove, "Students, pairs, votes and reward models will be gone, and there is no way back. PPO runs, which hold no votes, stay under Runs.", "Delete all", removeAll), "rl-danger");
    const removeAll = async () => {
      if (!(await rlhf.call(problem, server.delete_class({ token, secret: rlhf.secret() })))) return;
      forget(token);
      leave();
    };
    const another = button("New lesson", () => rlhf.confirm(another, "This class stays stored: this browser lists it among your earlier classes.", "New lesson", leave));

    const crowd = numberField(12, 1, 60), noise = numberField(0.1, 0, 0.5, 0.05), sloppy = numberField(0.1, 0, 1, 0.05);
    const taste = h("select", {}, about.tastes.map(([id, words]) => h("option", { value: id }, words)));
    const simulate = button("Let them vote", () => ask("simulate", { students: crowd.value, taste: taste.value, noise: noise.value, careless: sloppy.value }), "", () => drawSimulation());
    const simulated = h("p", { class: "rl-soft" });
    const stopThem = button("Stop them", () => ask("stop_simulation"), "", () => drawSimulation());

    const top = h("div", { class: "rl-class-top" },
      h("div", { class: "rl-class-join" }, h("p", { class: "rl-soft" }, "Join at"), address, h("p", { class: "rl-soft" }, "with the code"), code),
      picture,
      h("div", { class: "rl-class-room" }, h("div", {}, state), question, people));
    const page = h("div", {},
      top,
      nearby, problem, told,
      outcome, h("div", { class: "rl-head rl-class-figures" }, votes.box, agree.box, right.box, last.box),
      story, actions, wins.card,
      h("div", { class: "rl-grid-2" }, coming.card, curve.card), checks, students,
      h("div", { class: "rl-class-tools" }, pause, door, stopOthers, alone, another, remove), stopped,
      h("details", { class: "rl-fold" }, h("summary", {}, "The class\u2019s votes as files"),
        h("p", { class: "rl-soft" }, "With raters\u2019 numbers in place of nicknames. Preferences are in TRL\u2019s format; every answer means ties and skips too."),
        h("div", { class: "rl-inline" }, [["Preferences, JSONL", "jsonl", false], ["Preferences, Parquet", "parquet", false], ["Every answer, JSONL", "jsonl", true], ["Every answer, Parquet", "parquet", true]].map(([words, format, all]) => button(words, () => save(format, all))))),
      h("details", { class: "rl-fold" }, h("summary", {}, "Try it without a class: simulated students"),
        h("p", { class: "rl-soft" }, "They join this class marked as simulated, and answer once every two seconds. Noise is how often a careful one errs; a careless one does not read."),
        h("div", { class: "rl-class-form" }, field("How many", crowd), field("They prefer", taste), field("Noise", noise, "0 to 0.5"), field("Careless", sloppy, "share, 0 to 1"), simulate, stopThem), simulated),
      h("p", { class: "rl-soft" }, "Kept about students: nickname, answers, and when they came; addresses are counted, not kept. Reward and PPO runs are listed under Runs without any of these."));
    rlhf.fill(root, page);

    let view = null, shownActions = "", qr = "";
    showAlone(localStorage.getItem(ALONE) !== "no");

    const poller = rlhf.poll(page, 2000, async () => {
      const answer = await server.class_state({ token });
      if (answer.error) {
        if (view) return rlhf.problem(problem, answer.error);
        return leave(answer.error);
      }
      if (!view) remember(answer.code, token);
      view = answer;
      draw();
    });

    const draw = () => {
      drawRoom();
      drawFigures();
      drawCharts();
      drawActions();
      drawCareless();
      drawStudents();
      rlhf.problem(told, view.problem && `The reward model: ${view.problem}`);
      rlhf.say(pause, view.state === "open" ? "Pause" : "Go on");
      drawSimulation();
    };

    const drawSimulation = () => {
      const now = view && view.simulation;
      simulate.disabled = !!now;
      stopThem.disabled = !now;
      rlhf.say(simulated, now ? `${now.students} simulated students are voting: they prefer ${about.tastes.find(([id]) => id === now.taste)[1]}.` : "");
    };

    const drawRoom = () => {
      rlhf.say(code, view.code);
      const link = `${location.origin}${location.pathname}?class=${view.code}`;
      rlhf.say(address, link.replace(/^https?:\/\//, ""));
      nearby.hidden = !["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
      if (qr !== link) {
        qr = link;
        server.class_qr({ token, address: link }).then((answer) => (picture.src = answer.picture || ""));
      }
      const kind = view.kind === "blind" ? (view.round_state === "revealed" ? "revealed" : "blind vote") : "feedback";
      rlhf.say(state, `round ${view.round}, ${view.state === "open" ? kind : "paused"}`);
      state.dataset.state = view.state === "open" ? "running" : "failed";
      rlhf.say(question, view.question);
      // Once PPO has begun, everybody is in: the wall belongs to what happens.
      top.classList.toggle("rl-compact", view.kind === "blind" || Boolean(view.ppo));
      const joined = view.raters.length ? `${view.raters.length} joined${ofThem(view.raters.filter((one) => one.simulated).length)}` : "Nobody has joined yet";
      rlhf.say(people, `${joined}${view.door_open ? "." : "; the door is closed."}`);
    };

    const ofThem = (count) => (count ? `, ${count} of them simulated` : "");
    const subtitle = (chart, words) => rlhf.say(chart.card.querySelector("h3 > span"), words);
    const newest = () => view.history.at(-1);
    const drawFigures = () => {
      const goal = view.each * view.raters.length, q = view.quality;
      votes.set(String(view.votes), `votes this round${ofThem(view.simulated)}${goal ? `, about ${goal} expected` : ""}`);
      if (q.foretold.units < about.shared) agree.set("\u2013", "agreement: too few pairs seen by two");
      else agree.set(rlhf.percent(q.foretold.share), `of votes foretold by the few others on a pair ${rlhf.interval(q.foretold.low, q.foretold.high)}, alpha ${rlhf.number(q.alpha)}; ${q.votes} votes${ofThem(q.simulated)}`);
      const now = newest();
      if (!now) right.set("\u2013", view.training ? "the first reward model is training" : `reward model: after ten preferences, ${view.preferences} so far`);
      else if (now.too_few) right.set("too few to tell", `reward model on ${now.votes} votes${ofThem(now.simulated)}; told from ${about.few} held-out pairs on, ${now.pairs} so far`);
      else right.set(rlhf.percent(now.accuracy), `of the last-rated fifth right ${rlhf.interval(now.low, now.high)}${now.highest === null ? "" : `, at most ${rlhf.percent(now.highest)} possible`}, ${now.votes} votes${ofThem(now.simulated)}`);
      if (view.blind && view.blind.revealed) last.set(rlhf.percent(rlhf.ofPPO(view.blind.contender, view.blind.rate)[0]), "prefer PPO\u2019s text to the base\u2019s");
      else if (view.blind) last.set(String(view.blind.votes), `blind votes on ${view.blind.pairs} pairs${ofThem(view.blind.simulated)}; the outcome comes with the reveal`);
      else if (view.ppo) last.set(view.ppo.step ? rlhf.signed(view.ppo.figures["objective/score"]) : "\u2013", `PPO\u2019s score in the base\u2019s standard deviations, step ${view.ppo.step || 0} of ${view.ppo.total_steps}`);
      else last.set("\u2013", "PPO has not started");
    };

    const drawCharts = () => {
      const { seconds, counts } = view.coming;
      subtitle(coming, `over the time of this round${ofThem(view.simulated)}`);
      const now = newest();
      subtitle(curve, `over votes${now && !now.too_few ? "; interval: of the newest, holds however often you look" : ""}${now && !now.too_few && now.highest !== null ? "; dotted: at most possible" : ""}${now && now.simulated ? `; newest: ${now.simulated} of ${now.votes} simulated` : ""}`);
      const minutes = seconds / 60;
      coming.chart.replace([{ x: counts.map((_, i) => (i + 0.5) * minutes), y: counts, width: 0.85 * minutes }], { xRange: [0, Math.max(1, counts.length) * (minutes || 1)] });
      const told = view.history.filter((one) => !one.too_few), x = told.map((one) => one.votes);
      const lines = [{ y: 0.5, label: "a coin", dash: "dot", color: "soft", left: true }];
      const passed = told.slice(1).map(() => 0);
      const reach = { type: "data", symmetric: false, array: [...passed, ...told.slice(-1).map((one) => one.high - one.accuracy)], arrayminus: [...passed, ...told.slice(-1).map((one) => one.accuracy - one.low)] };
      curve.chart.replace([{ x, y: told.map((one) => one.accuracy), reach }, { x, y: told.map((one) => one.highest) }], { lines, xRange: [0, 1.1 * Math.max(100, ...x)] });
      wins.card.hidden = !(view.blind && view.blind.revealed && view.blind.votes);
      if (wins.card.hidden) return;
      subtitle(wins, `as the votes came in; the interval is that of the end${ofThem(view.blind.simulated)}`);
      const { series, contender } = view.blind, before = series.slice(1).map(() => 0);
      const [rate, low, high] = rlhf.ofPPO(contender, view.blind.rate, view.blind.low, view.blind.high);
      wins.chart.replace([{
        x: series.map(([votes]) => votes), y: series.map(([, one]) => rlhf.ofPPO(contender, one)[0]),
        reach: { type: "data", symmetric: false, array: [...before, high - rate], arrayminus: [...before, rate - low] },
      }]);
    };

    // One main button at a time: what comes next in the lesson.
    const drawActions = () => {
      const ppo = view.ppo, busy = ppo && ["queued", "running"].includes(ppo.status);
      const stage = view.kind === "blind" ? view.round_state : busy ? "ppo" : ppo && ["finished", "stopped"].includes(ppo.status) && ppo.step ? "trained" : view.reward ? "reward" : "votes";
      rlhf.say(story, words(stage, ppo));
      outcome.hidden = stage !== "revealed";
      const key = `${stage} ${view.round} ${ppo && ppo.id}`;
      if (key === shownActions) return;
      shownActions = key;
      if (stage === "revealed") rlhf.fill(outcome, rlhf.blindResult(view.blind));
      const steps = h("select", { "aria-label": "Length of PPO" }, STEPS.map(([n, label]) => h("option", { value: n, selected: n === 40 }, label)));
      const again = questionField(about.questions, "the same question");
      const watch = () => button("Watch PPO live", () => rlhf.showRun(view.ppo.id, "ppo"));
      const start = (label, kind) => button(label, async () => (await ask("start_ppo", { steps: Number(steps.value) })) && (shownActions = ""), kind);
      const parts = {
        votes: () => [],
        reward: () => [start("Start PPO on the class\u2019s reward model", "rl-main rl-large"), steps],
        ppo: () => [watch(), button("Stop PPO", () => ask("stop_ppo"))],
        trained: () => [button("Open the blind vote: base against PPO", () => ask("open_blind"), "rl-main rl-large"), watch()],
        open: () => [button("Reveal", () => ask("reveal"), "rl-main rl-large")],
        revealed: () => [button("Next round", () => ask("next_round", { question: again.get() }), "rl-main rl-large"), again.box],
      };
      rlhf.fill(actions, parts[stage]());
    };

    const words = (stage, ppo) => {
      const training = view.training && (view.training.row && view.training.row.status === "queued" ? "A new reward model waits for its turn." : `A new reward model is training on ${view.training.votes} votes${ofThem(view.training.simulated)}.`);
      const again = view.all_votes && view.state === "open" ? "It is trained anew every ten preferences." : "";
      if (stage === "votes") return training || `The first reward model is trained when ten preferences are in: ${view.preferences} so far.`;
      if (stage === "reward") return `${training || again} When the class has voted enough, let PPO follow its reward model.${ppo && ppo.status === "failed" ? ` PPO failed: ${ppo.message}` : ""}`;
      if (stage === "ppo") return ppo.status === "queued" ? `PPO waits for its turn, place ${ppo.place || 1}.` : ppo.step ? `PPO is training: step ${ppo.step} of ${ppo.total_steps}. Students see its progress on their phones.` : "PPO is starting: it loads its models.";
      if (stage === "trained") return `PPO ${ppo.status === "finished" ? "has finished" : `was stopped at step ${ppo.step} of ${ppo.total_steps}`}. Now let the class judge without knowing who wrote what.`;
      if (stage === "open") return "Blind vote: the class compares base and PPO model without their names, on prompts that nothing is trained on. The outcome stays hidden until the reveal, from you too: whoever sees it grow can stop when it suits.";
      return "The names are out. Blind votes test and teach nothing: the next reward model learns from feedback alone, and PPO\u2019s texts are compared in it too.";
    };

    // A line stays what it is while its student does: the question before a removal may stand in it.
    const drawStudents = () => {
      rlhf.say(door, view.door_open ? "Close the door" : "Open the door");
      if (document.activeElement !== most) most.value = view.most_joins;
      const real = view.raters.filter((one) => !one.simulated), there = new Set(real.map((one) => one.rater));
      rlhf.say(named, `${real.length} ${real.length === 1 ? "student" : "students"}: names, and removing one`);
      for (const [rater, line] of registered) if (!there.has(rater)) (line.box.remove(), registered.delete(rater));
      for (const one of real) {
        if (!registered.has(one.rater)) registered.set(one.rater, studentLine(one));
        rlhf.say(registered.get(one.rater).votes, ` ${one.votes} ${one.votes === 1 ? "vote" : "votes"}${one.left_out ? ", left out" : ""} `);
      }
    };

    const studentLine = ({ rater, nickname }) => {
      const votes = h("span", {});
      const out = button("Remove", () => {
        const me = view.raters.find((one) => one.rater === rater) || {}, others = h("input", { type: "checkbox" });
        const later = view.raters.filter((one) => one.rater > rater && one.place !== null && one.place === me.place).length;
        const also = later ? h("label", { class: "rl-check" }, others, ` Remove those too who joined later from the same address: ${later}`) : null;
        const asked = "This student\u2019s votes will be deleted, the phone is out of the class, and the nickname is free again. With the code the phone can come back, unless the door is closed.";
        rlhf.confirm(out, h("span", {}, asked, also), "Remove", () => ask("remove_student", { rater, later: others.checked }));
      }, "rl-quiet");
      const box = h("p", { class: "rl-careless-row" }, h("b", {}, nickname), votes, out);
      register.append(box);
      return { box, votes };
    };

    const drawCareless = () => {
      checks.hidden = !view.careless.length;
      rlhf.say(toCheck, `${view.careless.length} to look at, for you rather than the class`);
      rlhf.fill(careless, view.careless.map((row) => h("p", { class: "rl-careless-row" },
        h("b", {}, row.nickname), " ", row.careless.join("; ") || "answers as others do", row.left_out ? "; left out. " : ". ",
        button(row.left_out ? "Take in again" : "Leave these votes out", () => ask("leave_out", { rater: row.rater, left_out: !row.left_out }), "rl-quiet"))));
    };
  };
})();
