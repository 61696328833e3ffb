"""The addresses of milters, in Postfix's words."""

import pytest

from letterlock.base.config.filters import MilterAddress, parse_milter_address


@pytest.mark.parametrize(
    ("text", "address", "formatted"),
    [
        ("unix:/run/m.sock", MilterAddress("/run/m.sock"), "unix:/run/m.sock"),
        ("local:/run/m.sock", MilterAddress("/run/m.sock"), "unix:/run/m.sock"),
        ("inet:localhost:8891", MilterAddress(None, "localhost", 8891), "inet:localhost:8891"),
        ("inet:127.0.0.1:1", MilterAddress(None, "127.0.0.1", 1), "inet:127.0.0.1:1"),
        ("inet:[::1]:8891", MilterAddress(None, "::1", 8891), "inet:[::1]:8891"),
        ("inet6:[::1]:8891", MilterAddress(None, "::1", 8891), "inet:[::1]:8891"),
    ],
)
def test_an_address(text: str, address: MilterAddress, formatted: str) -> None:
    assert parse_milter_address(text) == address
    assert str(address) == formatted


@pytest.mark.parametrize(
    "text",
    [
        *("", "unix:", "unix:m.sock", "/run/m.sock", "inet:", "inet:localhost", "inet:8891"),
        *("inet:localhost:0", "inet:localhost:65536", "inet:localhost:x", "inet:a b:1"),
        *("inet:8891@localhost", "inet:[nothing]:1", "inet:localhost:\u0663", "tcp:localhost:1"),
        f"unix:/{'x' * 107}",
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="an address such as"):
        parse_milter_address(text)
