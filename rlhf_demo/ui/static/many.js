// Many prompts through two models: who wins how often, what else differs, and every answer.
(() => {
  const { h } = rlhf;
  const COLORS = ["base", "ppo"];

  // A text that a spreadsheet would take for a formula gets an apostrophe in front; numbers stay numbers.
  const cell = (value) => {
    if (typeof value === "number") return String(value);
    const text = /^[\s]*[=+\-@]/.test(value) || /^[\t\r]/.test(value) ? `'${value}` : value;
    return `"${text.replaceAll('"', '""')}"`;
  };
  rlhf.csv = (rows) => rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";

  const FIGURES = [
    ["kl", "KL from the base", "nats per text, \u00B1 its standard error", "how far its choice of each next token lies from the base\u2019s, over the whole vocabulary, summed over a text", (v, { kl_se: error }) => `${rlhf.number(v, 2)}${error === undefined ? "" : ` \u00B1 ${rlhf.number(error, 2)}`}`],
    ["length", "Length", "tokens", "mean length of a text, its end token included", (v) => rlhf.number(v, 1)],
    ["eos_rate", "Ended by itself", "of texts", "texts that end with the end token and were not cut short", (v) => rlhf.percent(v)],
    ["distinct_1", "Distinct-1", "of {} tokens", "different tokens among equally many of either side: low where a model repeats itself", (v) => rlhf.percent(v)],
    ["distinct_2", "Distinct-2", "of {} pairs of tokens", "different pairs of neighbouring tokens among equally many of either side", (v) => rlhf.percent(v)],
    ["perplexity", "Perplexity", "under the base", "how surprising the texts are to the base, at temperature 1: high for odd language, low for commonplaces", (v) => rlhf.number(v, 1)],
  ];
  const winner = ([left, right]) => (left === right ? "tie" : right > left ? "right" : "left");

  rlhf.many = ({ element, props, watch }) => {
    const problem = h("p", { hidden: true });
    const bar = h("i");
    const progress = h("div", { class: "rl-bar", role: "progressbar", "aria-label": "Prompts answered", "aria-valuemin": 0, "aria-valuemax": 100 }, bar);
    const done = h("p", { class: "rl-soft", "aria-live": "polite" });
    const busy = h("div", { class: "rl-busy", hidden: true }, progress, done);
    const body = h("div", {});
    const empty = h("p", { class: "rl-soft" }, "Press \u201CCompare on many prompts\u201D: who wins, how often, and every answer then stand here.");
    rlhf.fill(element.querySelector(".rl-many"), problem, busy, empty, body);

    const winBar = (judge, { report, names }) => {
      const { win_rate: rate, win_rate_low: low, win_rate_high: high, wins, ties, losses } = judge;
      const { prompts } = report;
      const sure = low > 0.5 || high < 0.5;
      const at = (share) => `${100 * share}%`;
      return h("div", { class: "rl-judged" },
        h("h4", {}, h("b", {}, judge.name), `, ${judge.title}`),
        h("div", { class: "rl-figure rl-win" }, h("b", {}, rlhf.percent(rate), " ", h("small", {}, rlhf.interval(low, high))),
          h("span", {}, `won by ${names[1]} against ${names[0]}, with the 95% interval${ties ? "; a tie counts half" : ""}`)),
        h("div", { class: "rl-winbar", role: "img", "aria-label": `${judge.name}: ${losses} won by ${names[0]}, ${ties} ties, ${wins} won by ${names[1]}` },
          h("b", { style: { width: at(wins / prompts), background: "var(--rl-ppo)" } }),
          h("b", { style: { width: at(ties / prompts), background: "var(--rl-line)" } }),
          h("b", { style: { width: at(losses / prompts), background: "var(--rl-base)" } }),
          h("i", { class: "rl-half" }),
          h("i", { class: "rl-range", style: { left: at(low), width: at(high - low) } })),
        h("p", { class: "rl-winkey" },
          h("span", {}, h("i", { style: { background: "var(--rl-ppo)" } }), `${names[1]} ${wins}`),
          ties ? h("span", {}, `ties ${ties}`) : null,
          h("span", {}, h("i", { style: { background: "var(--rl-base)" } }), `${names[0]} ${losses}`)),
        h("p", { class: "rl-soft" },
          sure ? "The interval lies on one side of 50%: more than luck. " : "The interval holds 50%: so few prompts cannot tell whose texts this judge prefers. ",
          judge.note));
    };

    const winCard = (seen) =>
      h("section", { class: "rl-card" },
        h("h3", {}, "Who wins ", h("span", {}, `share of ${seen.report.prompts} prompts, by two judges; neither is a person`)),
        seen.judges.map((judge) => winBar(judge, seen)));

    const row = (label, unit, meaning, cells) =>
      h("tr", { title: meaning }, h("th", { scope: "row" }, label, " ", h("span", {}, unit)), cells.map((cell) => h("td", {}, cell)));
    const figureTable = ({ report, names, judges }) =>
      h("section", { class: "rl-card" }, h("h3", {}, "What else differs ", h("span", {}, "over all texts")),
        h("table", { class: "rl-table" },
          h("thead", {}, h("tr", {}, h("td", {}), names.map((name, i) => h("th", { scope: "col" }, h("i", { class: "rl-dot", style: { background: `var(--rl-${COLORS[i]})` } }), name)))),
          h("tbody", {},
            judges.map((judge, place) => row(`Score by ${judge.name}`, judge.unit, "mean over the texts, in this judge\u2019s own unit: two judges\u2019 scores do not compare", report.models.map((model) => rlhf.signed(model.scores[place], 2)))),
            FIGURES.map(([key, label, unit, meaning, show]) =>
              row(label, unit.replace("{}", (report.counted[key] || 0).toLocaleString("en")), meaning, report.models.map((model) => (model[key] === undefined ? "other tokens" : show(model[key], model))))))));

    const rowsTable = ({ report, names, judges, record }) => {
      let order = "down";
      const tbody = h("tbody", {});
      const sort = h("button", { class: "rl-sort", type: "button" });
      const head = h("th", { scope: "col" }, sort);
      const first = ({ scores }) => scores[0];
      const difference = (row) => first(row)[1] - first(row)[0];
      const answer = (row, i) => {
        const score = first(row)[i], other = first(row)[1 - i], won = score > other;
        return h("td", { "data-name": names[i] },
          h("span", { class: `rl-chip ${rlhf.upOrDown(score, other)}`, title: `${judges[0].unit}; green: the higher of the two` }, rlhf.signed(score, 1), won ? " wins" : ""),
          h("span", { class: won ? "" : "rl-soft" }, row.responses[i]));
      };
      const draw = () => {
        const rows = [...report.rows].sort((a, b) => (order === "down" ? difference(b) - difference(a) : difference(a) - difference(b)));
        head.setAttribute("aria-sort", order === "down" ? "descending" : "ascending");
        rlhf.say(sort, `Difference ${order === "down" ? "\u25BE" : "\u25B4"}`);
        rlhf.fill(tbody, rows.map((row) => h("tr", {},
          h("td", { class: "rl-prompt" }, row.prompt), answer(row, 0), answer(row, 1),
          h("td", { class: "rl-num" }, rlhf.signed(difference(row), 1)))));
      };
      sort.onclick = () => ((order = order === "down" ? "up" : "down"), draw());
      draw();
      const file = `comparison-${record.id || "example"}`;
      const wins = (scores) => ({ left: names[0], right: names[1], tie: "tie" })[winner(scores)];
      const table = () => rlhf.csv([
        ["prompt", ...names.map((name) => `response of ${name}`), ...judges.flatMap((judge) => [...names.map((name) => `score of ${name} by ${judge.name}`), `winner by ${judge.name}`])],
        ...report.rows.map((row) => [row.prompt, ...row.responses, ...row.scores.flatMap((scores) => [...scores, wins(scores)])]),
      ]);
      return h("section", { class: "rl-card" },
        h("div", { class: "rl-rows-head" },
          h("h3", {}, "Every answer ", h("span", {}, `with its score by ${judges[0].name}, ${judges[0].unit}; the difference is right less left`)),
          h("button", { class: "rl-button rl-quiet", type: "button", onclick: () => rlhf.download(`${file}.csv`, "text/csv;charset=utf-8", table()) }, "Save as CSV"),
          h("button", { class: "rl-button rl-quiet", type: "button", onclick: () => rlhf.download(`${file}.json`, "application/json", JSON.stringify(record, null, 2)) }, "Save as JSON")),
        h("div", { class: "rl-rows", tabindex: 0, role: "region", "aria-label": "Every answer" },
          h("table", { class: "rl-table rl-answers" },
            h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Prompt"), names.map((name) => h("th", { scope: "col" }, name)), head)), tbody)));
    };

    const draw = () => {
      const record = props.value || {};
      rlhf.problem(problem, record.error);
      busy.hidden = record.total === undefined;
      if (record.total !== undefined) {
        const share = record.done / record.total;
        bar.style.width = `${100 * share}%`;
        progress.setAttribute("aria-valuenow", Math.round(100 * share));
        rlhf.say(done, record.done === record.total ? "All answered; counting." : `${record.done} of ${record.total} prompts answered by both.`);
        empty.hidden = true;
        return;
      }
      if (!record.report) return;
      empty.hidden = true;
      const { settings, report } = record;
      const names = [settings.left.name, settings.right.name];
      if (names[0] === names[1]) names.splice(0, 2, `${names[0]} (left)`, `${names[1]} (right)`);
      const judges = report.judges.map((verdict, place) => ({ ...verdict, ...settings.judges[place] }));
      const seen = { record, report, names, judges };
      rlhf.fill(body, h("div", { class: "rl-grid-2" }, winCard(seen), figureTable(seen)), rowsTable(seen), h("p", { class: "rl-soft rl-settings" }, rlhf.settingsLine(record)));
      if (record.id) rlhf.setAddress({ compare: record.id });
    };
    watch("value", draw);
    draw();
  };
})();
