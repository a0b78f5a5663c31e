import assert from "node:assert/strict";
import { test } from "node:test";

import { countWords, ofPPO, verdict } from "../../rlhf_demo/ui/static/lib/blind_result.js";
import {
  agreementFigure,
  lastFigure,
  rewardFigure,
  stageOf,
  stageWords,
  votesFigure,
} from "../../rlhf_demo/ui/static/lib/class_words.js";
import {
  bestFirst,
  costWords,
  klWords,
  placesOf,
  progressWords as bestProgress,
} from "../../rlhf_demo/ui/static/lib/best_of_n.js";
import { FIGURES, fileRows } from "../../rlhf_demo/ui/static/lib/comparison.js";
import { csv } from "../../rlhf_demo/ui/static/lib/csv.js";
import { outcomeWords, partingWords, settingsLine } from "../../rlhf_demo/ui/static/lib/duel.js";
import { stageWords as loopWords } from "../../rlhf_demo/ui/static/lib/loop.js";
import {
  alphaWords,
  answersWords,
  agreementWords,
  importWords,
  trainWords,
  votesWords,
} from "../../rlhf_demo/ui/static/lib/quality_words.js";
import { stateShade, stateWords, when } from "../../rlhf_demo/ui/static/lib/runs.js";
import {
  howWords,
  preference,
  sumWords,
  unitWords,
} from "../../rlhf_demo/ui/static/lib/score_words.js";
import { waiting } from "../../rlhf_demo/ui/static/lib/student_words.js";

test("a spreadsheet takes no text for a formula, and numbers for numbers", () => {
  assert.equal(
    csv([
      ["a", -1.5],
      ["=1+1", 2],
      ['say "so"', 3],
    ]),
    '"a",-1.5\r\n"\'=1+1",2\r\n"say ""so""",3\r\n',
  );
  assert.equal(csv([[" @x"], ["\ty"]]), '"\' @x"\r\n"\'\ty"\r\n');
});

test("a comparison's file names columns by model and judge, and says who won", () => {
  const rows = [
    {
      prompt: "P",
      responses: [" a", " b"],
      scores: [
        [1, 2],
        [3, 3],
      ],
    },
  ];
  assert.deepEqual(fileRows({ rows }, ["base", "PPO"], [{ name: "J" }, { name: "K" }]), [
    [
      "prompt",
      "response of base",
      "response of PPO",
      "score of base by J",
      "score of PPO by J",
      "winner by J",
      "score of base by K",
      "score of PPO by K",
      "winner by K",
    ],
    ["P", " a", " b", 1, 2, "PPO", 3, 3, "tie"],
  ]);
  const kl = FIGURES.find(({ key }) => key === "kl");
  assert.equal(kl.show(3.756, { kl_se: 0.25 }), "3.76 \u00B1 0.25");
  assert.equal(kl.show(3.756, {}), "3.76");
});

test("a duel says where its texts part", () => {
  const side = (token, ended = false) => ({ token, ended });
  const state = { left: side([" a", " b"]), right: side([" a", ""], true), parting: 1 };
  assert.match(
    partingWords(state, { same_tokens: true }),
    /differ at token 2: \u201Cb\u201D against \u201Cend of text\u201D/,
  );
  assert.match(partingWords({ ...state, parting: null }, { same_tokens: true }), /wrote the same/);
  assert.match(partingWords(state, { same_tokens: false }), /different tokens/);
});

test("a side says how it ended and how far it is from the base", () => {
  const side = { token: ["a"], ended: true, prompt_cut: false };
  assert.equal(
    outcomeWords(side, "PPO", "base", "1.5"),
    "Ended by itself after 1 token; KL 1.5 nats, summed over its tokens.",
  );
  assert.match(outcomeWords(side, "base", "base", "0.0"), /this is the base/);
  assert.match(
    outcomeWords({ ...side, ended: false, prompt_cut: true }, "x", "base", ""),
    /Cut short at 1 token; KL cannot be computed, because base uses other tokens\. .* was cut/,
  );
});

