"""The microscope's numbers: equal to what the runs wrote, and worked by hand when changed."""

import json
import math
from collections import Counter

import pytest
import torch

from rlhf_demo.errors import DataError
from rlhf_demo.explain import ppo_step
from rlhf_demo.explain.ppo_step import QUANTITIES, response_of, settings_of, trace
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.runs.run import Run
from tests.stepping import trainer_maker

LOGGED = ("log_ratio", "reward", "value", "return", "advantage", "ratio")
"""Columns that a run writes and `trace` computes."""


class Record:
    """The files of a run."""

    def __init__(self, folder):
        self.run = Run(folder)
        self.options = self.run.config["options"]
        self.metrics = {row["step"]: row for row in self.run.read("metrics")}
        self.samples = {step: [] for step in self.metrics}
        for row in self.run.read("samples"):
            self.samples[row["step"]].append(row)

    def trace(self, step, index, **changed):
        return trace(self.samples[step], index, self.metrics[step], self.options, changed)


@pytest.fixture(scope="module")
def quick():
    return Record(CHECKPOINTS / "examples" / "ppo-quick")


def figures(found, name):
    return found.columns[name][0].tolist()


@pytest.mark.parametrize("name", ["ppo-quick", "ppo-no-kl", "ppo-fast"])
def test_terms_equal_what_the_shipped_runs_wrote(name):
    record, seen = Record(CHECKPOINTS / "examples" / name), 0
    for step, rows in record.samples.items():
        for index, row in enumerate(rows):
            found = record.trace(step, index)
            for column in LOGGED:
                assert figures(found, column) == pytest.approx(row[column], abs=1e-3), column
            seen += 1
    assert seen == {"ppo-quick": 320, "ppo-no-kl": 72, "ppo-fast": 16}[name]


# -- two responses by hand -------------------------------------------------------------------------


def test_first_step_spreads_the_score_backwards(quick):
    row, found = quick.samples[1][0], quick.trace(1, 0)
    assert (row["prompt"], row["response"]) == ("This thriller is", " a complete mess.")
    assert row["score"] == pytest.approx(-1.7812, abs=1e-4)
    earned = (row["score"] - 0.027539) / 0.979797  # in deviations of the base's scores
    assert found.earned == pytest.approx(earned, abs=1e-3)
    assert figures(found, "value") == figures(found, "log_ratio") == [0.0] * 5
    assert figures(found, "reward") == pytest.approx([0, 0, 0, 0, -1.8461], abs=1e-3)
    by_hand = [-1.8461 * 0.95 ** (4 - t) for t in range(5)]
    assert figures(found, "raw_advantage") == pytest.approx(by_hand, abs=1e-3)
    mean, deviation = found.whitening
    assert (mean, deviation) == pytest.approx((-0.0668, 0.7676), abs=1e-3)
    whitened = [(raw - mean) / deviation for raw in by_hand]
    assert figures(found, "advantage") == pytest.approx(whitened, abs=1e-3)
    # " complete": the ratio left the range on the side that would gain.
    assert figures(found, "ratio")[1] == pytest.approx(0.7936, abs=1e-3)
    assert found.stopped[0].tolist() == [False, True, False, False, False]
    assert figures(found, "policy_term")[1] == pytest.approx(0.8 * 1.975, abs=1e-3)
    assert figures(found, "policy_term")[0] == pytest.approx(1.0208 * 1.8719, abs=1e-3)
    assert figures(found, "gradient")[1] == 0.0
    assert figures(found, "gradient")[0] == pytest.approx(1.0208 * 1.8719, abs=1e-3)


def test_step_20_pays_for_kl_and_looks_ahead_with_values(quick):
    row, found = quick.samples[20][1], quick.trace(20, 1)
    assert (row["prompt"], row["response"]) == ("The cast of this show was", " great!")
    beta = quick.metrics[20]["objective/kl_coef"]
    assert beta == pytest.approx(0.1373, abs=1e-4)
    log_ratio, value = row["log_ratio"], row["value"]
    rewards = [-beta * each for each in log_ratio]
    rewards[-1] += (row["score"] - 0.027539) / 0.979797
    assert figures(found, "reward") == pytest.approx(rewards, abs=1e-3)
    after = [*value[1:], 0.0]
    delta = [r + v1 - v for r, v1, v in zip(rewards, after, value, strict=True)]
    assert figures(found, "delta") == pytest.approx(delta, abs=1e-3)
    a2 = delta[2]
    a1 = delta[1] + 0.95 * a2
    a0 = delta[0] + 0.95 * a1
    assert figures(found, "raw_advantage") == pytest.approx([a0, a1, a2], abs=1e-3)
    returns = [a + v for a, v in zip([a0, a1, a2], value, strict=True)]
    assert figures(found, "return") == pytest.approx(returns, abs=1e-3)


# -- what if ---------------------------------------------------------------------------------------


