"""RFC 6376 §3.2: lists of tags."""

import pytest

from letterlock.protocols.dkim.tags import (
    MAX_TAGS,
    TagError,
    drop_white_space,
    parse_base64,
    parse_tags,
    split_list,
)


@pytest.mark.parametrize(
    ("octets", "tags"),
    [
        (b"a=1", {"a": "1"}),
        (b" a = 1 ;\r\n\tb=;", {"a": "1", "b": ""}),
        (b"a=1; \t", {"a": "1"}),
        (b"a=x y\r\n z; A=1", {"a": "x y z", "A": "1"}),
        (b"p=a=b==", {"p": "a=b=="}),
        ("n=ü; a_9=1".encode(), {"n": "ü", "a_9": "1"}),
    ],
)
def test_a_list_has_its_tags(octets: bytes, tags: dict[str, str]) -> None:
    """RFC 6376 §3.2: names and values are case-sensitive; white space inside a value stays."""
    assert parse_tags(octets) == tags
    assert list(parse_tags(octets)) == list(tags)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b";",
        b"a",
        b"a=1;;b=2",
        b"=1",
        b"1a=1",
        b"a-b=1",
        b"a b=1",
        b"a=1; a=2",
        b"a=\0",
        b"a=\r\nb=1",
        b"a=\n",
        b"a=\x7f",
        b"a=\xff",
        b";".join(b"t%d=" % number for number in range(MAX_TAGS + 1)),
    ],
)
def test_what_is_no_list(octets: bytes) -> None:
    """RFC 6376 §3.2: a name that stands there twice makes the whole list invalid."""
    with pytest.raises(TagError):
        parse_tags(octets)


def test_what_is_said_of_a_list_is_short() -> None:
    for octets in (b"a" * 500 + b"=\0", b"a" * 500 + b"=1;" + b"a" * 500 + b"=2"):
        with pytest.raises(TagError) as caught:
            parse_tags(octets)
        assert len(str(caught.value)) < 100


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("YQ==", b"a"),
        (" Y W\tJj ", b"abc"),
        ("YWJj Y Q = =", b"abca"),
        ("", None),
        ("YQ", None),
        ("YQ=", None),
        ("Y=Q=", None),
        ("YR==YQ==", None),
        ("Y-_j", None),
        ("=", None),
    ],
)
def test_base64(text: str, octets: bytes | None) -> None:
    """RFC 6376 §2.10: white space may stand anywhere; padding is needed."""
    assert parse_base64(text) == octets


def test_lists_with_colons() -> None:
    assert split_list("a : b:\tc ") == ("a", "b", "c")
    assert split_list("") == ("",)
    assert drop_white_space(" a \t b ") == "ab"
