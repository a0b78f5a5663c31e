"""Downloads: what a zip of a run and a file of votes hold, and which files are served."""

import json
import os
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from rlhf_demo.errors import DataError, JobError
from rlhf_demo.paths import CHECKPOINTS
from rlhf_demo.runs.run import Run
from rlhf_demo.server.settings import Settings
from rlhf_demo.votes.vote import PLAIN, Vote
from rlhf_demo.web import downloads

VOTE = Vote(
    id=1, collection=1, round=1, kind=PLAIN, pair=1, prompt="The film", first=" was good.",
    second=" was bad.", first_model="m", second_model="m", question="Which is better?", voter=7,
    choice="first", swapped=False, repeat=False, time=0.0, seconds=3.0, simulated=False,
    left_out=False,
)  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Gradio's cache in a folder of the test."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def settings(tmp_path):
    return Settings(runs=tmp_path / "runs")


@pytest.fixture
def run(settings):
    return Run.create(settings.runs / "ppo-abcdef", "ppo", {"policy": "gpt2-mini"})


def content_of(zipped):
    with zipfile.ZipFile(zipped) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_zip_holds_the_runs_own_files_without_what_is_kept_back(run, settings):
    (run.folder / "checkpoints" / "checkpoint-4").mkdir(parents=True)
    for name in ("job.json", "lock", "stop", "stopping.json", "checkpoint.pt", ".half-written",
                 "checkpoints/checkpoint-4/training_args.bin"):  # fmt: skip
        (run.folder / name).write_text("kept back")
    (run.folder / "steps" / "3").mkdir(parents=True)
    (run.folder / "steps" / "3" / "model.safetensors").write_text("a file of the model")
    proxy = run.folder / "proxy"  # a run inside the run
    (proxy / "checkpoints" / "checkpoint-2").mkdir(parents=True)
    for name in ("lock", "checkpoints/checkpoint-2/training_args.bin", "report.json"):
        (proxy / name).write_text("kept back, but for the report")
    (run.folder / "link").symlink_to("/etc/passwd")
    (settings.runs / ".key").write_text("secret")
    (run.folder / "notes.md").hardlink_to(settings.runs / ".key")  # as an archive can make it
    found = content_of(downloads.zip_folder(run, settings))
    assert sorted(found) == [
        "ppo-abcdef/config.json", "ppo-abcdef/proxy/report.json", "ppo-abcdef/status.json",
        "ppo-abcdef/steps/3/model.safetensors",
    ]  # fmt: skip


def test_run_whose_files_all_have_second_names_is_no_empty_zip(run, settings, tmp_path):
    """After `cp -al runs runs.bak`, each download was a zip of 22 bytes."""
    for path in run.folder.iterdir():
        (tmp_path / path.name).hardlink_to(path)
    with pytest.raises(JobError, match=r"ppo-abcdef have second names .* copy its folder without"):
        downloads.zip_folder(run, settings)


def test_zip_names_no_folder_of_this_machine(run, settings):
    (run.folder / "train.log").write_text(f"{run.folder}/model on {CHECKPOINTS}/gpt2-mini")
    weights = f"{run.folder}/".encode()
    (run.folder / "model.safetensors").write_bytes(weights)
    found = content_of(downloads.zip_folder(run, settings))
    assert found["ppo-abcdef/train.log"] == b"runs/ppo-abcdef/model on checkpoints/gpt2-mini"
    assert found["ppo-abcdef/model.safetensors"] == weights  # not a text: left as it is


@pytest.mark.parametrize(
    "report, kept",
    [
        ('{"pairs": 9, "most_wrong": [{"prompt": "a vote"}]}', {"pairs": 9, "most_wrong": []}),
        ('{"accuracy": 0.9, "x": ' + "[" * 400 + "]" * 400 + "}", None),
        ("[" * 5000, None),
        ("5", None),
        ('{"x": "' + "a" * 2**20 + '"}', None),
    ],
    ids=["ours", "nested", "no JSON", "a number", "too large"],
)
def test_report_on_a_classs_votes_is_sent_without_texts_or_not_at_all(settings, report, kept):
    """A nested one of half a megabyte took 2.3 GB, written again with its blanks."""
    data = str(settings.runs / "classes" / "2" / "votes-000000000000")
    run = Run.create(settings.runs / "reward-abcdef", "reward", {"data": data})
    (run.folder / "report.json").write_text(report)
    found = content_of(downloads.zip_folder(run, settings))
    sent = found.get("reward-abcdef/report.json")
    assert (sent and json.loads(sent)) == kept


