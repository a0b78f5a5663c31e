"""A duel writes what the models write, in turns, and its figures are those of PPO."""

import json
import threading

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from rlhf_demo.config.evaluation import DuelOptions
from rlhf_demo.errors import ConfigError, ShapeError
from rlhf_demo.evaluation.duel import duel
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.reading import token_outputs
from rlhf_demo.models.reward_model import load_reward_model
from rlhf_demo.models.sampling import Drawn, decode, encode_prompts, generate
from rlhf_demo.models.scorers import length_scores
from tests.tiny import save_tiny_classifier, save_tiny_model

CPU = torch.device("cpu")
PROMPT = "The film was"
OPTIONS = DuelOptions(max_new_tokens=10, temperature=1.0, seed=3)


def save_moved(base, folder):
    """Write a policy that differs from its base a little, with a value head, as if trained."""
    policy = load_policy(str(base), device=CPU, for_training=True, value_head=True)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in (*policy.lm.parameters(), *policy.value_head.parameters()):
            parameter += 0.05 * torch.randn_like(parameter)
    policy.save(folder)
    return folder


@pytest.fixture(scope="module")
def base(tiny_model_folder):
    return load_policy(str(tiny_model_folder), device=CPU)


@pytest.fixture(scope="module")
def moved(tiny_model_folder, tmp_path_factory):
    folder = save_moved(tiny_model_folder, tmp_path_factory.mktemp("moved") / "model")
    return load_policy(str(folder), device=CPU)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """A model with one more token than the base has."""
    folder = save_tiny_model(tmp_path_factory.mktemp("stranger") / "model", seed=2)
    policy = load_policy(str(folder), device=CPU)
    policy.tokenizer.add_tokens(["<new>"])
    return policy


@pytest.fixture(scope="module")
def reward_model(tiny_model_folder, tmp_path_factory):
    folder = save_tiny_classifier(tmp_path_factory.mktemp("rewards") / "one", tiny_model_folder)
    return load_reward_model(str(folder), device=CPU)


def final(*args, **kwargs):
    return list(duel(*args, **kwargs))[-1]


def alone(policy, prompt=PROMPT):
    """The response that `generate` gives to this prompt alone: its ids."""
    settings = {"max_new_tokens": 10, "temperature": 1.0, "seed": 3}
    return generate(policy, [prompt], **settings)[0]


def test_each_side_writes_what_generate_writes_with_the_seed(base, moved):
    state = final(base, moved, base, PROMPT, OPTIONS)
    for policy, side in ((base, state.left), (moved, state.right)):
        ids = alone(policy)
        assert "".join(side.token) == decode(policy, [ids])[0]
        assert len(side.token) == len(side.logprob) == len(ids)


def test_both_sides_grow_together_by_one_token_a_turn(base, moved):
    states = list(duel(base, moved, base, PROMPT, OPTIONS))
    turns = max(len(alone(base)), len(alone(moved)))
    assert len(states) == turns + 1
    for turn, state in enumerate(states[:-1], start=1):
        for side, ids in ((state.left, alone(base)), (state.right, alone(moved))):
            assert len(side.token) == min(turn, len(ids))
            assert side.done == (len(side.token) == len(ids))
            assert side.logprob is side.kl is side.log_ratio is side.value is side.score is None
    assert [state.finished for state in states] == [False] * turns + [True]


def test_parting_is_the_first_token_that_differs(base, moved):
    left, right = alone(base), alone(moved)
    expected = next(place for place in range(10) if left[place] != right[place])
    assert 0 < expected < 9  # else the test would show nothing
    states = list(duel(base, moved, base, PROMPT, OPTIONS))
    seen = [state.parting for state in states]
    assert seen == [None] * expected + [expected] * (len(states) - expected)


def test_model_against_itself_never_parts_and_has_no_kl(base):
    state = final(base, base, base, PROMPT, OPTIONS)
    assert state.left == state.right
    assert state.parting is None
    assert state.left.kl == [0.0] * len(state.left.token)


