"""What the curves of a run say, in one sentence, and what to try, in another.

Each rule is a pure function over the rows of metrics.jsonl and the run's options. It answers with
a Story where its pattern is there, else with None. `ppo_story` tells the most important one: first
what ended the run, then what makes its result worth less than it looks, then why nothing is
learned, then how it goes. What is told of a reward model is in runs/reward_stories.py.

Options of a running run do not change, so what to try concerns the next one.
"""

import re
from collections.abc import Callable, Sequence

from rlhf_demo.files import Row
from rlhf_demo.runs.story import LONG, Options, Story, failed, waiting, warning
from rlhf_demo.runs.trend import FEWEST, Trend, number, trend

IN_A_ROW = 3  # steps out of bounds; a single one may be chance
RUNAWAY = 2.0  # times the KL target
DIVERSITY_LEFT = 0.75  # of distinct-2 at the start
LENGTH_RANGE = (0.6, 1.6)  # of the length at the start
MOST_MOVED = 0.1  # nats a token in one step, as in the glossary; default runs reach 0.05
ENTROPY_LEFT = 0.5  # of the entropy at the start
UNMOVED_KL = 0.05  # nats per response; the default target is 50 times as much
BLIND = 0.05  # explained variance


OVER_BUDGET = re.compile(
    r"ended after step \d+ of \d+: (?:the KL of the next texts, |KL )(?P<kl>[\d.]+) nats,? "
    r"is over the budget .*"
)
"""What train_ppo leaves as the message of such a run; until 2026-11-29, only "KL 12.3 nats"."""


# -- PPO -------------------------------------------------------------------------------------------


def ppo_story(
    rows: Sequence[Row], options: Options, status: str, message: str = "", awaited: str = ""
) -> Story:
    """Tell how a PPO run stands; there is always something true to say.

    Args:
        rows: what metrics.jsonl holds so far.
        options: the run's, as in its config.json.
        status: queued, running, finished, failed or stopped.
        message: the status in words; it tells a diverged run from another failure.
        awaited: the run that must finish first, in words; empty where there is none.
    """
    if story := (
        failed(rows, status, message)
        or kl_over_budget(rows, options, status, message)
        or waiting(rows, status, awaited)
    ):
        return story
    stories = (rule(rows, options) for rule in PPO_RULES)
    return next(filter(None, stories), None) or progress(rows, options, status)


def kl_over_budget(
    rows: Sequence[Row], options: Options, status: str, message: str
) -> Story | None:
    """Tell that the run ended itself because the policy had drifted too far."""
    found = OVER_BUDGET.fullmatch(message) if status == "finished" else None
    if not found:
        return None
    leapt = bool(rows) and float(found["kl"]) > 2 * rows[-1]["objective/kl"]
    lower = f"a learning rate below {options['learning_rate']:g}"
    if leapt:
        try_ = f"{lower}, because KL more than doubled in one step"
    elif updates_too_large(rows, options):
        try_ = f"{lower}, because the updates moved the policy too far for a penalty to hold it"
    else:
        try_ = hold_closer(options)
    return warning("kl_over_budget", f"The run {message}.", f"Next run: {try_}.")


def kl_runs_away(rows: Sequence[Row], options: Options) -> Story | None:
    """Tell that KL stays far above the target that its coefficient should hold it to."""
    target, last = options["kl_target"], [row["objective/kl"] for row in rows[-IN_A_ROW:]]
    if not target or len(last) < IN_A_ROW or min(last) <= RUNAWAY * target:
        return None
    return warning(
        "kl_runs_away",
        f"In each of the last {IN_A_ROW} steps, KL was over twice its target: it is "
        f"{number(last[-1])} nats, the target is {target:g}, and the run ends above "
        f"{options['kl_budget']:g}.",
        f"Next run: a learning rate below {options['learning_rate']:g}, or a KL coefficient above "
        f"{options['kl_coef']:g}.",
    )


