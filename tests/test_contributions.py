"""Pieces of text that join up again, and contributions that add up to the score."""

import pytest
import torch
from tiny import save_tiny_classifier

from rlhf_demo.contributions import contributions, cut_into_pieces, prefix_scores
from rlhf_demo.models import load_reward_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def reward_model(tmp_path_factory, tiny_model_folder):
    folder = save_tiny_classifier(tmp_path_factory.mktemp("scores") / "one", tiny_model_folder)
    return load_reward_model(str(folder), device=CPU)


def test_pieces_of_plain_words_are_what_each_token_adds():
    assert cut_into_pieces(["The", "The film", "The film."]) == ["The", " film", "."]
    assert cut_into_pieces([]) == []


def test_piece_of_a_special_token_is_empty():
    assert cut_into_pieces(["", "Good", "Good"]) == ["", "Good", ""]


def test_character_of_several_tokens_belongs_to_the_last_of_them():
    # The first two tokens hold the first bytes of the heart; alone they decode to U+FFFD.
    assert cut_into_pieces(["a", "a\ufffd", "a\ufffd", "a♥", "a♥b"]) == ["a", "", "", "♥", "b"]


def test_bytes_that_never_become_a_character_are_kept():
    assert cut_into_pieces(["a", "a\ufffd", "a\ufffdb"]) == ["a", "\ufffd", "b"]


def test_space_that_is_taken_back_when_more_follows_leaves_the_whole_text():
    assert cut_into_pieces(["so", "so ", "so."]) == ["so", "", "."]
    assert cut_into_pieces(["so", "so  ", "so"]) == ["so", "", ""]


@pytest.mark.parametrize(
    "text", ["The film was long, and I liked it.", "Café ♥ 日本 🙂!", "🙂🙂", " so  what \n now"]
)
def test_pieces_join_up_to_the_text_and_the_last_score_is_its_own(reward_model, text):
    pieces, scores = prefix_scores(reward_model, text)
    assert "".join(pieces) == text
    assert len(pieces) == len(scores) == len(reward_model.encode(text))
    assert scores[-1] == pytest.approx(float(reward_model.score_texts([text])), abs=1e-5)


def test_score_of_each_prefix_is_that_of_its_tokens_alone(reward_model):
    text = "We went home and had tea."
    ids = reward_model.encode(text)
    _, scores = prefix_scores(reward_model, text)
    with torch.no_grad():
        alone = [
            float(reward_model.model(torch.tensor([ids[:count]])).logits)
            for count in range(1, len(ids) + 1)
        ]
    assert max(scores) - min(scores) > 0.02  # else equality would say nothing
    assert scores == pytest.approx(alone, abs=1e-5)


def test_contributions_are_differences_that_add_up_to_the_score(reward_model):
    text = "The film was long."
    _, scores = prefix_scores(reward_model, text)
    rows = contributions(reward_model, text)
    assert rows[0]["contribution"] == rows[0]["score"] == scores[0]
    assert rows[2]["contribution"] == pytest.approx(scores[2] - scores[1])
    assert "".join(row["piece"] for row in rows) == text
    total = sum(row["contribution"] for row in rows)
    assert total == pytest.approx(float(reward_model.score_texts([text])), abs=1e-5)


def test_small_batches_give_the_same_scores(reward_model, monkeypatch):
    text = "The film was long, and I liked the end of it."
    _, whole = prefix_scores(reward_model, text)
    monkeypatch.setattr("rlhf_demo.contributions.SCORING_TOKENS", 1)
    assert prefix_scores(reward_model, text)[1] == pytest.approx(whole, abs=1e-5)


def test_empty_and_overlong_texts_are_scored_like_any_other(reward_model):
    [row] = contributions(reward_model, "")
    assert row["piece"] == ""
    assert row["score"] == pytest.approx(float(reward_model.score_texts([""])), abs=1e-5)
    rows = contributions(reward_model, " the film was good" * 30)
    assert len(rows) == 32  # the tiny classifier's positions


class _WithMarks:
    """A reward model whose tokenizer puts a mark before and after each text, like BERT's."""

    def __init__(self, model):
        self.tokenizer, self.score_ids = model.tokenizer, model.score_ids
        self._encode, self._mark = model.encode, model.tokenizer.eos_token_id

    def encode(self, text):
        return [self._mark, *self._encode(text), self._mark]


def test_marks_that_the_tokenizer_adds_have_empty_pieces(reward_model):
    rows = contributions(_WithMarks(reward_model), "So what")
    assert rows[0]["piece"] == rows[-1]["piece"] == ""
    assert "".join(row["piece"] for row in rows) == "So what"