def test_figures_are_those_that_ppo_would_note(base, moved):
    side = final(base, moved, base, PROMPT, OPTIONS).right
    ids = torch.tensor([alone(moved)])
    prompt_ids, mask, _ = encode_prompts(moved, [PROMPT], 10)
    real = torch.ones_like(ids, dtype=torch.bool)
    batch = (torch.cat([prompt_ids, ids], 1), torch.cat([mask, real], 1), real, 1.0)
    with torch.no_grad():
        ours, theirs = (token_outputs(policy, *batch) for policy in (moved, base))
    assert side.logprob == pytest.approx(ours.logprobs[0].tolist(), abs=6e-5)
    log_ratio = (ours.logprobs - theirs.logprobs)[0]
    assert log_ratio.max() > 0.05 and log_ratio.min() < -0.05
    assert side.log_ratio == pytest.approx(log_ratio.tolist(), abs=6e-5)
    assert side.value == pytest.approx(ours.values[0].tolist(), abs=6e-5)
    assert side.logprob == [round(x, 4) for x in side.logprob]


def test_kl_is_that_of_the_two_distributions_before_each_token(base, moved):
    options = DuelOptions(max_new_tokens=10, temperature=0.5, seed=3)
    side = final(base, moved, base, PROMPT, options).right
    ids = generate(moved, [PROMPT], max_new_tokens=10, temperature=0.5, seed=3)[0]
    prompt_ids = base.tokenizer(PROMPT)["input_ids"]
    places = slice(len(prompt_ids) - 1, -1)  # what is thought of a token is read one place before
    with torch.no_grad():
        p, q = (
            (policy.lm(input_ids=torch.tensor([prompt_ids + ids])).logits[0, places] / 0.5).double()
            for policy in (moved, base)
        )
    expected = kl_divergence(Categorical(logits=p), Categorical(logits=q))
    assert side.kl == pytest.approx(expected.tolist(), abs=1e-4)
    assert min(side.kl) > 0.01


def test_temperature_is_in_the_log_probabilities_but_top_k_is_not(base):
    options = DuelOptions(max_new_tokens=6, temperature=0.5, top_k=1)
    side = final(base, base, base, PROMPT, options).left
    ids = base.tokenizer(PROMPT)["input_ids"]
    for logprob in side.logprob:  # greedy: each token is the likeliest, though not certain
        with torch.no_grad():
            logits = base.lm(input_ids=torch.tensor([ids])).logits[0, -1]
        expected = torch.log_softmax(logits / 0.5, -1).max()
        assert logprob == pytest.approx(float(expected), abs=1e-4)
        assert logprob < -1e-3
        ids.append(int(logits.argmax()))


def test_value_is_none_without_a_trained_value_head(base, moved):
    state = final(base, moved, base, PROMPT, OPTIONS)
    assert state.left.value is None
    assert len(state.right.value) == len(state.right.token)


def test_score_if_ended_comes_to_the_score_of_the_whole(base, moved, reward_model):
    side = final(base, moved, base, PROMPT, OPTIONS, scorer=reward_model).right
    expected = [
        float(reward_model([PROMPT], ["".join(side.token[: count + 1])]))
        for count in range(len(side.token))
    ]
    assert side.score_if_ended == pytest.approx(expected, abs=1e-4)
    assert side.score == side.score_if_ended[-1]


def test_any_scorer_serves_and_none_gives_none(base):
    side = final(base, base, base, PROMPT, OPTIONS, scorer=length_scores).left
    assert side.score == len("".join(side.token))
    side = final(base, base, base, PROMPT, OPTIONS).left
    assert side.score is side.score_if_ended is None


def test_other_vocabulary_has_no_kl_and_no_parting(base, stranger):
    state = final(base, stranger, base, PROMPT, OPTIONS)
    assert "".join(state.left.token) != "".join(state.right.token)
    assert state.parting is None
    assert state.left.kl is not None and state.left.log_ratio is not None
    assert state.right.kl is None and state.right.log_ratio is None
    assert len(state.right.logprob) == len(state.right.token)


