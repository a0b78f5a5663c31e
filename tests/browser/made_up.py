"""Figures made up for the page to draw, and how to have them drawn and read them back.

No two figures are alike and nothing is symmetric: whatever is swapped, turned round or scaled
shows.
"""

import math

HELPERS = """async () => {
  window.drawn = () => new Promise((done) => setTimeout(done, 20)); // the library is there
  while (!window.Plotly) await drawn();
  const { themeColour } = await rlhf.load("shared/theme");
  const { h } = await rlhf.load("shared/dom");
  const COLOURS = ["soft", "base", "ppo", "score", "kl", "warn", "below"];
  const colour = (drawn) => COLOURS.find((name) => themeColour(name) === drawn) ?? drawn;
  window.chartsIn = (place) => Object.fromEntries([...place.querySelectorAll(".rl-card")]
    .filter((card) => card.querySelector(".js-plotly-plot"))
    .map((card) => {
      const { data, layout } = card.querySelector(".js-plotly-plot");
      const traces = data.map((one) => ({
        ...one, colour: colour(one.fillcolor ?? one.line?.color),
        each: Array.isArray(one.marker?.color) ? one.marker.color.map(colour) : null,
      }));
      const drawn = { traces, shapes: layout.shapes, xTitle: layout.xaxis.title?.text };
      drawn.key = [...card.querySelectorAll(".rl-key span")].map((one) =>
        [one.textContent, one.firstChild.style.borderTop]);
      drawn.note = card.querySelector(".rl-inside-note")?.textContent;
      const title = card.querySelector("h3").firstChild.textContent.trim();
      return [title, JSON.parse(JSON.stringify(drawn))];
    }));
  window.place = (...children) => {
    const made = h("div", {}, ...children);
    document.body.prepend(made);
    return made;
  };
  window.root = (name) => place(h("div", { class: `rl-${name}` }));
  window.cells = (table) =>
    [...table.rows].map((row) => [...row.cells].map((one) => one.textContent));
}"""
"""In the page: what the charts of a place hold, a new place, and the words of a table."""
IN_SIGHT = "chartsIn([...document.querySelectorAll('.rl-board')].find((one) => one.offsetParent))"
"""In the page: what the charts of the board in sight hold."""

EXTENDED = """async ({specs, points}) => {
  const { chartCard } = await rlhf.load("shared/charts");
  const cards = specs.map((spec) => chartCard({ ...spec, height: 150 }));
  const made = place(cards.map((one) => one.card));
  cards.forEach((one, i) => points[i].forEach((more) => one.chart.extend(more)));
  await drawn();
  return chartsIn(made);
}"""
"""In the page: what new charts hold after points were added."""

# -- inside a step ---------------------------------------------------------------------------------


def histogram(**shares):
    """Make a histogram of sixty bins of 0.05, of which few hold anything: bin7=0.25."""
    return [shares.get(f"bin{place}", 0.0) for place in range(60)]


