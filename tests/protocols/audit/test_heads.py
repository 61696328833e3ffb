"""Heads of the audit log: signed by the authority, and by nobody else."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from letterlock.protocols.audit.heads import (
    MAX_HEAD_OCTETS,
    HeadError,
    SignedHead,
    format_head,
    is_signed,
    parse_head,
    sign_head,
)
from letterlock.protocols.audit.records import Head, head_of
from letterlock.protocols.pki.issuance.signing import KeySigner
from tests.audit_entries import NOW, make_log

KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())
HEAD = head_of(make_log(5)[-1])
SIGNED = sign_head(HEAD, NOW, KeySigner(KEY))


def test_a_head_is_verified_with_the_key_that_signed_it() -> None:
    assert is_signed(SIGNED, KEY.public_key())
    assert not is_signed(SIGNED, OTHER.public_key())
    rsa_key = rsa.generate_private_key(65537, 2048)
    assert is_signed(sign_head(HEAD, NOW, KeySigner(rsa_key)), rsa_key.public_key())


@pytest.mark.parametrize(
    "changed",
    [
        replace(SIGNED, head=Head(HEAD.number + 1, HEAD.hash)),
        replace(SIGNED, head=Head(HEAD.number, bytes(32))),
        replace(SIGNED, moment=NOW + timedelta(microseconds=1)),
        replace(SIGNED, key=sign_head(HEAD, NOW, KeySigner(OTHER)).key),
        replace(SIGNED, signature=SIGNED.signature[:-1]),
    ],
)
def test_a_head_that_was_changed_is_not_the_authoritys(changed: SignedHead) -> None:
    assert not is_signed(changed, KEY.public_key())


def test_a_head_is_read_as_it_was_written() -> None:
    octets = format_head(SIGNED)
    assert b"\n" not in octets
    assert parse_head(octets) == SIGNED


GOOD = format_head(SIGNED)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"[]",
        b"[" * 5000,
        b"\xff",
        b" " * (MAX_HEAD_OCTETS + 1),
        GOOD.replace(b'"number":5', b'"number":0'),
        GOOD.replace(HEAD.hash.hex().encode(), b"00"),
        GOOD.replace(HEAD.hash.hex().encode(), b"zz" * 32),
        GOOD.replace(SIGNED.signature.hex().encode(), b""),
        GOOD.replace(SIGNED.signature.hex().encode(), b"00" * 1025),
        GOOD.replace(b'12:00:00Z"', b'12:00:00"'),
    ],
)
def test_what_is_no_head_is_refused(octets: bytes) -> None:
    assert octets != GOOD
    with pytest.raises(HeadError):
        parse_head(octets)


def test_a_moment_without_a_time_zone_is_not_signed() -> None:
    with pytest.raises(ValueError, match="time zone"):
        sign_head(HEAD, datetime(2026, 3, 1), KeySigner(KEY))  # noqa: DTZ001 - the fault