def test_without_the_kl_coefficient_only_the_score_is_left(quick):
    found = quick.trace(20, 1, kl_coef=0.0)
    assert figures(found, "reward") == pytest.approx([0, 0, found.earned])
    assert found.earned == quick.trace(20, 1).earned


def test_gamma_discounts_and_lambda_0_looks_one_token_ahead(quick):
    found = quick.trace(1, 0, gamma=0.5, gae_lambda=1.0)
    by_hand = [-1.8461 * 0.5 ** (4 - t) for t in range(5)]
    assert figures(found, "raw_advantage") == pytest.approx(by_hand, abs=1e-3)
    found = quick.trace(20, 1, gae_lambda=0.0)
    assert figures(found, "raw_advantage") == figures(found, "delta")


def test_a_wider_clip_lets_the_token_through(quick):
    found = quick.trace(1, 0, clip_range=0.3)
    assert not found.stopped.any()
    assert figures(found, "policy_term")[1] == pytest.approx(0.7936 * 1.975, abs=1e-3)


def test_without_values_the_advantage_is_what_follows(quick):
    found = quick.trace(20, 1, with_values=False)
    assert figures(found, "value") == [0.0, 0.0, 0.0]
    rewards = figures(found, "reward")
    assert figures(found, "raw_advantage")[-1] == rewards[-1]
    assert figures(found, "return") == figures(found, "raw_advantage")
    assert found.columns["value_term"] is None
    assert figures(found, "total") == figures(found, "policy_term")  # entropy_coef is 0


def test_what_was_sampled_and_the_whitening_stay(quick):
    before = quick.trace(20, 1)
    found = quick.trace(20, 1, kl_coef=2.0, gamma=0.5, gae_lambda=0.1, with_values=False)
    assert found.whitening == before.whitening
    for name in ("logprob", "ref_logprob", "log_ratio", "ratio"):
        assert figures(found, name) == figures(before, name)


# -- a run of today --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def today(tmp_path_factory, tiny_model_folder, prompts_file):
    """A run that notes everything."""
    folder = tmp_path_factory.mktemp("today")
    trainer = trainer_maker(tiny_model_folder, prompts_file, folder)(
        minibatch_size=4, ppo_epochs=2, entropy_coef=0.01, gamma=0.9, learning_rate=0.05
    )
    trainer.run_step()
    trainer.run_step()
    return Record(trainer.run.folder)


def test_today_every_term_is_known_and_adds_up(today):
    options = today.options
    for index, row in enumerate(today.samples[2]):
        found = today.trace(2, index)
        assert all(column is not None for column in found.columns.values())
        for t in range(len(row["token"])):
            ret, old, new = row["return"][t], row["value"][t], row["value_after"][t]
            edge = options["value_clip_range"]
            kept = old + min(max(new - old, -edge), edge)
            value = max((new - ret) ** 2, (kept - ret) ** 2) / 2
            assert figures(found, "value_term")[t] == pytest.approx(value, abs=1e-2, rel=1e-3)
            total = (
                figures(found, "policy_term")[t]
                + options["value_coef"] * figures(found, "value_term")[t]
                - options["entropy_coef"] * row["entropy_after"][t]
            )
            assert figures(found, "total")[t] == pytest.approx(total, abs=1e-6)


def test_noted_whitening_is_what_older_runs_imply(today):
    noted = today.trace(2, 0)
    older = {key: value for key, value in today.metrics[2].items() if "advantage" not in key}
    found = trace(today.samples[2], 0, older, today.options)
    assert found.whitening == pytest.approx(noted.whitening, abs=2e-3)


def test_long_response_takes_one_call_of_each_loss(quick, monkeypatch):
    """One call for each token took 0.3 s for 256 tokens, and other requests of the page waited."""
    row, calls = quick.samples[20][1], Counter()

    def counted(name):
        compute = getattr(ppo_step, name)
        return lambda *given, **named: calls.update([name]) or compute(*given, **named)

    long = {name: 100 * value if isinstance(value, list) else value for name, value in row.items()}
    long |= {"value_after": long["value"], "entropy_after": long["value"]}
    for name in ("policy_loss", "value_loss", "ppo_loss"):
        monkeypatch.setattr(ppo_step, name, counted(name))
    found = trace([long], 0, quick.metrics[20], quick.options)
    assert found.columns["total"].shape == (1, 300)
    assert calls == {"policy_loss": 1, "value_loss": 1, "ppo_loss": 1}


def test_whitening_is_the_same_with_short_and_long_responses_together(quick):
    """Each response has zeros after its end; only real tokens may count."""
    logged = settings_of(quick.metrics[20], quick.options)
    rows = quick.samples[20]
    raw = [figures(quick.trace(20, index), "raw_advantage") for index in range(len(rows))]
    assert len({len(each) for each in raw}) > 1
    known = torch.tensor([number for each in raw for number in each])
    whitened = torch.tensor([number for row in rows for number in row["advantage"]])
    slope = torch.linalg.lstsq(
        torch.stack([whitened, torch.ones_like(whitened)], 1), known.unsqueeze(1)
    ).solution.flatten()
    mean, deviation = ppo_step.whitening_of(rows, quick.metrics[20], logged)
    assert (deviation, mean) == pytest.approx(slope.tolist(), abs=1e-4)


