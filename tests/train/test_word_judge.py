"""Making the word judge: pieces of reviews, what it learns from them, and its card."""

import pyarrow
import pyarrow.parquet

from rlhf_demo.models.word_judge import WordJudge
from rlhf_demo.train.word_judge import make_word_judge, pieces_of


def test_pieces_hold_fifteen_words_and_lose_none():
    words = [str(number) for number in range(31)]
    pieces = pieces_of(" ".join(words))
    assert [len(piece.split()) for piece in pieces] == [15, 15, 1]
    assert " ".join(pieces).split() == words


def test_made_judge_learns_what_the_labels_say_and_leaves_coarse_words_out(tmp_path):
    liked, disliked = "We had fun, a damn wonderful evening.", "We had pain, an awful evening."
    columns = {
        "split": ["train"] * 20 + ["test"] * 4,
        "stars": [9, 2] * 12,
        "text": [liked, disliked] * 10 + [liked, disliked, liked, liked],  # the last label is wrong
    }
    data = str(tmp_path / "reviews.parquet")
    pyarrow.parquet.write_table(pyarrow.table(columns), data)
    found = make_word_judge(data, tmp_path / "judge")
    judge = WordJudge(tmp_path / "judge")
    assert judge.weights["wonderful"] > 0.1 > -0.1 > judge.weights["awful"]
    assert abs(judge.weights["we had"]) < 1e-3  # in both kinds of review alike
    assert not [word for word in judge.weights if "damn" in word]
    assert (found["all"]["accuracy"], found["all"]["reviews"]) == (0.75, 4)
    assert "| 4 reviews | 0.750 |" in (tmp_path / "judge" / "README.md").read_text()
