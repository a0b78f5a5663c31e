"""The judge of another family: which words it finds, and what they add up to."""

import pytest
import torch
from safetensors.torch import save_file

from rlhf_demo.data.coarse_words import has_coarse_word
from rlhf_demo.errors import CheckpointError
from rlhf_demo.models.scorers import load_scorer
from rlhf_demo.models.word_judge import FOLDER, WEIGHTS, WORDS, WordJudge, features

CPU = torch.device("cpu")


def save_judge(folder, weights, bias):
    folder.mkdir(exist_ok=True)
    (folder / WORDS).write_text("".join(f"{word}\n" for word in weights))
    numbers = torch.tensor(list(weights.values())).half()
    save_file({"weights": numbers, "bias": torch.tensor([bias]).half()}, folder / WEIGHTS)
    return folder


@pytest.fixture
def judge(tmp_path):
    # All of these are exact in float16.
    weights = {"good": 1.0, "not": -0.25, "not good": -2.0, "it's": 0.5, "film": 0.125}
    return WordJudge(save_judge(tmp_path / "judge", weights, bias=0.0625))


def test_features_are_words_and_neighbours_each_once():
    found = features("It's GOOD, good 2 be 'good'!")
    assert found == {"it's", "good", "be", "it's good", "good good", "good be", "be good"}


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("", 0.0625),
        ("unknown words", 0.0625),
        ("A good film", 0.0625 + 1.0 + 0.125),
        ("good good GOOD", 0.0625 + 1.0),  # a word counts once
        ("It's not good.", 0.0625 + 0.5 - 0.25 + 1.0 - 2.0),
        ("good? not!", 0.0625 + 1.0 - 0.25),  # "good not" is no pair that counts
    ],
)
def test_score_is_the_sum_of_the_weights_worked_by_hand(judge, text, score):
    assert judge.score(text) == score


def test_judge_reads_prompt_and_response_as_one_text(judge):
    scores = judge(["It's not", "It's not", ""], [" good", "", " good"])
    assert scores.dtype == torch.float32
    assert scores.tolist() == [
        0.0625 + 0.5 - 0.25 + 1.0 - 2.0,  # the pair stands across the two
        0.0625 + 0.5 - 0.25,
        0.0625 + 1.0,
    ]


def test_damaged_folder_is_told_in_a_sentence(tmp_path):
    folder = save_judge(tmp_path / "judge", {"good": 1.0}, bias=0.0)
    (folder / WORDS).write_text("good\nbad\n")
    with pytest.raises(CheckpointError, match="has 2 words and 1 weights: restore both"):
        WordJudge(folder)
    (folder / WORDS).unlink()
    with pytest.raises(CheckpointError, match=r"words\.txt is missing: restore"):
        WordJudge(folder)


# -- the shipped one -------------------------------------------------------------------------------


def test_shipped_judge_is_small_clean_and_found_by_its_name():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 100_000
    words = (FOLDER / WORDS).read_text().splitlines()
    assert not [word for word in words if has_coarse_word(word)]
    assert max(len(word.split()) for word in words) == 2
    assert isinstance(load_scorer("word-judge", device=CPU), WordJudge)


def test_shipped_judge_tells_praise_from_blame():
    praise = ["This film is wonderful.", "A great film, and I loved it.", "It is not bad."]
    blame = ["This film is awful.", "A boring film, and a waste of time.", "It is not good."]
    good, bad = (WordJudge()([""] * 3, texts) for texts in (praise, blame))
    assert (good > bad).all()
    assert good[0] > 0 > bad[0]
