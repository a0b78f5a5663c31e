"""What a public page allows its trainings: options, places in line, room on the disk, memory."""

# ruff: noqa: F401, F811 (fixtures are imported by name)

import re
from dataclasses import replace

import pytest

from rlhf_demo.config.stages import STAGES
from rlhf_demo.errors import JobError
from rlhf_demo.files import read_json
from rlhf_demo.jobs.bounds import PUBLIC, Limits, check_options
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.runs.run import Status
from tests.fake_jobs import BEGIN, fake, new_jobs, row, start, wait_for, wait_until

ROOMY = replace(PUBLIC, least_free_megabytes=None)
"""Of a public page, on whatever disk the tests have."""

GREEDY = (
    BEGIN
    + """
held = bytearray(300_000_000)
held[::4096] = bytes([1]) * len(held[::4096])
with run.recording():
    time.sleep(60)
"""
)
WRITING = (
    BEGIN
    + """
with run.recording():
    (run.folder / "model.bin").write_bytes(os.urandom(3_000_000))
    while True:
        run.check_stop()
        time.sleep(0.01)
"""
)


@pytest.fixture
def idle(new_jobs):
    """A public page that starts nothing."""
    return new_jobs(scheduling=False, limits=ROOMY, instructor_token="token")


# -- options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, options, sentence",
    [
        ("ppo", {"lora_rank": 512}, "a LoRA rank of 512 is not allowed here: choose 1 to 64"),
        ("ppo", {"lora_rank": 0}, "a LoRA rank of 0 is not allowed here: choose 1 to 64"),
        ("reward", {"lora_rank": 65}, "a LoRA rank of 65 is not allowed here: choose 1 to 64"),
        # 200 / 40 = 5; 41 steps saved one by one are 41.
        ("ppo", {"total_steps": 200, "checkpoint_every": 4},
         "saving every 4 steps of 200 is too often here: choose 5 or more"),
        ("ppo", {"total_steps": 41, "checkpoint_every": 1},
         "saving every 1 steps of 41 is too often here: choose 2 or more"),
        ("ppo", {"batch_size": 512}, "a batch size of 512 is too large here: choose 256 or fewer"),
        ("reward", {"batch_size": 33}, "a batch size of 33 is too large here: choose 32 or fewer"),
    ],
)  # fmt: skip
def test_option_that_takes_too_much_is_refused_in_a_sentence(idle, kind, options, sentence):
    with pytest.raises(JobError, match=f"^{sentence}$"):
        start(idle, kind, **options)
    assert idle.overview() == []
    start(idle, kind, secret="token", **options)  # the instructor's own
    start(idle, kind, first=True, **options)  # a class's


@pytest.mark.parametrize("kind", ["sft", "dpo", "reward"])
def test_steps_of_an_epoch_are_its_batches(kind):
    """1,242 texts or pairs in batches of 8 are 156 steps."""
    options = STAGES[kind].config(epochs=2).to_dict()
    check_options(options, Limits(most_steps=312))
    with pytest.raises(JobError, match=r"^312 steps are too many here: choose 311 or fewer$"):
        check_options(options, Limits(most_steps=311))


def test_steps_of_a_reward_model_and_of_ppo_after_it_add_up():
    """1,241 pairs in batches of 8 are 156 steps, and PPO takes 30 more."""
    options = STAGES["overoptimise"].config(train_pairs=1241).to_dict()
    check_options(options, Limits(most_steps=186))
    with pytest.raises(JobError, match=r"^186 steps are too many here: choose 185 or fewer$"):
        check_options(options, Limits(most_steps=185))


def test_largest_that_is_allowed_is_allowed(idle):
    start(idle, lora_rank=64, total_steps=200, checkpoint_every=5, batch_size=256)
    start(idle, "reward", lora_rank=64, batch_size=32)


def test_ranks_of_adapters_on_adapters_add_up(idle, new_jobs):
    """gpt2-mini-ppo is an adapter of rank 16."""
    below = read_json(CHECKPOINTS / "gpt2-mini-ppo" / "adapter_config.json")["r"]
    start(idle, policy="gpt2-mini-ppo", lora_rank=64 - below)
    start(idle, policy="gpt2-mini", lora_rank=64)
    sentence = rf"^the model is an adapter of rank {below}, to which {65 - below} would be added"
    with pytest.raises(JobError, match=sentence):
        start(idle, policy="gpt2-mini-ppo", lora_rank=65 - below)
    with pytest.raises(JobError, match=sentence):
        start(idle, "reward", model="gpt2-mini-ppo", lora_rank=65 - below)
    start(new_jobs(scheduling=False), policy="gpt2-mini-ppo", lora_rank=65 - below)


