"""The order of waiting jobs: classes first, then the visitors in rotation."""

# ruff: noqa: F401, F811 (fixtures are imported by name)

from pathlib import Path

from rlhf_demo.jobs.fair_order import start_order
from rlhf_demo.jobs.job import Job, Phase
from rlhf_demo.runs.run import Run
from tests.fake_jobs import fake, new_jobs, row, start, wait_for


def job(name, owner, address="", *, at, phase=Phase.WAITING, first=False):
    record = {"owner": owner, "queued_at": at, "first": first}
    return Job(Run(Path(name)), False, {}, record, {}, {}, phase, True, address)


def order(*jobs):
    return [each.id for each in start_order(list(jobs))]


def test_second_job_of_an_address_comes_after_the_first_of_all_others():
    flood = [job(f"flood{n}", f"secret {n}", "6.6.6.6", at=n) for n in range(3)]
    assert order(*flood, job("bob", "b", "5.5.5.5", at=8), job("cid", "c", "4.4.4.4", at=9)) == [
        "flood0", "bob", "cid", "flood1", "flood2"
    ]  # fmt: skip


def test_students_of_one_address_rotate_too():
    school = [job("ann1", "a", "7", at=1), job("ann2", "a", "7", at=2), job("bob1", "b", "7", at=3)]
    assert order(*school) == ["ann1", "bob1", "ann2"]


def test_running_job_counts_as_the_owners_first():
    running = job("flood0", "secret 0", "6.6.6.6", at=0, phase=Phase.RUNNING)
    flood = [job(f"flood{n}", f"secret {n}", "6.6.6.6", at=n) for n in (1, 2)]
    assert order(running, *flood, job("bob", "b", "5.5.5.5", at=9)) == ["bob", "flood1", "flood2"]


def test_next_job_of_an_address_counts_as_queued_when_its_job_before_has_ended():
    over = job("flood0", "secret 0", "6.6.6.6", at=0, phase=Phase.ENDED)
    over.record["started_pid"] = 7
    over.status["updated_at"] = "1970-01-01T00:00:49Z"
    flood = [job(f"flood{n}", f"secret {n}", "6.6.6.6", at=n) for n in (1, 2)]
    before, after = job("bob", "b", "5.5.5.5", at=49), job("cid", "c", "4.4.4.4", at=51)
    assert order(over, *flood, before, after) == ["bob", "flood1", "cid", "flood2"]
    for damaged in ({"updated_at": "yesterday"}, {}):
        over.status.clear()
        over.status.update(damaged)
        assert order(over, *flood, before, after) == ["flood1", "bob", "cid", "flood2"]


def test_owners_rotate_when_addresses_are_forgotten():
    assert order(job("ann1", "a", at=1), job("ann2", "a", at=2), job("bob1", "b", at=3)) == [
        "ann1", "bob1", "ann2"
    ]  # fmt: skip


def test_classes_come_first_in_their_order_and_count_for_no_visitor():
    jobs = [
        job("ann1", "a", "7", at=1),
        job("class2", "a", "7", at=5, first=True),
        job("class1", "a", "7", at=4, first=True),
        job("bob1", "b", "8", at=2),
    ]
    assert order(*jobs) == ["class1", "class2", "ann1", "bob1"]


def test_one_address_with_invented_secrets_stops_no_visitor_from_being_next(new_jobs):
    page = new_jobs()
    flood = [start(page, secret=f"inv-{n}", address="6.6.6.6") for n in range(6)]
    wait_for(page, flood[0], "running")
    honest = start(page, "reward", secret="bob", address="5.5.5.5")
    assert row(page, honest)["place"] == 1
    page.stop(flood[0], "inv-0")
    wait_for(page, honest, "finished")
