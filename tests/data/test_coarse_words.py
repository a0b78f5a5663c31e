"""Coarse words: which are found in a text, and which list they stand in."""

import time

import pytest

from rlhf_demo.data.coarse_words import COARSE_WORDS, has_coarse_word


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("What a damn fine film.", True),
        ("Utter BULLSHIT!", True),
        ("the actors,shitty as ever", True),
        ("He assumed that the title was a classic, and Dickens a cockney.", False),
        ("Scunthorpe and its shuttle", False),
        ("an absofuckinglutely useless clusterfuck", True),
        ("horseshit", True),
        ("He is a dipshit and an asshat.", True),
        ("a coon, a spic, a dyke, a kike", True),
        ("Porn!", True),
        ("F\u00fack you, fuc\u0137, s\u1e96it", True),
        ("\u0160hit", True),
        ("\uff33\uff28\uff29\uff34", True),  # full width
        ("f\u20ddu\u20ddck", True),
        ("A caf\u00e9 in M\u00fcnchen, na\u00efve and ch\u00e2teau", False),
        ("A raccoon ate spicy cumin, said the document; cumulative scum.", False),
        ("Akshita and Harshit saw the assassin.", False),
        ("", False),
    ],
)
def test_word_in_a_text_is_found_and_an_innocent_one_is_not(text, found):
    assert has_coarse_word(text) is found


def test_long_text_of_marks_takes_no_time():
    """60,000 marks in turn, above and below: sorted together, they took two seconds."""
    started = time.process_time()
    assert has_coarse_word("a" + "\u0301\u0323" * 30_000 + " shit")
    assert time.process_time() - started < 0.5


def test_words_of_the_list_are_lower_case_letters_with_a_mark_at_most():
    assert all(word.strip("*-").isalpha() and word.islower() for word in COARSE_WORDS)