def diversity_falls(rows: Sequence[Row], options: Options) -> Story | None:
    """Tell that the score is bought with responses that resemble each other."""
    score, distinct = trend(rows, "objective/score"), trend(rows, "objective/distinct_2")
    if not (score.rose and distinct.fell and distinct.ratio < DIVERSITY_LEFT):
        return None
    return warning(
        "diversity_falls",
        f"The score rose by {number(score.gain)} SD, but distinct-2 fell from "
        f"{number(distinct.start)} to {number(distinct.now)}: the responses are becoming alike.",
        f"Read them: do you like them too? Next run: {hold_closer(options)}.",
    )


def score_fell_back(rows: Sequence[Row], options: Options) -> Story | None:
    """Tell that over half of what was once gained is lost again."""
    score = trend(rows, "objective/score")
    gained, lost = score.best - score.start, score.best - score.now
    if not (gained > score.noise and lost > score.noise and lost > gained / 2):
        return None
    return warning(
        "score_fell_back",
        f"The score was {number(score.best)} around step {score.best_step} and is "
        f"{number(score.now)} now: over half of its gain is lost.",
        f"Next run: stop near step {score.best_step}, or use a learning rate below "
        f"{options['learning_rate']:g}.",
    )


def length_drifts(rows: Sequence[Row], options: Options) -> Story | None:
    """Tell that responses grow much longer or shorter: maybe the reward pays for just that."""
    length = trend(rows, "response/length")
    shorter = length.fell and length.ratio < LENGTH_RANGE[0]
    longer = length.rose and length.ratio > LENGTH_RANGE[1]
    if not (shorter or longer):
        return None
    return warning(
        "length_drifts",
        f"The responses are getting {'longer' if longer else 'shorter'}: {number(length.now)} "
        f"tokens, against {number(length.start)} at the start and a maximum of "
        f"{options['max_new_tokens']}.",
        "Read the texts: does the reward pay only for length?",
    )


def updates_too_large(rows: Sequence[Row], options: Options) -> Story | None:
    """Tell that single steps move the policy too far."""
    last = [row.get("policy/update_kl", 0.0) for row in rows[-IN_A_ROW:]]  # older runs lack it
    if len(last) < IN_A_ROW or min(last) <= MOST_MOVED:
        return None
    outside = rows[-1]["policy/outside_clip"]
    return warning(
        "updates_too_large",
        f"In each of the last {IN_A_ROW} steps, the updates moved the policy by over "
        f"{MOST_MOVED:g} nats per token ({outside:.0%} of tokens end outside the clip range).",
        f"Next run: a learning rate below {options['learning_rate']:g}.",
    )


def entropy_collapses(rows: Sequence[Row], options: Options) -> Story | None:
    """Tell that the policy hardly ever hesitates any more, so it finds nothing new."""
    entropy = trend(rows, "policy/entropy")
    if not (entropy.fell and entropy.ratio < ENTROPY_LEFT):
        return None
    return warning(
        "entropy_collapses",
        f"Entropy fell from {number(entropy.start)} to {number(entropy.now)} nats per token: "
        "the policy is hardly ever uncertain, so it explores little.",
        f"Next run: an entropy bonus above {options['entropy_coef']:g}.",
    )


def policy_unmoved(rows: Sequence[Row], options: Options) -> Story | None:
    """Tell that the policy still writes as the reference does."""
    kl, target = trend(rows, "objective/kl").now, options["kl_target"]
    if len(rows) < LONG or kl >= (min(UNMOVED_KL, target / 2) if target else UNMOVED_KL):
        return None
    return warning(
        "policy_unmoved",
        f"After {len(rows)} steps KL is still {number(kl)} nats: "
        "the policy still writes like the reference.",
        f"Next run: a learning rate above {options['learning_rate']:g}, or a KL coefficient below "
        f"{options['kl_coef']:g}.",
    )