def test_side_that_ends_by_itself_waits_for_the_other(base, moved):
    end = alone(base)[2]  # with this token as EOS the left side ends at its third token or before
    ending = load_policy(str(base.folder), device=CPU)
    ending.tokenizer.eos_token = ending.tokenizer.convert_ids_to_tokens(end)
    length = alone(base).index(end) + 1
    states = list(duel(ending, moved, moved, PROMPT, OPTIONS))
    assert states[length].left == states[length - 1].left
    assert states[-1].left.ended and states[-1].left.done
    assert len(states[-1].left.logprob) == length < len(states[-1].right.token)
    assert not states[-1].right.ended and states[-1].right.done


def write_always(monkeypatch, ids):
    """Let every model write these tokens."""
    tokens = [torch.tensor([token]) for token in ids]
    monkeypatch.setattr(
        "rlhf_demo.evaluation.duel.stream",
        lambda *args, **kwargs: (Drawn(token, None, None, None, None) for token in tokens),
    )


def test_end_token_is_a_token_without_text(base, monkeypatch):
    film = base.tokenizer(" film", add_special_tokens=False)["input_ids"]
    write_always(monkeypatch, [*film, base.tokenizer.eos_token_id])
    side = final(base, base, base, PROMPT, OPTIONS, scorer=length_scores).left
    assert side.ended and "".join(side.token) == " film" and side.token[-1] == ""
    assert len(side.logprob) == len(side.score_if_ended) == len(film) + 1
    assert side.score_if_ended[-2:] == [5.0, 5.0]


def test_half_characters_are_never_shown(base, monkeypatch):
    ids = base.tokenizer("🙂", add_special_tokens=False)["input_ids"]
    assert len(ids) == 4  # one token a byte
    write_always(monkeypatch, [*ids, *ids[:3]])
    options = DuelOptions(max_new_tokens=7)
    sides = [state.left for state in duel(base, base, base, PROMPT, options)]
    shown = ["".join(side.token) for side in sides]
    assert shown[:6] == ["", "", "", "🙂", "🙂", "🙂"]
    assert shown[6] == shown[7] == "🙂\ufffd"  # what is left at the end is shown for what it is
    assert sides[-1].token == ["", "", "", "🙂", "", "", "\ufffd"]


def test_prompt_too_long_loses_its_beginning_and_says_so(base):
    state = final(base, base, base, "the film " * 100, OPTIONS)
    assert state.left.prompt_cut
    assert len(state.left.kl) == len(state.left.token)
    assert not final(base, base, base, "", OPTIONS).left.prompt_cut
    with pytest.raises(ShapeError, match="64 positions"):
        final(base, base, base, PROMPT, DuelOptions(max_new_tokens=64))


def test_every_state_is_ready_for_json(base, moved, reward_model):
    for state in duel(base, moved, base, PROMPT, OPTIONS, scorer=reward_model):
        assert json.loads(json.dumps(state.to_dict(), allow_nan=False)) == state.to_dict()


def test_bfloat16_gives_figures_near_those_of_float32(base):
    side = final(base, base, base, PROMPT, OPTIONS, dtype=torch.bfloat16).left
    assert side.kl == [0.0] * len(side.token)
    assert all(x < 0 for x in side.logprob)


@pytest.mark.parametrize(
    "wrong", [{"top_k": -1}, {"top_p": 1.5}, {"temperature": 0.0}, {"max_new_tokens": 0}]
)
def test_option_out_of_range_is_named(wrong):
    name = next(iter(wrong)).replace("_", "-")
    with pytest.raises(ConfigError, match=f"--{name} is"):
        DuelOptions(**wrong)


def test_duels_at_the_same_time_do_not_disturb_each_other(base, moved, reward_model):
    expected = final(base, moved, base, PROMPT, OPTIONS, scorer=reward_model)
    found = []

    def run():
        found.append(final(base, moved, base, PROMPT, OPTIONS, scorer=reward_model))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [expected] * 4
