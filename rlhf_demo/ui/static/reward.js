// The reward-model tab's own parts: pairs before training, the honesty panel, and a text's score by word.
(() => {
  const { h } = rlhf;

  rlhf.preview = ({ element, props, watch }) => {
    const root = element.querySelector(".rl-preview");
    const draw = () => {
      const { error, count, dropped, pairs } = props.value || {};
      if (error) return rlhf.fill(root, h("p", { class: "rl-problem", role: "alert" }, error));
      if (!pairs) return;
      const out = Object.entries(dropped).map(([reason, n]) => `${n} ${reason}`).join(", ");
      rlhf.fill(root, h("details", { class: "rl-fold" },
        h("summary", {}, `See ten of the ${count.toLocaleString("en")} pairs`, h("span", {}, out ? `; dropped: ${out}` : "; none was dropped")),
        h("div", { class: "rl-pairs" }, pairs.map((pair) => h("article", {},
          h("p", { class: "rl-prompt" }, pair.prompt),
          h("p", {}, h("span", { class: "rl-chip rl-up" }, "preferred"), " ", pair.chosen),
          h("p", {}, h("span", { class: "rl-chip" }, "rejected"), " ", pair.rejected))))));
    };
    watch("value", draw);
    draw();
  };

  // What a difference of scores means: sigmoid(factor x difference) is a probability.
  const preference = (difference, factor) => 1 / (1 + Math.exp(-factor * difference));
  const unitWords = (factor) =>
    `A score of 1 is one standard deviation of the scores of the base\u2019s texts. By this model a text is preferred to one that scores 0.5 less with a probability of ${rlhf.percent(preference(0.5, factor))}, to one that scores 1 less with ${rlhf.percent(preference(1, factor))}: sigmoid(${rlhf.number(factor)} \u00D7 difference).`;

  // -- how far to trust it --------------------------------------------------------------------------

  // Error bars of shares with their intervals, as Plotly takes them.
  const reach = (shares, lows, highs) => ({
    type: "data", symmetric: false, array: shares.map((one, i) => highs[i] - one), arrayminus: shares.map((one, i) => one - lows[i]),
  });

  rlhf.honesty = ({ element, server }) => {
    const root = element.querySelector(".rl-honesty");
    const accuracy = rlhf.chartCard({
      title: "Right on held-out pairs", subtitle: "share in the rater's order, with its 95% interval", height: 230, hovermode: "closest",
      xRange: [0, 1.05], xFormat: ".0%", left: 104,
      series: [{ color: "score", type: "bar", orientation: "h" }],
    });
    const reliability = rlhf.chartCard({
      title: "Does it know how sure it is?", subtitle: "how often it is right, with 95% intervals, over how sure it says it is", height: 230, hovermode: "closest",
      xRange: [0.48, 1.02], yRange: [0, 1.05], xTitle: "says it is right with this probability", xFormat: ".0%", yFormat: ".0%",
      series: [{ color: "soft", dash: "dot", name: "honest" }, { color: "score", mode: "lines+markers", name: "it" }],
    });
    const margins = rlhf.chartCard({
      title: "Are close calls harder?", subtitle: "how often it is right in four groups of pairs, by how sure the rater was; 95% intervals", height: 230, hovermode: "closest", yRange: [0, 1.08], yFormat: ".0%",
      series: [{ color: "score", type: "bar" }],
    });
    const worst = h("div", {});
    const voted = h("p", { class: "rl-soft rl-voted", hidden: true });
    const empty = h("p", { class: "rl-soft" }, "The report follows when the run is finished.");
    const few = h("p", { class: "rl-soft" });
    const unit = h("p", { class: "rl-soft" });
    const panel = h("div", {}, voted,
      h("div", { class: "rl-grid-3" }, accuracy.card, reliability.card, margins.card), few,
      h("details", { class: "rl-fold" }, h("summary", {}, "The pairs it gets most wrong"), unit, worst));
    rlhf.fill(root, h("h2", { class: "rl-h2" }, "How far to trust it"), empty, panel);

    // Trained on people's votes: a few others foretell a vote so well; nothing gets more right than `highest`.
    const votesWords = ({ votes, raters, simulated, held_out: held, held_out_pairs: pairs, too_few_to_tell: few }) =>
      `Learned from ${votes} votes of ${raters} ${raters === 1 ? "person" : "people"}${simulated ? `, ${simulated} of them simulated` : ""}; tested on the ${held} votes on the ${pairs} pairs whose prompts were rated last.${few ? " So few pairs cannot tell whether it is right more often than a coin." : ""}`;

    const draw = ({ report, people, votes, rater }) => {
      empty.hidden = !!report;
      panel.hidden = !report;
      if (!report) return;
      voted.hidden = !votes && !rater;
      rlhf.say(voted, votes ? votesWords(votes) : rater);
      const agree = people !== null, highest = votes ? votes.highest_accuracy : null, limited = highest !== null;
      const names = ["reward model", ...(limited ? ["at most possible"] : []), ...(agree ? ["a few others"] : []), `the ${report.baseline_side} one`, "a coin"];
      const shares = [report.accuracy, ...(limited ? [highest] : []), ...(agree ? [people] : []), report.baseline_length, 0.5];
      const rest = shares.slice(1).map(() => NaN); // no error bar
      accuracy.chart.replace([{
        x: shares.slice().reverse(), y: names.slice().reverse(), hover: "%{x:.1%}<extra></extra>",
        text: shares.map((one) => rlhf.percent(one)).reverse(), textposition: "inside", anchor: "start", width: 0.6, colors: ["soft", "soft", ...(agree ? ["base"] : []), ...(limited ? ["soft"] : []), "score"],
        error: { type: "data", symmetric: false, array: [...rest, report.accuracy_high - report.accuracy], arrayminus: [...rest, report.accuracy - report.accuracy_low] },
      }]);
      rlhf.say(unit, unitWords(report.score_std));
      const bins = report.reliability;
      reliability.card.hidden = !bins.length;
      few.hidden = bins.length > 0;
      rlhf.say(few, `Whether it knows how sure it is cannot be told from ${report.different_pairs} held-out pairs.`);
      reliability.chart.replace([
        { x: [0.5, 1], y: [0.5, 1], hover: "<extra></extra>" },
        {
          x: bins.map((b) => b.predicted), y: bins.map((b) => b.observed), size: 9, mode: "markers",
          reach: reach(bins.map((b) => b.observed), bins.map((b) => b.observed_low), bins.map((b) => b.observed_high)),
          told: bins.map((b) => `${rlhf.interval(b.observed_low, b.observed_high)} of ${b.pairs} pairs`), hover: "says %{x:.0%}, is right %{y:.0%} %{customdata}<extra></extra>",
        },
      ]);
      const quarters = report.margin_quartiles;
      margins.card.hidden = !quarters.length;
      const names4 = ["closest", "close", "clear", "clearest"];
      margins.chart.replace([{
        x: quarters.map((_, i) => names4[i]), y: quarters.map((q) => q.accuracy), text: quarters.map((q) => rlhf.percent(q.accuracy)),
        reach: { ...reach(quarters.map((q) => q.accuracy), quarters.map((q) => q.accuracy_low), quarters.map((q) => q.accuracy_high)), color: "ink" },
        told: quarters.map((q) => `${rlhf.interval(q.accuracy_low, q.accuracy_high)} of ${q.pairs} pairs`), hover: "%{y:.1%} %{customdata}<extra></extra>", textposition: "inside", anchor: "start",
      }]);
      rlhf.fill(worst, report.most_wrong.map((pair) => h("article", { class: "rl-sample" },
        h("span", { class: "rl-chip rl-down", title: `its score of the preferred text less that of the rejected one; by it the rejected one is better with a probability of ${rlhf.percent(preference(-pair.margin, report.score_std), 1)}` }, rlhf.signed(pair.margin)),
        h("p", { class: "rl-prompt" }, pair.prompt),
        h("p", {}, h("span", { class: "rl-soft" }, "the rater preferred "), pair.chosen),
        h("p", {}, h("span", { class: "rl-soft" }, "it preferred "), pair.rejected))));
    };

    let shown = null;
    window.addEventListener("rlhf:board", async ({ detail: { kind, run } }) => {
      const key = `${run.id} ${run.status}`;
      if (kind !== "reward" || key === shown) return;
      shown = key;
      const over = ["stopped", "failed"].includes(run.status);
      rlhf.say(empty, over ? `This run was ${run.status === "failed" ? "not finished" : "stopped"}, so there is no report.` : "The report follows when the run is finished.");
      const answer = await server.reward_report({ run: run.id });
      if (!answer.error) draw(answer);
    });
  };

  // -- any text, word by word -------------------------------------------------------------------------

  // "Empty text -0.18, words +1.59: together +1.41." What stands there adds up as it is rounded.
  const sumWords = ({ score, empty }) => {
    const whole = Number(score.toFixed(2)), start = Number(empty.toFixed(2));
    return `The empty text scores ${rlhf.signed(start)}; the words add ${rlhf.signed(whole - start)}.`;
  };
  const howWords = ({ exact, orders, standard_error: error, words_together: together }) =>
    `${together > 1 ? `The text is long, so ${together} neighbouring words count as one. ` : ""}${exact ? "All orders were tried, so these figures are exact." : `Averaged over ${orders} orders drawn at random: the standard error of a figure is about ${rlhf.number(error)}.`}`;

  rlhf.scoring = ({ element, server }) => {
    const root = element.querySelector(".rl-scoring");
    const pick = h("select", { "aria-label": "Score with" });
    const text = h("input", { type: "text", class: "rl-wide", maxlength: 2000, "aria-label": "Text to score", value: "This film is not a masterpiece, but I loved every minute of it." });
    const go = h("button", { class: "rl-button", type: "submit" }, "Score it");
    const score = h("b", { class: "rl-big-score" }, "\u2013");
    const out = h("p", { class: "rl-scored" }, "\u00A0");
    const adds = h("p", { class: "rl-soft" }, "\u00A0"), how = h("p", { class: "rl-soft" }, "\u00A0"), unit = h("p", { class: "rl-soft" }, "\u00A0");
    const problem = h("p", { hidden: true });
    const form = h("form", { class: "rl-inline" }, text, h("label", {}, "with ", pick), go);
    rlhf.fill(root, h("section", { class: "rl-card" },
      h("h3", {}, "Score any text ", h("span", {}, "and what each word adds: all words are taken out and put back one by one, and a word\u2019s colour is the change in score when it comes back, averaged over many orders (its Shapley value)")),
      form, problem, h("div", { class: "rl-score-line" }, score, out), rlhf.legend("contribution"), adds, how, unit));

    const lists = async () => {
      const answer = await rlhf.call(problem, server.scorers(0));
      if (!answer) return;
      const key = JSON.stringify(answer.scorers);
      if (pick.dataset.key === key) return;
      const before = pick.value;
      pick.dataset.key = key;
      rlhf.fill(pick, answer.scorers.map(([label, id]) => h("option", { value: id }, label)));
      if (before) pick.value = before;
    };
    const ask = async () => {
      go.disabled = true;
      const answer = await rlhf.call(problem, server.score_text({ text: text.value, scorer: pick.value }));
      go.disabled = false;
      if (!answer) return;
      rlhf.say(score, rlhf.signed(answer.score));
      rlhf.fill(out, rlhf.tokenText(answer.words, "contribution", { label: "scored text, word by word" }));
      rlhf.say(adds, sumWords(answer));
      rlhf.say(how, howWords(answer));
      rlhf.say(unit, answer.factor ? unitWords(answer.factor) : "How a difference in score turns into a probability is not known for this scorer.");
    };
    form.addEventListener("submit", (event) => (event.preventDefault(), ask()));
    window.addEventListener("rlhf:tab", (event) => event.detail === "reward model" && lists());
    window.addEventListener("rlhf:board", ({ detail: { kind, run } }) => kind === "reward" && run.status === "finished" && lists());
    lists().then(() => element.offsetParent !== null && ask());
  };
})();
