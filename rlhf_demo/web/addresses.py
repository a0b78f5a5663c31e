"""Where a request comes from, for the limits that count by address.

Behind a proxy every request comes from the proxy, which appends the client's address to
`X-Forwarded-For`. Anybody can send that header too. So the page believes only as many entries, from
the right, as there are proxies in front of it (RLHF_DEMO_PROXIES).
"""

import ipaddress

import gradio as gr
from starlette.requests import Request

IPV6_PREFIX = 48
"""Bits of an IPv6 address that its holder cannot choose: homes are given 56 or 48, schools 48."""


def address_of(http: gr.Request | Request) -> str:
    """Return the address of the client; web/middleware.py has put it there."""
    return http.client.host if http.client else "unknown"


def client_address(peer: str, forwarded: list[str], proxies: int) -> str:
    """Return the address that a request counts for.

    Args:
        peer: who is connected to the server.
        forwarded: the lines of `X-Forwarded-For`, in order.
        proxies: number of proxies in front of the page.
    """
    entries = [entry.strip() for entry in ",".join(forwarded).split(",") if entry.strip()]
    believed = entries[-proxies] if 0 < proxies <= len(entries) else peer
    return _counted(believed) or _counted(peer) or "unknown"


def _counted(text: str) -> str | None:
    """Return an address as the limits count it, IPv6 by its network, or None if it is invalid."""
    host = text.partition("]")[0].lstrip("[")
    if host.count(":") == 1:  # IPv4 with a port
        host = host.partition(":")[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, IPV6_PREFIX), strict=False))
