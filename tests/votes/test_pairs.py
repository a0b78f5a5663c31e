"""What the reward model learns from votes, and what is held out."""

from dataclasses import replace

import pytest

from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.errors import DataError
from rlhf_demo.train.reward import load_both_sides
from rlhf_demo.votes.pairs import (
    split_last_rated,
    uncancelled,
    usable,
    usable_rankings,
    write_split,
)
from rlhf_demo.votes.vote import ATTENTION_CHECK, DUEL
from tests.votes.test_files import RANKING, VOTE

ASKED = [VOTE.question]


def votes_on(pair, choices, *, at=0.0):
    texts = {"prompt": f"Prompt {pair}", "first": f" a{pair}", "second": f" b{pair}"}
    return [
        replace(VOTE, id=100 * pair + n, pair=pair, voter=n, choice=choice, time=at + n, **texts)
        for n, choice in enumerate(choices)
    ]


def test_opposite_votes_cancel_and_the_surplus_stays():
    votes = [
        *votes_on(1, ["first"] * 3),
        *votes_on(2, ["second", "first", "second"]),
        *votes_on(3, ["first", "second"]),
    ]
    kept = uncancelled(votes)
    assert sorted((vote.prompt, vote.chosen, vote.rejected) for vote in kept) == [
        *[("Prompt 1", " a1", " b1")] * 3,
        ("Prompt 2", " b2", " a2"),
    ]


def test_votes_that_teach_nothing_are_left_out():
    [vote] = votes_on(1, ["first"])
    useless = [
        replace(vote, choice="tie"),
        replace(vote, choice="skip"),
        replace(vote, repeat=True),
        replace(vote, kind=ATTENTION_CHECK),
        replace(vote, kind=DUEL),
        replace(vote, left_out=True),
        replace(vote, second=vote.first),
        replace(vote, second="  "),
        replace(vote, question="Which is longer?"),
        replace(vote, round=9),
        replace(vote, voter=5),
    ]
    assert usable([*useless, vote], ASKED, rounds=[vote.round], without_voters=[5]) == [vote]


def test_questions_are_mixed_only_where_both_are_named():
    votes = votes_on(1, ["first"])
    votes += [replace(vote, question="Which is longer?") for vote in votes_on(2, ["second"])]
    assert len(usable(votes, ASKED)) == 1
    assert len(usable(votes, [*ASKED, "Which is longer?"])) == 2
    assert len(usable(votes, [])) == 0


def test_answers_to_two_questions_do_not_cancel_each_other():
    better, longer = votes_on(1, ["first", "second"])
    votes = [better, replace(longer, question="Which is longer?")]
    assert [vote.chosen for vote in uncancelled(votes)] == [" a1", " b1"]


def test_last_rated_fifth_is_held_out_whole_and_uncancelled():
    votes = [vote for n in range(1, 9) for vote in votes_on(n, ["first"], at=10.0 * n)]
    # Pair 9 is voted on last, by two who disagree: 2 of 10 votes, a fifth.
    votes += votes_on(9, ["first", "second"], at=200.0)
    split = split_last_rated(votes)
    assert [vote.pair for vote in split.train] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [vote.choice for vote in split.held_out] == ["first", "second"]
    assert split.held_out_pairs == 1


def test_no_prompt_is_on_both_sides_though_its_pairs_lie_apart():
    # Three prompts, three pairs each: the last vote of all is on prompt 0, whose pairs then go too.
    votes = []
    for pair in range(9):
        [vote] = votes_on(pair, ["first"], at=float(pair))
        votes.append(replace(vote, prompt=f"Prompt {pair % 3}"))
    votes.append(replace(votes[0], id=999, voter=9, time=100.0))
    split = split_last_rated(votes)
    assert [vote.pair for vote in split.held_out] == [0, 3, 6, 0]
    assert split.held_out_pairs == 3
    assert {vote.prompt for vote in split.train} == {"Prompt 1", "Prompt 2"}


def test_no_prompt_is_on_both_sides_under_two_questions():
    votes = [vote for n in range(1, 9) for vote in votes_on(n, ["first"], at=10.0 * n)]
    votes += [replace(votes[0], id=9, question="Which is longer?", time=200.0)]
    split = split_last_rated(votes)
    assert not {v.prompt for v in split.train} & {v.prompt for v in split.held_out}


def test_no_pair_is_on_both_sides_though_its_votes_lie_apart():
    votes = votes_on(1, ["first"], at=0.0) + votes_on(2, ["first"] * 7, at=10.0)
    votes += [replace(vote, id=999, voter=99) for vote in votes_on(1, ["first"], at=50.0)]
    split = split_last_rated(sorted(votes, key=lambda vote: vote.time))
    assert {vote.pair for vote in split.held_out} == {1}
    assert {vote.pair for vote in split.train} == {2}