@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_run_saves_so_many_states_of_any_kind(idle, kind):
    texts = {"train_texts" if kind == "sft" else "train_pairs": 1600, "batch_size": 8}
    start(idle, kind, checkpoint_every=5, **texts)
    with pytest.raises(JobError, match="saving every 4 steps of 200 is too often here: choose 5"):
        start(idle, kind, checkpoint_every=4, **texts)


def test_nothing_is_bounded_at_home(new_jobs):
    start(new_jobs(scheduling=False), lora_rank=512, total_steps=200, checkpoint_every=1)


# -- the line --------------------------------------------------------------------------------------


def test_one_address_with_many_secrets_leaves_places_to_others(new_jobs):
    jobs = new_jobs(scheduling=False, limits=replace(ROOMY, most_waiting=8))
    taken = [start(jobs, secret=f"words {n}", address="6.6.6.6") for n in range(6)]
    with pytest.raises(JobError, match=r"^6 runs from your address are already waiting: try again"):
        start(jobs, secret="words 6", address="6.6.6.6")
    start(jobs, secret="ann", address="7.7.7.7")
    jobs.stop(taken[0], "words 0")
    start(jobs, secret="words 6", address="6.6.6.6")
    with pytest.raises(JobError, match="6 runs from your address are already waiting"):
        jobs.resume(taken[0], "words 0", "6.6.6.6")


def test_two_addresses_with_long_jobs_keep_nobody_out_of_the_line(new_jobs):
    jobs = new_jobs(scheduling=False, limits=replace(ROOMY, most_waiting=8))
    flood = [start(jobs, secret=f"a {n}", address="6.6.6.6") for n in range(6)]
    other = [start(jobs, secret=f"b {n}", address="6.6.6.7") for n in range(2)]
    honest = [start(jobs, secret=f"c {n}", address=f"5.5.5.{n}") for n in range(4)]
    # The last of whoever has most: 6 2, 5 2, 4 2, 3 2.
    waiting = {one["id"] for one in jobs.overview() if one["status"] == "queued"}
    assert waiting == {*flood[:2], *other, *honest}
    assert row(jobs, flood[5])["message"] == (
        "removed from a full queue, because another visitor had fewer runs there: resume it when "
        "fewer are waiting"
    )
    start(jobs, secret="c 9", address="5.5.5.9")
    for address in ("5.5.5.9", "6.6.6.6"):  # two more than one, or than two, has nobody
        with pytest.raises(JobError, match="8 runs are already waiting"):
            start(jobs, secret="c 10", address=address)
    jobs.stop(honest[0], "c 0")
    jobs.resume(flood[5], "a 5", "6.6.6.6")


def test_one_owner_with_most_makes_room_where_no_address_is_known(new_jobs):
    jobs = new_jobs(scheduling=False, limits=replace(ROOMY, most_waiting=3))
    *_, last = [start(jobs, secret="ann") for _ in range(3)]
    start(jobs, secret="bob")
    assert row(jobs, last)["status"] == "stopped"
    with pytest.raises(JobError, match="3 runs are already waiting"):
        start(jobs, secret="bob")


def test_refused_newcomer_takes_nobody_out_of_the_line(new_jobs):
    jobs = new_jobs(scheduling=False, limits=replace(ROOMY, most_waiting=2))
    flood = [start(jobs, secret=f"a {n}", address="6.6.6.6") for n in range(2)]
    with pytest.raises(JobError, match="rank"):
        start(jobs, secret="bob", address="5.5.5.5", lora_rank=512)
    jobs.check_start("bob", "5.5.5.5")
    assert [row(jobs, one)["status"] for one in flood] == ["queued", "queued"]


def test_address_of_a_visitor_is_in_no_file(idle, tmp_path):
    run_id = start(idle, address="203.0.113.77")
    for path in (tmp_path / "runs" / run_id).iterdir():
        assert "203.0.113" not in path.read_text()


def test_one_address_starts_so_many_runs_at_once(new_jobs):
    limits = replace(ROOMY, starts_address=(3, 0.1))
    jobs = new_jobs(scheduling=False, limits=limits, instructor_token="token")
    for _ in range(3):
        jobs.stop(start(jobs, address="6.6.6.6"), "ann")
    with pytest.raises(
        JobError, match=r"^too many runs were started from your address: wait 10 s and"
    ):
        start(jobs, secret="bob", address="6.6.6.6")
    start(jobs, secret="bob", address="7.7.7.7")
    start(jobs, secret="token", address="6.6.6.6")
    start(jobs, first=True, address="6.6.6.6")


