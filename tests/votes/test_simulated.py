"""A simulated class: marked as one, and as noisy or careless as it was told to be."""

import pytest

from rlhf_demo.errors import ConfigError
from rlhf_demo.votes.quality import rater_table, vote_quality
from rlhf_demo.votes.simulated import SimulatedClass
from rlhf_demo.votes.vote import NewPair
from tests.voting import HAPPY, new_pairs


def simulate(store, classes, rounds, clock, **how):
    lesson = classes.create_lesson(HAPPY, overlap=3)
    rounds.add_pairs(
        lesson.lesson,
        [NewPair(f"Prompt {n}", " short", " much longer", "m", "m") for n in range(60)],
    )
    students = SimulatedClass(classes, lesson.token, students=6, **how)
    while students.step():
        clock.now += 1
    return lesson, students


def test_simulated_class_of_one_taste_agrees_and_is_marked(
    store,
    classes,
    rounds,
    clock,
):
    lesson, _ = simulate(store, classes, rounds, clock, noise=0.0)
    votes = classes.votes(lesson.token)
    assert {vote.chosen for vote in votes if vote.teaches} == {" much longer"}
    assert all(vote.simulated for vote in votes)
    assert all(row["simulated"] for row in classes.overview(lesson.token)["raters"])
    quality = vote_quality(votes)
    assert quality["foretold"]["share"] == quality["self_agreement"]["share"] == 1.0
    assert quality["highest_accuracy"] == 1.0
    assert quality["caught"]["share"] == 0.0


def test_noisy_students_foretell_each_other_worse_than_their_taste_does(
    store,
    classes,
    rounds,
    clock,
):
    lesson, _ = simulate(store, classes, rounds, clock, noise=0.3)
    votes = classes.votes(lesson.token)
    quality = vote_quality(votes)
    # A vote and the majority of two others, splits halved: 0.7 * 0.7 + 0.3 * 0.3 = 0.58 expected.
    assert quality["foretold"]["low"] < 0.58 < quality["foretold"]["high"]
    # Their taste foretells 0.7 of the votes, and three of three agree in 0.7^3 + 0.3^3 = 0.37 of
    # the pairs, two in the others: nobody can foretell more than 0.37 + 0.63 * 2 / 3 = 0.79.
    taught = [vote.chosen == " much longer" for vote in votes if vote.teaches]
    assert quality["foretold"]["share"] < sum(taught) / len(taught) < quality["highest_accuracy"]
    assert quality["highest_accuracy"] == pytest.approx(0.79, abs=0.06)


def test_careless_simulated_students_are_found_and_nobody_else(
    store,
    classes,
    rounds,
    clock,
):
    lesson, students = simulate(store, classes, rounds, clock, noise=0.0, careless_share=0.34)
    careless = {student.rater for student in students.students if student.careless}
    rows = rater_table(classes.votes(lesson.token))
    assert {row["rater"] for row in rows if row["careless"]} == careless
    assert len(careless) == 2


def test_scorer_is_the_taste(store, classes, rounds, clock):
    def shorter(prompts, responses):
        return [-len(response) for response in responses]

    lesson, _ = simulate(store, classes, rounds, clock, noise=0.0, taste="shorter", scorer=shorter)
    assert {v.chosen for v in classes.votes(lesson.token) if v.teaches} == {" short"}


def test_simulated_class_waits_while_paused(classes, rounds):
    lesson = classes.create_lesson(HAPPY)
    rounds.add_pairs(lesson.lesson, new_pairs(9))
    students = SimulatedClass(classes, lesson.token, students=3)
    classes.pause(lesson.token)
    assert students.step() == 0
    classes.reopen(lesson.token)
    assert students.step() == 3


@pytest.mark.parametrize(
    "odd", [{"students": 0}, {"noise": 0.6}, {"noise": float("nan")}, {"careless_share": 1.1}]
)
def test_odd_simulation_is_refused(classes, odd):
    lesson = classes.create_lesson(HAPPY)
    with pytest.raises(ConfigError):
        SimulatedClass(classes, lesson.token, **{"students": 3} | odd)
