// A text with a colour behind each token, and its figures on hover, tap or arrow keys.
(() => {
  const { h } = rlhf;

  // What tokens can be coloured by. `at` gives a share from -1 to 1 for how strongly to colour.
  rlhf.colourings = {
    kl: { label: "KL from the base", color: "kl", full: 1, low: "as the base", high: "1 nat away" },
    log_ratio: { label: "log ratio to the base", color: "kl", full: 3, both: true, low: "less likely than under the base", high: "likelier" },
    logprob: { label: "surprise", color: "soft", full: 6, flip: true, low: "expected", high: "6 nats of surprise" },
    value: { label: "value", color: "score", full: 1.5, both: true, low: "a low score expected", high: "a high score expected" },
    score_if_ended: { label: "the score had the text ended here", color: "score", both: true },
    contribution: { label: "contribution", color: "score", full: 0.6, both: true, low: "lowers the score", high: "raises it" },
    advantage: { label: "advantage", color: "ppo", full: 2, both: true, low: "pushed down", high: "pushed up" },
    reward: { label: "reward", color: "score", full: 1.5, both: true, low: "costs", high: "earns" },
  };

  // Which value stays uncoloured, and how far from it the colour is full. A score may have any unit, so
  // there it goes by the tokens shown: from the first one's to the one furthest from it.
  rlhf.scaleOf = (by, tokens) => {
    const { full } = rlhf.colourings[by];
    if (full) return { from: 0, full };
    const values = tokens.map((token) => token[by]).filter(Number.isFinite);
    const from = values[0] ?? 0;
    return { from, full: Math.max(0, ...values.map((value) => Math.abs(value - from))) || 1 };
  };

  const share = (by, value, { from, full }) => {
    const spec = rlhf.colourings[by];
    if (value === null || value === undefined) return 0;
    const amount = Math.max(-1, Math.min(1, (spec.flip ? -value : value - from) / full));
    return spec.both ? amount : Math.max(0, amount);
  };

  const background = (by, value, scale) => {
    const amount = share(by, value, scale);
    if (Math.abs(amount) < 0.04) return "transparent";
    const color = amount < 0 ? "below" : rlhf.colourings[by].color;
    return `color-mix(in srgb, var(--rl-${color}) ${Math.round(Math.abs(amount) * 46)}%, transparent)`;
  };

  const NAMES = {
    logprob: ["log-probability", "nats"], ref_logprob: ["the same under the base", "nats"], log_ratio: ["log ratio to the base", "nats"],
    kl: ["KL from the base", "nats"], value: ["value", "deviations"], advantage: ["advantage", "deviations of the step\u2019s advantages"], reward: ["reward", "deviations"],
    return: ["return", "deviations"], ratio: ["probability after \u00F7 before", "times"], score_if_ended: ["score had the text ended here", ""],
    contribution: ["adds to the score", ""], without: ["score without it", ""],
  };
  const UNSIGNED = ["kl", "ratio"];

  let tip = null;
  const showTip = (span, piece, figures, note) => {
    tip = tip || document.body.appendChild(h("div", { class: "rl-tip", role: "status" }));
    const rows = Object.entries(figures).filter(([name, value]) => NAMES[name] && value !== null && value !== undefined);
    rlhf.fill(
      tip,
      h("b", {}, piece.trim() === "" ? "(blank)" : piece),
      rows.map(([name, value]) => h("div", {}, h("span", {}, NAMES[name][0]), h("span", {}, `${UNSIGNED.includes(name) ? rlhf.number(value) : rlhf.signed(value)} ${NAMES[name][1]}`))),
      note ? h("p", {}, note) : null,
    );
    const box = span.getBoundingClientRect();
    tip.hidden = false;
    const width = tip.offsetWidth;
    tip.style.left = `${Math.max(8, Math.min(box.left + box.width / 2 - width / 2, innerWidth - width - 8))}px`;
    const above = box.top > tip.offsetHeight + 14;
    tip.style.top = `${above ? box.top - tip.offsetHeight - 6 : box.bottom + 6}px`;
  };
  const hideTip = () => tip && (tip.hidden = true);
  document.addEventListener("scroll", hideTip, true);
  document.addEventListener("pointerdown", (event) => event.target.closest(".rl-token") || hideTip());

  // What the clip has to do with a token of a PPO step; range: the clip range.
  const clipNote = ({ clipped, ratio }, range) => {
    if (clipped) return "The clip stopped at least one of this token\u2019s updates in this step.";
    return Math.abs(ratio - 1) > range ? "It ended beyond the clip range." : null;
  };

  // tokens: [{piece, kl, logprob, ...}]; by: a key of colourings; parting: index to mark, or null; clip:
  // the clip range where these come from a PPO step; scale: of the colours, where other texts share it.
  rlhf.tokenText = (tokens, by, { parting = null, label = "tokens", clips = false, clip, scale = rlhf.scaleOf(by, tokens) } = {}) => {
    const spans = tokens.map((token, index) =>
      h("span", {
        class: `rl-token${index === parting ? " rl-parting" : ""}${clips && token.clipped ? " rl-clipped" : ""}`, "data-index": index,
        style: { background: background(by, token[by], scale) },
      }, token.piece.replace("<|endoftext|>", "\u25A0")),
    );
    const show = (index) => {
      text.dataset.active = index;
      spans.forEach((span, place) => span.classList.toggle("rl-token-active", place === index));
      const token = tokens[index];
      const note = index === parting ? "Here the two texts part." : clipNote(token, clip);
      showTip(spans[index], token.piece.replace("<|endoftext|>", "end of text"), token, note);
    };
    const text = h("span", {
      class: "rl-tokens", tabindex: 0, role: "group", "aria-label": `${label}; arrow keys show each token's figures`,
      onpointerover: (event) => event.target.dataset.index !== undefined && show(Number(event.target.dataset.index)),
      onpointerleave: (event) => event.pointerType === "mouse" && (hideTip(), spans.forEach((s) => s.classList.remove("rl-token-active"))),
      onclick: (event) => event.target.dataset.index !== undefined && show(Number(event.target.dataset.index)),
      onblur: () => (hideTip(), spans.forEach((s) => s.classList.remove("rl-token-active"))),
      onkeydown: (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (event.key === "Escape") hideTip();
        if (!step || !spans.length) return;
        event.preventDefault();
        const now = text.dataset.active === undefined ? -1 : Number(text.dataset.active);
        show(Math.max(0, Math.min(spans.length - 1, now + step)));
      },
    }, spans);
    return text;
  };

  rlhf.legend = (by, { from, full } = {}) => {
    const spec = rlhf.colourings[by];
    const low = spec.low ?? rlhf.signed(from - full), high = spec.high ?? rlhf.signed(from + full);
    const start = spec.both ? "color-mix(in srgb, var(--rl-below) 46%, transparent)" : "transparent";
    return h("p", { class: "rl-legend" },
      h("span", {}, low),
      h("i", { style: { background: `linear-gradient(90deg, ${start}, ${spec.both ? "transparent, " : ""}color-mix(in srgb, var(--rl-${spec.color}) 46%, transparent))` } }),
      h("span", {}, high),
      spec.full ? null : h("span", {}, `uncoloured: ${rlhf.signed(from)}, the score after the first token`),
    );
  };

  // Columns of figures by token, as the trainer writes them, turned into one object a token. Runs made
  // before log ratios were written called these KL, and told of the clip by the ratio after the update.
  rlhf.tokensOf = (sample) =>
    sample.token.map((piece, index) => {
      const token = { piece };
      for (const name of ["logprob", "ref_logprob", ...(sample.log_ratio ? ["log_ratio", "kl", "clipped"] : []), "reward", "value", "advantage", "return", "ratio"]) {
        if (sample[name]) token[name] = sample[name][index];
      }
      return token;
    });
})();
