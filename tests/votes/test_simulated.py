"""A simulated class: marked as one, and as noisy or careless as it was told to be."""

import pytest

from rlhf_demo.errors import ConfigError
from rlhf_demo.votes.quality import vote_quality, voter_table
from rlhf_demo.votes.simulated import SimulatedClass
from rlhf_demo.votes.vote import NewPair
from tests.voting import HAPPY, new_pairs


def simulate(store, classes, rounds, clock, **how):
    opened = classes.create_class(HAPPY, overlap=3)
    rounds.add_pairs(
        opened.collection,
        [NewPair(f"Prompt {n}", " short", " much longer", "m", "m") for n in range(60)],
    )
    students = SimulatedClass(classes, opened.token, students=6, **how)
    while students.step():
        clock.now += 1
    return opened, students


def test_simulated_class_of_one_taste_agrees_and_is_marked(
    store,
    classes,
    rounds,
    clock,
):
    opened, _ = simulate(store, classes, rounds, clock, noise=0.0)
    votes = classes.votes(opened.token)
    assert {vote.chosen for vote in votes if vote.teaches} == {" much longer"}
    assert all(vote.simulated for vote in votes)
    assert all(row["simulated"] for row in classes.overview(opened.token)["voters"])
    quality = vote_quality(votes)
    assert quality["with_others"]["share"] == quality["self_agreement"]["share"] == 1.0
    assert quality["highest_accuracy"] == 1.0
    assert quality["caught"]["share"] == 0.0


def test_noisy_students_predict_each_other_worse_than_their_taste_does(
    store,
    classes,
    rounds,
    clock,
):
    opened, _ = simulate(store, classes, rounds, clock, noise=0.3)
    votes = classes.votes(opened.token)
    quality = vote_quality(votes)
    # A vote and the majority of two others, splits halved: 0.7 * 0.7 + 0.3 * 0.3 = 0.58 expected.
    assert quality["with_others"]["low"] < 0.58 < quality["with_others"]["high"]
    # Their taste predicts 0.7 of the votes, and three of three agree in 0.7^3 + 0.3^3 = 0.37 of
    # the pairs, two in the others: no predictor can reach more than 0.37 + 0.63 * 2 / 3 = 0.79.
    taught = [vote.chosen == " much longer" for vote in votes if vote.teaches]
    assert quality["with_others"]["share"] < sum(taught) / len(taught) < quality["highest_accuracy"]
    assert quality["highest_accuracy"] == pytest.approx(0.79, abs=0.06)


def test_careless_simulated_students_are_found_and_nobody_else(
    store,
    classes,
    rounds,
    clock,
):
    opened, students = simulate(store, classes, rounds, clock, noise=0.0, careless_share=0.34)
    careless = {student.voter for student in students.students if student.careless}
    rows = voter_table(classes.votes(opened.token))
    assert {row["voter"] for row in rows if row["careless"]} == careless
    assert len(careless) == 2


def test_scorer_is_the_taste(store, classes, rounds, clock):
    def shorter(prompts, responses):
        return [-len(response) for response in responses]

    opened, _ = simulate(store, classes, rounds, clock, noise=0.0, taste="shorter", scorer=shorter)
    assert {v.chosen for v in classes.votes(opened.token) if v.teaches} == {" short"}


def test_simulated_class_waits_while_paused(classes, rounds):
    opened = classes.create_class(HAPPY)
    rounds.add_pairs(opened.collection, new_pairs(9))
    students = SimulatedClass(classes, opened.token, students=3)
    classes.pause(opened.token)
    assert students.step() == 0
    classes.reopen(opened.token)
    assert students.step() == 3


@pytest.mark.parametrize(
    "odd", [{"students": 0}, {"noise": 0.6}, {"noise": float("nan")}, {"careless_share": 1.1}]
)
def test_odd_simulation_is_refused(classes, odd):
    opened = classes.create_class(HAPPY)
    with pytest.raises(ConfigError):
        SimulatedClass(classes, opened.token, **{"students": 3} | odd)
