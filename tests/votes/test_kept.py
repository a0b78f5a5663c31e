"""Costly answers that may be a moment old."""

from rlhf_demo.votes.kept import REST, Kept


def test_answer_is_kept_for_twenty_times_as_long_as_it_took(clock):
    spent, made = [0.0], []

    def make():
        spent[0] += 0.5
        made.append(clock.now)
        return len(made)

    kept = Kept(clock, lambda: spent[0])
    assert [kept.get("a", make), kept.get("a", make), kept.get("b", make)] == [1, 1, 2]
    clock.now += 0.5 * REST - 0.1
    assert kept.get("a", make) == 1
    clock.now += 0.2
    assert kept.get("a", make) == 3
    assert len(kept._answers) == 1  # what is too old takes no room