DETAILS = {
    "scores": {
        "first": 3, "middles": [-0.375, -0.125, 0.125], "width": 0.25,
        "then": [0.5, 0.3, 0.2], "now": [0.1, 0.15, 0.75],
    },
    "ratio": [
        histogram(bin20=1.0), histogram(bin19=0.4, bin20=0.6), histogram(bin17=0.25, bin22=0.75),
        histogram(bin10=0.35, bin30=0.65),
    ],
    "clip_range": 0.15,
    "values": [[0.5, 1.25], [-0.75, 0.25], [0.125, -2.0]],
    "words": {
        "up": [["good", 30, 1.5], ["fine", 25, 0.75]], "down": [["bad", 40, -0.5]],
        "steps": 7, "fewest": 20,
    },
    "figures": {
        "policy/update_kl_by_epoch": [0.0011, 0.0222, 0.0333], "policy/update_kl": 0.0555,
        "policy/clip_fraction_by_epoch": [0.021, 0.107, 0.125], "policy/outside_clip": 0.31,
        "policy/ratio_p01": 0.41, "policy/ratio_p99": 1.93, "value/explained_variance": 0.43,
    },
}  # fmt: skip
"""A seventh step of three epochs."""
INSIDE = """async ({details, specs}) => {
  const module = await rlhf.load("panels/board/inside");
  const inside = module.inside({ board_inside: async () => ({ step: 7, details }) }, specs);
  const made = place(inside.fold);
  inside.fold.open = true;
  inside.update({ id: "ppo-made-up" }, 7, { judge: null, inside: { step: 7, details } });
  const lists = [...made.querySelectorAll(".rl-word-lists section")].map((one) => ({
    title: one.querySelector("h4").textContent,
    words: [...one.querySelectorAll("li")].map((word) => [
      ...[...word.children].map((part) => part.textContent), word.querySelector("i").style.width,
      word.querySelector("i").style.background,
    ]),
  }));
  await drawn();
  return { charts: chartsIn(made), table: cells(made.querySelector("table")), lists };
}"""
"""In the page: the charts, table and lists of words of the fold "Inside a step"."""
OVER_ALL_STEPS = """async ({specs, kind, judge}) => {
  const { inside } = await rlhf.load("panels/board/inside");
  const fold = inside({ board_inside: async () => ({ error: "none" }) }, specs);
  place(fold.fold);
  fold.update({ id: "made-up", kind }, -1, { judge, inside: null });
  const [, agreement, gradient] = fold.cards;
  return [agreement.spec.empty, gradient.note.textContent];
}"""
"""In the page: what the curve of reward and judge says while empty, and the gradient's note."""

# -- tokens ----------------------------------------------------------------------------------------

COLOURED = """async () => {
  const { colourings, scaleOf } = await rlhf.load("lib/tokens");
  const { tokenLegend, tokenText } = await rlhf.load("shared/token_text");
  return Object.fromEntries(Object.keys(colourings).map((by) => {
    const tokens = [0, -0.3, 0.3].map((value) => ({ piece: "x", [by]: value }));
    const legend = tokenLegend(by, scaleOf(by, tokens));
    return [by, {
      words: [...legend.querySelectorAll("span")].slice(0, 2).map((one) => one.textContent),
      ramp: legend.querySelector("i").style.background.match(/\\d+deg|--rl-[a-z]+/g),
      tokens: [...tokenText(tokens, by).querySelectorAll("span")].map((one) =>
        (one.style.background.match(/--rl-([a-z]+)\\) \\d+%/) || ["none"])[0]),
    }];
  }));
}"""
"""In the page: of each colouring the legend, and how tokens of 0, -0.3 and 0.3 are coloured."""

# -- the reward model ------------------------------------------------------------------------------

REPORT = {
    "accuracy": 0.8, "accuracy_low": 0.7, "accuracy_high": 0.85, "baseline_side": "longer",
    "baseline_length": 0.55, "different_pairs": 90,
    "score_std": math.log(9),  # sigmoid of it is 0.9, of half of it 0.75
    "reliability": [
        {"predicted": said, "observed": was, "observed_low": low, "observed_high": high, "pairs": n}
        for said, was, low, high, n in ((0.55, 0.5, 0.3, 0.65, 40), (0.95, 0.8, 0.7, 0.85, 50))
    ],
    "margin_quartiles": [
        {"accuracy": share, "accuracy_low": share - 0.1, "accuracy_high": share + 0.05, "pairs": 20}
        for share in (0.5, 0.6, 0.8, 0.9)
    ],
    "most_wrong": [{"prompt": "It is", "chosen": " good.", "rejected": " bad.", "margin": -0.5}],
}  # fmt: skip
HONESTY = """async ({report, votes}) => {
  const { mount } = await rlhf.load("tabs/reward/honesty");
  const made = root("honesty");
  const answer = { report, people: 0.75, votes, rater: "" };
  mount({ element: made, server: { reward_report: async () => answer } });
  const run = { id: "reward-made-up", status: "finished" };
  window.dispatchEvent(new CustomEvent("rlhf:board", { detail: { kind: "reward", run } }));
  await drawn();
  return {
    charts: chartsIn(made), unit: made.querySelector("details > p").textContent,
    worst: made.querySelector(".rl-sample").textContent,
    title: made.querySelector(".rl-chip").title,
  };
}"""
"""In the page: the charts of "How far to trust it" and what it says of the first wrong pair."""
VOTES = {
    "votes": 120, "voters": 6, "simulated": 0, "held_out": 24, "held_out_pairs": 20,
    "highest_accuracy": 0.95, "too_few_to_tell": False,
}  # fmt: skip

