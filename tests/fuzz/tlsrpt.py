"""TLS reporting: the record in DNS."""

from letterlock.protocols.tlsrpt.record import TlsrptRecord, TlsrptRecordError, parse_record
from tests.fuzz.target import Target


def check_record(octets: bytes) -> None:
    """Records are one, wrong, or none; another that is no TLSRPT record changes nothing."""
    texts = octets.split(b"\xff")
    match parse_record(texts):
        case TlsrptRecord(rua, text) as record:
            assert rua
            assert text.isascii()
            assert len(text.splitlines()) == 1
            assert all(uri in text for uri in rua)
            assert not any(set(uri) & set(" \t,;!") for uri in rua)
            assert set(record.destinations) <= set(rua)
            if text.startswith("v=TLSRPTv1;"):
                assert parse_record([*texts, b"v=spf1 -all"]) == record
        case TlsrptRecordError(reason):
            assert reason.isprintable()
            assert any(each.startswith(b"v=TLSRPTv1") for each in texts)
        case None:
            pass


TARGETS = (
    Target(
        "tlsrpt-record",
        check_record,
        (
            b"v=TLSRPTv1; rua=mailto:reports@example.com",
            b"v=spf1 -all\xffv=TLSRPTv1 ;a=b; rua=mailto:a@b.c , https://d.e/f?g=%2C ;",
        ),
        (b"v=TLSRPTv1", b";", b"rua=", b",", b" ", b"\t", b"\xff", b"%", b"!", b"mailto:", b"="),
        600,
        runs=1500,
    ),
)
