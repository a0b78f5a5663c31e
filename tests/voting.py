"""What the tests of votes and classes share: a clock, pairs, and students who answer."""

from rlhf_demo.votes.vote import NewFour, NewPair

HAPPY, GOOD = "Which sounds happier?", "Which is better English?"


class Clock:
    """Time that passes only when told to."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


def new_pairs(count, start=0, model="m"):
    return [
        NewPair(f"Prompt {n}", f" first {n}", f" second {n}", model, model)
        for n in range(start, start + count)
    ]


def new_fours(count, start=0, model="m"):
    return [
        NewFour(f"Prompt {n}", tuple(f" {letter} {n}" for letter in "abcd"), model, seed=n)
        for n in range(start, start + count)
    ]


def rank(store, secret, order="ABCD", question=HAPPY, model="m"):
    """Let a visitor rank the next four texts, two seconds later; return what was shown."""
    store.clock.now += 2
    shown = store.rankings.next_four(secret, question, model=model)
    store.rankings.rank(secret, shown["id"], order, "here")
    return shown


def join(classes, collection, count):
    return [classes.join(collection.code, "Ann", "school").secret for _ in range(count)]


def take_turns(store, secrets, choose=lambda assignment: "left"):
    """Let everybody answer, a second between two answers, until nobody is given a pair."""
    waiting = list(secrets)
    while waiting:
        waiting = [secret for secret in waiting if answer_one(store, secret, choose)]


def answer_one(store, secret, choose=lambda assignment: "left", goal=0):
    """Let a student answer the next pair, a second later; False where there is none."""
    store.clock.now += 1
    assignment = store.next_pair(secret, goal=goal)
    return assignment is not None and store.vote(secret, assignment.id, choose(assignment))


def answer(store, secret, choice="left", question=HAPPY, **wish):
    """Let a visitor answer the next pair, a second later."""
    store.clock.now += 1
    assignment = store.next_pair(secret, question, **wish)
    assert store.vote(secret, assignment.id, choice)
    return assignment
