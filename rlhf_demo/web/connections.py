"""Close connections that send no request, read no answer, send in chunks, or exceed a limit.

They would exhaust the server.
"""

import asyncio
import logging
import resource
import socket
import time
from collections import Counter
from typing import Any, ClassVar

import h11
from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import get_remote_addr

from rlhf_demo.errors import ConfigError
from rlhf_demo.web import refusals
from rlhf_demo.web.addresses import client_address

REQUEST_SECONDS = 10.0
"""Time for the first line and the headers of a request; browsers send them at once."""
UNREAD_SECONDS = 30.0
"""How long a client may read nothing of an answer."""
UNSENT_BYTES = 128_000
"""How much of an answer the system holds for a client that it cannot send yet. Otherwise it holds
megabytes, and asks for more only when a third of them are sent: after 38 s at 35 kB/s."""
MOST_UNREAD, MOST_UNREAD_OF_ALL = 20_000_000, 100_000_000
"""Bytes of answers that the clients of one address, and all clients, have begun to read. A class of
sixty that opens the page at once waits for 18 MB."""
MOST_FILES = 10_000
"""Open files and connections, where the system allows that many; a usual limit is 1,024."""
SHARE = 4
"""An address gets another connection while it has less than one in this many of the free ones. So
an address that opens all it can has 1,000 of 5,000; ten such addresses have 357 each, and 1,430
stay free for others."""
MOST_HEADERS = 100
"""Headers of a request; browsers send at most 40. Each layer of the page reads them all: 12,000
tiny ones take it 50 to 100 ms."""
MOST_HEADER_BYTES = 16_000
"""Bytes of all headers of a request together. 60 kB in one of them can take seconds to read."""
MOST_ADDRESS = 2000
"""Characters of a path with its query; the page's longest has 300. 60 kB of parameters take 64 ms
to read, before anything counts the request."""
TOO_MANY_HEADERS = f"send at most {MOST_HEADERS} headers"
REPEATED = (
    "socket.accept() out of system resource", "Invalid HTTP request received", refusals.REFUSED,
    refusals.FAILED_AT,
)  # fmt: skip
"""Log lines that a flood would write for each connection or invalid request."""
QUIET_SECONDS = 60.0
"""Seconds between two equal lines of this kind."""


