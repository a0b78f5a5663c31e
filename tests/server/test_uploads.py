"""Uploads: kept once they were read, for whoever brought them, within limits."""
# ruff: noqa: F811  (fixtures are imported, and named again where they are used)

import gzip
import json
import threading
from pathlib import Path

import pytest

from rlhf_demo.data.pairs import load_pairs
from rlhf_demo.errors import DataError
from rlhf_demo.files import read_json, write_json
from rlhf_demo.server import uploads as module
from rlhf_demo.server.choices import Choices
from rlhf_demo.server.compute_lock import Busy
from rlhf_demo.server.settings import Settings
from rlhf_demo.server.uploads import Uploads
from rlhf_demo.ui.shared import Shared
from rlhf_demo.ui.tabs.reward import RewardTab
from tests.fake_jobs import HERE, fake, new_jobs, start  # noqa: F401  (fixtures among them)

PAIR = {"prompt": "It was", "chosen": " good.", "rejected": " bad."}


@pytest.fixture
def jobs(new_jobs):
    return new_jobs(scheduling=False)


@pytest.fixture
def uploads(jobs, tmp_path, clock):
    """The uploads of a page with limits."""
    return Uploads(tmp_path / "uploads", jobs, public=True, clock=clock)


@pytest.fixture
def unread(monkeypatch):
    """Spare the process of its own where only what is kept is looked at."""

    def read(kind, source, copy, *, public):
        copy.write_bytes(source.read_bytes())
        return {"count": 1, "dropped": {}, "pairs": []}

    monkeypatch.setattr(module, "read_apart", read)


def bring(uploads, folder, text, secret="ann", address="here"):
    path = folder / "mine.jsonl"
    path.write_text(json.dumps(PAIR | {"chosen": f" {text}"}))
    return uploads.keep(str(path), secret, address)


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "jsonl.gz", "csv.gz"])
def test_uploaded_file_is_listed_and_read_under_its_id(jobs, tmp_path, ending):
    text = {
        "jsonl": json.dumps(PAIR), "json": json.dumps([PAIR]),
        "csv": "prompt,chosen,rejected\nIt was, good., bad.\n",
    }[ending.removesuffix(".gz")].encode()  # fmt: skip
    path = tmp_path / f"mine.{ending}"
    path.write_bytes(gzip.compress(text) if ending.endswith(".gz") else text)
    choices = Choices(Settings(runs=tmp_path / "runs"), jobs)
    name = choices.uploads.keep(str(path), "ann", "here")
    assert (f"uploaded: mine.{ending} ({name})", name) in choices.data()  # at home for everybody
    assert load_pairs(choices.pairs(name)).chosen == [" good."]
    shown = {"prompt": "It was", "chosen": " good.", "rejected": " bad."}
    assert choices.uploads.summary(name, "") == {"count": 1, "dropped": {}, "pairs": [shown]}


def test_file_that_cannot_be_read_leaves_nothing(uploads, tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"chosen": 7}')
    with pytest.raises(DataError, match=r"mine.jsonl row 1: column 'chosen' is 7"):
        uploads.keep(str(path), "ann", "here")
    assert list(uploads.folder.iterdir()) == []
    assert path.exists()  # not Gradio's: it stays where it is


def test_upload_is_for_its_own_visitor_alone(jobs, tmp_path, unread):
    choices = Choices(Settings(runs=tmp_path / "runs", public=True), jobs)
    mine = bring(choices.uploads, tmp_path, "good.", "ann")
    assert mine in [one for _, one in choices.data("ann")]
    assert Path(choices.pairs(mine, "ann")).is_file()
    for other in ("bob", ""):
        assert mine not in [one for _, one in choices.data(other)]
        assert choices.uploads.summary(mine, other) is None
        with pytest.raises(DataError, match="is not in the list"):
            choices.pairs(mine, other)
    assert bring(choices.uploads, tmp_path, "good.", "bob") != mine  # each has a copy to remove


@pytest.mark.parametrize("upload", ["../runs", "upload-../../etc", "upload-0123456789ab", "", "."])
def test_id_that_nobody_brought_is_nothing(uploads, upload):
    assert uploads.rows(upload, "ann") is None


def test_ones_own_oldest_upload_makes_room_for_ones_own(uploads, tmp_path, clock, unread):
    theirs = bring(uploads, tmp_path, "good.", "bob")
    mine = []
    for number in range(module.MOST_EACH + 2):
        clock.now += 1
        mine.append(bring(uploads, tmp_path, number))
    assert set(uploads.listed("ann")) == set(mine[2:])
    assert uploads.listed("bob") == [theirs]


def test_upload_that_a_run_waits_for_stays(uploads, jobs, tmp_path, clock, unread, monkeypatch):
    monkeypatch.setattr(module, "MOST_EACH", 2)
    first = bring(uploads, tmp_path, 0)
    start(jobs, "reward", data=str(uploads.rows(first, "ann")))
    clock.now += 1
    second = bring(uploads, tmp_path, 1)
    third = bring(uploads, tmp_path, 2)
    assert set(uploads.listed("ann")) == {first, third}
    start(jobs, "reward", data=str(uploads.rows(third, "ann")))
    with pytest.raises(DataError, match="you have 2 files here, and runs need all of them"):
        bring(uploads, tmp_path, 1)
    assert second not in uploads.listed("ann")


