"""RFC 9773 §4: when an authority wants a certificate renewed."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.acme.fields import ObjectError, parse_url
from letterlock.protocols.acme.renewal_info import (
    RenewalInfo,
    choose_moment,
    find_certificate_id,
    next_look,
    parse_renewal_info,
    renewal_info_url,
)
from letterlock.protocols.pki.throwaway_ca import Shape, ThrowawayCa, self_signed
from tests.fakes import START

# RFC 9773 §A.
EXAMPLE = b"""-----BEGIN CERTIFICATE-----
MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFt
cGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDAS
BgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu
7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFf
qzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4B
yNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb
+FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK
-----END CERTIFICATE-----
"""


def test_a_certificates_id_is_that_of_the_rfc() -> None:
    """RFC 9773 §4.1: a leading zero octet of the serial is kept."""
    certificate = x509.load_pem_x509_certificate(EXAMPLE)
    assert find_certificate_id(certificate) == "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"


@pytest.mark.parametrize(
    ("serial", "text"), [(1, "AQ"), (0x7F, "fw"), (0x80, "AIA"), (0x1234, "EjQ")]
)
def test_a_serial_is_written_as_der_has_it(serial: int, text: str) -> None:
    """RFC 9773 §4.1."""
    issued = ThrowawayCa("Root", START).issue(["a.example"], now=START, shape=Shape(serial=serial))
    identifier = find_certificate_id(issued.certificate)
    assert identifier is not None
    assert identifier.partition(".")[2] == text


def test_a_certificate_without_the_key_of_its_issuer_has_no_id() -> None:
    key_less = x509.AuthorityKeyIdentifier(None, None, None)
    shaped = self_signed(["a.example"], now=START, shape=Shape(extensions=[key_less]))
    assert find_certificate_id(shaped.certificate) is None
    builder_less = x509.load_pem_x509_certificate(_without_extensions())
    assert find_certificate_id(builder_less) is None


def _without_extensions() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


def test_the_id_is_the_last_part_of_the_url() -> None:
    """RFC 9773 §4.1."""
    for text in ("https://ca.example/ari", "https://ca.example/ari/"):
        assert str(renewal_info_url(parse_url(text), "a.b")) == "https://ca.example/ari/a.b"


def window(start: str, end: str, more: str = "") -> bytes:
    return f'{{"suggestedWindow":{{"start":"{start}","end":"{end}"}}{more}}}'.encode()


def test_a_window_is_read_with_its_explanation() -> None:
    """RFC 9773 §4.2."""
    body = window(
        "2026-03-01T00:00:00Z", "2026-03-03T00:00:00Z", ',"explanationURL":"https://ca/why"'
    )
    assert parse_renewal_info(body) == RenewalInfo(
        datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC), "https://ca/why"
    )


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"suggestedWindow":{}}',
        window("2026-03-03T00:00:00Z", "2026-03-01T00:00:00Z"),
        window("2026-03-03T00:00:00Z", "2026-03-03T00:00:00Z"),
        window("soon", "later"),
    ],
)
def test_a_window_that_can_not_be_is_no_answer(body: bytes) -> None:
    """RFC 9773 §4.2: end after start, always."""
    with pytest.raises(ObjectError):
        parse_renewal_info(body)


@given(st.floats(0, 1, exclude_max=True), st.timedeltas(timedelta(seconds=1), timedelta(days=99)))
def test_the_chosen_moment_lies_in_the_window(chance: float, length: timedelta) -> None:
    """RFC 9773 §4.2."""
    info = RenewalInfo(START, START + length)
    assert info.start <= choose_moment(info, chance) <= info.end


def test_the_moment_is_spread_over_the_window() -> None:
    """RFC 9773 §4.2: uniform."""
    info = RenewalInfo(START, START + timedelta(days=4))
    assert choose_moment(info, 0.0) == START
    assert choose_moment(info, 0.25) == START + timedelta(days=1)


@pytest.mark.parametrize(
    ("retry_after", "wait"),
    [
        (timedelta(hours=6), timedelta(hours=6)),
        (timedelta(), timedelta(minutes=1)),
        (timedelta(days=30), timedelta(days=1)),
        (None, timedelta(hours=6)),
    ],
)
def test_retry_after_is_obeyed_within_limits(
    retry_after: timedelta | None, wait: timedelta
) -> None:
    """RFC 9773 §4.3.2, §4.3.3."""
    assert next_look(retry_after) == wait
