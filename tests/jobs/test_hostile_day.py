"""A day on a public page with somebody who fills the disk as fast as one trainer can write."""

# ruff: noqa: F401, F811 (fixtures are imported by name)

import os
from types import SimpleNamespace

from rlhf_demo.jobs import disk
from rlhf_demo.jobs.bounds import PUBLIC
from tests.fake_jobs import fake, new_jobs, start

HOURS = 24
EACH_HOUR = 8
"""Runs of the largest kind; one trainer finishes 46. These fill the visitors' 15 GB four times."""
LARGEST, HONEST = 300.0, 12.0
"""Megabytes of the largest run that is allowed, and of the quick preset's."""
DISK = 50_000.0


def test_hostile_day_fills_no_disk_and_loses_no_honest_run(new_jobs, tmp_path, monkeypatch):
    jobs = new_jobs(scheduling=False, limits=PUBLIC, instructor_token="token")
    root, sizes, clock = tmp_path / "runs", {}, [1_800_000_000.0]

    def used():
        return sum(sizes.get(folder.name, 0.0) for folder in root.iterdir())

    monkeypatch.setattr("rlhf_demo.runs.run._commit", lambda: "")  # asking git takes 20 ms a run
    monkeypatch.setattr(disk, "megabytes", lambda folder: sizes[folder.name])
    monkeypatch.setattr(disk, "time", SimpleNamespace(time=lambda: clock[0]))
    monkeypatch.setattr(
        disk.shutil, "disk_usage", lambda path: SimpleNamespace(free=(DISK - used()) * 1e6)
    )

    def finished(size, secret, **how):
        run_id = start(jobs, secret=secret, **how)
        jobs.stop(run_id, secret)
        sizes[run_id] = size
        os.utime(root / run_id, (clock[0], clock[0]))
        return run_id

    kept = [finished(LARGEST, "class", first=True), finished(LARGEST, "token")]
    highest = 0.0
    for hour in range(HOURS):
        kept.append(finished(HONEST, f"honest {hour}", address="7.7.7.7"))
        for number in range(EACH_HOUR):
            finished(LARGEST, f"hostile {hour} {number}", address=f"6.6.{hour}.{number}")
            clock[0] += 3600 / EACH_HOUR
            highest = max(highest, used())
            jobs._scheduler._make_room()
    assert highest < 16_000  # 15 GB of visitors, one run more, a class's and the instructor's
    assert all((root / run_id).exists() for run_id in kept)