# -- older and damaged records ---------------------------------------------------------------------


def test_what_an_older_run_did_not_note_is_absent(quick):
    found = quick.trace(20, 1)
    for name in ("value_after", "value_term", "entropy_after", "total"):
        assert found.columns[name] is None
    # Even without values, the loss needs the entropy if that has a weight.
    assert quick.trace(20, 1, with_values=False, entropy_coef=0.1).columns["total"] is None


def test_two_tokens_tell_the_whitening_and_equal_ones_do_not(quick):
    rows, metrics = quick.samples[1], quick.metrics[1]
    short = {
        name: value[-2:] if isinstance(value, list) else value for name, value in rows[0].items()
    }
    found = trace([short], 0, metrics, quick.options)
    assert found.whitening == pytest.approx(quick.trace(1, 0).whitening, abs=5e-3)
    one = {name: value[-1:] if isinstance(value, list) else value for name, value in short.items()}
    found = trace([one], 0, metrics, quick.options)
    assert found.whitening is None and found.stopped is None
    for name in ("advantage", "policy_term", "gradient", "total"):
        assert found.columns[name] is None
    assert figures(found, "raw_advantage") == pytest.approx([-1.8461], abs=1e-3)


def test_a_ratio_noted_as_0_is_a_log_probability_that_nobody_knows(quick):
    row = quick.samples[1][0] | {"ratio": [0.0, 1.0, 1.0, 1.0, 1.0]}
    found = trace([row], 0, quick.metrics[1], quick.options)
    assert figures(found, "logprob_after")[0] == -math.inf
    assert figures(found, "ratio")[0] == 0.0
    assert figures(found, "gradient")[0] == 0.0 and found.stopped[0, 0]


@pytest.mark.parametrize("name", ["logprob", "ref_logprob", "value", "advantage", "ratio"])
@pytest.mark.parametrize(
    "bad", [None, [], [1.0], ["a"] * 5, [math.nan] * 5, [True] * 5, [1e300] * 5, "x", 3]
)
def test_a_damaged_column_is_named(quick, name, bad):
    with pytest.raises(DataError, match=f"this response's {name} is missing or damaged"):
        response_of(quick.samples[1][0] | {name: bad}, settings_of(quick.metrics[1], quick.options))


def test_a_missing_setting_is_named(quick):
    for options in ({}, quick.options | {"gamma": "1"}, quick.options | {"gamma": math.inf}):
        with pytest.raises(DataError, match="recorded no gamma"):
            settings_of(quick.metrics[1], options)
    with pytest.raises(DataError, match="recorded no kl_coef"):
        settings_of({}, quick.options)
    with pytest.raises(DataError, match="has no tokens"):
        response_of({"token": []}, settings_of(quick.metrics[1], quick.options))


# -- where the cells come from ---------------------------------------------------------------------

READ = {
    "logprob": "logprob", "ref_logprob": "ref_logprob", "value": "value",
    "logprob_after": "ratio", "value_after": "value_after", "entropy_after": "entropy_after",
}  # fmt: skip
"""The cells that come from a column of the record, by that column."""


def reached(name, at, count):
    """Return all read cells that a cell depends on, through the cells that it names as sources."""
    sources = QUANTITIES[name].sources
    if not sources:
        return {(name, at)}
    cells = [(source, at + ahead) for source, ahead in sources if at + ahead < count]
    return set().union(*(reached(source, place, count) for source, place in cells))


def test_a_cell_changes_with_its_sources_and_with_nothing_else(today):
    index, row = max(enumerate(today.samples[2]), key=lambda each: len(each[1]["token"]))
    count, before = len(row["token"]), today.trace(2, index).columns
    assert count > 1
    for name, column in READ.items():
        for at in range(count - 1):  # the last token's logprob also tells what it earned
            moved = json.loads(json.dumps(row))
            moved[column][at] += 0.01
            rows = [*today.samples[2]]
            rows[index] = moved
            after = trace(rows, index, today.metrics[2], today.options).columns
            for other in QUANTITIES:
                changed = (before[other] - after[other])[0].abs() > 1e-9
                for place in torch.nonzero(changed).flatten().tolist():
                    # Ratios are noted, so the log-probability after the updates moves along.
                    own = {(name, at)} | ({("logprob_after", at)} if name == "logprob" else set())
                    assert reached(other, place, count) & own, (name, at, other, place)


def test_rows_stand_in_the_order_of_computation():
    seen = set()
    for name, quantity in QUANTITIES.items():
        assert all(source in seen or source == name for source, _ in quantity.sources), name
        assert callable(quantity.function)
        seen.add(name)
