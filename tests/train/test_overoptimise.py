"""A reward pushed too far: what a run writes, what best-of-n gains, how it stops and resumes."""

import json
from itertools import combinations
from statistics import fmean, stdev

import pytest
import torch

from rlhf_demo.config.overoptimise import OveroptimiseConfig
from rlhf_demo.evaluation.best_of_n import BestOf, kl_bound, sample_candidates
from rlhf_demo.evaluation.overoptimisation import read_attempt
from rlhf_demo.files import read_json
from rlhf_demo.models.sampling import decode
from rlhf_demo.models.scorers import length_scores, load_scorer
from rlhf_demo.runs.run import Run, Status
from rlhf_demo.train import overoptimise as module
from rlhf_demo.train.overoptimise import JudgedPPO, overoptimise, summary
from tests.equal_runs import assert_equal_runs, weights

CPU = torch.device("cpu")
PROMPTS, N = 3, 6


@pytest.fixture(scope="module")
def config(tiny_model_folder, prompts_file, tmp_path_factory):
    pairs = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    rows = [
        {"prompt": f"Film {n} was", "chosen": " so" * (n % 3) + " good", "rejected": " so bad"}
        for n in range(24)
    ]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return OveroptimiseConfig(
        policy=str(tiny_model_folder), data=str(pairs), train_pairs=16, judge="longer",
        prompts=str(prompts_file), best_of=N, best_of_prompts=PROMPTS, total_steps=3,
        checkpoint_every=1, dtype="float32", device="cpu",
    )  # fmt: skip


def new_run(folder, config):
    return Run.create(folder, "overoptimise", config.to_dict())


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    """A run without a stop, and the responses of each of its steps."""
    rollouts, measure = [], JudgedPPO.measure

    def noting(self, step, rollout, tensors):
        rollouts.append((self.scales, decode(self.policy, rollout.responses())))
        return measure(self, step, rollout, tensors)

    run = new_run(tmp_path_factory.mktemp("runs") / "whole", config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JudgedPPO, "measure", noting)
        overoptimise(config, run)
    return run, rollouts


def test_a_run_has_a_proxy_a_model_and_points_of_both_ways(config, finished):
    run, _ = finished
    assert run.status["status"] == Status.FINISHED
    assert Run(run.folder / "proxy").config["options"] == config.proxy.to_dict()
    assert run.model_folder.is_dir()
    attempt = read_attempt(run)
    assert attempt["pairs"] == 16 and 0 <= attempt["accuracy"] <= 1
    assert [point["step"] for point in attempt["ppo"]] == [1, 2, 3]
    assert [text["step"] for text in attempt["texts"]] == [1, 2, 3]
    assert [point["n"] for point in attempt["best_of_n"]] == [1, 2, 4, 6]


def test_nothing_holds_the_policy_near_the_base(finished):
    rows = finished[0].read("metrics")
    assert [row["objective/kl_coef"] for row in rows] == [0, 0, 0]
    assert rows[-1]["objective/kl"] > rows[0]["objective/kl"] == pytest.approx(0, abs=1e-4)


def test_judge_scores_all_responses_of_all_steps(finished):
    run, rollouts = finished
    rows = run.read("metrics")
    for row, (scales, texts) in zip(rows, rollouts, strict=True):
        assert len(texts) == 64
        lengths = [(len(text) - scales["judge"].mean) / scales["judge"].std for text in texts]
        assert row["judge/score"] == pytest.approx(fmean(lengths), abs=1e-5)
        assert row["judge/score_se"] == pytest.approx(stdev(lengths) / 8, rel=1e-4)


def test_gain_of_best_of_n_is_the_mean_over_all_choices_of_n(config, finished):
    """All subsets of each prompt's six responses are listed, and the best of each is looked up."""
    run, _ = finished
    proxy = load_scorer(str(run.folder / "proxy" / "model"), device=CPU)
    made = JudgedPPO(config.ppo, Run(run.folder), proxy, length_scores)
    candidates = sample_candidates(
        made.policy, made.prompts[::2], BestOf(N, proxy), max_new_tokens=32, temperature=0.7, seed=0
    )
    for point in read_json(run.folder / "best_of_n.json"):
        n, by_prompt = point["n"], []
        for found in candidates:
            judged = [len(text) for text in found.texts]
            best = [max(some, key=found.scores.__getitem__) for some in combinations(range(N), n)]
            by_prompt.append(
                (
                    (fmean(found.scores[i] for i in best) - fmean(found.scores))
                    / made.scales["reward"].std,
                    (fmean(judged[i] for i in best) - fmean(judged)) / made.scales["judge"].std,
                )
            )
        assert len(by_prompt) == PROMPTS and point["kl"] == kl_bound(n)
        for name, of_prompts in zip(("proxy", "judge"), zip(*by_prompt)):
            assert point[name] == pytest.approx(fmean(of_prompts), abs=1e-5)
            error = stdev(of_prompts) / PROMPTS**0.5
            assert point[f"{name}_se"] == pytest.approx(error, abs=1e-5)


def stopping_in(run, part, patch):
    """Ask the run to stop when one of its parts begins, or during the second step of PPO."""

    def asking(function):
        def asked(*given, **named):
            run.request_stop()
            return function(*given, **named)

        return asked

    if part == "ppo":
        finish = JudgedPPO.finish_step

        def finish_step(self, step, kl):
            finish(self, step, kl)
            if step == 1:
                run.request_stop()

        patch.setattr(JudgedPPO, "finish_step", finish_step)
    else:
        patch.setattr(module, part, asking(getattr(module, part)))


@pytest.mark.parametrize("part", ["train_reward", "best_of_n", "ppo"])
def test_run_that_was_stopped_anywhere_resumes_bit_for_bit(config, finished, tmp_path, part):
    whole, _ = finished
    run = new_run(tmp_path / "run", config)
    with pytest.MonkeyPatch.context() as patch:
        stopping_in(run, part, patch)
        overoptimise(config, run)
    assert run.status["status"] == Status.STOPPED
    assert (run.folder / "best_of_n.json").is_file() == (part == "ppo")
    proxy = Run(run.folder / "proxy")
    assert proxy.status["status"] == (Status.STOPPED if part == "train_reward" else Status.FINISHED)
    overoptimise(config, run, resume=True)
    assert run.status["status"] == Status.FINISHED
    assert_equal_runs(run, whole)
    assert read_attempt(run) == read_attempt(whole)
    proxies = [weights(Run(one.folder / "proxy")) for one in (run, whole)]
    assert all(torch.equal(proxies[0][name], proxies[1][name]) for name in proxies[0])


def test_summary_names_both_ways(finished):
    best, ppo = summary(finished[0]).splitlines()
    assert best.startswith("best-of-n: The proxy\u2019s gain is ")
    assert ppo.startswith("PPO: The proxy\u2019s gain is ")
