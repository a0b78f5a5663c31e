import pytest

from rlhf_demo.web.addresses import client_address


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "counted"),
    [
        ("203.0.113.7", [], 0, "203.0.113.7"),
        # Nobody is believed: what a client invents changes nothing.
        ("127.0.0.1", ["6.6.6.6"], 0, "127.0.0.1"),
        # One proxy wrote the last entry; what stands before it came from the client.
        ("10.0.0.1", ["198.51.100.9"], 1, "198.51.100.9"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.9"], 1, "198.51.100.9"),
        ("10.0.0.1", ["6.6.6.6", "198.51.100.9"], 1, "198.51.100.9"),
        # Two proxies: the outer one wrote the last but one.
        ("10.0.0.1", ["6.6.6.6, 198.51.100.9, 10.0.0.2"], 2, "198.51.100.9"),
        # Somebody came past the proxies, or they wrote nothing.
        ("203.0.113.7", [], 1, "203.0.113.7"),
        ("203.0.113.7", ["6.6.6.6"], 2, "203.0.113.7"),
        ("203.0.113.7", ["unknown"], 1, "203.0.113.7"),
        # Forms that proxies write.
        ("10.0.0.1", ["198.51.100.9:4711"], 1, "198.51.100.9"),
        ("10.0.0.1", ["::ffff:198.51.100.9"], 1, "198.51.100.9"),
        ("10.0.0.1", ["[2001:db8:1:2:3:4:5:6]:4711"], 1, "2001:db8:1::/48"),
        # Whoever has an IPv6 address has up to 2^80 of them.
        ("2001:db8:1:2:ffff::1", [], 0, "2001:db8:1::/48"),
        ("2001:db8:1:ffff::1", [], 0, "2001:db8:1::/48"),
        ("fe80::1%eth0", [], 0, "fe80::/48"),
        ("", [], 0, "unknown"),
        ("testclient", [], 0, "unknown"),
    ],
)
def test_address_that_a_request_counts_for(peer, forwarded, proxies, counted):
    assert client_address(peer, forwarded, proxies) == counted
