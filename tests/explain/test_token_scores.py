"""Shapley values of words, against every order worked out one by one."""

from itertools import permutations

import pytest
import torch

from rlhf_demo.errors import ConfigError
from rlhf_demo.explain import token_scores
from rlhf_demo.explain.token_scores import cut_into_units, orders_to_try, word_contributions
from rlhf_demo.models.reward_model import load_reward_model
from tests.tiny import save_tiny_classifier


class Toy:
    """Scores a text by a function of its words, and counts the texts it has read."""

    most_tokens = 2001

    def __init__(self, rule):
        self.rule, self.read = rule, []

    def encode(self, text):
        return list(range(1 + len(text.split())))

    def score_texts(self, texts, batch_size):
        self.read += texts
        return torch.tensor([self.rule(text.split()) for text in texts], dtype=torch.float64)


def not_good(words):
    """Good is worth 2, not alone 0, and not before good turns it round: the empty text has 0.5."""
    good = 2.0 * ("good" in words)
    return 0.5 + (-good if "not" in words else good) + 0.25 * words.count("film")


def by_hand(rule, words):
    """Average what each word changes over all orders, straight from the definition."""
    totals = dict.fromkeys(range(len(words)), 0.0)
    orders = list(permutations(range(len(words))))
    for order in orders:
        for count, place in enumerate(order):
            kept = [words[one] for one in sorted(order[:count])]
            more = [words[one] for one in sorted(order[: count + 1])]
            totals[place] += rule(more) - rule(kept)
    return [total / len(orders) for total in totals.values()]


def values_of(result):
    return [word["contribution"] for word in result["words"]]


def test_negation_gets_the_blame_that_running_scores_do_not_give_it():
    """By hand: not takes 4 from good where good stands, so -2 on average; good adds 2 or takes 2.

    Of the two orders, "not" first changes nothing and then good takes 2; good first adds 2 and
    then not takes 4. So not = (0 - 4) / 2 = -2 and good = (-2 + 2) / 2 = 0.
    """
    result = word_contributions(Toy(not_good), "not good")
    assert values_of(result) == pytest.approx([-2.0, 0.0])
    assert [word["without"] for word in result["words"]] == [2.5, 0.5]
    running = [word["score_if_ended"] for word in result["words"]]
    assert running == [0.5, -1.5]  # as differences: not 0, good -2, the other way round
    assert (result["empty"], result["score"], result["exact"]) == (0.5, -1.5, True)


@pytest.mark.parametrize("text", ["film", "film not good", "not a good film", "good good not"])
def test_few_words_have_the_exact_values(text):
    result = word_contributions(Toy(not_good), text)
    assert result["exact"] and result["standard_error"] == 0.0
    assert values_of(result) == pytest.approx(by_hand(not_good, text.split()))


@pytest.mark.parametrize("text", ["good", "this film is not good", "a film " * 20 + "not good"])
def test_contributions_add_up_from_the_empty_text_to_the_whole(text):
    result = word_contributions(Toy(not_good), text)
    total = sum(values_of(result))
    assert abs(result["score"] - result["empty"]) > 0.4  # else 0 = 0 would say nothing
    assert result["empty"] + total == pytest.approx(result["score"])


def test_words_that_act_alike_get_the_same_and_idle_ones_nothing():
    """Two films at 0.25 each, and a word that the rule does not know."""
    assert values_of(word_contributions(Toy(not_good), "film the film")) == [0.25, 0.0, 0.25]


def test_drawn_orders_come_near_the_exact_values(monkeypatch):
    """Nine words have 362,880 orders: 400 drawn ones come within four standard errors of them."""
    text = "this old film is not so very good today"
    monkeypatch.setattr(token_scores, "ORDERS", 400)
    result = word_contributions(Toy(not_good), text)
    assert (result["orders"], result["exact"]) == (400, False)
    # The other words change nothing, so not and good are as in "not good"; film has 0.25.
    exact = {"film": 0.25, "not": -2.0}
    # An order gives not 0 or -4 at even odds: deviation 2, so 0.1 for 400 orders; good has as much,
    # the seven others none: root mean square sqrt(2 * 0.1^2 / 9) = 0.047.
    assert result["standard_error"] == pytest.approx(0.047, abs=0.001)
    for word in result["words"]:
        wanted = exact.get(word["piece"].strip(), 0.0)
        assert word["contribution"] == pytest.approx(wanted, abs=0.4 if wanted != 0.25 else 1e-9)


def test_same_text_gives_the_same_answer():
    text = "this old film is not so very good today"
    first = word_contributions(Toy(not_good), text)
    assert word_contributions(Toy(not_good), text) == first


