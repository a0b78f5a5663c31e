// The fold "Inside a step": how scores, ratios and values of the step in sight were spread, which words
// were pushed, and curves over all steps that need a word of explanation. It asks nothing while folded.
(() => {
  const { h } = rlhf;
  const HEIGHT = 210;
  const BIN = 0.05; // of the ratios, from 0 to 3

  const share = "%{y:.1%}";
  const SPREADS = {
    scores: {
      title: "Scores of the responses", subtitle: "share of responses by score", xTitle: "score, standard deviations of the base\u2019s scores", yFormat: ".0%", fromZero: true,
      series: [{ name: "then", color: "soft" }, { name: "now", color: "score" }],
    },
    ratio: {
      title: "How far tokens moved", subtitle: "share of tokens by ratio; shaded: the clip range", xTitle: "ratio: probability \u00F7 that before the step; last bin: 3 and more", yFormat: ".0%", fromZero: true, xRange: [0, 3],
      series: [{ name: "epochs", color: "soft" }, { name: "after the update", color: "ppo" }],
    },
    values: {
      title: "What the value head expected", subtitle: "each point is a response, read at its middle token", xTitle: "value: reward expected from there on, deviations", hovermode: "closest", left: 44,
      series: [{ name: "value and realised return", color: "score" }, { name: "value = return", color: "soft", dash: "dot" }],
    },
  };

  // A line with a step at each edge of a bin, down to 0 at both ends.
  const outline = (middles, shares, width) => ({
    x: [middles[0] - width, ...middles, middles.at(-1) + width], y: [0, ...shares, 0], shape: "hvh", hover: `${share} at %{x:.2f}<extra>%{fullData.name}</extra>`,
  });

  // What the lines of a card mean, in text that wraps on a phone.
  const key = (series) => series.map((one) => h("span", {}, h("i", { style: { borderTop: `3px ${one.dash === "dot" ? "dotted" : "solid"} var(--rl-${one.color})` } }), one.name));

  const cell = (spec) => {
    const one = rlhf.chartCard({ height: HEIGHT, empty: "not kept for this step", ...spec });
    const keys = h("p", { class: "rl-key" }, spec.series.length > 1 ? key(spec.series) : null);
    const note = h("p", { class: "rl-soft rl-inside-note" });
    one.card.insertBefore(keys, one.card.lastChild);
    one.card.append(note);
    return Object.assign(one, { keys, note });
  };

  const drawScores = (one, { scores }, step) => {
    const series = [{ name: `step ${scores.first}`, color: "soft" }, { name: `step ${step}`, color: "score" }];
    rlhf.fill(one.keys, key(series));
    one.chart.replace([scores.then, scores.now].map((shares, i) => ({ ...series[i], ...outline(scores.middles, shares, scores.width), fill: i ? "tozeroy" : undefined })));
    rlhf.say(one.note, "The curve of the score is the mean of this. Here you see how far single responses lie from it.");
  };

  const drawRatios = (one, told) => {
    const { ratio, clip_range: clip, figures } = told;
    const epochs = ratio.length - 1;
    const middles = ratio[0].map((_, bin) => BIN * (bin + 0.5));
    const shown = epochs > 1 ? [0, epochs - 1, epochs] : [0, epochs];
    const series = shown.map((at) => (at === epochs ? { name: "after the update", color: "ppo", fill: "tozeroy" } : { name: `when read in epoch ${at + 1}`, color: "soft", dash: at ? undefined : "dot" }));
    rlhf.fill(one.keys, key(series));
    one.chart.replace(series.map((line, i) => ({ ...line, ...outline(middles, ratio[shown[i]], BIN) })), { band: [1 - clip, 1 + clip] });
    rlhf.say(one.note, `Read again after the update, ${rlhf.percent(figures["policy/outside_clip"])} of the tokens lie outside ${rlhf.number(1 - clip)} to ${rlhf.number(1 + clip)}; the middle 98% lie between ${rlhf.number(figures["policy/ratio_p01"])} and ${rlhf.number(figures["policy/ratio_p99"])}. ` +
      "In epoch 1 most tokens are read before many updates were made, so their ratios are near 1; in the first minibatch, before any update, they are exactly 1 but for rounding. " +
      "The clip stops a token\u2019s own gradient only where its ratio lies beyond the range on the side that its advantage pushes to. It does not pull the token back, and the updates for other tokens move it on.");
  };

  const epochTable = (told) => {
    const { figures } = told;
    const epochs = figures["policy/update_kl_by_epoch"] || [];
    const row = (name, unit, values) => h("tr", {}, h("th", { scope: "row" }, name, " ", h("span", {}, unit)), values.map((value) => h("td", {}, value)));
    return h("table", { class: "rl-table" },
      h("thead", {}, h("tr", {}, h("td", {}), epochs.map((_, i) => h("th", { scope: "col" }, `epoch ${i + 1}`)), h("th", { scope: "col" }, "after"))),
      h("tbody", {},
        row("KL from the policy before the step", "nats per token", [...epochs, figures["policy/update_kl"]].map((kl) => rlhf.number(kl, 4))),
        row("stopped by the clip", "of the tokens read", [...(figures["policy/clip_fraction_by_epoch"] || []).map((one) => rlhf.percent(one, 1)), "\u2013"]),
        row("outside the clip range", "of the tokens read again", [...epochs.map(() => "\u2013"), rlhf.percent(figures["policy/outside_clip"], 1)])));
  };

  const drawValues = (one, { values, figures }) => {
    const all = values.flat();
    const ends = [Math.min(...all), Math.max(...all)];
    one.chart.replace([
      { x: values.map(([value]) => value), y: values.map(([, realised]) => realised), mode: "markers", size: 6, hover: "expected %{x:.2f}, came %{y:.2f}<extra></extra>" },
      { x: ends, y: ends, hover: "value = return<extra></extra>" },
    ]);
    rlhf.say(one.note, `Up: the reward that came (score less the price of KL). On the dotted line it was foretold exactly. Over all tokens of the step the values explain ${rlhf.percent(figures["value/explained_variance"])} of the variance of what came; 0% is no better than always expecting the mean.`);
  };

  const wordList = (title, words, color) => {
    const widest = Math.max(...words.map(([, , mean]) => Math.abs(mean)), 0.01);
    return h("section", {}, h("h4", {}, title), words.length ? h("ol", { class: "rl-words" }, words.map(([word, count, mean]) => h("li", {},
      h("b", {}, word), h("span", { class: "rl-word-bar" }, h("i", { style: { width: `${(100 * Math.abs(mean)) / widest}%`, background: `var(--rl-${color})` } })),
      h("span", {}, rlhf.signed(mean)), h("small", {}, `${count.toLocaleString("en")} times`)))) : h("p", { class: "rl-soft" }, "None yet."));
  };

  const drawWords = (place, { words }, step) =>
    rlhf.fill(place,
      h("h3", {}, "Words that were pushed ", h("span", {}, `mean advantage, in standard deviations of a step\u2019s advantages; all steps up to ${step} whose texts were kept`)),
      h("div", { class: "rl-word-lists" }, wordList("pushed up", words.up, "ppo"), wordList("pushed down", words.down, "below")),
      h("p", { class: "rl-soft rl-inside-note" }, `Words read at least ${words.fewest} times whose mean is more than three standard errors from 0, where chance alone brings hardly any. A word counts in the steps where it stood twice or more. The error allows for what the words of one response have in common. An advantage is the push that a token got: up where the response came out better than the value head expected from there, down where worse, both compared with the step\u2019s other tokens. It is not the outcome. All words share the model\u2019s weights, so many a token ends less likely though it was pushed up.`));

  // server: of the board; specs: the curves over all steps, as ui/panels/charts.py declares them.
  rlhf.inside = (server, specs) => {
    const cells = Object.fromEntries(Object.entries(SPREADS).map(([name, spec]) => [name, cell(spec)]));
    const curves = specs.map((spec) => cell({ ...spec, empty: spec.empty || "this run has no such figure so far" }));
    const [judged, agreement, gradient, cut] = curves;
    const words = h("article", { class: "rl-card" });
    const table = h("div", { class: "rl-wide-table" });
    const epochs = h("article", { class: "rl-card" }, h("h3", {}, "How far the update went ", h("span", {}, "by PPO epoch, as its tokens were read, and after the last")), table,
      h("p", { class: "rl-soft rl-inside-note" }, "This KL is the way of one update, per token. The KL from the base, on the chart above, is the whole way since the start, per response."));
    const heading = h("h3", { class: "rl-inside-head" });
    const missing = h("p", { class: "rl-soft" });
    const spread = h("div", { class: "rl-grid-2" }, cells.scores.card, cells.ratio.card, epochs, cells.values.card);
    const fold = h("details", { class: "rl-fold rl-inside" }, h("summary", {}, "Inside a step"), heading, missing, spread, words,
      h("h3", { class: "rl-inside-head" }, "Over all steps"), h("div", { class: "rl-grid-2" }, curves.map((one) => one.card)));
    let run = null, wanted = -1, shown = null;

    const draw = ({ step, told }) => {
      shown = step;
      heading.hidden = !told;
      rlhf.fill(heading, `Step ${step} `, h("span", {}, "the slider above the texts goes to other steps"));
      spread.hidden = words.hidden = !told;
      rlhf.say(missing, told ? "" : "There is nothing to draw of one step yet: this run has not finished its first one, or an older version made it.");
      if (!told) return;
      drawScores(cells.scores, told, step);
      drawRatios(cells.ratio, told);
      rlhf.fill(table, epochTable(told));
      drawValues(cells.values, told);
      drawWords(words, told, step);
    };
    const load = async (given) => {
      if (!fold.open || wanted === shown) return;
      if (wanted < 0) return draw({ step: wanted });
      const of = run, step = wanted;
      const answer = given && given.step === step ? given : await server.board_inside({ run, step });
      if (!answer.error && of === run && step === wanted) draw(answer);
    };
    fold.addEventListener("toggle", () => load());

    const tellJudge = (judge) => {
      rlhf.say(judged.note, judge ? judge.note : "This run has no judge, so only the reward is drawn.");
      rlhf.say(agreement.note, judge ? "On what the policy writes now, not on what the reward model was trained on. Of 32 responses a share jumps by its standard error from chance alone. It also falls where the texts come to score alike, since close pairs are harder to order, and PPO makes them score alike. So compare steps whose scores spread alike: a lasting fall between those hints that the policy has left what the reward model knows." : "");
    };
    rlhf.say(gradient.note, "Both losses share one gradient and one limit: where the value loss\u2019s part is the longer, it takes the room. The parts are those of the first update in every fifth step; as their directions differ, their lengths do not add up.");
    rlhf.say(cut.note, "A cut gradient keeps its direction and is scaled down to the limit.");

    return {
      fold, cards: curves,
      reset: () => ((shown = null), (wanted = -1)),
      // The step looked inside, while the newest one is wanted: a newer one then comes with the rows.
      following: (follow) => (fold.open && follow ? shown ?? -1 : null),
      show: (step) => {
        wanted = step;
        return load();
      },
      update: (now, step, answer) => {
        run = now.id;
        wanted = step;
        tellJudge(answer.judge);
        load(answer.inside);
      },
    };
  };
})();
