"""RFC 8461 §3.1: the TXT record."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.mta_sts.record import MtaStsRecord, RecordError, parse_record

VALID = [
    (b"v=STSv1; id=20160831085700Z;", "20160831085700Z"),
    (b"v=STSv1;id=1", "1"),
    (b"v=STSv1 \t;\t id=1 ;", "1"),
    (b"v=STSv1; id=1; ", "1"),
    (b"v=STSv1; id=" + b"a" * 32, "a" * 32),
    (b"v=STSv1; later=x; id=1", "1"),
    (b"v=STSv1; id=1; id=2", "1"),
    (b"v=STSv1; id=1; id=not-an-id", "1"),
    (b"v=STSv1; id=Ab9", "Ab9"),
]


@pytest.mark.parametrize(("text", "identifier"), VALID)
def test_a_valid_record_has_its_id(text: bytes, identifier: str) -> None:
    """RFC 8461 §3.1, rules 60 and 61."""
    record = parse_record([text])
    assert isinstance(record, MtaStsRecord)
    assert record.id == identifier
    assert record.text == text.decode()


@pytest.mark.parametrize(
    "text",
    [
        b"v=STSv1",
        b"v=STSv1;",
        b"v=STSv1; id=",
        b"v=STSv1; id=" + b"a" * 33,
        b"v=STSv1; id=a-b",
        b"v=STSv1; id=a_b; id=ok",
        b"v=STSv1; ID=1",
        b"v=STSv1; id=1 ",
        b"v=STSv1; id =1",
        b"v=STSv1; id= 1",
        b"v=STSv1; id=1;; a=b",
        b"v=STSv1; id=1; ;",
        b"v=STSv1; id=1; word",
        b"v=STSv1; id=1; a=b=c",
        b"v=STSv1; id=1; =b",
        b"v=STSv1; id=1; -a=b",
        b"v=STSv1; id=1; " + b"a" * 33 + b"=b",
        b"v=STSv1; id=1; a=b c",
        b"v=STSv1; id=1; a=\xc3\xa9",
        b"v=STSv1; id=1\n",
        b"v=STSv1; id=1, mode=none",
    ],
)
def test_a_record_that_breaks_the_grammar_is_none(text: bytes) -> None:
    """RFC 8461 §3.1: the domain has no policy available then."""
    record = parse_record([text])
    assert isinstance(record, RecordError)
    assert record.text == text.decode("latin-1")
    assert record.reason.isprintable()


@pytest.mark.parametrize(
    "texts",
    [
        [],
        [b""],
        [b"v=spf1 -all"],
        [b"V=STSv1; id=1"],
        [b"v=stsv1; id=1"],
        [b"v=STSv2; id=1"],
        [b"v=STSv1x; id=1"],
        [b" v=STSv1; id=1"],
        [b"id=1; v=STSv1"],
        [b"v=spf1 -all", b"v=STSv1 ; id=1"],
        [b"v=spf1 -all", b"v=STSv1"],
    ],
)
def test_what_does_not_begin_with_the_version_is_no_record(texts: list[bytes]) -> None:
    """RFC 8461 §3.1: case-sensitive, and the first field."""
    assert parse_record(texts) is None


def test_of_several_texts_the_one_record_counts() -> None:
    """RFC 8461 §3.1: those that don't begin `v=STSv1;` are discarded."""
    record = parse_record([b"v=spf1 -all", b"v=STSv1 ; id=2", b"v=STSv1; id=1"])
    assert isinstance(record, MtaStsRecord)
    assert record.id == "1"


def test_several_records_are_none() -> None:
    """RFC 8461 §3.1."""
    record = parse_record([b"v=STSv1; id=1;", b"v=STSv1; id=1;"])
    assert isinstance(record, RecordError)
    assert "2 MTA-STS records" in record.reason


def test_unknown_fields_are_kept_and_change_nothing() -> None:
    """RFC 8461 §3.2: unknown fields are ignored; §3.1: sts-extension."""
    record = parse_record([b"v=STSv1; a.b-c_d=x:y<z>~; id=1; v=STSv2"])
    assert isinstance(record, MtaStsRecord)
    assert record.id == "1"
    assert record.extensions == (("a.b-c_d", "x:y<z>~"), ("v", "STSv2"))


@given(st.lists(st.binary(max_size=60) | st.binary(max_size=40).map(b"v=STSv1;".__add__)))
def test_any_octets_give_a_value(texts: list[bytes]) -> None:
    record = parse_record(texts)
    assert record is None or isinstance(record, MtaStsRecord | RecordError)


@given(st.from_regex(r"[A-Za-z0-9]{1,32}", fullmatch=True))
def test_any_id_of_letters_and_digits_is_read(identifier: str) -> None:
    """RFC 8461 §3.1."""
    record = parse_record([f"v=STSv1; id={identifier};".encode()])
    assert isinstance(record, MtaStsRecord)
    assert record.id == identifier
