// The blind vote: a ballot without names, who wrote what after each answer, and the win rate of all votes.
(() => {
  const { h } = rlhf;

  rlhf.blind = ({ element, props, server, watch }) => {
    const problem = h("p", { hidden: true });
    const place = h("div", {});
    const names = h("p", { class: "rl-story", "aria-live": "polite", hidden: true });
    const result = h("div", {});
    rlhf.fill(element.querySelector(".rl-blind"), problem, place, names, result);
    let asked = null, ballot = null;

    const sentence = (choice, [left, right]) => {
      if (choice === "tie" || choice === "both_bad") return choice === "tie" ? "You saw no difference." : "You found both bad.";
      return choice === "skip" ? "You skipped it." : `You preferred ${choice === "left" ? left : right}.`;
    };

    const drawResult = ({ rate, low, high, votes, pairs, wins, losses, ties, both_bad: bad }) => {
      if (!votes) return rlhf.fill(result);
      const at = (share) => `${100 * share}%`;
      const even = ties + bad;
      const part = (count, color) => h("b", { style: { width: at(count / votes), background: `var(--rl-${color})` } });
      rlhf.fill(result, h("section", { class: "rl-card" },
        h("h3", {}, "Who wins ", h("span", {}, "over all blind votes on this page")),
        h("div", { class: "rl-figure rl-win" }, h("b", {}, rlhf.percent(rate), " ", h("small", {}, rlhf.interval(low, high))),
          h("span", {}, `for ${asked.right} against ${asked.left}, over ${votes} ${votes === 1 ? "vote" : "votes"} on ${pairs} ${pairs === 1 ? "pair" : "pairs"}; a tie counts half. The 95% interval holds however often you look`)),
        h("div", { class: "rl-winbar", role: "img", "aria-label": `${wins} for ${asked.right}, ${even} ties, ${losses} for ${asked.left}` },
          part(wins, "ppo"), part(even, "line"), part(losses, "base"),
          h("i", { class: "rl-half" }), h("i", { class: "rl-range", style: { left: at(low), width: at(high - low) } })),
        h("p", { class: "rl-winkey" },
          h("span", {}, h("i", { style: { background: "var(--rl-ppo)" } }), `${asked.right} ${wins}`),
          h("span", {}, `ties ${ties}, both bad ${bad}`),
          h("span", {}, h("i", { style: { background: "var(--rl-base)" } }), `${asked.left} ${losses}`)),
        h("p", { class: "rl-soft" }, low > 0.5 || high < 0.5
          ? "The interval lies on one side of 50%: more than luck."
          : "The interval holds 50%: these votes cannot tell who is better.")));
    };
    const load = async () => {
      const answer = await rlhf.call(problem, server.blind_result(asked));
      if (answer) drawResult(answer);
    };

    const source = {
      ahead: true,
      next: async (beside) => {
        await rlhf.enter(server);
        return server.blind_next({ ...asked, rater: rlhf.rater(), beside: beside || null });
      },
      vote: (showing, choice) => server.blind_vote({ rater: rlhf.rater(), showing, choice }),
      onvote: (answer, choice) => {
        names.hidden = false;
        const said = (one, other) => `That was ${answer.names[0]} ${one}, ${answer.names[1]} ${other}. ${sentence(choice, answer.names)}`;
        rlhf.fill(names, h("span", { class: "rl-wide-only" }, said("on the left", "on the right")), h("span", { class: "rl-narrow-only" }, said("above", "below")));
        load();
      },
    };
    watch("value", () => {
      const { error, left } = props.value || {};
      rlhf.problem(problem, error);
      if (error || !left) return;
      asked = { ...props.value };
      names.hidden = true;
      rlhf.fill(result);
      if (ballot) ballot.refresh();
      else ballot = rlhf.ballot(place, source);
    });
  };
})();
