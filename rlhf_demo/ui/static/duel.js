// Two models write on from one prompt: plain text while it grows, then what each token was worth.
(() => {
  const { h } = rlhf;
  const BY = ["log_ratio", "kl", "logprob", "value", "score_if_ended"];
  const COLORS = ["base", "ppo"];

  // Another tab may send a run here before this one was ever opened.
  let sent = null, receive = null;
  window.addEventListener("rlhf:use", ({ detail }) => {
    if (detail.kind !== "ppo") return;
    if (receive) receive(detail.run);
    else sent = detail.run;
  });

  const tokensOf = (side) =>
    side.token.map((piece, i) => ({
      piece: side.ended && i === side.token.length - 1 ? "<|endoftext|>" : piece,
      ...Object.fromEntries(BY.filter((by) => side[by]).map((by) => [by, side[by][i]])),
    }));
  const sum = (values) => values.reduce((total, one) => total + one, 0);

  rlhf.settingsLine = (record) => {
    const { settings, date, example } = record;
    const how = record.report || settings;
    const parts = [`temperature ${how.temperature}`];
    if (how.top_k) parts.push(`top-k ${how.top_k}`);
    if (how.top_p !== undefined && how.top_p < 1) parts.push(`top-p ${how.top_p}`);
    parts.push(`at most ${how.max_new_tokens} tokens`, `seed ${how.seed}`, `scored by ${settings.scorer.name}${settings.scorer.unit ? ` in ${settings.scorer.unit}` : ""}`, `KL against ${settings.base}`);
    if (settings.own) parts.unshift("own prompts");
    const when = date ? `Saved ${date.slice(0, 10)} ${date.slice(11, 16)} UTC; this page\u2019s address opens it again. ` : "";
    return `${example ? "A finished example, really computed, shipped with this page. " : when}Settings: ${parts.join(", ")}.`;
  };

  const makeSide = (color) => {
    const name = h("span", { class: "rl-side-name" });
    const chip = h("span", { class: "rl-chip" }, "\u2013");
    const written = h("p", { class: "rl-written" });
    const ending = h("p", { class: "rl-soft rl-ending" }, "\u00A0");
    const card = h("article", { class: "rl-card rl-side" },
      h("h3", {}, h("i", { style: { background: `var(--rl-${color})` } }), h("b", {}, name), chip), written, ending);
    const grown = h("span", { class: "rl-tokens" });
    let promptShown = null;

    // Room for the longest answer, so that nothing below moves while the text grows.
    const reserve = (settings) => {
      const letters = settings.prompt.length + 4.4 * settings.max_new_tokens;
      const lines = Math.ceil((letters * 8.6) / Math.max(200, written.clientWidth));
      written.style.minHeight = `${1.75 * (lines + 1)}em`;
    };
    const outcome = (side, settings) => {
      const count = side.token.length;
      const parts = [side.ended ? `Ended by itself after ${count} tokens` : `Cut short at ${count} tokens`];
      if (!side.kl) parts.push(`KL cannot be counted, for ${settings.base} has other tokens`);
      else if (name.textContent === settings.base) parts.push("it is the base, so its KL is 0");
      else parts.push(`KL ${rlhf.number(sum(side.kl), 1)} nats, summed over its tokens`);
      return `${parts.join("; ")}.${side.prompt_cut ? " The prompt lost its beginning, being too long for this model." : ""}`;
    };

    return {
      card,
      begin: (who, settings) => {
        rlhf.say(name, who.name);
        card.setAttribute("aria-label", who.name);
        chip.className = "rl-chip";
        rlhf.say(chip, "score \u2013");
        rlhf.say(ending, "\u00A0");
        promptShown = h("span", { class: "rl-prompt" }, settings.prompt);
        rlhf.say(grown, "");
        rlhf.fill(written, promptShown, grown);
      },
      reserve,
      grow: (side) => rlhf.say(grown, side.token.join("")),
      // other: the other side's score; scale: of the colours, the same for both sides.
      finish: (side, settings, by, { parting, other, scale }) => {
        const { name: scorer, unit } = settings.scorer, score = unit ? "score" : "raw score";
        chip.className = `rl-chip ${rlhf.upOrDown(side.score, other)}`;
        chip.title = `${score} of prompt and text by ${scorer}, in ${unit || "its own units"}; green: the higher of the two`;
        rlhf.say(chip, `${score} ${rlhf.signed(side.score, 2)}`);
        rlhf.say(ending, outcome(side, settings));
        rlhf.fill(written, promptShown, rlhf.tokenText(tokensOf(side), by, { parting, scale, label: `what ${name.textContent} wrote` }));
      },
    };
  };

  rlhf.duelSide = makeSide;

  rlhf.duel = ({ element, props, server, watch, trigger }) => {
    const problem = h("p", { hidden: true });
    const verdict = h("p", { class: "rl-verdict", "aria-live": "polite" });
    const by = h("select", { "aria-label": "Colour tokens by" }, BY.map((one) => h("option", { value: one }, rlhf.colourings[one].label)));
    const legend = h("div", {});
    const sides = COLORS.map(makeSide);
    const line = h("p", { class: "rl-soft rl-settings" });
    const shown = h("div", {},
      h("div", { class: "rl-duel-head" }, verdict, h("div", { class: "rl-duel-colour" }, h("label", { class: "rl-by" }, "Colour by ", by), legend)),
      h("div", { class: "rl-grid-2" }, sides.map((one) => one.card)), line);
    const empty = h("p", { class: "rl-soft" }, "Press \u201CWrite side by side\u201D: both models then write here, token by token.");
    rlhf.fill(element.querySelector(".rl-duel"), problem, empty, shown);
    let begun = null, now = null;

    const partingWords = ({ left, right, parting }, settings) => {
      if (!settings.same_tokens) return "Same prompt. These two cut text into different tokens, so the same random numbers mean different words to them.";
      if (parting === null) return "Same prompt, same random numbers. They wrote the same.";
      const piece = (side) => (side.ended && parting === side.token.length - 1 ? "end of text" : side.token[parting].trim() || "blank");
      return `Same prompt, same random numbers. They part at token ${parting + 1}: \u201C${piece(left)}\u201D here, \u201C${piece(right)}\u201D there.`;
    };

    const colour = () => {
      const { state, settings } = now;
      for (const option of by.options) option.disabled = !state.left[option.value] && !state.right[option.value];
      if (by.selectedOptions[0].disabled) by.value = [...by.options].find((one) => !one.disabled).value;
      const pieces = [state.left, state.right];
      const scale = rlhf.scaleOf(by.value, pieces.flatMap(tokensOf));
      rlhf.fill(legend, rlhf.legend(by.value, scale));
      sides.forEach((side, i) => side.finish(pieces[i], settings, by.value, { parting: state.parting, other: pieces[1 - i].score, scale }));
      const without = pieces.filter((side) => !side[by.value]);
      if (by.value === "value" && without.length === 1)
        rlhf.fill(legend, rlhf.legend("value"), h("p", { class: "rl-soft" }, `Only a model trained with PPO has a value head; ${settings[state.left.value ? "right" : "left"].name} has none.`));
    };
    by.onchange = colour;
    by.disabled = true;

    const draw = () => {
      const record = props.value || {};
      rlhf.problem(problem, record.error);
      if (record.error && !begun) return;
      empty.hidden = !!record.settings || !!begun;
      shown.hidden = !record.settings && !begun;
      if (!record.settings) return;
      const { settings, state } = record;
      const key = JSON.stringify([record.id, { ...settings, same_tokens: null }]);
      if (key !== begun || !state) {
        begun = key;
        sides.forEach((side, i) => side.begin(settings[i ? "right" : "left"], settings));
        by.disabled = true;
      }
      if (!state || !state.finished) sides.forEach((side) => side.reserve(settings));
      if (!state) {
        rlhf.say(verdict, "Loading the models, where they are not in memory yet.");
        rlhf.say(line, "\u00A0");
        if (verdict.getBoundingClientRect().top > 0.75 * innerHeight) verdict.scrollIntoView({ block: "start" });
        return;
      }
      if (!state.finished) {
        rlhf.say(verdict, "Both write, token by token, with the same random numbers.");
        sides[0].grow(state.left);
        sides[1].grow(state.right);
        return;
      }
      now = record;
      by.disabled = false;
      colour();
      rlhf.say(verdict, partingWords(state, settings));
      rlhf.say(line, rlhf.settingsLine(record));
      if (record.id) rlhf.setAddress({ compare: record.id });
    };
    watch("value", draw);
    draw();

    receive = (run) => trigger("select", { run });
    if (sent) receive(sent);
    else server.get_ready(0).catch(() => null); // only saves time; pressing the button says what is wrong
    sent = null;
  };
})();
