"""Processes of trainings: their command, their environment, and the machine's memory."""

# ruff: noqa: F401, F811 (fixtures are imported by name)

import pytest

from rlhf_demo.jobs import processes
from rlhf_demo.jobs.processes import training_command
from rlhf_demo.runs.run import Status
from tests.fake_jobs import BEGIN, PATIENT, fake, jobs, new_jobs, start, wait_for


def test_memory_of_the_container_counts_where_it_is_less(tmp_path, monkeypatch):
    whole = processes.machine_memory()
    (tmp_path / "max").write_text("max\n")
    (tmp_path / "limit").write_text("2000000000\n")
    monkeypatch.setattr(processes, "CGROUP_MEMORY", (tmp_path / "max", tmp_path / "none"))
    assert processes.machine_memory() == whole > 1000
    monkeypatch.setattr(processes, "CGROUP_MEMORY", (tmp_path / "max", tmp_path / "limit"))
    assert processes.machine_memory() == 2000


@pytest.mark.parametrize("policy, sees", [("gpt2", False), ("somebody/private", True)])
def test_trainer_sees_no_secret_but_the_hubs_where_it_names_the_hub(
    new_jobs, fake, monkeypatch, policy, sees
):
    hidden = ("RLHF_DEMO_PASSWORD", "DATABASE_URL", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY",
              "WANDB_API_KEY", "GITHUB_TOKEN", "MY_PASSWD")  # fmt: skip
    kept = ("TOKENIZERS_PARALLELISM", "RLHF_DEMO_RUNS", "OMP_WAIT_POLICY", "HF_HOME")
    for name in (*hidden, *kept, "HF_TOKEN"):
        monkeypatch.setenv(name, "x")
    fake.scripts["ppo"] = (
        BEGIN + "(run.folder / 'seen').write_text(' '.join(os.environ))\n" + PATIENT
    )
    jobs = new_jobs()
    run_id = start(jobs, policy=policy)
    wait_for(jobs, run_id, Status.RUNNING)
    seen = set((jobs.find(run_id).folder / "seen").read_text().split())
    assert not seen & set(hidden) and set(kept) <= seen and "PATH" in seen
    assert ("HF_TOKEN" in seen) is sees


def test_log_that_is_another_file_as_well_is_begun_anew(tmp_path):
    """An archive can make it a second name of the page's own key, which the output then spoilt."""
    (tmp_path / ".key").write_text("secret")
    log = tmp_path / "run" / "job.log"
    log.parent.mkdir()
    log.hardlink_to(tmp_path / ".key")
    child = processes._children[processes.start(["true"], log)]
    assert child.wait(timeout=10) == 0
    assert log.read_text().endswith("true\n")
    assert (tmp_path / ".key").read_text() == "secret"


def test_training_command_goes_on_in_the_folder_with_the_options_that_lie_there(tmp_path):
    assert training_command("pairs", tmp_path)[1:] == [
        "-m", "rlhf_demo", "make-pairs", "--run-dir", str(tmp_path), "--resume",
    ]  # fmt: skip
