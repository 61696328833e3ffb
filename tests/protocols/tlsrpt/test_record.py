"""RFC 8460 §3: the TXT record."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.tlsrpt.record import (
    TlsrptRecord,
    TlsrptRecordError,
    parse_record,
)

MAIL = "mailto:t@x.example"
WEB = "https://x.example/v1?a=b"


@pytest.mark.parametrize(
    ("text", "rua"),
    [
        ("v=TLSRPTv1;rua=mailto:reports@example.com", ["mailto:reports@example.com"]),
        (
            "v=TLSRPTv1;     rua=https://reporting.example.com/v1/tlsrpt",
            ["https://reporting.example.com/v1/tlsrpt"],
        ),
        (f"v=TLSRPTv1; rua={MAIL};", [MAIL]),
        (f"v=TLSRPTv1; rua={MAIL} ; ", [MAIL]),
        (f"v=TLSRPTv1; rua={MAIL} , \t\t {WEB}", [MAIL, WEB]),
        (f"v=TLSRPTv1; rua={MAIL},{WEB}; ext=yes", [MAIL, WEB]),
        (f"v=TLSRPTv1; ext=yes; rua={MAIL}", [MAIL]),
        (f"v=TLSRPTv1; rua={MAIL}; rua={WEB}", [MAIL, WEB]),
        (f"v=TLSRPTv1 \t; rua={MAIL}", [MAIL]),
        (f"v=TLSRPTv1; rua={MAIL}; v=TLSRPTv2", [MAIL]),
        ("v=TLSRPTv1; rua=mailto:a%2Cb%21@x.example", ["mailto:a%2Cb%21@x.example"]),
        (f"v=TLSRPTv1; {'a' * 32}=b; rua={MAIL}", [MAIL]),
    ],
)
def test_a_valid_record_has_its_destinations(text: str, rua: list[str]) -> None:
    """RFC 8460 §3, with its two examples; rule 182."""
    record = parse_record([text.encode()])
    assert record == TlsrptRecord(tuple(rua), text)


@pytest.mark.parametrize(
    "rest",
    [
        "",
        ";",
        "; ext=yes",
        "; rua=",
        "; rua=noscheme",
        f"; RUA={MAIL}",
        "; rua=,, ,",
        f"; rua={MAIL},,{WEB}",
        f"; rua={MAIL},",
        f"; rua=,{MAIL}",
        f"; rua={MAIL}!10m",
        "; rua=http://bad/%",
        "; rua=http://bad/%4",
        f"; rua= {MAIL}",
        f"; rua ={MAIL}",
        f"; rua={MAIL} ",
        f"; rua={MAIL} other",
        f"; rua={MAIL}\n",
        f"; rua={MAIL}; more=",
        f"; rua={MAIL}; test==",
        f"; rua={MAIL}; {'a' * 33}=b",
        f"; rua={MAIL}; 1%=a",
        f"; rua={MAIL}; -x=1",
        f"; rua={MAIL}; .x=1",
        f"; rua={MAIL}; _x=1",
        f"; rua={MAIL}; word",
        f"; rua={MAIL};;",
        f";; rua={MAIL}",
        "; rua=mailto:\u00e9@x.example",
    ],
)
def test_a_record_that_breaks_the_grammar_is_none(rest: str) -> None:
    """RFC 8460 §3: one wrong field, and the record is not valid; rule 182."""
    octets = f"v=TLSRPTv1{rest}".encode()
    record = parse_record([octets])
    assert isinstance(record, TlsrptRecordError)
    assert record.text == octets.decode("latin-1")
    assert record.reason.isprintable()


@pytest.mark.parametrize(
    "texts",
    [
        [],
        [b""],
        [b"v=spf1 -all"],
        [b"v=TLSRPTv0; rua=mailto:a@x.example"],
        [b"v=TLSRPTv10; rua=mailto:a@x.example"],
        [b"v=tlsrptv1; rua=mailto:a@x.example"],
        [b" v=TLSRPTv1; rua=mailto:a@x.example"],
        [b"v=spf1 -all", b"v=TLSRPTv1 ; rua=mailto:a@x.example"],
    ],
)
def test_other_records_are_passed_over(texts: list[bytes]) -> None:
    """RFC 8460 §3."""
    assert parse_record(texts) is None


def test_one_record_counts_among_others_and_two_do_not() -> None:
    """RFC 8460 §3: unless exactly one is left, the domain wants no reports; rule 181."""
    one = f"v=TLSRPTv1; rua={MAIL}".encode()
    record = parse_record([b"v=spf1 -all", one, b"x"])
    assert isinstance(record, TlsrptRecord)
    two = parse_record([one, one])
    assert isinstance(two, TlsrptRecordError)
    assert two.text == ""


def test_reports_go_to_the_schemes_that_the_standard_has() -> None:
    """RFC 8460 §3: mailto and https; RFC 3986 §3.1: schemes know no case; rule 183."""
    record = parse_record([b"v=TLSRPTv1; rua=MAILTO:a@x.example,http://x.example/,HTTPS://x/"])
    assert isinstance(record, TlsrptRecord)
    assert len(record.rua) == 3
    assert record.destinations == ("MAILTO:a@x.example", "HTTPS://x/")


@given(st.lists(st.binary(max_size=80) | st.binary(max_size=40).map(b"v=TLSRPTv1;".__add__)))
def test_any_octets_give_a_value(texts: list[bytes]) -> None:
    """RFC 8460 §3: what others publish is never an error."""
    match parse_record(texts):
        case TlsrptRecord(rua, text):
            assert rua
            assert text.isascii()
        case TlsrptRecordError(reason):
            assert reason.isprintable()
        case None:
            pass
