"""RFC 8555 §7.1: objects of a server, read tolerantly and within bounds."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.acme.fields import (
    MAX_TEXT_CHARACTERS,
    MAX_URL_CHARACTERS,
    Fields,
    ObjectError,
    Url,
    format_line,
    parse_moment,
    parse_object,
    parse_url,
)

URLS = [
    ("https://ca.example/dir", Url("https://ca.example/dir", "ca.example", 443, "/dir")),
    ("https://CA.example", Url("https://CA.example", "ca.example", 443, "/")),
    ("https://ca.example:14000/a?b=%2F", Url("", "ca.example", 14000, "/a?b=%2F")),
    ("https://192.0.2.1/x", Url("", "192.0.2.1", 443, "/x")),
    ("https://[2001:db8::1]:8443/x~y_z", Url("", "2001:db8::1", 8443, "/x~y_z")),
]


@pytest.mark.parametrize(("text", "url"), URLS)
def test_a_url_keeps_its_text(text: str, url: Url) -> None:
    """RFC 8555 §6.4: what is signed is the URL as the server gave it."""
    parsed = parse_url(text)
    assert (parsed.host, parsed.port, parsed.target) == (url.host, url.port, url.target)
    assert str(parsed) == text


@pytest.mark.parametrize(
    "text",
    [
        "http://ca.example/",
        "https:///x",
        "https://user@ca.example/",
        "https://ca.example/#part",
        "https://ca.example/a b",
        "https://ca.example/a\r\nX: y",
        'https://ca.example/"',
        "https://ca.example?x",
        "https://ca.example:0/",
        "https://ca.example:65536/",
        "https://ca.example:/",
        "https://ca.example/ä",
        "//ca.example/",
        "/relative",
        "",
        "https://ca.example/" + "a" * MAX_URL_CHARACTERS,
    ],
)
def test_what_is_no_https_url_is_refused(text: str) -> None:
    """RFC 8555 §6.1: HTTPS only; and nothing that could end a line of a request."""
    with pytest.raises(ObjectError, match="is not a URL"):
        parse_url(text)


MOMENTS = [
    ("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
    ("2026-03-01t12:00:00.5z", datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)),
    ("2026-03-01T12:00:00.123456789Z", datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)),
    ("2026-03-01T14:00:00+02:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
]


@pytest.mark.parametrize(("text", "moment"), MOMENTS)
def test_a_time_is_that_of_rfc_3339(text: str, moment: datetime) -> None:
    """RFC 3339 §5.6."""
    assert parse_moment(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-03-01",
        "2026-03-01T12:00:00",
        "2026-13-01T12:00:00Z",
        "20260301T120000Z",
        "0001-01-01T00:00:00+23:00",
        "2026-03-01T12:00:00Z ",
        "2026-03-01T24:00:00Z",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """RFC 3339 §5.6."""
    with pytest.raises(ObjectError, match="is not a time"):
        parse_moment(text)


def fields(**members: object) -> Fields:
    return Fields(members, "thing")


def test_fields_that_are_there_are_given() -> None:
    found = parse_object(
        b'{"t":"x","u":"https://a/","w":"2026-03-01T12:00:00Z","f":true,"n":7,"l":["a","b"],'
        b'"o":{"t":"y"},"m":[{"t":"z"}],"unknown":[[1]]}',
        "thing",
    )
    assert found.text("t") == found.required_text("t") == "x"
    assert found.url("u") == found.required_url("u") == parse_url("https://a/")
    assert found.moment("w") == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert found.flag("f") is True
    assert found.number("n") == 7
    assert found.texts("l", 2) == ("a", "b")
    one = found.one("o")
    assert one is not None
    assert one.text("t") == "y"
    assert [each.text("t") for each in found.many("m", 1)] == ["z"]
    assert found.entries(20) == {"t": "x", "u": "https://a/", "w": "2026-03-01T12:00:00Z"}


def test_fields_that_are_not_there_are_none_or_empty() -> None:
    found = fields(null=None)
    for name in ("absent", "null"):
        assert found.text(name) is None
        assert found.url(name) is None
        assert found.moment(name) is None
        assert found.flag(name) is False
        assert found.number(name) is None
        assert found.texts(name, 0) == ()
        assert found.one(name) is None
        assert found.many(name, 0) == ()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no JSON object"),
        (b'"x"', "no JSON object"),
        (b"null", "no JSON object"),
    ],
)
def test_what_is_no_object_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(ObjectError, match=f"thing: it is {words}"):
        parse_object(body, "thing")


def test_fields_of_the_wrong_form_are_refused() -> None:
    found = fields(
        t=1,
        long="x" * (MAX_TEXT_CHARACTERS + 1),
        f="true",
        n="1",
        n2=True,
        l="x",
        l2=["a", 1],
        l3=["a", "b"],
        o=[],
        m=[1],
    )
    attempts: list[Callable[[], object]] = [
        lambda: found.text("t"),
        lambda: found.text("long"),
        lambda: found.required_text("absent"),
        lambda: found.required_url("absent"),
        lambda: found.flag("f"),
        lambda: found.number("n"),
        lambda: found.number("n2"),
        lambda: found.texts("l", 5),
        lambda: found.texts("l2", 5),
        lambda: found.texts("l3", 1),
        lambda: found.one("o"),
        lambda: found.many("m", 5),
        lambda: found.entries(3),
    ]
    for attempt in attempts:
        with pytest.raises(ObjectError, match=r"^thing"):
            attempt()


@given(st.text())
def test_a_servers_words_become_one_printable_line(text: str) -> None:
    line = format_line(text, 50)
    assert len(line) <= 50
    assert line.isprintable()
