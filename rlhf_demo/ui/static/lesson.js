// The Start tab: the loop as a picture, the lesson's one button, and how far the lesson has come.
(() => {
  const { h } = rlhf;

  const STAGES = [
    { tab: "feedback", n: "1", title: "Feedback", color: "warn", text: "You read two texts and say which you prefer. The shipped example was judged by a simulated rater instead." },
    { tab: "reward model", n: "2", title: "Reward model", color: "score", text: "A small model learns from judged pairs which text people would prefer, and gives any text a score." },
    { tab: "ppo", n: "3", title: "PPO", color: "ppo", text: "GPT-2 writes, the reward model scores, and PPO makes what scored well likelier, step by step." },
    { tab: "compare", n: "4", title: "Compare", color: "base", text: "Base and PPO model answer the same prompt with the same random numbers. Which would you prefer?" },
  ];

  const TRAINED = 1; // the stage at which the lesson's trainings begin

  rlhf.lesson = ({ element, props, server }) => {
    const root = element.querySelector(".rl-lesson");
    const problem = h("p", { hidden: true });
    const go = h("button", { class: "rl-button rl-main rl-large", type: "button" }, "Run the whole lesson");
    const about = h("span", { class: "rl-soft" }, "Trains a reward model, then PPO against it: about two minutes on two CPU cores. You can watch every step.");
    const cards = STAGES.map((stage) => {
      const line = h("small", {});
      const bar = h("i", { style: { background: `var(--rl-${stage.color})` } });
      const card = h("button", { class: "rl-stage", type: "button", style: { "--stage": `var(--rl-${stage.color})` }, onclick: () => open(stage) },
        h("b", {}, h("span", {}, stage.n), stage.title), h("p", {}, stage.text), h("div", { class: "rl-bar" }, bar), line);
      return { card, line, bar };
    });
    const back = h("div", { class: "rl-back" }, h("span", {}, "\u21BA back to 1: the next round starts with new feedback; blind votes only test"));
    const next = h("div", { class: "rl-next", hidden: true });
    const example = h("div", {});
    rlhf.fill(root,
      h("p", { class: "rl-lead" },
        h("b", {}, "RLHF, reinforcement learning from human feedback, is a loop: "),
        "preferences train a reward model, the reward model trains a language model, and people look at what came out. Here the whole loop is really trained, on this machine, on a GPT-2 small enough that you can watch it change."),
      h("div", { class: "rl-loop", role: "group", "aria-label": "The loop" }, cards.map((one, i) => [one.card, i < cards.length - 1 ? h("span", { class: "rl-arrow", "aria-hidden": "true" }, "\u2192") : null])),
      back,
      h("div", { class: "rl-go" }, go, about), problem, next, example);

    const lesson = () => JSON.parse(localStorage.getItem("rlhf_demo_lesson") || "null");
    const open = (stage) => {
      const now = lesson();
      if (now && stage.tab === "ppo") return rlhf.showRun(now.ppo, "ppo");
      if (now && stage.tab === "reward model") return rlhf.showRun(now.reward, "reward");
      rlhf.openTab(stage.tab);
    };

    go.onclick = async () => {
      go.disabled = true;
      const answer = await rlhf.call(problem, server.start_lesson({ secret: rlhf.secret() }));
      go.disabled = false;
      if (!answer) return;
      localStorage.setItem("rlhf_demo_lesson", JSON.stringify(answer));
      poller.now();
    };

    const words = (row, before) => {
      if (row.status === "queued" && before && before.status === "running") return "waiting for the reward model";
      if (row.status === "queued") return `waiting, place ${row.place || 1}`;
      if (row.status === "running") return row.step ? `step ${row.step} of ${row.total_steps}, ${rlhf.duration(row.seconds_left)} left` : "loading the model";
      return row.status === "failed" ? row.message : row.status;
    };

    const draw = (runs) => {
      runs.forEach((row, i) => {
        if (!row) return;
        const stage = cards[TRAINED + i];
        rlhf.say(stage.line, words(row, runs[i - 1]));
        stage.card.dataset.state = row.status;
        stage.bar.style.width = `${row.total_steps ? (100 * (row.step || 0)) / row.total_steps : 0}%`;
      });
      const [reward, ppo] = runs;
      const done = ppo && ppo.status === "finished";
      const busy = [reward, ppo].some((row) => row && ["running", "queued"].includes(row.status));
      rlhf.say(go, busy ? "The lesson is running" : done ? "Run it again" : "Run the whole lesson");
      go.disabled = busy;
      go.classList.toggle("rl-main", !busy && !done);
      next.hidden = !(busy || done);
      if (next.dataset.state !== `${busy} ${done} ${reward && reward.status}`) {
        next.dataset.state = `${busy} ${done} ${reward && reward.status}`;
        const live = reward && reward.status === "running" ? STAGES[TRAINED] : STAGES[TRAINED + 1];
        rlhf.fill(next, done
          ? h("button", { class: "rl-button rl-main", type: "button", onclick: () => (window.dispatchEvent(new CustomEvent("rlhf:use", { detail: { kind: "ppo", run: ppo.id } })), rlhf.openTab("compare")) }, "See base and PPO model side by side")
          : h("button", { class: "rl-button rl-main", type: "button", onclick: () => open(live) }, `Watch it live: ${live.title}`));
      }
      cards.at(-1).card.dataset.state = done ? "ready" : "";
      rlhf.say(cards.at(-1).line, done ? "ready: look at what came out" : "");
    };
    const poller = rlhf.poll(element, 1500, async () => {
      const now = lesson();
      if (!now) return;
      const answer = await server.lesson_state(now);
      if (answer.runs.every((row) => row === null)) return localStorage.removeItem("rlhf_demo_lesson");
      draw(answer.runs);
    });

    const shipped = (props.value || {}).example || {};
    const rows = shipped.rows || [];
    const byJudge = (judge) => h("li", {}, h("b", {}, `${rlhf.percent(judge.win_rate)} `), `${rlhf.interval(judge.win_rate_low, judge.win_rate_high)} by ${judge.name}, ${judge.title}`);
    if (rows.length)
      rlhf.fill(example,
        h("h2", { class: "rl-h2" }, `What came out of the shipped example: the share of ${shipped.prompts} prompts on which PPO wins against the base`),
        h("ul", { class: "rl-judges" }, shipped.judges.map(byJudge)),
        h("p", { class: "rl-soft" }, `Nothing was trained or chosen on these prompts, and no person has judged the texts. ${shipped.judges.map((judge) => judge.note).join(" ")}`),
        h("p", { class: "rl-soft" }, `Answers a quarter, half and three quarters of the way from the largest loss to the largest win, with the same random numbers on both sides and the score by ${shipped.judges[0].name}, ${shipped.judges[0].unit}:`),
        h("div", { class: "rl-examples" }, rows.map((row) => h("article", { class: "rl-card" },
          h("p", { class: "rl-prompt" }, row.prompt),
          ["base", "ppo"].map((color, i) => h("p", { class: "rl-answer" }, h("i", { style: { background: `var(--rl-${color})` } }), h("span", { class: "rl-chip" }, `${i ? "PPO" : "base"} ${rlhf.signed(row.scores[0][i], 1)}`), row.responses[i]))))));
  };
})();
