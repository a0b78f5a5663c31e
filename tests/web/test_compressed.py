"""The page's files are compressed once, and nothing is compressed while somebody reads it."""

import asyncio
import gzip

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from rlhf_demo.web import compressed
from rlhf_demo.web.compressed import PIECE, Compressed

TEXT = b"let x = 1;\n" * 100_000
FILE = "/assets/index-1.js"


class Site:
    """An app with one file and one answer of its own, that notes how it was asked."""

    def __init__(self):
        self.asked = []
        routes = [
            Route(FILE, self.file),
            Route("/gradio_api/state.json", self.state),
            Route("/", self.page),
        ]
        self.app = Starlette(routes=routes)

    def file(self, request):
        self.asked.append(request.headers.get("accept-encoding"))
        return Response(TEXT, headers={"etag": '"1"'}, media_type="text/javascript")

    def state(self, request):
        self.asked.append(request.headers.get("accept-encoding"))
        return JSONResponse({})

    def page(self, request):
        self.asked.append(request.headers.get("accept-encoding"))
        return Response(f"<p>{len(self.asked)}</p>", media_type="text/html")

    async def __call__(self, scope, receive, send):
        await self.app(scope, receive, send)


async def get(app, path=FILE, method="GET", **headers):
    """Ask for a path; return the messages of the answer."""
    told = []

    async def send(message):
        told.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": raw}
    await app(scope, lambda: asyncio.Event().wait(), send)
    return told


def header(told, name):
    return dict(told[0]["headers"]).get(name)


def body(told):
    return b"".join(message["body"] for message in told[1:])


def test_file_is_compressed_once_and_read_once():
    site = Site()
    app = Compressed(site)

    async def two():
        return await asyncio.gather(*(get(app, accept_encoding="gzip, br") for _ in range(2)))

    for told in asyncio.run(two()):
        assert gzip.decompress(body(told)) == TEXT
        assert header(told, b"content-encoding") == b"gzip"
        assert header(told, b"content-length") == str(len(body(told))).encode()
        assert header(told, b"vary") == b"Accept-Encoding"
        assert header(told, b"etag") == b'"1"'
    assert site.asked == [None]


def test_answer_comes_in_pieces_so_that_a_slow_reader_holds_one(monkeypatch):
    monkeypatch.setattr(compressed, "PIECE", 1000)
    told = asyncio.run(get(Compressed(Site()), accept_encoding="gzip"))
    assert {len(message["body"]) for message in told[1:-1]} == {1000}
    assert [message["more_body"] for message in told[1:]] == [True] * (len(told) - 2) + [False]
    assert gzip.decompress(body(told)) == TEXT
    assert PIECE <= 100_000
    plain = asyncio.run(get(Compressed(Site())))
    assert {len(message["body"]) for message in plain[1:-1]} == {1000}
    assert [message["more_body"] for message in plain[1:]] == [True] * (len(plain) - 2) + [False]
    assert body(plain) == TEXT


@pytest.mark.parametrize(
    ("path", "method", "headers"),
    [
        (FILE, "GET", {}),
        (FILE, "GET", {"accept_encoding": "br"}),
        (FILE, "GET", {"accept_encoding": "gzip", "range": "bytes=0-9"}),
        (FILE, "HEAD", {"accept_encoding": "gzip"}),
        ("/gradio_api/state.json", "GET", {"accept_encoding": "gzip, br"}),
    ],
)
def test_what_is_not_kept_is_passed_on_and_compressed_by_nobody(path, method, headers):
    site = Site()
    told = asyncio.run(get(Compressed(site), path, method, **headers))
    assert told[0]["status"] == 200
    assert header(told, b"content-encoding") is None
    assert site.asked == [None]


def test_browser_that_has_the_file_is_not_sent_it_again():
    app = Compressed(Site())
    told = asyncio.run(get(app, accept_encoding="gzip", if_none_match='"1"'))
    assert (told[0]["status"], body(told), header(told, b"content-length")) == (304, b"", None)
    told = asyncio.run(get(app, accept_encoding="gzip", if_none_match='"0"'))
    assert (told[0]["status"], gzip.decompress(body(told))) == (200, TEXT)


def test_file_that_is_read_in_pieces_is_kept_and_holds_nothing_up():
    """Such an answer listens, while it is sent, for whether its reader leaves."""

    async def pieces(request):
        async def read():
            for start in range(0, len(TEXT), 100_000):
                await asyncio.sleep(0)
                yield TEXT[start : start + 100_000]

        return StreamingResponse(read(), media_type="text/javascript")

    app = Compressed(Starlette(routes=[Route(FILE, pieces)]))
    told = asyncio.run(asyncio.wait_for(get(app, accept_encoding="gzip"), 30))
    assert gzip.decompress(body(told)) == TEXT


def test_missing_file_is_not_kept():
    app = Compressed(Site())
    told = asyncio.run(get(app, "/assets/none.js", accept_encoding="gzip"))
    assert (told[0]["status"], app._kept) == (404, {})


def test_file_that_is_kept_is_answered_while_another_is_read():
    may_read = asyncio.Event()

    async def slow(request):
        await may_read.wait()
        return Response(TEXT)

    async def test():
        routes = [Route(FILE, Site().file), Route("/assets/slow.js", slow)]
        app = Compressed(Starlette(routes=routes))
        await get(app, accept_encoding="gzip")
        late = asyncio.create_task(get(app, "/assets/slow.js", accept_encoding="gzip"))
        await asyncio.sleep(0.05)
        told = await asyncio.wait_for(get(app, accept_encoding="gzip"), 30)
        assert gzip.decompress(body(told)) == TEXT and not late.done()
        may_read.set()
        await late

    asyncio.run(test())


@pytest.mark.parametrize(
    "path", ["/assets/./index-1.js", "/assets/a/../index-1.js", "/assets//x.js"]
)
def test_file_is_kept_under_one_name_only(path):
    """Gradio serves a file under many, which would fill what is kept."""
    app = Compressed(Starlette(routes=[Route("/assets/{path:path}", Site().file)]))
    told = asyncio.run(get(app, path, accept_encoding="gzip"))
    assert (body(told), app._kept) == (TEXT, {})


def test_files_beyond_the_bound_are_passed_on(monkeypatch):
    monkeypatch.setattr(compressed, "MOST_BYTES", 10)
    app = Compressed(Site())
    told = asyncio.run(get(app, accept_encoding="gzip"))
    assert (body(told), app._kept) == (TEXT, {})


def test_page_is_compressed_each_time_it_is_built():
    site = Site()
    app = Compressed(site)
    for number in (1, 2):
        told = asyncio.run(get(app, "/", accept_encoding="gzip, br"))
        assert gzip.decompress(body(told)) == f"<p>{number}</p>".encode()
        assert header(told, b"content-encoding") == b"gzip"
    assert body(asyncio.run(get(app, "/", accept_encoding="br"))) == b"<p>3</p>"
    assert site.asked == [None] * 3
