import hashlib
import hmac
from concurrent.futures import ThreadPoolExecutor

import pytest

from rlhf_demo.errors import Refused
from rlhf_demo.server.instructor import Instructor
from rlhf_demo.web.addresses import client_address

PASSWORD = "chalk and slate"


@pytest.fixture
def new(tmp_path, clock):
    return lambda password=PASSWORD: Instructor(password, clock, tmp_path)


def tries(instructor, guess, address):
    """Count one: was the guess compared at all?"""
    try:
        instructor.admit(guess, address)
    except Refused as refused:
        return "not the instructor's password" in str(refused)
    return True


def test_password_opens_a_token_that_a_restart_keeps_and_another_password_ends(new, tmp_path):
    token = new().admit(PASSWORD, "desk")
    key = (tmp_path / "instructor.key").read_bytes()
    assert token == hmac.new(key, PASSWORD.encode(), hashlib.sha256).hexdigest()
    assert new().is_token(token)
    assert not new("another password").is_token(token)
    assert (tmp_path / "instructor.key").stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in (token, key.hex())


def test_damaged_key_is_made_anew(new, tmp_path):
    token = new().token
    (tmp_path / "instructor.key").write_bytes(b"")
    assert not new().is_token(token)
    assert len((tmp_path / "instructor.key").read_bytes()) == 32


def test_thousand_guesses_from_fifty_addresses_get_at_most_thirty_answers(new, clock):
    instructor, answers = new(), 0
    for number in range(1000):
        answers += tries(instructor, f"guess {number}", f"address {number % 50}")
        clock.now += 0.05  # 1,000 in 50 s: 20 at once and one in 5 s make 30
    assert 20 <= answers <= 30


def test_one_address_gets_ten_answers_and_then_one_in_ten_seconds(new, clock):
    instructor = new()
    assert sum(tries(instructor, "guess", "here") for _ in range(100)) == 10
    clock.now += 10
    assert sum(tries(instructor, "guess", "here") for _ in range(100)) == 1


def test_right_password_beyond_the_limit_is_not_even_compared(new, clock):
    instructor = new()
    for _ in range(10):
        tries(instructor, "guess", "here")
    with pytest.raises(Refused, match="too many passwords come from this address: wait 10 s"):
        instructor.admit(PASSWORD, "here")


def test_flood_from_elsewhere_does_not_lock_out_who_was_admitted_before(new, clock):
    instructor = new()
    instructor.admit(PASSWORD, "desk")
    for number in range(200):
        tries(instructor, "guess", f"bot {number}")
    with pytest.raises(Refused, match="too many wrong passwords come in: wait 5 s"):
        instructor.admit(PASSWORD, "a new desk")
    assert instructor.admit(PASSWORD, "desk") == instructor.token


@pytest.mark.parametrize(
    ("guessers", "desk", "most_seconds"),
    [
        # 100 phones, or one with 100 numbers, in the instructor's own network and beside it.
        ([f"10.7.1.{n}" for n in range(100)], "10.7.9.9", 0),
        ([f"10.7.1.{n}" for n in range(100)], "10.7.1.200", 500),
        # One tunnel, which has 65,536 networks of IPv6; and computers all over the world.
        ([f"2001:db8:{n:x}::/48" for n in range(65_536)], "192.0.2.9", 0),
        ([f"2001:db8:{n:x}::/48" for n in range(65_536)], "2003:0:1::/48", 0),
        ([f"{n}.{n}.{n}.{n}" for n in range(100)], "192.0.2.9", 500),
    ],
)
def test_right_password_gets_in_while_others_guess(new, clock, guessers, desk, most_seconds):
    instructor, answers = new(), 0
    for number in range(13 * (60 + most_seconds + 5)):
        clock.now = number / 13
        answers += tries(instructor, "guess", guessers[number % len(guessers)])
        waited = clock.now - 60
        if waited >= 0 and number % 65 == 0 and tries(instructor, PASSWORD, desk):
            break
    assert 0 <= waited <= most_seconds
    assert answers <= 20 + clock.now / 5


@pytest.mark.parametrize("own", ["127.0.0.1", client_address("::1", [], 0)])
def test_flood_from_elsewhere_does_not_lock_out_the_machine_itself(new, clock, own):
    instructor = new()
    for number in range(200):
        tries(instructor, "guess", f"bot {number}")
    assert instructor.admit(PASSWORD, own) == instructor.token
    assert sum(tries(instructor, "guess", own) for _ in range(100)) == 10


def test_right_password_and_tries_that_are_refused_cost_nothing(new, clock):
    instructor = new()
    for _ in range(100):
        instructor.admit(PASSWORD, "desk")
    for number in range(200):
        tries(instructor, "guess", f"bot {number}")
    for _ in range(100):  # refused without being compared
        assert not tries(instructor, "guess", "a new desk")
    clock.now += 5
    assert instructor.admit(PASSWORD, "a new desk") == instructor.token


def test_guesses_at_the_same_moment_get_no_more_answers(new, clock):
    instructor = new()
    with ThreadPoolExecutor(30) as pool:
        answered = pool.map(lambda n: tries(instructor, f"guess {n}", f"bot {n % 7}"), range(300))
    assert sum(answered) == 17  # the last three are left to addresses that have not guessed


def test_token_takes_the_place_of_the_password_and_no_limit_binds_it(new):
    instructor = new()
    assert all(instructor.admit(instructor.token, "desk") for _ in range(100))


@pytest.mark.parametrize("odd", ["", "\ud800", "chalk and slate ", "None", "\x00"])
def test_odd_words_are_neither_password_nor_token(new, odd):
    instructor = new()
    with pytest.raises(Refused, match="not the instructor's password"):
        instructor.admit(odd, "here")
    assert not instructor.is_token(odd)


def test_page_without_a_password_has_no_instructor(new, tmp_path):
    nobody = new(None)
    assert not nobody.is_token("") and not nobody.is_token("None")
    with pytest.raises(Refused, match="its owner can set RLHF_DEMO_PASSWORD"):
        nobody.admit("", "here")
    assert not (tmp_path / "instructor.key").exists()
