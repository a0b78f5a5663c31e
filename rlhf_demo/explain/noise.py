"""What wrong answers do to votes: how often voters agree, and how often a model can be right."""


def agreement(error_rate: float) -> float:
    """Return how often two voters agree on a pair: both are right, or both are wrong.

    Args:
        error_rate: how often each answers wrong, by chance and independently of the other, 0 to 1.
    """
    return (1 - error_rate) ** 2 + error_rate**2


def ceiling(error_rate: float) -> float:
    """Return how often a model that is always right agrees with a vote.

    No accuracy on held-out votes can be expected to be higher, however good the model is.

    Args:
        error_rate: how often a voter answers wrong, at most 0.5.
    """
    return 1 - error_rate