test("settings are told once, the report's before the form's", () => {
  const scorer = { name: "judge", unit: "points" };
  const settings = {
    temperature: 1,
    top_k: 0,
    top_p: 1,
    max_new_tokens: 8,
    seed: 0,
    scorer,
    base: "base",
    own: true,
  };
  assert.equal(
    settingsLine({ settings }),
    "Settings: own prompts, temperature 1, at most 8 tokens, seed 0, scored by judge in points, " +
      "KL from base.",
  );
  const report = { temperature: 0.7, max_new_tokens: 32, seed: 3, top_k: 5, top_p: 0.5 };
  assert.match(
    settingsLine({ settings, report, date: "2026-01-02T03:04:05Z" }),
    /^Saved 2026-01-02 03:04 UTC.*temperature 0.7, top-k 5, top-p 0.5, at most 32/,
  );
  assert.match(settingsLine({ settings, example: true }), /^A finished example/);
});

test("trainings of the loop and runs say where they are", () => {
  const row = { status: "running", step: 3, total_steps: 40, seconds_left: 20, place: null };
  assert.equal(loopWords(row, null), "step 3 of 40, 20 s left");
  assert.equal(loopWords({ ...row, step: 0 }, null), "loading the model");
  assert.equal(
    loopWords({ status: "queued", place: 2 }, { status: "running" }),
    "waiting for the reward model",
  );
  assert.equal(loopWords({ status: "failed", message: "no disk" }), "no disk");
  assert.equal(stateWords(row), "running, step 3 of 40");
  assert.equal(stateWords({ ...row, status: "finished" }), "ended early");
  assert.equal(stateShade({ ...row, status: "finished" }), "failed");
  assert.equal(stateShade({ status: "finished", step: 40, total_steps: 40 }), "finished");
  assert.match(when("2026-01-02T03:04:05"), /^2 Jan, 03:04$/);
});

test("what votes are worth", () => {
  assert.equal(alphaWords(-0.1), "less than chance");
  assert.equal(alphaWords(0.19), "hardly more than chance");
  assert.equal(alphaWords(0.66), "some agreement");
  assert.equal(alphaWords(0.67), "good agreement");
  assert.match(alphaWords(null), /two people/);
  const state = { votes: 3, voters: 1, question: "Q", preferences: 2, simulated: 1, rankings: 0 };
  assert.equal(
    answersWords(state),
    "3 answers from 1 voter to \u201CQ\u201D, including 2 preferences that a reward model can " +
      "learn from; 1 answer is simulated.",
  );
  assert.match(agreementWords(0.9), /more than 90%/);
  assert.doesNotMatch(agreementWords(null), /solid mark/);
  assert.match(trainWords(9, 0, 10, 25), /^9 of the 10 .* Only Left and Right count\.$/);
  assert.match(trainWords(10, 0, 10, 25), /^10 preferences\. .* once 25 pairs are held out/);
  assert.match(importWords({ kept: 5, double: 2, what: "vote" }), /^5 votes imported; 2 left out/);
  const twice = importWords({ kept: 1, double: 2, what: "text" });
  assert.equal(twice, "1 written text imported; 2 left out because they were here already.");
  const once = importWords({ kept: 3, double: 0, what: "text" });
  assert.equal(once, "3 written texts imported.");
});

test("rankings are counted as what they are, with their pairs", () => {
  const state = { votes: 0, voters: 0, question: "Q", preferences: 0, simulated: 0, rankings: 3 };
  assert.equal(answersWords(state), "3 rankings with 18 pairs to learn from.");
  const both = answersWords({ ...state, votes: 1, voters: 1, preferences: 1, rankings: 1 });
  assert.match(both, /learn from\. There are also 1 ranking with 6 pairs to learn from\.$/);
  const none = answersWords({ ...state, rankings: 0 });
  assert.equal(none, "There are no answers to \u201CQ\u201D yet.");
  assert.match(trainWords(5, 2, 8, 10), /^7 of the 8 .* Only Left, Right and rankings count\.$/);
  assert.match(trainWords(5, 3, 8, 10), /^5 preferences and 3 rankings with 18 pairs\. A fifth/);
  assert.match(trainWords(0, 8, 8, 10), /^8 rankings with 48 pairs\. .* counts as a sixth of a vote\./);
  const imported = importWords({ kept: 1, double: 1, what: "ranking" });
  assert.match(imported, /^1 ranking imported; 1 left out because it was here already, or .* the same texts\. To/);
});