def test_others_uploads_are_safe_for_an_hour(uploads, tmp_path, clock, unread, monkeypatch):
    monkeypatch.setattr(module, "MOST", 2)
    old = bring(uploads, tmp_path, 0, "ann")
    clock.now += 10
    bring(uploads, tmp_path, 0, "bob")
    with pytest.raises(DataError, match="this page keeps 2 files, which is its limit"):
        bring(uploads, tmp_path, 0, "eve")
    clock.now += module.SAFE_SECONDS - 10
    bring(uploads, tmp_path, 0, "eve")
    assert not (uploads.folder / old).exists()
    assert uploads.listed("bob")
    uploads.public = False  # at home there is one visitor
    bring(uploads, tmp_path, 1, "eve")
    assert len(uploads.listed("")) == 2


def test_address_that_keeps_most_makes_room_for_others(uploads, tmp_path, unread):
    """Three addresses with 33 tiny files each, of many secrets, fill the 100 places."""
    honest = bring(uploads, tmp_path, "good.", "ann", "home")
    for number in range(99):
        bring(uploads, tmp_path, number, f"{number}", f"crowd {number % 3}")
    assert bring(uploads, tmp_path, "good.", "bob", "school") in uploads.listed("bob")
    assert uploads.listed("ann") == [honest]
    assert len(list(uploads.folder.iterdir())) == module.MOST


def test_copies_of_an_address_and_of_all_are_bounded(uploads, tmp_path, clock, unread, monkeypatch):
    def kept():
        return {path.parent.name for path in uploads.folder.rglob(module.ROWS)}

    monkeypatch.setattr(module, "BYTES_NEARBY", 1000)
    monkeypatch.setattr(module, "MOST_BYTES", 2000)
    honest = bring(uploads, tmp_path, "good", "ann", "school")  # 60 bytes
    large = []
    for secret in "bcde":
        clock.now += 1
        large.append(bring(uploads, tmp_path, 300 * "a", secret, "school"))  # 356 each
    assert kept() == {honest, *large[2:]}
    clock.now += 1
    larger = bring(uploads, tmp_path, 850 * "a", "f", "elsewhere")  # 906
    with pytest.raises(DataError, match="this page keeps 4 files, which is its limit"):
        bring(uploads, tmp_path, 850 * "a", "g", "at home")
    assert kept() == {honest, *large[2:], larger}
    clock.now += module.SAFE_SECONDS
    last = bring(uploads, tmp_path, 850 * "a", "g", "at home")
    assert kept() == {larger, last}


def test_upload_leaves_the_disk_its_free_room(uploads, tmp_path, monkeypatch):
    monkeypatch.setattr("rlhf_demo.jobs.disk._free", lambda folder: 1999.0)
    with pytest.raises(
        DataError, match=r"has 2.0 GB left, and 2 GB must stay free: try again later"
    ):
        bring(uploads, tmp_path, "good")
    uploads.public = False
    assert bring(uploads, tmp_path, "good")


def test_files_of_one_address_are_limited_and_those_of_others_go_on(uploads, tmp_path, unread):
    for number in range(module.FROM_ADDRESS[0]):
        bring(uploads, tmp_path, number, str(number))
    with pytest.raises(Exception, match="too many files come from this address: wait 60 s"):
        bring(uploads, tmp_path, 0, "eve")
    bring(uploads, tmp_path, 0, "eve", "elsewhere")


def test_who_finds_no_place_is_told_to_try_again(uploads, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.05)
    with uploads.reading("here"):
        with pytest.raises(Busy):
            bring(uploads, tmp_path, 0)
        with uploads.reading("there"), pytest.raises(Busy), uploads.reading("elsewhere"):
            pass
    assert bring(uploads, tmp_path, 0) in uploads.listed("ann")


def test_free_place_is_kept_for_who_was_turned_away_and_had_less(uploads, monkeypatch, clock):
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.05)
    for address in ("eve", "mallory"):
        with uploads.reading(address):
            clock.now += 1
    with uploads.reading("eve"), uploads.reading("mallory"):  # nobody else asks: both again
        with pytest.raises(Busy), uploads.reading("ann"):
            pass
        with pytest.raises(Busy), uploads.reading("bob"):
            pass
    with pytest.raises(Busy), uploads.reading("eve"):  # the two places are Ann's and Bob's
        pass
    with uploads.reading("ann"):
        clock.now += 1
    with uploads.reading("eve"):  # Bob's place is left, and another
        with pytest.raises(Busy), uploads.reading("mallory"):
            pass
        clock.now += 16  # Bob does not come back
        with uploads.reading("mallory"):
            pass


def test_place_that_becomes_free_is_taken_at_once(uploads, tmp_path):
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with uploads.reading("here"):
            entered.set()
            leave.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(10)
    threading.Timer(0.1, leave.set).start()
    with uploads.reading("here"):
        assert leave.is_set()
    holder.join()


