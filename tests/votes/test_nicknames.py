"""Nicknames: whoever is honestly called so may be, and nobody passes for somebody else."""

import pytest

from rlhf_demo.errors import Refused
from rlhf_demo.votes.nicknames import LONGEST_LIKENESS, likeness, nickname
from rlhf_demo.votes.vote import LONGEST_NICKNAME

HONEST = [
    "Ann", "Zoë", "José", "Øyvind", "Łukasz", "Nguyễn", "O'Neill", "Ann-Marie 2", "7up",
    "محمد", "مُحَمَّد",  # Muhammad, and with the marks of its vowels
    "אנה", "张伟", "さくら", "민준",
    "मीना", "मीनू",  # Meena, Meenu: the last mark makes the difference
    "มานี", "ปิติ", "ปีติ",  # Manee, Piti, Peeti
    "Елена", "Νίκος", "Գայանե", "Ann 🦊",
    "Анна K", "田中san", "Ka\u02bbimi",  # two alphabets in two words; Japanese; a Hawaiian letter
    "שָׁלוֹם",  # Shalom, with three marks below a letter
]  # fmt: skip
"""No two of these are one name."""


@pytest.mark.parametrize("name", [*HONEST, "Ann ❤️", "Анна", "x" * LONGEST_NICKNAME])
def test_honest_name_is_taken_as_it_is(name):
    assert nickname(name) == name


def test_honest_names_are_different_names():
    assert len({likeness(name) for name in HONEST}) == len(HONEST)


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("\u0410nna", "Anna"),  # with a Cyrillic A
        ("Ann\u0430", "Anna"),
        ("\u0391nna", "Anna"),  # with a Greek one
        ("N\u03b9na", "Nina"),
        ("\u039dina", "Nina"),  # whose small letter looks like a v
        ("E\u03bda", "Eva"),
        ("T\u0585m", "Tom"),  # Armenian
        ("\uff21nna", "Anna"),  # of full width
        ("\U0001d49cnna", "Anna"),  # a mathematical sign
        ("\u24b6nna", "Anna"),  # in a circle
        ("\u1d00\u0274\u0274\u1d00", "Anna"),  # small capitals
        ("Anna\ufe0f", "Anna"),
        ("Anna\u0336\u0336", "Anna"),  # struck through
        ("Anna\u20dd", "Anna"),  # in a ring
        ("मीना\u20dd", "मीना"),
        ("Ann\u2060a", "Anna"),
        ("ANNA", "anna"),
        ("AIice", "Alice"),  # with a capital I
        ("A1ice", "Alice"),
        ("B0b", "Bob"),
        ("S\u0131m", "Sim"),
        ("Zo\u0451", "Zo\u00eb"),  # the Cyrillic letter has the dots too
        ("Zoe\u0308", "Zo\u00eb"),  # a letter and its dots apart
        ("\u0410\u041d\u041d\u0410", "\u0410\u043d\u043d\u0430"),  # Russian: ANNA, Anna
        ("Ann ❤️", "Ann ❤"),
        ("\ua4ee\ua4e0\ua4e0\ua4ee", "Anna"),  # Lisu
        ("\u13aa\u13da", "As"),  # Cherokee
        ("\uab7a", "A"),  # a small letter of Cherokee
    ],
)
def test_name_that_looks_like_another_one_is_told_from_it(name, like):
    assert likeness(name) == likeness(like)


@pytest.mark.parametrize(
    ("one", "other"), [("Zoë", "Zoe"), ("Ann 2", "Ann 3"), ("Ann", "Anna"), ("Nina", "Vina")]
)
def test_name_that_a_reader_tells_from_another_one_stays_so(one, other):
    assert likeness(one) != likeness(other)


def test_one_letter_that_stands_for_eighteen_fits_the_database():
    assert len(likeness("\ufdfa" * LONGEST_NICKNAME)) == LONGEST_LIKENESS


@pytest.mark.parametrize(
    "blank", ["\u3164", "\u2800", "\u115f", "\u1160", "\uffa0", "\u034f", "\u17b4"]
)
def test_name_with_a_sign_that_nobody_can_see_is_refused(blank):
    for typed in (blank, f"An{blank}na"):
        with pytest.raises(Refused, match="an invisible character"):
            nickname(typed)


@pytest.mark.parametrize("typed", ["<b>Ann", "🦊 Ann", "-Ann", "\u0301Ann", "@Ann"])
def test_name_begins_with_a_letter_or_a_digit(typed):
    with pytest.raises(Refused, match="must begin with a letter or a digit"):
        nickname(typed)


@pytest.mark.parametrize("typed", ["", " \x00", "\u200b\u2003", None, 7, ["Ann"]])
def test_what_is_no_name_is_refused(typed):
    with pytest.raises(Refused, match="the nickname is"):
        nickname(typed)


@pytest.mark.parametrize(
    "typed",
    ["Simulated", "simulated 3", " SIMULATED", "\uff33imulated", "Sim-ulated student",
     "\u0405imulated", "S\u0131mulated", "Slmulated", "S1mu1ated",
     "S\u0456mul\u0430ted", "S\u24d8mulated", "S i m u l a t e d", "Simulated\ufe0f",
     "5imulated", "\u015aimulated", "Sirnulated"],
)  # fmt: skip
def test_name_of_a_simulated_student_is_refused_to_people(typed):
    with pytest.raises(Refused, match="is reserved for simulated students"):
        nickname(typed)


@pytest.mark.parametrize("typed", ["Instructor", "lnstruct0r 2", "\u0406nstructor"])
def test_name_of_the_instructor_is_refused_to_students(typed):
    with pytest.raises(Refused, match="is reserved for the instructor"):
        nickname(typed)


@pytest.mark.parametrize(
    "typed", ["\u13aanna", "\ua4eenna", "\u054fimulated", "\u0410nna", "An\u03b1 K"]
)
def test_word_of_two_alphabets_is_refused(typed):
    with pytest.raises(Refused, match="two alphabets in one word"):
        nickname(typed)


@pytest.mark.parametrize("typed", ["A" + "\u0301" * 19, "\ufdfa" * 2])
def test_sign_that_runs_over_the_line_or_along_it_is_refused(typed):
    with pytest.raises(Refused, match="a character that stands for many letters"):
        nickname(typed)


def test_name_that_has_the_word_elsewhere_is_anybodys():
    assert nickname("Not simulated") == "Not simulated"


@pytest.mark.parametrize(
    "typed", ["Shithead", "xX_motherfucker", "big\u200b asshole", "Sh\u0456thead", "\uff33hithead"]
)
def test_coarse_word_is_refused_however_it_is_written(typed):
    with pytest.raises(Refused, match="rude word: choose another"):
        nickname(typed)


def test_name_that_only_looks_coarse_is_taken():
    for typed in ("Akshita", "Harshit", "Cassandra"):
        assert nickname(typed) == typed