test("a reward model says from what it learned, and only what there was", () => {
  const facts = { votes: 9, voters: 2, simulated: 1, held_out: 2, held_out_pairs: 2 };
  assert.equal(
    votesWords(facts),
    "From 9 votes (1 simulated) by 2 voters, of which 2 votes (on 2 pairs), on the prompts voted on " +
      "last, only test it.",
  );
  const both = { ...facts, simulated: 0, rankings: 3, held_out_rankings: 1, too_few_to_tell: true };
  assert.equal(
    votesWords(both),
    "From 9 votes and 3 rankings with 18 pairs by 2 voters, of which 2 votes (on 2 pairs) and 1 " +
      "ranking with 6 pairs, on the prompts voted on last, only test it. These pairs are too few to tell " +
      "whether it does better than a coin flip.",
  );
  const ranked = { ...both, votes: 0, held_out: 0, held_out_pairs: 0, too_few_to_tell: false };
  assert.equal(
    votesWords(ranked),
    "From 3 rankings with 18 pairs by 2 voters, of which 1 ranking with 6 pairs, on the prompts " +
      "voted on last, only test it.",
  );
});

test("a rate of A is turned round where PPO was B, with its interval", () => {
  assert.deepEqual(ofPPO("b", 0.75, 0.625, 0.875), [0.25, 0.125, 0.375]);
  assert.deepEqual(ofPPO("b", null, 0, 1), [null, 0, 1]);
});

test("the votes are counted for PPO, whether it was A or B", () => {
  const votes = { wins: 5, losses: 2, ties: 1, both_bad: 1 };
  const counts = (ppo, base) =>
    `Votes: PPO ${ppo}, base ${base}, tie or both bad 2 (half a vote to each model).`;
  assert.equal(countWords({ ...votes, contender: "a" }), counts(5, 2));
  assert.equal(countWords({ ...votes, contender: "b" }), counts(2, 5));
});

test("a verdict says how many were simulated", () => {
  const result = { contender: "a", rate: 0.3, low: 0.2, high: 0.4, votes: 8, simulated: 8 };
  assert.equal(
    verdict(result),
    "The class (8 of its 8 votes simulated) prefers the base: PPO has learned " +
      "something other than what simulated students like.",
  );
});

const CLASS = {
  kind: "feedback",
  round_state: "open",
  state: "open",
  ppo: null,
  reward: null,
  training: null,
  blind: null,
  preferences: 4,
  votes: 7,
  simulated: 2,
  expected: 600,
  history: [],
  all_votes: 7,
  voters: [],
  quality: { with_others: { units: 2 } },
};

test("a class goes from votes to the reveal", () => {
  const ppo = { status: "running", step: 3, total_steps: 40, figures: { "objective/score": 0.5 } };
  const stages = [
    [{}, "votes"],
    [{ reward: "r" }, "reward"],
    [{ reward: "r", ppo }, "ppo"],
    [{ reward: "r", ppo: { ...ppo, status: "stopped" } }, "trained"],
    [{ reward: "r", ppo: { ...ppo, status: "stopped", step: 0 } }, "reward"],
    [{ kind: "blind" }, "open"],
    [{ kind: "blind", round_state: "revealed" }, "revealed"],
  ];
  for (const [changes, stage] of stages) {
    assert.equal(stageOf({ ...CLASS, ...changes }), stage);
    assert.ok(stageWords(stage, { ...CLASS, ppo, ...changes }));
  }
  assert.match(stageWords("votes", CLASS), /4 so far/);
  const training = { votes: 148, simulated: 144, row: null };
  const again = { ...CLASS, reward: "r", training, history: [{ votes: 16 }] };
  const both = /training, from 148 votes.* PPO now, it uses the reward model from 16 votes/;
  assert.match(stageWords("reward", again), both);
  assert.match(stageWords("reward", { ...again, training: null }), /voted enough, start PPO/);
  assert.match(stageWords("ppo", { ...CLASS, ppo }), /step 3 of 40/);
});