def test_form_lists_shows_and_trains_on_an_upload_for_its_visitor(jobs, tmp_path):
    settings = Settings(runs=tmp_path / "runs", public=True)
    choices = Choices(settings, jobs)
    tab = RewardTab(Shared(settings, jobs, choices, *[None] * 7))
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps(PAIR))
    listed, shown = tab.take_upload(str(path), "ann", HERE)
    mine = listed["value"]
    assert shown == tab.preview(mine, "ann")
    assert shown["count"] == 1
    assert "is not in the list" in tab.preview(mine, "bob")["error"]
    run = jobs.find(tab.shared.submit.reward("gpt2-mini", mine, "", {}, "ann", "here"))
    assert load_pairs(run.config["options"]["data"]).chosen == [" good."]
    with pytest.raises(DataError, match="is not in the list"):
        tab.shared.submit.reward("gpt2-mini", mine, "", {}, "bob", "here")
    path.write_text("{")
    assert "row 1 is not valid JSON" in tab.take_upload(str(path), "ann", HERE)[1]["error"]


def test_damaged_note_hides_one_upload_and_no_other(uploads, tmp_path, unread):
    broken, whole = (bring(uploads, tmp_path, text) for text in "ab")
    (uploads.folder / broken / module.ABOUT).write_bytes(b"\0" * 9)  # by a power cut
    assert uploads.listed("ann") == [whole]
    assert bring(uploads, tmp_path, "a") == broken
    assert broken in uploads.listed("ann")


def test_what_an_archive_adds_to_notes_of_uploads_is_not_kept_in_memory(uploads, tmp_path, unread):
    """Lists in lists in forty notes of a megabyte took 2.5 GB and a minute and a half."""
    whole = bring(uploads, tmp_path, "a")
    about = read_json(uploads.folder / whole / module.ABOUT)
    nested = json.loads("[" * 100 + "]" * 100)
    for number, added in ((1, nested), (2, [nested] * 1000)):
        folder = uploads.folder / f"upload-00000000000{number}"
        folder.mkdir()
        write_json(folder / module.ABOUT, about | {"x": added})
    assert uploads.listed("ann") == ["upload-000000000001", whole]  # the other one is too large
    assert [about.keys() for _, about in uploads._all()] == [about.keys()] * 2


def test_upload_whose_texts_hold_brackets_is_listed(uploads, tmp_path):
    """Its record could not be read: it was listed to nobody, and counted nowhere."""
    path = tmp_path / "mine.jsonl"
    row = {"chosen": '["{' * 200, "rejected": "\\" * 900 + "["}
    rows = [row | {"prompt": f"{number}{'[' * 600}"} for number in range(40)]
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    upload = uploads.keep(str(path), "ann", "here")
    assert uploads.listed("ann") == [upload]


def test_record_of_an_upload_is_read_once(uploads, tmp_path, unread, monkeypatch):
    """With a hundred, each list of data took 62 to 85 ms."""
    upload, read = bring(uploads, tmp_path, "a"), []
    of_file = uploads._read_about
    monkeypatch.setattr(uploads, "_read_about", lambda path: read.append(path) or of_file(path))
    assert [uploads.listed("ann") for _ in range(3)] == [[upload]] * 3
    assert len(read) <= 1


def test_upload_whose_record_cannot_be_read_is_not_kept(uploads, tmp_path, unread, monkeypatch):
    monkeypatch.setattr(module, "MOST_ABOUT", 9)
    with pytest.raises(DataError, match=r"about\.json is not valid JSON"):
        bring(uploads, tmp_path, "a")
    assert list(uploads.folder.iterdir()) == []


def test_upload_of_an_earlier_version_is_listed_by_its_id(uploads, tmp_path, unread):
    upload = bring(uploads, tmp_path, "a")
    assert uploads.label(upload).endswith(f" ({upload})")
    path = uploads.folder / upload / module.ABOUT
    write_json(path, {key: value for key, value in read_json(path).items() if key != "name"})
    assert uploads.listed("ann") == [upload]
    assert uploads.label(upload) == upload


@pytest.mark.parametrize("about", [{"x": 1}, [1], {"owner": 5, "at": 1.0, "summary": {}}, None])
def test_odd_note_of_an_upload_keeps_nobody_elses_from_being_kept(uploads, tmp_path, unread, about):
    odd = uploads.folder / "upload-0123456789ab"
    odd.mkdir(parents=True)
    (odd / "about.json").write_text(json.dumps(about))
    mine = bring(uploads, tmp_path, "good")
    assert uploads.listed("ann") == [mine] and uploads.listed("") == []


def test_copied_run_that_names_odd_data_keeps_nobodys_upload_away(
    uploads, jobs, tmp_path, unread, monkeypatch
):
    run = jobs.find(start(jobs, "reward"))
    for data in ("\0", "a" * 5000, "a/" * 5000):
        monkeypatch.setattr(type(run), "config", {"options": {"data": data}})
        bring(uploads, tmp_path, data[:9])
