"""The addresses of milters, in Postfix's words; those of rspamd, and what else is told of both."""

from pathlib import Path

import pytest

from letterlock.base.config.filters import (
    MilterAddress,
    Rspamd,
    RspamdPlace,
    parse_field_name,
    parse_milter_address,
    parse_rspamd_place,
)
from letterlock.base.config.inbound import parse_authserv_id
from letterlock.base.config.load import ConfigErrors, parse_config


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
        *("unix:/run/m\0.sock", f"unix:/{'x' * 107}"),
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="an address such as"):
        parse_milter_address(text)


@pytest.mark.parametrize(
    ("text", "place", "formatted"),
    [
        ("http://localhost:11333", RspamdPlace(None, "localhost", 11333), "http://localhost:11333"),
        ("http://LOCALHOST/", RspamdPlace(None, "localhost", 11333), "http://localhost:11333"),
        ("http://127.0.0.1:1", RspamdPlace(None, "127.0.0.1", 1), "http://127.0.0.1:1"),
        ("http://[::1]:11333", RspamdPlace(None, "::1", 11333), "http://[::1]:11333"),
        ("unix:/run/r.sock", RspamdPlace("/run/r.sock"), "unix:/run/r.sock"),
    ],
)
def test_a_place_of_rspamd(text: str, place: RspamdPlace, formatted: str) -> None:
    assert parse_rspamd_place(text) == place
    assert str(place) == formatted


@pytest.mark.parametrize(
    "text",
    [
        *("", "localhost:11333", "https://localhost:11333", "http://", "http://:11333", "unix:r"),
        *("http://a:0", "http://a:65536", "http://a:x", "http://u:p@a", "http://a/checkv2"),
        *("http://a/?b", "http://a/#b", "http://[a]", "unix:/a\nb", f"unix:/{'x' * 107}"),
    ],
)
def test_what_is_no_place_of_rspamd(text: str) -> None:
    with pytest.raises(ValueError, match="an address such as"):
        parse_rspamd_place(text)


def test_a_mark_of_spam_is_the_name_of_a_field() -> None:
    assert parse_field_name("X-Spam-Flag") == "X-Spam-Flag"
    for text in ("", "X-Spam:", "X Spam", "x" * 77):
        with pytest.raises(ValueError, match="name of a header field"):
            parse_field_name(text)


MINIMAL = """
hostname = "mx.example.org"
domains = ["example.org"]
contact = "postmaster@example.org"
data_dir = "/var/lib/letterlock"
[filter]
"""


def test_rspamd_in_the_file() -> None:
    lines = 'rspamd = [{ url = "http://localhost:11333", settings_id = "in" }]'
    config = parse_config(MINIMAL + lines, Path("/etc/letterlock.toml"))
    place = RspamdPlace(None, "localhost", 11333)
    assert config.filter.rspamd == (Rspamd(place, settings_id="in"),)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('{ url = "x" }', "must be an address such as"),
        ("{ }", "must be given"),
        ('{ url = "unix:/r", mail = [] }', "at least one"),
        ('{ url = "unix:/r", mail = ["local", "local"] }', "stands here twice"),
        ('{ url = "unix:/r" }, { url = "unix:/r" }', "stands here twice"),
    ],
)
def test_a_mistake_in_it_is_told(lines: str, words: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        parse_config(f"{MINIMAL}rspamd = [{lines}]", Path("/etc/letterlock.toml"))
    assert [words in error.message for error in caught.value.errors] == [True]


def test_our_authserv_ids_are_tokens() -> None:
    """RFC 8601 §2.2, §2.5."""
    assert parse_authserv_id("mx.example.org") == "mx.example.org"
    for text in ("", "a b", "a;b", "a=b", '"a"', "\u00e9", "x" * 201):
        with pytest.raises(ValueError, match="without spaces"):
            parse_authserv_id(text)


def test_what_is_wrong_with_filters_is_found_with_its_key(tmp_path: Path) -> None:
    text = (
        'hostname = "mx.example.org"\ndomains = ["example.org"]\n'
        'contact = "postmaster@example.org"\ndata_dir = "data"\n'
        "[filter]\n"
        'milters = [{ address = "inet:localhost:1", mail = ["local", "local"] },\n'
        '  { address = "inet:localhost:1", mail = [] }]\n'
        'exempt = ["::/0"]\n'
    )
    with pytest.raises(ConfigErrors) as caught:
        parse_config(text, tmp_path / "letterlock.toml")
    told = str(caught.value)
    for fault in (
        "filter.milters[2].address: stands here twice",
        "filter.milters[1].mail[2]: stands here twice",
        "filter.milters[2].mail: must hold at least one",
        "filter.exempt[1]: ::/0 is too wide",
    ):
        assert fault in told
