"""The KL penalty: the shipped curves decide, and the twelve tokens are those of base and reward."""

import pytest

from rlhf_demo.lessons import leash


def attempt(judge):
    """Return a run of 30 steps whose judge's gain is a function of the step."""
    points = [
        {"step": i, "kl": (i / 3) ** 2, "proxy": 0.1 * i, "judge": judge(i)} for i in range(30)
    ]
    return {
        "pairs": 1241, "seed": 0, "judge": "fluency-judge", "accuracy": 0.9, "ppo": points,
        "best_of_n": [], "texts": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("judge", "answer"),
    [
        (lambda step: 0.1 * step, 0),
        (lambda step: step / 10 if step < 10 else 1 - (step - 10) / 5, 1),
        (lambda step: -0.2 * step, 2),
    ],
)
def test_the_answer_follows_the_curves(models, monkeypatch, judge, answer):
    monkeypatch.setattr(leash, "shipped_attempts", lambda: [attempt(judge)])
    assert leash.outcome(models)["answer"] == answer


def test_in_the_shipped_record_the_judge_turns(models):
    result = leash.outcome(models)
    assert result["answer"] == 1
    assert "is highest at" in result["result"]


def test_only_the_attempts_with_the_most_pairs_count(models):
    look = leash.look(models, {})
    assert (look["study"]["pairs"], look["study"]["seeds"]) == (1241, 3)


def test_tokens_have_the_bases_probability_and_the_reward_models_score(models):
    look = leash.look(models, {})
    assert look["tokens"][0] == " good"
    assert sum(look["reference"]) == pytest.approx(1, abs=1e-3)
    scored = dict(zip(look["tokens"], look["scores"], strict=True))
    assert scored[" excellent"] == pytest.approx(
        models.reward.score_texts(["The acting was excellent."]).item(), abs=1e-3
    )
    assert scored[" excellent"] > 0 > scored[" terrible"]