def test_resuming_takes_a_permit_as_starting_does(new_jobs):
    jobs = new_jobs(scheduling=False, limits=replace(ROOMY, starts_address=(3, 0.1)))
    run_id = start(jobs, address="6.6.6.6")
    for _ in range(2):
        jobs.stop(run_id, "ann")
        jobs.resume(run_id, "ann", "6.6.6.6")
    jobs.stop(run_id, "ann")
    with pytest.raises(JobError, match="too many runs were started from your address"):
        jobs.resume(run_id, "ann", "6.6.6.6")
    jobs.resume(run_id, "ann", "7.7.7.7")


def test_address_without_a_permit_is_refused_before_any_run_is_read(new_jobs, monkeypatch):
    jobs = new_jobs(scheduling=False, limits=replace(ROOMY, starts_address=(1, 0.1)))
    jobs.stop(start(jobs, address="6.6.6.6"), "ann")
    monkeypatch.setattr(jobs._folders, "own", lambda: pytest.fail("all runs were read"))
    for ask in (start, lambda jobs, address: jobs.check_start("ann", address)):
        with pytest.raises(JobError, match="too many runs were started from your address"):
            ask(jobs, address="6.6.6.6")


def test_refused_deletions_cost_an_address_its_requests_too(new_jobs, monkeypatch):
    """Each reads all runs: three addresses slowed the list of runs to 0.8 s."""
    monkeypatch.setattr("rlhf_demo.jobs.queue.ASKS", (3, 0.0))
    jobs = new_jobs(scheduling=False, limits=ROOMY)
    run_id = start(jobs)
    for _ in range(3):
        with pytest.raises(JobError, match="belongs to someone else"):
            jobs.delete(run_id, "bob", "6.6.6.6")
    with pytest.raises(JobError, match="too many requests for runs came from your address"):
        jobs.delete(run_id, "bob", "6.6.6.6")
    jobs.delete(run_id, "ann", "7.7.7.7")


def test_refused_starts_cost_an_address_its_requests_but_not_its_starts(new_jobs, monkeypatch):
    """Each start that a full queue refuses reads all runs, under the lock of every change."""
    monkeypatch.setattr("rlhf_demo.jobs.queue.ASKS", (3, 0.0))
    jobs = new_jobs(scheduling=False, limits=replace(ROOMY, most_waiting=1))
    start(jobs, secret="bob", address="7.7.7.7")
    for _ in range(3):
        with pytest.raises(JobError, match="1 runs are already waiting"):
            start(jobs, address="6.6.6.6")
    monkeypatch.setattr(jobs._folders, "own", lambda: pytest.fail("all runs were read"))
    for ask in (start, lambda jobs, address: jobs.check_start("ann", address)):
        with pytest.raises(JobError, match="too many requests for runs came from your address"):
            ask(jobs, address="6.6.6.6")
    assert jobs._starts.has("6.6.6.6")


def test_asking_beforehand_refuses_what_a_start_would_and_takes_nothing(new_jobs):
    limits = replace(ROOMY, most_waiting=2, starts_address=(1, 0.1))
    jobs = new_jobs(scheduling=False, limits=limits, instructor_token="token")
    for _ in range(3):
        jobs.check_start("ann", "6.6.6.6")
    start(jobs, address="6.6.6.6")
    with pytest.raises(JobError, match="too many runs were started from your address"):
        jobs.check_start("bob", "6.6.6.6")
    start(jobs, secret="bob", address="7.7.7.7")
    with pytest.raises(JobError, match="2 runs are already waiting"):
        jobs.check_start("eve", "8.8.8.8")
    with pytest.raises(JobError, match="no secret"):
        jobs.check_start("", "8.8.8.8")
    jobs.check_start("token", "6.6.6.6")
    assert PUBLIC.starts_address == (60, 0.1)  # a class of thirty starts the loop at once


# -- the disk --------------------------------------------------------------------------------------


def test_run_that_writes_more_than_it_may_is_stopped_with_a_sentence(new_jobs, fake):
    fake.scripts["ppo"] = WRITING
    jobs = new_jobs(limits=Limits(most_megabytes=2))
    run_id = start(jobs)
    wait_for(jobs, run_id, Status.STOPPED)
    wait_until(lambda: "limit of 2 MB" in row(jobs, run_id)["message"])
    # Up to 3 MB of the model and some kilobytes beside it; the look may come while it is written.
    assert re.match(r"stopped with [34] MB on the disk, ", row(jobs, run_id)["message"])


# -- memory and secrets ----------------------------------------------------------------------------


def test_trainer_that_holds_more_memory_than_it_may_is_ended_with_a_sentence(new_jobs, fake):
    fake.scripts["ppo"] = GREEDY
    jobs = new_jobs(limits=Limits(most_memory=200))
    run_id = start(jobs, first=True)
    wait_for(jobs, run_id, Status.STOPPED)
    wait_until(
        lambda: "MB of memory, over this page's limit of 200 MB" in row(jobs, run_id)["message"]
    )
    assert "choose a smaller batch" in row(jobs, run_id)["message"]