def nothing_learned(rows: Sequence[Row], options: Options) -> Story | None:
    """Tell that half of the steps are done and the score is no higher than chance makes it."""
    score = trend(rows, "objective/score")
    if len(rows) < max(LONG, options["total_steps"] / 2) or score.rose:
        return None
    return warning(
        "nothing_learned",
        f"After {len(rows)} of {options['total_steps']} steps the score {score.words('SD')}.",
        "Read the texts: can the reward tell them apart? Next run: a learning rate "
        f"{'below' if score.fell else 'above'} {options['learning_rate']:g}.",
    )


def value_head_blind(rows: Sequence[Row], options: Options) -> Story | None:
    """Tell, while the score does not rise, that the value head foretells nothing either."""
    if "value/explained_variance" not in rows[-1]:  # there is no value head
        return None
    explained = trend(rows, "value/explained_variance").now
    if len(rows) < LONG or explained >= BLIND or trend(rows, "objective/score").rose:
        return None
    return Story(
        "value_head_blind",
        "info",
        f"The value head predicts nothing yet (R\u00b2 {number(explained)}; "
        "1 is perfect), so the updates are noisy.",
        f"Give it more steps. Next run: a batch larger than {options['batch_size']} responses.",
    )


PPO_RULES: tuple[Callable[[Sequence[Row], Options], Story | None], ...] = (
    kl_runs_away,
    diversity_falls,
    score_fell_back,
    length_drifts,
    updates_too_large,
    entropy_collapses,
    policy_unmoved,
    nothing_learned,
    value_head_blind,
)
"""Most important first. Rules are called with at least one row."""


def progress(rows: Sequence[Row], options: Options, status: str) -> Story:
    """Tell where score and KL stand in a run that no rule finds fault with."""
    last, total = rows[-1], options["total_steps"]
    score, kl = trend(rows, "objective/score"), trend(rows, "objective/kl")
    early, level = len(rows) < FEWEST, "good" if score.rose else "info"
    if early:
        words = f"score {number(last['objective/score'])}, KL {number(last['objective/kl'])} nats"
        words += ", too few steps to tell a trend from noise"
    else:
        words = f"averaged over a few steps, {score_words(score)}"
        words += ", while KL reached " + beside_target(kl.now, options["kl_target"])
    where = f"step {last['step']} of {total}: {words}."
    if status == "finished":
        try_ = "Compare it with its reference on prompts that it was not trained on."
        return Story("finished", level, f"Finished at {where}", try_)
    if status == "stopped":
        try_ = "Resume it, or compare its model with the reference."
        return Story("stopped", level, f"Stopped at {where}", try_)
    if last["step"] == total:
        try_ = "Wait while the run saves and measures the model."
        return Story("last", level, f"At {where}", try_)
    if early:
        return Story("early", level, f"At {where}", f"Wait for step {min(FEWEST, total)}.")
    if score.rose:
        return Story("learning", level, f"At {where}", "Read the texts: do you like them too?")
    return Story(
        "no_trend", level, f"At {where}", "Wait: a trend appears once it exceeds the noise."
    )


def score_words(score: Trend) -> str:
    """Say how the score has changed, and from where to where if that is more than noise."""
    ends = f", from {number(score.start)} to {number(score.now)} (base: 0)"
    return f"the score {score.words('SD')}{ends if score.rose or score.fell else ''}"


def beside_target(kl: float, target: float) -> str:
    """Compare KL with its target, if there is one."""
    if not target:
        return f"{number(kl)} nats, with no target set"
    place = "below" if kl < target / 1.5 else "above" if kl > target * 1.5 else "near"
    return f"{number(kl)} nats, {place} its target of {target:g}"


def hold_closer(options: Options) -> str:
    """Name the options of the next run that would keep the policy closer to its reference."""
    if "beta" in options:  # DPO
        return f"a beta above {options['beta']:g}"
    if "kl_coef" not in options:  # SFT
        return f"a learning rate below {options['learning_rate']:g}, or fewer epochs"
    coefficient = f"a KL coefficient above {options['kl_coef']:g}"
    if not (options["kl_coef"] and options["kl_target"]):
        return coefficient
    return f"{coefficient}, or a KL target below {options['kl_target']:g} nats"
