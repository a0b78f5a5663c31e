"""What visitors put into Gradio's cache: as many files, and as much, as fits."""

import asyncio
import gc
import os
import shutil
import time
from pathlib import Path

import gradio as gr
import pytest
from gradio import route_utils, routes
from gradio.routes import App
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from rlhf_demo.errors import ConfigError
from rlhf_demo.web import cache as module
from rlhf_demo.web.cache import MEGABYTE, UploadGate, own_cache, received
from rlhf_demo.web.gradio_fixes import apply_fixes
from rlhf_demo.web.refusals import Refusals
from tests import event_loops

UPLOAD = "/gradio_api/upload"

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Gradio's event loops


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    return tmp_path / "served"


@pytest.fixture
def public():
    """The limits are on."""
    return True


@pytest.fixture
def page(folder, public, clock, monkeypatch):
    """A client of Gradio's own routes with the gate before them."""
    monkeypatch.setattr(module, "LEAST_BYTES", 0)
    apply_fixes()
    gate = Middleware(UploadGate, folder=folder, public=public, clock=clock)
    with gr.Blocks() as demo:
        pass
    demo.max_file_size = 20 * MEGABYTE  # `launch` would set it
    app = App.create_app(demo, app_kwargs={"middleware": [gate, Middleware(Refusals)]})
    with TestClient(app) as client:
        yield client
    gc.collect()  # Gradio leaves event loops unclosed: let that be noticed here and not later


def sent(page, count=1, size=10, name="a"):
    names = [f"{name}{number}" for number in range(count)]
    files = [("files", (f"{one}.jsonl", one.encode() + bytes(size))) for one in names]
    return page.post(UPLOAD, files=files)


