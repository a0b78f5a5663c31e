"""What the reward model learns from votes, and what is held out."""

from dataclasses import replace

import pytest

from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.errors import DataError
from rlhf_demo.train.reward import load_both_sides
from rlhf_demo.votes.pairs import split_last_rated, uncancelled, usable, write_split
from rlhf_demo.votes.vote import ATTENTION_CHECK, DUEL
from tests.votes.test_files import VOTE

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