@pytest.mark.parametrize(
    # A fifth of 45 pairs is 9 and of 46 is 9.2, so 10; several votes on a pair are no more pairs.
    ("pairs", "voters", "too_few"),
    [(45, 1, True), (46, 1, False), (45, 3, True), (46, 3, False)],
)
def test_accuracy_is_told_from_ten_held_out_pairs_on(pairs, voters, too_few):
    votes = [v for n in range(pairs) for v in votes_on(n, ["first"] * voters, at=10.0 * n)]
    assert split_last_rated(votes).too_few_to_tell is too_few


def test_votes_that_cannot_be_split_are_refused():
    with pytest.raises(DataError, match="all 2 preferences are on one prompt"):
        split_last_rated(votes_on(1, ["first", "first"]))
    with pytest.raises(DataError, match="cancel"):
        split_last_rated(votes_on(1, ["first", "second"]) + votes_on(2, ["first"], at=9.0))


def test_split_written_is_what_the_reward_stage_reads(tmp_path):
    votes = [vote for n in range(10) for vote in votes_on(n, ["first"], at=float(n))]
    write_split(split_last_rated(votes), tmp_path)
    train, held_out = load_both_sides(RewardConfig(data=str(tmp_path)))
    assert train.prompts == [f"Prompt {n}" for n in range(8)]
    assert held_out.chosen == [" a8", " a9"]


# -- rankings --------------------------------------------------------------------------------------


def rankings_on(*prompts, at=0.0):
    return [
        replace(RANKING, id=n, prompt=f"Prompt {prompt}", time=at + n)
        for n, prompt in enumerate(prompts)
    ]


def test_rankings_that_teach_nothing_are_left_out():
    [one] = rankings_on(1)
    useless = [
        replace(one, question="Which is longer?"),
        replace(one, left_out=True),
        replace(one, voter=5),
    ]
    assert usable_rankings([*useless, one], ASKED, without_voters=[5]) == [one]


def test_fifth_of_votes_and_rankings_on_the_prompts_rated_last_is_held_out():
    votes = [vote for n in range(1, 6) for vote in votes_on(n, ["first"], at=10.0 * n)]
    rankings = rankings_on(11, 12, 13, 14, 15, at=100.0)
    split = split_last_rated(votes, rankings)  # 2 of 10
    assert [one.prompt for one in split.held_out_rankings] == ["Prompt 14", "Prompt 15"]
    assert (split.held_out, len(split.train), len(split.train_rankings)) == ([], 5, 3)


def test_no_text_of_a_ranking_is_on_both_sides(tmp_path):
    """A ranking's pairs share texts, and a vote or a second ranking may be on its prompt."""
    rankings = rankings_on(*range(1, 9), 1, at=100.0)  # the last one is on the prompt of the first
    votes = votes_on(1, ["first"]) + votes_on(2, ["second"], at=5.0)
    split = split_last_rated(votes, rankings)
    assert [one.prompt for one in split.held_out_rankings] == ["Prompt 1", "Prompt 1"]
    assert [vote.prompt for vote in split.held_out] == ["Prompt 1"]
    write_split(split, tmp_path)
    train, held_out = load_both_sides(RewardConfig(data=str(tmp_path)))
    assert set(train.prompts).isdisjoint(held_out.prompts)
    assert set(train.ranking_keys).isdisjoint(set(held_out.ranking_keys) - {None})
    assert (len(train), len(held_out)) == (1 + 6 * 7, 1 + 6)  # the double ranking's pairs are equal


def test_written_ranking_is_six_pairs_that_train_as_one(tmp_path):
    split = split_last_rated([], rankings_on(*range(10)))
    write_split(split, tmp_path)
    train, held_out = load_both_sides(RewardConfig(data=str(tmp_path)))
    assert (len(train), len(held_out)) == (48, 12)
    assert train.ranking_keys == [(f"Prompt {n}", str(n)) for n in range(8) for _ in range(6)]
    assert list(zip(train.chosen, train.rejected, strict=True))[:6] == RANKING.pairs


def test_ranking_counts_as_one_pair_where_few_cannot_tell():
    # A fifth of 45 is 9, and of 46 is 9.2, so 10; six times as many pairs are no more.
    for count, too_few in ((45, True), (46, False)):
        assert split_last_rated([], rankings_on(*range(count))).too_few_to_tell is too_few


def test_rankings_on_one_prompt_cannot_be_split():
    with pytest.raises(DataError, match="all 3 preferences are on one prompt"):
        split_last_rated(votes_on(1, ["first"]), rankings_on(1, 1))
