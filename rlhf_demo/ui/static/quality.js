// What the votes on a question are worth, who looks careless, training on them, and votes as files.
(() => {
  const { h } = rlhf;
  const FEW = 10; // pairs; below it an interval says nothing that a reader could use
  // Several votes on a pair count as one in an interval, so both numbers are told.
  const outOf = ({ count, units }) => `of ${count} on ${units} ${units === 1 ? "pair" : "pairs"}`;

  // A share with its interval as a bar; `half` marks 50%.
  const measure = (title, about, color, half) => {
    const value = h("b", {}, "\u2013");
    const range = h("small", {}, "");
    const bar = h("div", { class: "rl-share", role: "presentation" }, half ? h("i", { class: "rl-half" }) : null, h("i", { class: "rl-share-fill", style: { background: `var(--rl-${color})` } }), h("i", { class: "rl-range" }));
    const limit = h("i", { class: "rl-half", hidden: true, style: { borderLeftStyle: "solid" } });
    const words = h("p", { class: "rl-soft" }, about);
    const card = h("article", { class: "rl-card rl-measure" }, h("h3", {}, title), h("p", { class: "rl-measure-value" }, value, " ", range), bar, words);
    const [, fill, interval] = half ? bar.children : [null, ...bar.children];
    bar.append(limit);
    return {
      card,
      about: (text) => rlhf.say(words, text),
      limit: (share) => {
        limit.hidden = share === null;
        limit.style.left = `${100 * share}%`;
      },
      set: (share, few = FEW) => {
        const tells = share.units >= few;
        rlhf.say(value, tells ? rlhf.percent(share.share) : "too few to tell");
        value.classList.toggle("rl-few", !tells);
        const size = share.units < share.count ? outOf(share) : `of ${share.count}`;
        rlhf.say(range, tells ? `${rlhf.interval(share.low, share.high)} ${size}` : share.count ? `${size.slice(3)} so far` : "none so far");
        bar.hidden = !tells;
        fill.style.width = `${100 * (share.share || 0)}%`;
        interval.style.left = `${100 * share.low}%`;
        interval.style.width = `${100 * (share.high - share.low)}%`;
      },
      say: (text, more) => {
        rlhf.say(value, text);
        rlhf.say(range, more);
        bar.hidden = true;
        value.classList.toggle("rl-few", text.startsWith("too"));
      },
    };
  };

  const alphaWords = (alpha) => {
    if (alpha === null) return "no pair has answers of two people yet";
    if (alpha < 0.2) return "hardly more than chance";
    return alpha < 0.6 ? "some agreement" : "good agreement";
  };

  rlhf.quality = ({ element, props, server, watch }) => {
    const { fewest, fewest_shared: shared, few } = props.value;
    let asked = { question: props.value.question }, state = null;
    const without = new Set();
    const problem = h("p", { hidden: true });
    const said = h("p", { class: "rl-soft", "aria-live": "polite", hidden: true });
    const line = h("p", { class: "rl-soft" }, "\u00A0");
    const foretold = measure("Others foretell a vote", "\u00A0", "base", true);
    const alpha = measure("Beyond chance", "Krippendorff\u2019s alpha over pairs that several people saw: 1 is full agreement, 0 is what chance gives.", "base");
    const self = measure("With themselves", "How often somebody answers a pair the same way when it comes again.", "base");
    const ties = measure("Ties", "How often people see no difference. Many ties mean that the texts, or the question, tell little.", "soft");
    const left = measure("Left side", "How often the left text (on a phone the upper one) is preferred. Sides are drawn at random: away from 50% it is habit.", "soft", true);
    const caught = measure("Caught", "How often one of two identical texts is preferred. A careful reader says tie.", "warn");
    const careless = h("div", { class: "rl-careless" });
    const measures = h("div", { class: "rl-grid-3 rl-measures", hidden: true }, [foretold, alpha, self, ties, left, caught].map((one) => one.card));
    const go = h("button", { class: "rl-button rl-main", type: "button" }, "Train the reward model on these votes");
    const together = h("input", { type: "checkbox" });
    const mix = h("label", { class: "rl-check" }, together, " together with the votes on other questions");
    const about = h("span", { class: "rl-soft" });
    const file = (label, format, everything) => h("button", { class: "rl-button", type: "button", onclick: () => save(format, everything) }, label);

    rlhf.fill(element.querySelector(".rl-quality"),
      h("div", { class: "rl-go rl-train" }, go, mix, about), problem,
      h("h2", { class: "rl-h2" }, "How good are the votes"), line,
      measures, careless,
      h("details", { class: "rl-fold" }, h("summary", {}, "Votes as files"),
        h("p", { class: "rl-soft" }, "Preferences in TRL\u2019s format (prompt, chosen, rejected), with question, rater\u2019s number, round and time beside; or every answer, ties and skips too. What is written here can be imported again below."),
        h("div", { class: "rl-inline" }, file("Preferences, JSONL", "jsonl", false), file("Preferences, Parquet", "parquet", false), file("Every answer, JSONL", "jsonl", true), file("Every answer, Parquet", "parquet", true)), said));

    const save = async (format, everything) => {
      const answer = await rlhf.call(problem, server.export({ format, everything }));
      if (!answer) return;
      h("a", { href: encodeURI(answer.link), download: answer.name }).click();
      say(`${answer.rows} rows written to ${answer.name}.`);
    };
    const say = (text) => {
      said.hidden = !text;
      rlhf.say(said, text || "");
    };

    const enough = () => (together.checked ? state.together : state.preferences);
    const drawTrain = () => {
      const count = enough();
      go.disabled = count < fewest;
      rlhf.say(about, count < fewest
        ? `${count} of the ${fewest} preferences it takes; ties and skips teach it nothing.`
        : `${count} preferences. A fifth, on the prompts rated last, is held out to test it: its accuracy is told from ${few} such pairs on. About half a minute on two CPU cores.`);
      mix.hidden = state.together === state.preferences;
    };
    together.onchange = drawTrain;
    go.onclick = async () => {
      go.disabled = true;
      const answer = await rlhf.call(problem, server.train({ question: asked.question, together: together.checked, without: [...without], secret: rlhf.secret() }));
      go.disabled = false;
      if (answer) rlhf.showRun(answer.run, "reward");
    };

    const drawCareless = () => {
      careless.hidden = !state.careless.length;
      rlhf.fill(careless,
        h("h3", {}, "Raters who look careless ", h("span", {}, without.size ? `${without.size} left out: of the figures above, and of the training` : "counted like everybody until you leave them out")),
        state.careless.map((row) => h("label", { class: "rl-check" },
          h("input", { type: "checkbox", checked: without.has(row.rater) || row.left_out, disabled: row.left_out, onchange: (event) => leaveOut(row.rater, event.target.checked) }),
          ` leave out rater ${row.rater}`, row.simulated ? " (simulated)" : "", h("span", { class: "rl-soft" }, `: ${row.votes} answers; ${row.careless.join("; ") || "left out before"}`))));
    };
    const leaveOut = (rater, out) => {
      if (out) without.add(rater);
      else without.delete(rater);
      load();
    };

    const draw = () => {
      const { quality } = state;
      measures.hidden = !state.votes;
      rlhf.say(line, state.votes
        ? `${state.votes} answers by ${state.raters} ${state.raters === 1 ? "person" : "people"} to \u201C${state.question}\u201D, ${state.preferences} of them preferences to learn from${state.simulated ? `; ${state.simulated} answers are simulated` : ""}.`
        : `Nobody has answered \u201C${state.question}\u201D yet.`);
      foretold.set(quality.foretold, shared);
      const highest = quality.foretold.units < shared ? null : quality.highest_accuracy;
      foretold.limit(highest);
      foretold.about(`How often a voter prefers what most of the others on the same pair prefer. A few people are a noisy guide: a good reward model can do better.${highest === null ? "" : ` No model can get more than ${rlhf.percent(highest)} of these votes right (the solid mark): it gives one answer to a pair, and on some pairs people disagree.`}`);
      if (quality.foretold.units < shared) alpha.say("too few to tell", "");
      else alpha.say(quality.alpha === null ? "too few to tell" : rlhf.number(quality.alpha), alphaWords(quality.alpha));
      self.set(quality.self_agreement, 5);
      ties.set(quality.ties);
      left.set(quality.left);
      caught.set(quality.caught, 5);
      drawCareless();
      drawTrain();
    };

    let loading = false, again = false; // never twice at once: the server may be busy for a while
    const load = async () => {
      again = loading;
      if (loading) return;
      loading = true;
      const answer = await rlhf.call(problem, server.quality({ question: asked.question, without: [...without] }));
      loading = false;
      if (again) return load();
      if (!answer) return;
      state = answer;
      const listed = new Set(state.careless.map((row) => row.rater));
      without.forEach((rater) => listed.has(rater) || without.delete(rater)); // of another question, or careful meanwhile
      draw();
    };
    let soon = null;
    const later = () => {
      clearTimeout(soon);
      soon = setTimeout(load, 600); // after the burst of quick answers
    };
    window.addEventListener("rlhf:voted", later);
    window.addEventListener("rlhf:question", (event) => {
      asked = event.detail;
      load();
    });
    window.addEventListener("rlhf:tab", (event) => event.detail === "feedback" && load());
    watch("value", () => {
      const { error, imported } = props.value;
      rlhf.problem(problem, error);
      if (imported) {
        say(`${imported.kept} votes imported${imported.double ? `, ${imported.double} left out: the same rater answers the same pair twice` : ""}. Their questions are in the reward model\u2019s list of pairs.`);
        load();
      }
    });
    load();
  };
})();
