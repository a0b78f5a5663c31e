"""The instructor: the only code that compares the password, and the token that it gives for it.

All other code compares the token. It cannot be guessed, survives a restart of the app, and becomes
invalid when the password is changed.
"""

import hashlib
import hmac
import ipaddress
import threading
from collections.abc import Callable
from pathlib import Path

from rlhf_demo.errors import Refused
from rlhf_demo.files import kept_key
from rlhf_demo.rate_limit import RateLimit

KEY_FILE = "instructor.key"
EACH_ADDRESS = (10, 0.1)
"""Wrong passwords from one address: (at once, then per second)."""
ALL_TOGETHER = (20, 0.2)
"""The same for all addresses together that have never given the right password."""
LEFT_TO_OTHERS = 3
"""Permits of ALL_TOGETHER that an address must leave to others after it has sent a wrong password
within a day, and as many again for each network around it that has sent one. So an attacker with
many addresses uses each of them once, and then cannot lock out anyone who comes from elsewhere."""
NETWORKS = {4: (24, 16), 6: (40, 32)}
"""Version of an address -> bits of the networks around it."""
DAY = 86_400.0
OWN_ADDRESSES = {"127.0.0.1", "::/48"}
"""Addresses of this machine itself, as web/addresses.py writes them."""


class Instructor:
    """Exchanges the password for the token.

    A try beyond the limits is refused before any comparison, and costs nothing. This machine, and
    addresses that have given the right password before, have their own limits, so no flood from
    elsewhere locks them out.

    Attributes:
        token: what the right password is exchanged for; None if the page has no password.
    """

    def __init__(self, password: str | None, clock: Callable[[], float], folder: Path) -> None:
        self._password = password
        self.token = None if password is None else _token(password, folder)
        self._each = RateLimit(*EACH_ADDRESS, clock)
        self._all = RateLimit(*ALL_TOGETHER, clock)
        self._harmless = RateLimit(1, 1 / DAY, clock)  # networks: a wrong password takes the permit
        self._known = set(OWN_ADDRESSES)
        self._lock = threading.Lock()  # or many tries at once would use the same last permit

    def admit(self, given: str, address: str) -> str:
        """Return the token if `given` is the password, or the token itself.

        Raises:
            Refused: it is not the password, this page has none, or too many were tried, from
                this address or from all together.
        """
        if self._password is None or self.token is None:
            raise Refused(
                "this page has no instructor's password: its owner can set RLHF_DEMO_PASSWORD"
            )
        if self.is_token(given):  # it is as long as a key, so guesses need no limit
            return self.token
        networks = _networks(address)
        with self._lock:
            known = address in self._known
            self._each.check(address, "passwords come from this address")
            if not known:
                left = LEFT_TO_OTHERS * sum(not self._harmless.has(network) for network in networks)
                self._all.check("all", "wrong passwords come in", left)
            if _same(given, self._password):
                self._known.add(address)
                return self.token
            self._each.allow(address)
            if not known:
                self._all.allow("all")
                for network in networks:
                    self._harmless.allow(network)
        raise Refused("this is not the instructor's password: ask the owner of this page")

    def is_token(self, secret: str) -> bool:
        """Say whether this is the token."""
        return self.token is not None and _same(secret, self.token)


def _networks(address: str) -> list[str]:
    """Return an address and the networks around it."""
    try:
        own = ipaddress.ip_network(address)
    except ValueError:  # "unknown"
        return [address]
    return [address, *(str(own.supernet(new_prefix=bits)) for bits in NETWORKS[own.version])]


def _same(first: str, second: str) -> bool:
    """Compare in a time that does not reveal how many characters agree."""
    return hmac.compare_digest(
        first.encode("utf-8", "surrogatepass"), second.encode("utf-8", "surrogatepass")
    )


def _token(password: str, folder: Path) -> str:
    """Make the token of a password from a random key that is kept in the folder."""
    key = kept_key(folder / KEY_FILE)
    return hmac.new(key, password.encode(), hashlib.sha256).hexdigest()
