// A student's phone: join by code and nickname, vote, watch PPO, see the result. Nothing else of the page is shown.
(() => {
  const { h } = rlhf;
  const KEPT = "rlhf_demo_student"; // {code, secret} of the class this browser is in
  const code = () => (rlhf.address().class || "").trim().toUpperCase();
  if (rlhf.address().class !== undefined) document.documentElement.classList.add("rl-student-mode");

  const kept = () => {
    const found = JSON.parse(localStorage.getItem(KEPT) || "null");
    return found && (!code() || found.code === code()) ? found : null;
  };

  const STORED = "Kept about you: your nickname, your answers, and when they came. No account. The address you come from is counted while the app runs, and written nowhere. The instructor sees the nickname, how many answers you gave and whether they look careless, and can delete all of it.";

  rlhf.student = ({ element, server }) => {
    if (rlhf.address().class === undefined) return;
    document.title = "A class";
    const root = element.querySelector(".rl-student");
    kept() ? lesson(root, server) : join(root, server);
  };

  const join = (root, server, sentence) => {
    const problem = h("p", { hidden: true });
    const codeField = h("input", { type: "text", value: code(), maxlength: 12, autocapitalize: "characters", autocomplete: "off", spellcheck: "false", class: "rl-code-field" });
    const name = h("input", { type: "text", maxlength: 20, autocomplete: "nickname", spellcheck: "false" });
    const go = h("button", { class: "rl-button rl-main rl-large", type: "submit" }, "Join the class");
    const form = h("form", { class: "rl-join" },
      h("h1", {}, "Join the class"),
      h("label", {}, "Code on the screen in front", codeField),
      h("label", {}, "A nickname", name),
      go, problem, h("p", { class: "rl-soft" }, STORED));
    form.onsubmit = async (event) => {
      event.preventDefault();
      go.disabled = true;
      const typed = codeField.value.replace(/\s/g, "").toUpperCase();
      const answer = await rlhf.call(problem, server.join({ code: typed, nickname: name.value }));
      go.disabled = false;
      if (!answer) return;
      localStorage.setItem(KEPT, JSON.stringify({ code: typed, secret: answer.secret }));
      rlhf.setAddress({ class: typed });
      lesson(root, server);
    };
    rlhf.fill(root, form);
    rlhf.problem(problem, sentence);
    (code() ? name : codeField).focus();
  };

  const lesson = (root, server) => {
    const { secret } = kept();
    const who = h("span", { class: "rl-soft" });
    const count = h("b", { "aria-live": "polite" }, "\u00A0");
    const fill = h("i");
    const notice = h("p", { class: "rl-student-notice", "aria-live": "polite", hidden: true });
    const ppo = ppoPanel();
    const result = h("div", { hidden: true });
    const place = h("div", {});
    const problem = h("p", { hidden: true });
    const again = h("button", { class: "rl-button", type: "button", hidden: true, onclick: () => (localStorage.removeItem(KEPT), join(root, server)) }, "Join again");
    const page = h("div", {},
      h("header", { class: "rl-student-head" }, h("div", {}, count, who), h("div", { class: "rl-bar" }, fill)),
      // Nothing comes between an open pair and the thumb: what PPO does stands below.
      problem, again, notice, result, place, ppo.box,
      h("p", { class: "rl-soft rl-student-foot" }, STORED));
    rlhf.fill(root, page);

    let phase = "", view = null;
    const ballot = rlhf.ballot(place, {
      ahead: true,
      next: async (beside) => {
        const answer = await server.next_pair({ secret, beside: beside || null });
        return answer.showing || answer.error ? answer : { showing: null, message: waiting(view) || answer.message };
      },
      vote: (showing, choice) => server.vote({ secret, showing, choice }),
      undo: () => server.undo({ secret }),
      onvote: () => poller.now(),
    });

    const poller = rlhf.poll(page, 2000, async () => {
      const answer = await server.student_state({ secret });
      rlhf.problem(problem, answer.error);
      again.hidden = !answer.error;
      if (answer.error) return ballot.pause("\u00A0");
      view = answer;
      rlhf.say(who, ` ${view.nickname}, class ${view.code}, round ${view.round}`);
      rlhf.say(count, `${Math.min(view.done, view.goal)} of ${view.goal} pairs`);
      fill.style.width = `${Math.min(100, (100 * view.done) / view.goal)}%`;
      ppo.set(view.kind === "feedback" ? view.ppo : null);
      notice.hidden = !(view.kind === "blind" && !view.result);
      rlhf.say(notice, "Blind vote: two models wrote these texts. Their names stay hidden until the vote is over.");
      result.hidden = !view.result;
      if (view.result) rlhf.fill(result, rlhf.blindResult(view.result));
      const now = `${view.round} ${view.kind} ${view.round_state} ${view.state}`;
      if (now === phase) return;
      phase = now;
      const over = view.round_state !== "open";
      place.hidden = over;
      if (over) ballot.pause("\u00A0");
      else if (view.state !== "open") ballot.pause("The class is paused. It goes on here by itself.");
      else ballot.refresh();
    });
  };
  // What a student without a pair waits for.
  const waiting = (view) => {
    if (!view) return "";
    const done = view.done >= view.goal;
    if (view.ppo && view.ppo.busy) return done ? "You have answered your pairs, thank you. Watch PPO learn from them." : "Waiting for the next pair.";
    if (done) return view.kind === "blind" ? "You have voted, thank you. The names come when the vote is over." : "You have answered your pairs, thank you. Look at the screen in front.";
    return "Waiting for the next pair. It comes here by itself.";
  };

  const ppoPanel = () => {
    const line = h("p", { "aria-live": "polite" });
    const fill = h("i");
    const cell = (words) => {
      const value = h("b", {}, "\u2013");
      return { value, box: h("div", { class: "rl-figure" }, value, h("span", {}, words)) };
    };
    const step = cell("steps done"), score = cell("score by the class\u2019s reward model, in standard deviations of the base\u2019s"), kl = cell("nats of KL: how far it has moved");
    score.value.style.color = "var(--rl-score)";
    kl.value.style.color = "var(--rl-kl)";
    const box = h("section", { class: "rl-card rl-student-ppo", hidden: true }, line, h("div", { class: "rl-bar" }, fill), h("div", { class: "rl-head" }, step.box, score.box, kl.box));
    return {
      box,
      set: (ppo) => {
        box.hidden = !ppo;
        if (!ppo) return;
        const words = { queued: "PPO waits for its turn.", running: ppo.step ? `PPO is training: step ${ppo.step} of ${ppo.total_steps}` : "PPO is starting: it loads its models.", finished: "PPO has finished. The blind vote comes next." };
        rlhf.say(line, words[ppo.status] || `PPO has ${ppo.status}.`);
        fill.style.width = `${(100 * ppo.step) / (ppo.total_steps || 1)}%`;
        rlhf.say(step.value, String(ppo.step));
        rlhf.say(score.value, rlhf.signed(ppo.score));
        rlhf.say(kl.value, rlhf.number(ppo.kl, 1));
      },
    };
  };

  // A rate of A with its interval (of pairs), told of PPO's texts; no rate stays none.
  rlhf.ofPPO = (contender, rate, low, high) =>
    contender === "a" || rate === null ? [rate, low, high] : [1 - rate, 1 - high, 1 - low];

  // The end of a blind vote, told the same way on every screen. Rates are of PPO's texts.
  rlhf.blindResult = (result) => {
    const forPPO = result.contender === "a";
    const [rate, low, high] = rlhf.ofPPO(result.contender, result.rate, result.low, result.high);
    const [ppo, base] = forPPO ? [result.wins, result.losses] : [result.losses, result.wins];
    const even = result.ties + result.both_bad;
    const simulated = `${result.simulated} of ${result.votes} simulated`;
    const who = result.simulated ? `The class, ${simulated},` : "The class";
    const people = result.simulated === result.votes ? "simulated students" : "people";
    const words = !result.votes ? "Nobody has voted." : low > 0.5 ? `${who} prefers what PPO writes.` : high < 0.5 ? `${who} prefers the base: PPO has learned something else than what ${people} like.` : `The interval holds 50%: these votes${result.simulated ? `, ${simulated},` : ""} cannot tell the two apart.`;
    return h("section", { class: "rl-card rl-blind-result" },
      h("div", { class: "rl-figure" }, h("b", { style: { color: "var(--rl-ppo)" } }, rlhf.percent(rate)), h("span", {}, `of ${result.votes} votes${result.simulated ? ` (${result.simulated} simulated)` : ""} on ${result.pairs} pairs prefer PPO\u2019s text ${result.votes ? rlhf.interval(low, high) : ""}; 50% is no difference`)),
      h("p", {}, words),
      h("p", { class: "rl-soft" }, `It was ${forPPO ? "A" : "B"} that had been trained by PPO. PPO ${ppo}, base ${base}, tie or both bad ${even} (half for each).`));
  };
})();
