// Voting: the reusable ballot (also on a student's phone), and the Feedback tab's use of it.
//
// rlhf.ballot(place, source) fills the element `place` with a pair and the buttons to answer it.
//   source.next(beside)      promise of {showing, message}. showing: {id, question, prompt, left, right} or null, and
//                            then `message` says in a sentence why there is none now (the ballot asks again by itself).
//                            Without `beside`: the pair to answer now, the same one until it is answered. With the id of
//                            the pair on the screen: the one after it, asked for ahead; only where source.ahead is true.
//   source.vote(id, choice)  promise of an answer; choice: left, right, tie, both_bad, skip. It is sent again where the
//                            server does not answer, so it must count once.
//   source.undo()            promise of {undone}; leave it out where answers stay.
//   source.ahead             true: the next pair is fetched while this one is read, and stands there at once
//   source.onvote(answer, choice, showing)   called when an answer is kept; a promise it returns is waited for
//   source.onshow(showing)   called when a pair comes on the screen, or none
// Any of these answers may be {error: "one sentence"}: it is shown, and the pair is fetched anew.
// Returns {refresh(), pause(sentence), problem(sentence), showing()}. pause shows a sentence in place of the pair until refresh.
(() => {
  const { h } = rlhf;
  const KEYS = { arrowleft: "left", a: "left", arrowright: "right", l: "right", arrowdown: "tie", t: "tie", b: "both_bad", s: "skip" };
  const ASK_AGAIN = 1500, SEND_AGAIN = 2000, READ_AT_LEAST = 250; // milliseconds; the last spares a double tap the next pair
  const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
  // Where the server cannot be reached Gradio's functions answer nothing, and do not always throw.
  const reached = async (promise) => {
    const answer = await promise;
    if (!answer) throw new Error("no answer");
    return answer;
  };
  const typing = (element) => element && element.closest("input, textarea, select, [contenteditable], [role=listbox], [role=radiogroup], [role=slider]");

  rlhf.ballot = (place, source) => {
    const question = h("h2", { class: "rl-question", "aria-live": "polite" }, "\u00A0");
    const prompt = h("p", { class: "rl-ballot-prompt" }, "\u00A0");
    const problem = h("p", { hidden: true });
    const empty = h("p", { class: "rl-ballot-empty", "aria-live": "polite" }, "\u00A0");
    const key = (name) => h("kbd", { "aria-hidden": "true" }, name);
    const button = (choice, keyName, ...label) => h("button", { class: "rl-button", type: "button", "aria-disabled": "true", onclick: () => answer(choice) }, label, key(keyName));
    const side = (choice, wide, narrow, keyName) => {
      const text = h("p", { class: "rl-ballot-text" }, "\u00A0");
      const pick = button(choice, keyName, h("span", { class: "rl-wide-only" }, wide), h("span", { class: "rl-narrow-only" }, narrow));
      return { text, pick, card: h("article", { class: "rl-card rl-ballot-side", onclick: (event) => pickedCard(event, choice) }, text, pick) };
    };
    const left = side("left", "Left", "Upper one", "\u2190");
    const right = side("right", "Right", "Lower one", "\u2192");
    const others = [button("tie", "\u2193", "Tie"), button("both_bad", "b", "Both bad"), button("skip", "s", "Skip")];
    const undo = source.undo && h("button", { class: "rl-button rl-quiet", type: "button", disabled: true, onclick: () => takeBack() }, "Undo", key("u"));
    const pair = h("div", { class: "rl-ballot-pair" }, prompt, h("div", { class: "rl-ballot-sides" }, left.card, right.card));
    rlhf.fill(place, h("section", { class: "rl-ballot", "aria-label": "Two texts to compare" },
      question, h("div", { class: "rl-ballot-stage" }, pair, empty),
      h("div", { class: "rl-ballot-others" }, others, undo), problem));

    let now = null, ahead = null, busy = false, paused = false, turn = 0, asking = null, shownAt = 0;
    const buttons = [left.pick, right.pick, ...others];

    // A tap on a text answers too; selecting some of it does not.
    const pickedCard = (event, choice) => {
      if (!event.target.closest("button") && !String(window.getSelection())) answer(choice);
    };

    const show = (showing, message) => {
      now = showing;
      pair.dataset.empty = showing ? "" : "yes";
      empty.hidden = !!showing;
      shownAt = performance.now();
      if (showing) {
        rlhf.say(question, showing.question);
        rlhf.say(prompt, showing.prompt);
        // The texts go on from the prompt: a blank at their beginning belongs to it.
        rlhf.say(left.text, showing.left.trim() || "(nothing)");
        rlhf.say(right.text, showing.right.trim() || "(nothing)");
      } else rlhf.say(empty, message || "There is no pair just now.");
      enable();
      if (source.onshow) source.onshow(showing);
    };
    // Not `disabled`: a button that loses that way loses the keyboard's focus too.
    const enable = () => buttons.forEach((one) => one.setAttribute("aria-disabled", String(!now || busy)));

    const fetchAhead = () => {
      ahead = null;
      if (!source.ahead || !now) return;
      const mine = turn, beside = now.id;
      reached(source.next(beside)).then((answer) => {
        if (mine === turn && now && now.id === beside && !answer.error) ahead = answer.showing;
      }, () => {});
    };

    const askAgain = (mine) => {
      asking = setTimeout(() => {
        if (mine !== turn || !place.isConnected) return;
        if (document.hidden || place.offsetParent === null) askAgain(mine);
        else refresh();
      }, ASK_AGAIN);
    };

    // Asks until there is a pair, somebody paused the ballot, or a newer wish took over.
    const refresh = async () => {
      const mine = ++turn;
      paused = false;
      ahead = null;
      clearTimeout(asking);
      let answer;
      try {
        answer = await reached(source.next());
      } catch (error) {
        answer = { showing: null, message: "The server does not answer; this page tries again by itself." };
      }
      if (mine !== turn || !place.isConnected) return;
      if (answer.error) rlhf.problem(problem, answer.error);
      else if (answer.showing) rlhf.problem(problem, "");
      if (answer.showing && now && answer.showing.id === now.id) return enable(), fetchAhead();
      show(answer.showing || null, answer.message || answer.error);
      if (now) fetchAhead();
      else askAgain(mine);
    };

    // Kept in the order given; a lost line is waited for, since an answer that comes twice counts once.
    const send = async (id, choice) => {
      for (;;) {
        try {
          return await reached(source.vote(id, choice));
        } catch (error) {
          rlhf.problem(problem, "The server does not answer; your answer is sent again by itself.");
          if (!place.isConnected) return { error: "" };
          await wait(SEND_AGAIN);
        }
      }
    };

    const answer = async (choice) => {
      if (!now || busy || paused || performance.now() - shownAt < READ_AT_LEAST) return;
      busy = true;
      const mine = ++turn, voted = now;
      if (ahead) show(ahead);
      enable();
      const kept = await send(voted.id, choice);
      busy = false;
      if (kept && kept.error !== undefined) {
        if (mine === turn) now = null;
        await (mine === turn && refresh());
        return rlhf.problem(problem, kept.error);
      }
      rlhf.problem(problem, "");
      if (undo) undo.disabled = false;
      if (source.onvote) await source.onvote(kept, choice, voted);
      if (mine !== turn) return;
      if (now !== voted) return enable(), fetchAhead();
      await refresh();
    };

    const takeBack = async () => {
      if (!undo || undo.disabled || busy) return;
      busy = true;
      enable();
      const answered = await rlhf.call(problem, reached(source.undo()));
      busy = false;
      enable();
      if (!answered) return;
      undo.disabled = !answered.undone;
      if (answered.undone) await refresh();
    };

    // Keys answer only what can be seen: arrows must go on scrolling the rest of a page.
    const onScreen = () => {
      const { top, bottom, height } = left.card.getBoundingClientRect();
      return height > 0 && top < window.innerHeight && bottom > 0;
    };
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !onScreen() || typing(document.activeElement)) return;
      const pressed = event.key.toLowerCase();
      if (pressed === "u" && undo) return takeBack();
      if (!KEYS[pressed] || !now) return;
      event.preventDefault();
      answer(KEYS[pressed]);
    });

    refresh();
    return {
      refresh,
      pause: (sentence) => {
        turn++;
        paused = true;
        clearTimeout(asking);
        show(null, sentence);
      },
      problem: (sentence) => rlhf.problem(problem, sentence),
      showing: () => now,
    };
  };

  // -- the Feedback tab -----------------------------------------------------------------------------

  // The voter's secret: made by the server, kept in this browser, sent with every vote.
  const RATER = "rlhf_demo_rater", MINE = "rlhf_demo_votes";
  rlhf.rater = () => localStorage.getItem(RATER) || "";
  let entering = null;
  rlhf.enter = (server) =>
    (entering = entering || reached(server.enter({ rater: rlhf.rater() })).then((answer) => {
      if (answer.error) throw new Error(answer.error);
      if (answer.rater !== rlhf.rater()) localStorage.setItem(MINE, "0");
      localStorage.setItem(RATER, answer.rater);
    }).catch((error) => {
      entering = null;
      throw error;
    }));

  rlhf.feedback = ({ element, props, server, watch }) => {
    const problem = h("p", { hidden: true });
    const place = h("div", {});
    const count = h("p", { class: "rl-soft rl-ballot-count", "aria-live": "polite" }, "\u00A0");
    const stored = h("p", { class: "rl-soft" },
      "Kept here, and downloadable below by everybody: your answers with their times, and beginnings that you type, under a number in place of a name. The models\u2019 names stay hidden, and sides are drawn at random. Now and then a pair comes again, or one text twice: that tells how careful answers are.");
    rlhf.fill(element.querySelector(".rl-feedback"), problem, place, count, stored);
    let asked = { ...props.value }, votes = null;

    const mine = (more) => {
      const now = Math.max(0, Number(localStorage.getItem(MINE) || 0) + more);
      localStorage.setItem(MINE, String(now));
      return now;
    };
    const tell = (answer, more) => {
      if (answer) votes = answer.votes;
      const own = mine(more);
      rlhf.say(count, own ? `${own} ${own === 1 ? "answer" : "answers"} of yours, ${votes ?? own} in all on this page.` : "Your first answer will be counted here.");
      if (more) window.dispatchEvent(new CustomEvent("rlhf:voted", { detail: asked }));
    };

    const ballot = rlhf.ballot(place, {
      ahead: true,
      next: async (beside) => {
        await rlhf.enter(server);
        const answer = await server.next_pair({ ...asked, rater: rlhf.rater(), beside: beside || null });
        if (answer && (answer.error || answer.showing)) delete asked.prompt; // waited for once
        return answer;
      },
      vote: (showing, choice) => server.vote({ rater: rlhf.rater(), showing, choice }),
      undo: () => server.undo({ rater: rlhf.rater() }).then((answer) => (answer && answer.undone && tell(answer, -1), answer)),
      onvote: (answer) => tell(answer, 1),
    });
    watch("value", () => {
      rlhf.problem(problem, props.value.error);
      if (props.value.error) return;
      asked = { ...props.value };
      window.dispatchEvent(new CustomEvent("rlhf:question", { detail: asked }));
      ballot.refresh();
    });
    window.addEventListener("rlhf:tab", (event) => event.detail === "feedback" && !ballot.showing() && ballot.refresh());
    tell(null, 0);
  };
})();