def test_no_text_is_scored_twice():
    toy = Toy(not_good)
    word_contributions(toy, "this is not good at all")
    assert len(toy.read) == len(set(toy.read)) == 2**6


def test_long_text_is_cut_into_groups_and_gets_fewer_orders():
    """100 words make groups of ceil(100 / 24) = 5, so 20 of them. Without each, 20 * 101 = 2,020
    tokens are read; of the other 17,980 an order takes 20 * ceil(101 / 2) = 1,020, so 17 are tried.
    """
    text = " ".join(f"word{place}" for place in range(100))
    toy = Toy(not_good)
    result = word_contributions(toy, text)
    assert (len(result["words"]), result["words_together"], result["orders"]) == (20, 5, 17)
    assert result["words"][1]["piece"] == " word5 word6 word7 word8 word9"
    assert sum(len(read.split()) for read in toy.read) < 1.1 * token_scores.MOST_READ


@pytest.mark.parametrize("words", [1, 7, 24, 250, 999, 1999])
def test_no_text_costs_more_than_is_affordable(words):
    """Beginnings are left out: they are read on the way of longer ones (test_prefixes.py)."""
    text = " ".join(f"word{place}" for place in range(words))
    toy = Toy(not_good)
    result = word_contributions(toy, text)
    read = [one for one in toy.read if not text.startswith(one)]
    assert sum(1 + len(one.split()) for one in read) < 1.1 * token_scores.MOST_READ
    assert len(result["words"]) <= token_scores.MOST_UNITS
    assert "".join(word["piece"] for word in result["words"]) == text


def test_very_long_text_is_cut_into_few_groups_whose_orders_are_drawn():
    """Of 1,999 words, 2,000 tokens, 20,000 / 4,000 = 5 groups are affordable, not their 32 texts.

    An order of theirs takes 5 * 1,000 tokens, and without each 10,000 are read: two are tried.
    """
    result = word_contributions(Toy(not_good), "word " * 1999)
    assert (len(result["words"]), result["words_together"], result["orders"]) == (5, 400, 2)
    assert not result["exact"]


def test_orders_of_many_words_are_drawn_and_each_holds_every_word():
    orders = orders_to_try(12, 15)
    assert len(orders) == token_scores.ORDERS
    assert all(sorted(order) == list(range(12)) for order in orders)
    assert len({tuple(order) for order in orders}) == len(orders)
    assert len(orders_to_try(24, 10_000)) == 2  # however long the text


@pytest.mark.parametrize("text", ["So what?", "  So  what \n now ", "Café ♥ 日本 🙂!"])
def test_words_keep_their_punctuation_and_join_up_to_the_text(text):
    pieces, together = cut_into_units(text, 10)
    assert "".join(pieces) == text and together == 1
    assert [piece.strip() for piece in pieces] == text.split()


def test_text_without_its_first_word_begins_without_a_space():
    toy = Toy(not_good)
    word_contributions(toy, "not good")
    assert sorted(toy.read) == ["", "good", "not", "not good"]


@pytest.fixture(scope="module")
def reward_model(tmp_path_factory, tiny_model_folder):
    folder = save_tiny_classifier(tmp_path_factory.mktemp("scores") / "one", tiny_model_folder)
    return load_reward_model(str(folder), device=torch.device("cpu"))


def test_scores_are_those_that_the_model_gives_each_text_alone(reward_model):
    result = word_contributions(reward_model, "The film was long.")

    def alone(text):
        return pytest.approx(float(reward_model.score_texts([text])), abs=1e-5)

    assert result["score"] == alone("The film was long.")
    assert result["empty"] == alone("")
    assert [word["without"] for word in result["words"]] == [
        alone("film was long."), alone("The was long."), alone("The film long."),
        alone("The film was"),
    ]  # fmt: skip
    assert [word["score_if_ended"] for word in result["words"]] == [
        alone("The"), alone("The film"), alone("The film was"), alone("The film was long."),
    ]  # fmt: skip


def test_small_batches_give_the_same_contributions(reward_model, monkeypatch):
    text = "The film was long, and I liked it."
    whole = values_of(word_contributions(reward_model, text))
    monkeypatch.setattr(token_scores, "SCORING_TOKENS", 1)
    assert values_of(word_contributions(reward_model, text)) == pytest.approx(whole, abs=1e-5)


def test_text_that_the_model_cannot_read_whole_is_refused(reward_model):
    with pytest.raises(
        ConfigError, match="32 tokens or more, and the model reads fewer than 32: shorten it"
    ):
        word_contributions(reward_model, " the film was good" * 30)


def test_text_without_a_word_is_refused(reward_model):
    with pytest.raises(ConfigError, match="the text is empty"):
        word_contributions(reward_model, " \n")
