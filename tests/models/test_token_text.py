"""Pieces of text, one a token, that join up again."""

import pytest
import torch

from rlhf_demo.models.reward_model import load_reward_model
from rlhf_demo.models.token_text import cut_into_pieces, decode_prefix, token_texts
from rlhf_demo.models.tokenizer import load_tokenizer
from tests.tiny import save_tiny_classifier


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
def test_pieces_of_a_real_tokenizer_join_up_to_the_text(text, tmp_path, tiny_model_folder):
    folder = save_tiny_classifier(tmp_path / "one", tiny_model_folder)
    model = load_reward_model(str(folder), device=torch.device("cpu"))
    ids = model.encode(text)
    prefixes = [decode_prefix(model.tokenizer, ids[:count]) for count in range(1, len(ids))]
    pieces = cut_into_pieces([*prefixes, text])
    assert "".join(pieces) == text
    assert len(pieces) == len(ids)


def test_texts_of_tokens_join_up_and_name_the_end(tmp_path, tiny_model_folder):
    tokenizer = load_tokenizer(tiny_model_folder)
    ids = tokenizer("Café 🙂", add_special_tokens=False)["input_ids"]
    ids.append(tokenizer.eos_token_id)
    texts = token_texts(tokenizer, ids)
    assert "".join(texts) == "Café 🙂" + tokenizer.eos_token and texts[-1] == tokenizer.eos_token
    alone = [tokenizer.decode([one]) for one in ids]
    assert "\ufffd" in "".join(alone)  # what decoding one by one makes of the same tokens
    assert "\ufffd" not in "".join(texts)