class Protocol(H11Protocol):
    """The server's protocol, which would otherwise wait for a request for ever.

    Requests must state their length, as browsers do. A body in chunks of one byte would keep the
    parser, and with it the whole page, busy for seconds before our checks see it.

    Attributes:
        most: connections of all addresses: half of the files that may be open, as the system hands
            over thousands at once before one of them can be closed.
        share: see SHARE; 0 behind a proxy, from which all connections come: no bound by address.
    """

    most: ClassVar[int] = MOST_FILES // 2
    share: ClassVar[int] = SHARE
    _of_address: ClassVar[Counter[str]] = Counter()
    _unread: ClassVar[Counter[str]] = Counter()

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._address: str | None = None  # while the connection is counted
        self._emptied = 0  # how often the client has read what waited to be sent
        self._awaits_reader = False
        self._held = 0  # bytes of the answer that the client reads slowly
        self._lines = 0  # of the head that is arriving
        next_event = self.conn.next_event

        def next_checked() -> Any:
            event = next_event()
            if isinstance(event, h11.Request):
                self._lines = 0
            wrong = _wrong(event) if isinstance(event, h11.Request) else ""
            if wrong:
                self.send_400_response(wrong)
                return h11.NEED_DATA
            return event

        self.conn.next_event = next_checked

    def data_received(self, data: bytes) -> None:
        """Parse what arrives, unless a head has too many lines, in however many pieces it comes.

        A head is parsed when it is whole, and a long one takes 13 ms.
        """
        if self.conn.their_state is h11.IDLE:
            self._lines += data.partition(b"\r\n\r\n")[0].count(b"\n")
        if self._lines > MOST_HEADERS:
            self.send_400_response(TOO_MANY_HEADERS)
            return
        super().data_received(data)

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for the first request, unless there are too many connections."""
        peer = get_remote_addr(transport)
        address = client_address(peer[0] if peer else "", [], 0)
        if self._of_address[address] * self.share >= self.most - len(self.connections):
            transport.abort()
            return
        transport.get_extra_info("socket").setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES
        )
        self._of_address[address] += 1
        self._address = address
        super().connection_made(transport)
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection."""
        if self._address is None:
            return
        super().connection_lost(exc)
        self._hold(0)
        self._of_address[self._address] -= 1
        if not self._of_address[self._address]:
            del self._of_address[self._address]

    def _should_upgrade(self) -> bool:
        return False  # the page speaks HTTP only, and refuses in fewer words than the server's own

    def on_response_complete(self) -> None:
        """Begin to wait for the next request.

        One that has arrived already is not read, however many headers it has: no browser sends it
        before it has the answer to the last one.
        """
        if self.conn.trailing_data[0]:
            self.transport.close()
        super().on_response_complete()
        self._await_request()

    def pause_writing(self) -> None:
        """Count what a slow client has not read, and start the timer for it, unless it runs."""
        super().pause_writing()
        if not self._awaits_reader:
            self._await_reader()
        self._hold(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Note that the client reads."""
        self._hold(0)
        self._emptied += 1
        super().resume_writing()

    def _hold(self, size: int) -> None:
        """Count the bytes that wait for this client; close the connections with most if too many.

        Behind a proxy, all connections come from one address, so only the bound for all holds.
        """
        unread, address = self._unread, self._address or ""
        unread[address] += size - self._held
        self._held = size
        while self.share and unread[address] > MOST_UNREAD:
            self._close_largest(address)
        while unread.total() > MOST_UNREAD_OF_ALL:
            self._close_largest(unread.most_common(1)[0][0])
        if not unread[address]:
            del unread[address]

    def _close_largest(self, address: str) -> None:
        every = (each for each in self.connections if isinstance(each, Protocol))
        own = (each for each in every if (each._address or "") == address)
        largest = max(own, key=lambda each: each._held)
        largest._hold(0)
        largest.transport.abort()

    def _await_reader(self) -> None:
        self._awaits_reader = True
        self.loop.call_later(UNREAD_SECONDS, self._close_unless_read, self._progress())

    def _close_unless_read(self, before: tuple[int, int]) -> None:
        self._awaits_reader = False
        if not self.flow.write_paused:
            return
        if self._progress() == before:
            self.transport.abort()
        else:
            self._await_reader()

    def _progress(self) -> tuple[int, int]:
        """Return what changes whenever the client reads: nothing is added while writing pauses."""
        return self._emptied, self.transport.get_write_buffer_size()

    def _await_request(self) -> None:
        self.loop.call_later(REQUEST_SECONDS, self._close_unless_asked, self.cycle)

    def _close_unless_asked(self, last: Any) -> None:
        if self.cycle is last and (last is None or last.response_complete):
            self.transport.close()


def _wrong(request: h11.Request) -> str:
    """Say why a request is refused before the page reads it; empty if it is not."""
    if len(request.target) > MOST_ADDRESS:
        return f"use an address of at most {MOST_ADDRESS:,} characters"
    headers = list(request.headers)
    if len(headers) > MOST_HEADERS:
        return TOO_MANY_HEADERS
    if sum(len(name) + len(value) for name, value in headers) > MOST_HEADER_BYTES:
        return (
            f"send at most {MOST_HEADER_BYTES:,} bytes of headers; an old cookie may be the cause"
        )
    if b"transfer-encoding" in dict(headers):
        return "state the length of this request (Content-Length)"
    return ""


class Seldom(logging.Filter):
    """Lets a repeated line of a flood into a log once a minute."""

    def __init__(self) -> None:
        super().__init__()
        self._logged_at: dict[tuple[Any, ...], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a line is written."""
        if not str(record.msg).startswith(REPEATED):
            return True
        kind: tuple[Any, ...] = (str(record.msg).partition("\n")[0],)
        if record.exc_info:  # the server's own failure: logged once for each kind and function
            kind += record.exc_info[0], record.args
        now = time.monotonic()
        if now - self._logged_at.get(kind, -QUIET_SECONDS) < QUIET_SECONDS:
            return False
        self._logged_at[kind] = now
        return True


def check_port(server_name: str, port: int | None) -> None:
    """Check that the page can listen on its port, where Gradio would silently take another one.

    Raises:
        ConfigError: it cannot.
    """
    if port is None:
        return
    family = socket.AF_INET6 if ":" in server_name else socket.AF_INET
    try:
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((server_name.strip("[]"), port))
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"the page cannot listen on port {port} of {server_name} ({error}): end the program "
            "that uses it, such as the page that you stopped just now, or choose another port in "
            "GRADIO_SERVER_PORT"
        ) from None


def bound_connections(proxies: int) -> None:
    """Let the page's server close idle connections, and open as many as the system allows.

    Args:
        proxies: number of proxies in front of the page.
    """
    for logger in ("asyncio", "uvicorn.error", refusals.log.name):
        logging.getLogger(logger).addFilter(Seldom())
    HTTP_PROTOCOLS["auto"] = f"{__name__}:{Protocol.__name__}"  # Gradio passes no protocol on
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    Protocol.most, Protocol.share = most // 2, 0 if proxies else SHARE
