// What the policy wrote at a step, token by token; a slider goes back to any step whose texts were kept.
(() => {
  const { h } = rlhf;
  const BY = ["kl", "log_ratio", "advantage", "value", "logprob"];

  // server: of the board; told: called with the step when somebody moves the slider.
  rlhf.samples = (server, told) => {
    const heading = h("h3", {});
    const slider = h("input", { type: "range", min: 0, max: 0, value: 0, "aria-label": "Step whose texts are shown" });
    const by = h("select", { "aria-label": "Colour tokens by" }, BY.map((one) => h("option", { value: one }, rlhf.colourings[one].label)));
    const list = h("div", { class: "rl-sample-list" });
    const legend = h("div", {});
    const units = h("p", { class: "rl-soft rl-units" });
    const card = h("section", { class: "rl-card rl-samples", "aria-label": "Texts of a step" },
      heading,
      h("div", { class: "rl-scrub" }, h("span", {}, "first"), slider, h("span", {}, "last")),
      h("label", { class: "rl-by" }, "Colour by ", by), legend, units, list);
    let run = null, steps = [], follow = true, shown = null, rows = [], scale = null, clip = 0;

    const draw = () => {
      const known = !rows.length || rlhf.tokensOf(rows[0]).some((token) => token[by.value] !== undefined);
      rlhf.fill(legend, known ? rlhf.legend(by.value) : h("p", { class: "rl-legend" }, "This run was made before this was measured: nothing is coloured."),
        known && by.value === "advantage" ? h("p", { class: "rl-legend" }, h("span", { class: "rl-clipped" }, "dotted"), "the clip stopped at least one of this token\u2019s updates in this step") : null);
      rlhf.say(units, scale
        ? `Scores here are in the scorer\u2019s own units: the base\u2019s samples have ${rlhf.number(scale.mean)} on average, with a standard deviation of ${rlhf.number(scale.std)}.`
        : "Scores here are in the scorer\u2019s own units.");
      rlhf.fill(list, rows.map((row) => h("article", { class: "rl-sample" },
        h("span", { class: `rl-chip ${rlhf.upOrDown(row.score, scale && scale.mean)}`, title: `score of this response, the scorer\u2019s own units${scale ? "; green: above the base\u2019s mean" : ""}` }, rlhf.signed(row.score, 1)),
        h("p", { class: "rl-prompt" }, row.prompt),
        h("p", {}, rlhf.tokenText(rlhf.tokensOf(row), by.value, { label: "response", clips: by.value === "advantage", clip })))));
    };
    const load = async (step, texts) => {
      if (step === undefined || step === shown) return;
      shown = step;
      const of = run;
      const answer = texts && texts.step === step ? texts : await server.board_samples({ run, step });
      if (answer.error || answer.step !== shown || run !== of) return;
      rows = answer.rows;
      draw();
    };
    const head = (total) => rlhf.fill(heading, steps.length ? `What it writes at step ${steps[slider.value]}` : "What it writes", " ", h("span", {}, steps.length ? `of ${total}` : "waiting for step 1"));
    let total = 0;
    slider.oninput = () => {
      follow = Number(slider.value) === steps.length - 1;
      head(total);
      load(steps[slider.value]);
      told(steps[slider.value]);
    };
    by.onchange = draw;
    return {
      card,
      reset: () => {
        steps = [];
        rows = [];
        shown = null;
        follow = true;
        rlhf.fill(list);
      },
      // The step whose texts are shown, while the newest ones are wanted: newer ones then come with the rows.
      following: () => (follow ? shown ?? -1 : null),
      step: () => steps[slider.value],
      update: (now, answer) => {
        run = now.id;
        total = now.total_steps;
        steps = answer.sample_steps;
        scale = answer.scale;
        clip = answer.clip_range;
        slider.max = Math.max(0, steps.length - 1);
        slider.disabled = steps.length < 2;
        if (follow) slider.value = slider.max;
        head(total);
        load(steps[slider.value], answer.texts);
      },
    };
  };
})();