test("a class's figures say how many votes were simulated", () => {
  assert.deepEqual(votesFigure(CLASS), [
    "7",
    "votes this round, 2 of them simulated, about 600 expected, attention checks included",
  ]);
  const [, words] = votesFigure({ ...CLASS, expected: 0, written: 5 });
  assert.equal(words, "votes this round, 2 of them simulated; students have written 5 texts");
  assert.equal(agreementFigure(CLASS, 5)[0], "\u2013");
  const shared = { units: 12, share: 0.75, low: 0.62, high: 0.85 };
  const quality = { ...CLASS.quality, with_others: shared, alpha: 0.5, votes: 120, simulated: 0 };
  assert.deepEqual(agreementFigure({ ...CLASS, quality }, 5), [
    "75%",
    "of votes agree with most other votes on the same pair [62, 85]; Krippendorff\u2019s alpha " +
      "0.50 (1 is full agreement, 0 is agreement by chance); 120 votes",
  ]);
  assert.match(rewardFigure(CLASS, 25)[1], /4 so far/);
  const trained = {
    votes: 30,
    simulated: 0,
    pairs: 6,
    accuracy: 0.8,
    low: 0.6,
    high: 0.9,
    highest: null,
    too_few: false,
  };
  assert.deepEqual(rewardFigure({ ...CLASS, history: [trained] }, 25), [
    "80%",
    "right on held-out votes [60, 90]; reward model from 30 votes",
  ]);
  assert.equal(
    rewardFigure({ ...CLASS, history: [{ ...trained, too_few: true }] }, 25)[0],
    "too few to tell",
  );
  assert.equal(lastFigure(CLASS)[1], "PPO has not started");
  const blind = { revealed: true, contender: "b", rate: 0.25 };
  assert.equal(lastFigure({ ...CLASS, blind })[0], "75%");
});

test("a phone says what it waits for", () => {
  const view = { done: 3, goal: 3, kind: "feedback", ppo: null };
  assert.equal(waiting(null), "");
  assert.match(waiting(view), /the class screen/);
  assert.match(waiting({ ...view, ppo: { busy: true } }), /watch PPO/);
  assert.match(waiting({ ...view, kind: "blind" }), /Thank you for voting/);
  assert.match(waiting({ ...view, done: 2 }), /It will appear here by itself/);
});

test("what a score means, and what words add to it, as they are rounded", () => {
  assert.ok(Math.abs(preference(1, Math.log(9)) - 0.9) < 1e-12);
  const shares = /75% if it scores 0.5 higher, and 90% if it scores 1 higher/;
  assert.match(unitWords(Math.log(9)), shares);
  assert.equal(
    sumWords({ score: 1.406, empty: -0.184 }),
    "The empty text scores \u22120.18; the words add +1.59.",
  );
  const how = { exact: false, orders: 12, standard_error: 0.034, words_together: 2 };
  assert.equal(
    howWords(how),
    "The text is long, so 2 neighbouring words count as one. " +
      "Averaged over 12 random orders: the standard error of a figure is about 0.03.",
  );
  assert.match(howWords({ ...how, exact: true, words_together: 1 }), /^All orders/);
});

const bestOf = (n, scores, finished = true) => ({
  settings: { best_of: n, model: { name: "M" }, scorer: { name: "S" } },
  responses: scores.map((score, i) => ({ score, text: `text ${i}` })),
  kl_bound: Math.log(n) - (n - 1) / n,
  finished,
});

test("best-of-n says who wrote, who chose, how far that moves the policy, and its cost", () => {
  const state = bestOf(4, [1, 3, 2, 3]);
  assert.equal(bestProgress(state), "M wrote 4 responses, and S chose the best.");
  assert.ok(klWords(state).includes("at most 0.64 nats of KL away from M: log 4 \u2212 3/4."));
  assert.equal(
    costWords(state),
    "No weight has changed. The text costs 4 responses and 4 scores.",
  );
  assert.equal(bestProgress(bestOf(4, [1, 3], false)), "M has written 2 of 4 responses.");
  assert.match(bestProgress(bestOf(4, [], false)), /^Loading any model/);
});

test("a single response is no choice", () => {
  const state = bestOf(1, [1]);
  assert.match(bestProgress(state), /wrote a single response, so S had nothing to choose/);
  assert.equal(klWords(state), "With N = 1 there is no choice: the KL from M is 0.");
  assert.match(costWords(state), /1 response and 1 score\.$/);
});

test("scores lie on their line between the lowest and the highest", () => {
  assert.deepEqual(placesOf([1, 3, 2]), [0, 1, 0.5]);
  assert.deepEqual(placesOf([2, 2]), [0.5, 0.5]);
  assert.deepEqual(placesOf([]), []);
});

test("of equal responses the first that was written comes first", () => {
  const texts = bestFirst(bestOf(4, [1, 3, 2, 3])).map(({ text }) => text);
  assert.deepEqual(texts, ["text 1", "text 3", "text 2", "text 0"]);
});

test("the KL of best-of-n is called an upper bound", () => {
  const kl = FIGURES.find(({ key }) => key === "kl");
  assert.equal(kl.show(1.84, { best_of: 16, kl_se: 0 }), "at most 1.84 \u00B1 0.00");
  assert.equal(kl.show(1.84, { kl_se: 0.1 }), "1.84 \u00B1 0.10");
});