def kept(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_file_goes_where_it_went(page, folder):
    assert sent(page).status_code == 200
    assert len(kept(folder)) == 1


def test_request_with_many_files_leaves_none(page, folder):
    assert sent(page, module.MOST_FILES).status_code == 200
    for count in (module.MOST_FILES + 1, 900):
        answer = sent(page, count, name="b")
        assert (answer.status_code, answer.json()) == (
            413,
            {"error": "send at most 4 files at once"},
        )
    assert len(kept(folder)) == module.MOST_FILES


def test_prefix_of_a_proxy_is_no_way_around(page, folder):
    page.app.root_path = "/lab/p"
    files = [("files", (f"{name}.jsonl", b"x")) for name in range(module.MOST_FILES + 1)]
    assert page.post(f"/lab/p{UPLOAD}", files=files).status_code == 413
    assert page.post(f"/lab/p{UPLOAD}", files=files[1:]).status_code == 200
    assert len(kept(folder)) == module.MOST_FILES


def test_mark_between_files_is_seen_across_the_parts_of_a_body(page, monkeypatch):
    body = "".join(
        f'--x1x\r\nContent-Disposition: form-data; name="files"; filename="{n}"\r\n\r\n{n}\r\n'
        for n in range(9)
    )
    pieces = [body.encode()[at : at + 3] for at in range(0, len(body), 3)]
    headers = {
        "content-type": "multipart/form-data; boundary=x1x",
        "content-length": str(len(body)),
    }
    assert page.post(UPLOAD, content=iter(pieces), headers=headers).status_code == 413


@pytest.mark.parametrize("piece", [3, 10**6])
@pytest.mark.parametrize("padding", [b" ", b"\t", b"\n"])
def test_padding_after_a_mark_is_refused_and_not_read(page, folder, padding, piece):
    start = b'--x1x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\na\r\n'
    body = start + b"--x1x" + padding * (200 if piece == 3 else 10 * MEGABYTE)
    headers = {
        "content-type": "multipart/form-data; boundary=x1x",
        "content-length": str(len(body)),
    }
    began = time.process_time()
    pieces = (body[at : at + piece] for at in range(0, len(body), piece))
    answer = page.post(UPLOAD, content=pieces, headers=headers)
    assert (answer.status_code, answer.json()) == (
        400,
        {"error": "this upload is not written as a browser writes it"},
    )
    assert time.process_time() - began < 0.5  # it took 2.3 s
    assert kept(folder) == []


def test_upload_of_unknown_length_is_refused(page):
    headers = {"content-type": "multipart/form-data; boundary=x"}
    assert page.post(UPLOAD, content=iter([b"--x"]), headers=headers).status_code == 411


def test_one_address_sends_so_many_megabytes_at_once(page, clock):
    statuses = [sent(page, size=19 * MEGABYTE, name=str(n)).status_code for n in range(20)]
    assert statuses == [200] * 19 + [429]  # 20 permits each, of 380
    clock.now += 20
    assert sent(page, size=19 * MEGABYTE, name="later").status_code == 200


@pytest.mark.parametrize("public", [False])
def test_ones_own_machine_counts_no_megabytes(page, monkeypatch):
    monkeypatch.setattr(UploadGate, "_may_send", lambda *_: False)
    assert sent(page).status_code == 200


def test_upload_leaves_the_disk_its_free_room(page, folder, monkeypatch):
    monkeypatch.setattr("rlhf_demo.jobs.disk._free", lambda folder: 1999.0)
    assert sent(page).status_code == 507
    assert kept(folder) == []


def test_oldest_files_make_room_and_young_ones_are_safe(page, folder, clock, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 3000)
    names = []
    for number in range(2):
        names += sent(page, size=1000, name=str(number)).json()
        os.utime(names[-1], (clock.now + number,) * 2)
    assert sent(page, size=1000, name="c").status_code == 507
    clock.now += module.SAFE_SECONDS + 0.5
    assert sent(page, size=1000, name="d").status_code == 200
    assert [os.path.exists(name) for name in names] == [False, True]


def test_files_and_folders_that_go_while_the_gate_looks_are_no_error(page, folder, monkeypatch):
    """Thirty phones that uploaded at once: one read `Internal Server Error`."""
    monkeypatch.setattr(module, "LOOK_SECONDS", -1.0)
    sent(page, count=3)
    walk = os.walk

    def walked(top):
        for row in walk(top):
            if row[2]:
                shutil.rmtree(row[0])
            yield row

    monkeypatch.setattr(module.os, "walk", walked)
    assert sent(page, name="b").status_code == 200
    assert len(kept(folder)) == 1


def test_cache_is_looked_through_once_for_many_uploads(page, folder, clock, monkeypatch):
    """After a few hundred tiny files, each took seconds of a core, and voters waited 30 s."""
    walk, looks = os.walk, []
    monkeypatch.setattr(module.os, "walk", lambda top: looks.append(top) or walk(top))
    for number in range(20):
        assert sent(page, size=1, name=str(number)).status_code == 200
    assert len(looks) == 1
    clock.now += module.LOOK_SECONDS + 1
    assert sent(page, name="later").status_code == 200
    assert len(looks) == 2
    assert len(kept(folder)) == 21


def test_room_that_a_look_left_is_shared_by_the_uploads_after_it(page, folder, monkeypatch):
    monkeypatch.setattr(module, "LEAST_BYTES", 100)
    monkeypatch.setattr(module, "MOST_BYTES", 3000)
    answers = [sent(page, size=600, name=str(number)).status_code for number in range(6)]
    assert answers == [200] * 4 + [507] * 2
    assert len(kept(folder)) == 4


def test_zips_of_runs_take_no_room_from_uploads(page, folder, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 3000)
    archive = folder / module.DOWNLOADS / "abc" / "ppo-a.zip"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(bytes(3000))
    os.utime(archive, (0, 0))
    assert sent(page, size=1000).status_code == 200
    assert archive.exists()


def test_addresses_that_sent_most_make_room_for_others(page, folder, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 6500)
    monkeypatch.setattr(module, "SPARE", 7000)  # not a byte
    honest, *crowd = (TestClient(page.app, client=(name, 1)) for name in "habc")
    [first] = sent(honest, size=1000, name="first").json()
    for n in range(9):
        sent(crowd[n % 3], size=1000, name=str(n))
    assert sent(honest, size=1000, name="second").status_code == 200
    assert os.path.exists(first)
    assert len(kept(folder)) == 6


def test_what_gradio_did_not_put_there_makes_no_room(page, folder, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 3000)
    notes = [folder / "thesis.tex", folder / ".ssh" / "id_rsa", folder / ("a" * 64) / "b" / "c"]
    for note in notes:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_bytes(bytes(3000))
        os.utime(note, (0, 0))
    assert sent(page, size=1000).status_code == 200
    assert all(note.exists() for note in notes)


# -- the folder ------------------------------------------------------------------------------------


@pytest.mark.parametrize("owners", [None, "gradio"])
def test_cache_is_a_folder_of_the_page_alone(tmp_path, monkeypatch, owners):
    if owners:  # where other apps keep files too
        monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / owners))
    else:
        monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    made = own_cache(tmp_path / "runs")
    assert made == tmp_path / (owners or "runs") / "rlhf-demo-served"
    assert made.stat().st_mode & 0o777 == 0o700
    (made / "tmp1").touch()
    assert own_cache(tmp_path / "runs") == made  # at the next start


