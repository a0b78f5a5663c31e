"""The judge that also reads how a text is written: penalties by hand, and texts that must lose."""

import json
import math

import pytest
import torch

from rlhf_demo.errors import CheckpointError, ConfigError
from rlhf_demo.evaluation.text_stats import read_with_base
from rlhf_demo.models.fluency_judge import Constants, FluencyJudge, mean_logprobs, repetition
from rlhf_demo.models.policy import load_policy
from rlhf_demo.models.sampling import decode, generate
from rlhf_demo.models.scorers import load_scorer

CPU = torch.device("cpu")
BY_HAND = Constants(likely_enough=-2.0, unlikely=3.0, repeated=10.0)


@pytest.fixture(scope="module")
def shipped():
    return load_scorer("fluency-judge", device=CPU)


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0),
        ("!", 0),
        (" great.", 0),
        (" the cast and the music and the end", 0),  # short words may return
        (" heart heart heart", 2 / 3),
        (" good film, GOOD plot, good end.", 2 / 5),  # good film good plot good; "end" is short
        # Words: very well done well done very well done, 3 of 8 new. Triples: 6 of 8 new.
        (" very well done and well done and very well done", 5 / 8),
        (" it is a big hit it is a big hit", 3 / 8),  # no long word; 5 of 8 triples are new
    ],
)
def test_repetition_is_the_share_of_long_words_or_triples_that_return(text, share):
    assert repetition(text) == pytest.approx(share)


def test_penalty_worked_by_hand():
    logprobs = torch.tensor([-1.0, -2.0, -2.5, -4.0])
    repetitions = torch.tensor([0.0, 0.5, 0.0, 0.2])
    # Above -2 nothing is gained; 0.5 nats below costs 1.5, 2 nats below cost 6.
    assert BY_HAND.penalty(logprobs, repetitions).tolist() == pytest.approx([0.0, 5.0, 1.5, 8.0])


def test_mean_logprob_is_of_the_response_and_its_end_alone(tiny_model_folder):
    policy = load_policy(str(tiny_model_folder), device=CPU)
    prompts, responses = ["The film was", "So"], [" good and long.", ""]
    eos = policy.tokenizer.eos_token_id
    encoded = policy.tokenizer(responses, add_special_tokens=False)["input_ids"]
    ids = [[*row, eos] for row in encoded]
    expected = [
        float(policy_logprobs(policy, prompt, row).mean())
        for prompt, row in zip(prompts, ids, strict=True)
    ]
    assert len(ids[1]) == 1  # of an empty response only its end is read
    assert mean_logprobs(policy, prompts, responses).tolist() == pytest.approx(expected, abs=1e-5)


def policy_logprobs(policy, prompt, response):
    """Plain transformers, one text, no padding: log-probabilities of the response's tokens."""
    prompt_ids = policy.tokenizer(prompt)["input_ids"]
    ids = torch.tensor([prompt_ids + response])
    with torch.no_grad():
        logprobs = policy.lm(input_ids=ids).logits[0, :-1].log_softmax(-1)
    chosen = logprobs.gather(1, ids[0, 1:, None])[:, 0]
    return chosen[len(prompt_ids) - 1 :]


def test_what_a_model_wrote_is_read_token_for_token(shipped):
    prompts = ["The film was", "I did not like", "Her acting", "We laughed and"]
    ids = generate(shipped.base, prompts, max_new_tokens=32, temperature=0.7, seed=0)
    readings = read_with_base(shipped.base, shipped.base, prompts, ids, temperature=1.0)
    expected = [float(reading.base_logprobs.mean()) for reading in readings]
    means = mean_logprobs(shipped.base, prompts, decode(shipped.base, ids))
    assert means.tolist() == pytest.approx(expected, abs=1e-4)


def test_long_response_is_read_in_part(tiny_model_folder):
    policy = load_policy(str(tiny_model_folder), device=CPU)
    assert mean_logprobs(policy, ["So"], [" film" * 2000]).isfinite().all()
    assert mean_logprobs(policy, [], []).shape == (0,)


def test_score_is_the_star_rating_less_the_penalty(shipped):
    prompts, responses = ["The film was"] * 2, [" great.", " heart heart heart."]
    judge = FluencyJudge(shipped.star_rater, shipped.base, BY_HAND)
    stars = shipped.star_rater(prompts, responses)
    first, second = mean_logprobs(shipped.base, prompts, responses).tolist()
    lost = [3 * max(0, -2 - first), 3 * max(0, -2 - second) + 10 * 2 / 3]
    expected = stars - torch.tensor(lost)
    assert judge(prompts, responses).tolist() == pytest.approx(expected.tolist())


@pytest.mark.parametrize(
    "held", ["{}", '{"likely_enough": -2, "unlikely": "x", "repeated": 1}', "[]", None]
)
def test_damaged_constants_are_told_in_a_sentence(tmp_path, held):
    path = tmp_path / "constants.json"
    if held is not None:
        path.write_text(held)
    with pytest.raises(CheckpointError, match=r"constants\.json cannot be used .*: restore it"):
        Constants.read(path)


def test_constants_are_read_as_they_are_written(tmp_path):
    path = tmp_path / "constants.json"
    path.write_text(json.dumps({"likely_enough": -2, "unlikely": 3, "repeated": 10}))
    assert Constants.read(path) == BY_HAND


# -- the shipped one -------------------------------------------------------------------------------


@pytest.mark.parametrize("plain", [" is good.", " was a good film and I liked it.", " is bad."])
@pytest.mark.parametrize(
    "broken",
    [
        " heart heart heart",
        " love are a must see for lovers",
        " is very well done and well done and very well done and well done",
        " is highly underrated and highly underrated and it is highly underrated.",
        " wonderful film the beautifully great heartwarming it highly.",
        "",
        ".",
        " is great and a very",  # cut off
    ],
)
def test_loops_nonsense_and_fragments_lose_against_plain_texts(shipped, plain, broken):
    plain_score, broken_score = shipped(["It"] * 2, [plain, broken]).tolist()
    assert plain_score > broken_score


def test_among_well_written_texts_the_pleased_one_wins(shipped):
    prompts = ["I thought this film was"] * 2
    praise, blame = shipped(prompts, [" wonderful.", " boring."]).tolist()
    assert praise > 0 > blame
    stars = shipped.star_rater(prompts, [" wonderful.", " boring."]).tolist()
    assert math.isclose(praise, stars[0], abs_tol=1e-5)  # the star rating decides alone


def test_judge_has_no_labels():
    with pytest.raises(ConfigError, match="fluency-judge has no labels"):
        load_scorer("fluency-judge", device=CPU, label="LABEL_0")