SCORED = """async (answer) => {
  const { mount } = await rlhf.load("tabs/reward/scoring");
  const made = root("scoring");
  mount({ element: made, server: {
    scorers: async () => ({ scorers: [["made up", "made-up"]] }), score_text: async () => answer,
  } });
  await new Promise((done) => setTimeout(done));
  return [...made.querySelectorAll(".rl-big-score, p.rl-soft")].map((one) => one.textContent);
}"""
"""In the page: the score of a text and the sentences under it."""

# -- many prompts ----------------------------------------------------------------------------------

MODELS = [
    {"name": "the base", "scores": [-0.25, -1.5], "length": 8.0, "eos_rate": 0.9, "distinct_1": 0.2,
     "distinct_2": 0.6, "kl": 0.0, "kl_se": 0.0, "perplexity": 5.5},
    {"name": "PPO", "scores": [1.25, -0.5], "length": 12.5, "eos_rate": 0.7, "distinct_1": 0.1,
     "distinct_2": 0.4, "kl": 3.75, "kl_se": 0.25, "perplexity": 7.0},
]  # fmt: skip
COMPARED = {
    "settings": {
        "left": {"name": "the base"}, "right": {"name": "PPO"}, "base": "the base",
        "scorer": {"name": "first", "unit": "points"},
        "judges": [
            {"title": "made up", "unit": "points", "note": ""},
            {"title": "made up too", "unit": "marks", "note": ""},
        ],
    },
    "report": {
        "prompts": 16, "temperature": 0.7, "max_new_tokens": 32, "seed": 0,
        "counted": {"distinct_1": 1000, "distinct_2": 900}, "models": MODELS,
        "judges": [
            {"name": "first", "wins": 10, "ties": 2, "losses": 4, "win_rate": 0.6875,
             "win_rate_low": 0.375, "win_rate_high": 0.875},
            {"name": "second", "wins": 3, "ties": 0, "losses": 13, "win_rate": 0.1875,
             "win_rate_low": 0.0625, "win_rate_high": 0.4375},
        ],
        "rows": [
            {"prompt": "One", "responses": [" a.", " b."], "scores": [[0.5, 2.0], [1.0, 0.0]]},
            {"prompt": "Two", "responses": [" c.", " d."], "scores": [[1.0, 0.25], [0.0, 1.0]]},
        ],
    },
}  # fmt: skip
MANY = """async (value) => {
  const { mount } = await rlhf.load("tabs/compare/many");
  const made = root("many");
  mount({ element: made, props: { value }, watch: () => null });
  const judges = [...made.querySelectorAll(".rl-judged")].map((one) => {
    const bars = [...one.querySelectorAll(".rl-winbar b")].map(({ style }) =>
      [style.width, style.background]);
    const { left, width } = one.querySelector(".rl-range").style;
    return { bars, interval: { left, width }, text: one.innerText };
  });
  const [figures, answers] = [...made.querySelectorAll("table")].map(cells);
  return { judges, figures, answers };
}"""
"""In the page: the win rates, the table of figures and the answers of a comparison."""
