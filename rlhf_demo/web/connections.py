"""Connections that ask nothing, or send in chunks, are closed: they would use up the page."""

import asyncio
import resource
from typing import Any

import h11
from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS = 10.0
"""For the first line and the headers of a request; browsers send them at once."""
MOST_FILES = 10_000
"""Open files and connections, where the system allows that many; a usual limit is 1,024."""


class Protocol(H11Protocol):
    """The server's protocol, which by itself waits for a request without end.

    Requests say how long they are, as browsers' do. A body in chunks of one byte would keep the
    parser, and with it the whole page, busy for seconds before anything behind it is asked.
    """

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        next_event = self.conn.next_event

        def next_with_length() -> Any:
            event = next_event()
            if isinstance(event, h11.Request) and b"transfer-encoding" in dict(event.headers):
                self.send_400_response("say how long this request is (Content-Length)")
                return h11.NEED_DATA
            return event

        self.conn.next_event = next_with_length

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._await_request()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        self._await_request()

    def _await_request(self) -> None:
        self.loop.call_later(REQUEST_SECONDS, self._close_unless_asked, self.cycle)

    def _close_unless_asked(self, last: Any) -> None:
        if self.cycle is last and (last is None or last.response_complete):
            self.transport.close()


def bound_connections() -> None:
    """Let the page's server close what asks nothing, and have as many connections as it may."""
    HTTP_PROTOCOLS["auto"] = f"{__name__}:{Protocol.__name__}"  # Gradio passes no protocol on
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
