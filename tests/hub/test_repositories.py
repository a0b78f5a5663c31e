"""Repositories of the Hub: written, read, and refused in one sentence without the token."""

import time

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import close_session

from rlhf_demo.errors import ConfigError, HubError
from rlhf_demo.hub import repositories
from rlhf_demo.hub.repositories import (
    check_name,
    create,
    download,
    explained,
    newest,
    open_hub,
    upload,
)
from tests.fake_hub import COMMIT, OWNER, TOKEN, Repository

NAME = f"{OWNER}/thing"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "folder"
    (folder / "in").mkdir(parents=True)
    (folder / "a.txt").write_text("small")
    (folder / "in" / "b.safetensors").write_bytes(b"large" * 1000)
    return folder


@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_folder_arrives_as_it_left(hub, folder, tmp_path, kind):
    api = open_hub()
    address = create(api, NAME, kind, private=True, sdk="gradio" if kind == "space" else None)
    assert address.endswith(NAME)
    assert hub[f"{kind}s/{NAME}"].private
    upload(api, NAME, kind, folder, "Add both")
    commit, sizes = newest(api, NAME, kind)
    assert sizes == {"a.txt": 5, "in/b.safetensors": 5000}
    download(api, NAME, kind, commit, list(sizes), tmp_path / "back")
    assert (tmp_path / "back" / "a.txt").read_text() == "small"
    assert (tmp_path / "back" / "in" / "b.safetensors").read_bytes() == b"large" * 1000
    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == ["a.txt", "in"]


def test_name_of_a_file_is_no_pattern(hub, tmp_path):
    files = {"*.txt": b"asked for", "a.txt": b"not", "in/[a].txt": b"too", "in/a.txt": b"not"}
    hub.repositories[f"models/{NAME}"] = Repository(files=files)
    download(open_hub(), NAME, "model", COMMIT, ["*.txt", "in/[a].txt"], tmp_path / "back")
    arrived = [path for path in (tmp_path / "back").rglob("*") if path.is_file()]
    assert sorted(path.name for path in arrived) == ["*.txt", "[a].txt"]


def test_second_upload_removes_what_it_replaces_and_sends_nothing_twice(hub, folder):
    api = open_hub()
    create(api, NAME, "model")
    upload(api, NAME, "model", folder, "Add both")
    (folder / "a.txt").rename(folder / "c.txt")
    hub.asked.clear()
    upload(api, NAME, "model", folder, "Rename one", replaces=["*.txt"])
    assert set(hub[f"models/{NAME}"].files) == {"c.txt", "in/b.safetensors"}
    assert not [asked for asked in hub.asked if asked.startswith("PUT")]
    assert create(api, NAME, "model").endswith(NAME)  # it is there already


@pytest.mark.parametrize("name", ["gpt2", "a/b/c", "../a/b", "a b/c", "", "a/" + "x" * 200])
def test_what_is_no_repositorys_name_is_refused(name):
    with pytest.raises(ConfigError, match="is not a repository's name: give OWNER/NAME"):
        check_name(name)


def test_missing_token_is_asked_for(hub, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ConfigError, match="no token for the Hub: set HF_TOKEN"):
        open_hub()
    assert hub.asked == []


def test_offline_variable_is_named(hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="HF_HUB_OFFLINE forbids asking the Hub"):
        open_hub()


def test_wrong_token_is_named_by_its_variable_and_not_printed(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_not_a_token_of_anyone")
    with pytest.raises(HubError, match="does not accept the token in HF_TOKEN") as caught:
        open_hub()
    assert "hf_not" not in str(caught.value)


def test_repository_of_someone_else_is_refused_in_one_sentence(hub):
    with pytest.raises(HubError, match=r"nobody/x cannot be created: .* may not write there"):
        create(open_hub(), "nobody/x", "model")
    with pytest.raises(HubError, match=r"the dataset nobody/x cannot be read: .* has none"):
        newest(open_hub(), "nobody/x", "dataset")


@pytest.mark.parametrize(
    ("mood", "words"),
    [
        ("down", "fails .status 503.: try again later"),
        ("silent", "does not answer: check the address"),
        ("nonsense", "answers, but not as the Hub does: check the address"),
    ],
)
def test_hub_in_trouble_is_one_sentence_within_five_seconds(hub, mood, words):
    hub.mood = mood
    begun = time.monotonic()
    with pytest.raises(HubError, match=words) as caught:
        open_hub()
    assert time.monotonic() - begun < 5
    assert "\n" not in str(caught.value) and hub.address in str(caught.value)


def test_address_where_nothing_listens_is_one_sentence(hub, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    close_session()
    with pytest.raises(HubError, match=r"http://127.0.0.1:1 \(HF_ENDPOINT\) does not answer"):
        open_hub()


def test_hub_that_falls_silent_in_the_middle_is_not_waited_for_for_ever(hub, monkeypatch):
    monkeypatch.setattr(repositories, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(repositories, "_patient", False)
    api = open_hub()
    hub.mood = "silent"
    with pytest.raises(HubError, match="does not answer"):
        create(api, NAME, "model")
    monkeypatch.setattr(repositories, "_patient", False)


def test_token_in_an_error_of_the_client_is_not_passed_on():
    with pytest.raises(HubError) as caught, explained("it cannot be read"):
        raise ValueError(f"no header Bearer {TOKEN} here\nnor there")
    assert str(caught.value) == "it cannot be read: no header (token) here"