def test_cache_without_its_mark_is_known_by_the_names_in_it(tmp_path, monkeypatch):
    """Gradio removed the mark when the page ended, and the page did not start again."""
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    cache = own_cache(tmp_path / "runs")
    for name in ("0" * 64, module.DOWNLOADS):
        (cache / name).mkdir()
    (cache / "tmp1a_b2c3d").touch()
    (cache / module.MARK).unlink()
    assert own_cache(tmp_path / "runs") == cache
    assert (cache / module.MARK).is_file()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_cache_of_another_account_is_refused(tmp_path, monkeypatch):
    """In a folder like /tmp, it made ours first, and could put a link there at any time."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    (tmp_path / module.FOLDER).mkdir(mode=0o777)
    os.chown(tmp_path / module.FOLDER, 65534, -1)
    with pytest.raises(ConfigError, match="belongs to another account: name another folder in GRA"):
        own_cache(tmp_path / "runs")


def linked(folder, home):
    folder.parent.mkdir(exist_ok=True)
    folder.symlink_to(home)


def with_linked_downloads(folder, home):
    own_cache(folder.parent)
    (folder / module.DOWNLOADS).symlink_to(home)


def of_somebody_else(folder, home):
    shutil.copytree(home, folder)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (linked, "is a link"),
        (with_linked_downloads, "is a link, or there is one in it"),
        (of_somebody_else, "did not put there"),
    ],
)
def test_folder_that_leads_to_others_files_is_refused(tmp_path, monkeypatch, make, told):
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").touch()
    make(tmp_path / "runs" / module.FOLDER, home)
    with pytest.raises(ConfigError, match=told):
        own_cache(tmp_path / "runs")
    assert (home / "thesis.tex").exists()
    assert [path.name for path in home.iterdir()] == ["thesis.tex"]


# -- while uploads arrive --------------------------------------------------------------------------

HEAD = b'--x\r\nContent-Disposition: form-data; name="%s"; filename="a.jsonl"\r\n\r\n'


def scope_of(address, length):
    headers = {"content-type": "multipart/form-data; boundary=x", "content-length": str(length)}
    return {
        "type": "http", "method": "POST", "path": UPLOAD, "query_string": b"", "root_path": "",
        "client": (address, 1), "server": ("127.0.0.1", 80), "scheme": "http",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip


class Sender:
    """Sends an upload as far as it is told, then waits or breaks off."""

    def __init__(self, page, address, length):
        self.pieces, self.statuses = asyncio.Queue(), []
        self.task = asyncio.create_task(
            page.app(scope_of(address, length), self.pieces.get, self.answered)
        )

    def send(self, body, last=False):
        self.pieces.put_nowait({"type": "http.request", "body": body, "more_body": not last})

    def break_off(self):
        self.pieces.put_nowait({"type": "http.disconnect"})

    async def answered(self, message):
        self.statuses += [message["status"]] if "status" in message else []


async def until(true):
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that within 5 s")


def test_what_a_broken_off_upload_leaves_is_removed(page, folder):
    async def test():
        sender = Sender(page, "a", 5000)
        sender.send(HEAD % b"files" + bytes(3000))
        await until(lambda: len(kept(folder)) == 1)
        sender.break_off()
        await asyncio.wait([sender.task])

    event_loops.run(test())
    assert kept(folder) == []


def test_same_file_uploaded_by_a_class_is_read_and_removed_by_each(page, folder):
    paths = [Path(path) for _ in range(12) for path in sent(page).json()]
    for path in paths:
        with received(path):
            assert path.read_bytes() == b"a0" + bytes(10)
    assert list(folder.iterdir()) == []


def test_names_that_senders_give_their_uploads_are_not_kept(page):
    known = len(routes.file_upload_statuses._statuses)
    for number in range(9):
        answer = page.post(f"{UPLOAD}?upload_id={number}", files=[("files", ("a.csv", b"x"))])
        assert answer.status_code == 200
    assert len(routes.file_upload_statuses._statuses) == known


def test_part_that_is_no_file_is_refused_before_it_is_kept_in_memory(page, folder):
    async def test():
        sender = Sender(page, "a", 9_000_000)
        sender.send(b'--x\r\nContent-Disposition: form-data; name="files"\r\n\r\nabc')
        await asyncio.wait([sender.task], timeout=5)
        assert sender.statuses == [400]

    event_loops.run(test())
    assert kept(folder) == []


def test_names_of_files_that_are_gone_are_forgotten(page):
    blocks = page.app.get_blocks()
    [gone] = sent(page, name="gone").json()
    [there] = sent(page, name="there").json()
    os.remove(gone)
    route_utils.delete_files_created_by_app(blocks, 86400)
    assert {str(path) for path in blocks.upload_file_set} == {there}


def test_file_that_gradio_does_not_ask_for_is_removed(page, folder):
    answer = page.post(UPLOAD, files=[("others", ("a.jsonl", bytes(9)))])
    assert (answer.status_code, answer.json()) == (200, [])
    assert kept(folder) == []


def test_uploads_that_never_end_make_room_for_others(page, folder, monkeypatch):
    """Three addresses promise 18 kB each of the 20 kB that there are in all, and send no more."""
    monkeypatch.setattr(module, "MOST_BYTES", 20_000)

    async def test():
        slow = [Sender(page, address, 6000) for address in "abc"]
        for one in slow:
            one.send(HEAD % b"files" + bytes(1000))
        await until(lambda: len(kept(folder)) == 3)
        honest = Sender(page, "h", 4000)
        honest.send(HEAD % b"files" + bytes(1000) + b"\r\n--x--\r\n", last=True)
        await asyncio.wait([honest.task])
        assert honest.statuses == [200]
        for one in slow:
            one.send(bytes(1000))
        await until(lambda: sum(one.task.done() for one in slow) == 1)
        assert [one.statuses for one in slow if one.task.done()] == [[507]]
        for one in slow:
            one.break_off()
        await asyncio.wait([one.task for one in slow])

    event_loops.run(test())
    assert len(kept(folder)) == 1


def test_tiny_files_fill_the_cache_too_and_leave_no_folders(page, folder, clock, monkeypatch):
    monkeypatch.setattr(module, "LEAST_BYTES", 1000)
    monkeypatch.setattr(module, "MOST_BYTES", 3500)
    monkeypatch.setattr(module, "SPARE", 4000)  # not a byte
    for number in range(9):
        [name] = sent(page, size=1, name=str(number)).json()
        os.utime(name, (clock.now - 700,) * 2)
    assert len(kept(folder)) == len(list(folder.iterdir())) == 4