def test_zip_is_made_again_only_after_a_change_and_replaces_the_last(run, settings):
    first = downloads.zip_folder(run, settings)
    assert downloads.zip_folder(run, settings) == first
    (run.folder / "train.log").write_text("a line")
    second = downloads.zip_folder(run, settings)
    assert second != first and second.is_file() and not first.exists()


def test_what_lies_where_a_link_leads_stays(run, settings, cache, tmp_path):
    """An archive brought it, and the folder with that archive, a zip of the run, was deleted."""
    mine = tmp_path / "home" / "Downloads"
    mine.mkdir(parents=True)
    for name in (f"{run.folder.name}.zip", "thesis.txt"):
        (mine / name).write_text("mine")
    cache.mkdir()
    (cache / "downloads").symlink_to(mine.parent)
    assert downloads.zip_folder(run, settings).is_relative_to(cache / "downloads")
    (cache / "downloads" / "votes").symlink_to(mine)
    assert downloads.downloads("votes") == cache / "downloads" / "votes"
    assert not (cache / "downloads" / "votes").exists()
    (cache / "downloads" / "mine").symlink_to(mine)  # a folder of zips, but none that was made here
    (run.folder / "train.log").write_text("a line")
    downloads.zip_folder(run, settings)
    assert sorted(path.name for path in mine.iterdir()) == ["ppo-abcdef.zip", "thesis.txt"]


def test_run_with_too_many_bytes_is_refused(run, settings, monkeypatch):
    (run.folder / "train.log").write_bytes(b"x" * 2_000_000)
    monkeypatch.setattr(downloads, "MOST_ZIPPED", 1_000_000)
    with pytest.raises(JobError, match="ppo-abcdef is 2 MB, and a download can be at most 1 MB"):
        downloads.zip_folder(run, settings)


def test_link_is_served_as_a_file_to_save_and_nothing_beside_the_downloads_is(run, settings, cache):
    zipped = downloads.zip_folder(run, settings)
    (cache / "upload.txt").write_text("of another visitor")
    app = Starlette(routes=[Route("/served/{path:path}", downloads.served)])
    client = TestClient(app)
    answer = client.get(f"/{downloads.link_to(zipped)}")
    assert answer.content == zipped.read_bytes()
    assert answer.headers["content-disposition"] == 'attachment; filename="ppo-abcdef.zip"'
    folder = Path(downloads.link_to(zipped)).parts[1]
    (zipped.parent / "key.zip").hardlink_to(cache / "upload.txt")  # as an archive can make it
    assert client.get(f"/served/{folder}/key.zip").status_code == 404
    for path in ("upload.txt", f"{folder}/../upload.txt", f"{folder}/%2e%2e/upload.txt", folder):
        assert client.get(f"/served/{path}").status_code == 404


# -- votes -----------------------------------------------------------------------------------------


def test_file_of_votes_is_linked_and_named_and_its_rows_are_counted(cache):
    tie = replace(VOTE, id=2, pair=2, choice="tie")
    folder = downloads.downloads() / "votes"
    answer = downloads.vote_file([VOTE, tie], folder, "happier", {"format": "jsonl"})
    assert (answer["name"], answer["rows"]) == ("happier.jsonl", 1)  # a tie is no preference
    lines = (cache / answer["link"].removeprefix("served/")).read_text().splitlines()
    assert [json.loads(line)["chosen"] for line in lines] == [" was good."]
    whole = {"format": "jsonl", "everything": True}
    answer = downloads.vote_file([VOTE, tie], folder, "happier", whole)
    assert (answer["name"], answer["rows"]) == ("all-happier.jsonl", 2)


def test_older_file_of_votes_is_kept_while_it_may_still_be_fetched(cache):
    folder = downloads.downloads() / "votes"

    def file_of(votes):
        answer = downloads.vote_file(votes, folder, "happier", {"format": "jsonl"})
        return cache / answer["link"].removeprefix("served/")

    first = file_of([VOTE])
    second = file_of([VOTE, replace(VOTE, id=2, voter=8)])
    assert first.is_file() and second.is_file()
    then = time.time() - downloads.FETCH_SECONDS - 1
    os.utime(first.parent, (then, then))
    file_of([VOTE, replace(VOTE, id=2, voter=8)])
    assert not first.exists() and second.is_file()


def test_votes_in_an_unknown_format_are_refused():
    with pytest.raises(DataError, match="files are written as jsonl or parquet: choose one"):
        downloads.vote_file([VOTE], downloads.downloads() / "votes", "x", {"format": "csv"})
