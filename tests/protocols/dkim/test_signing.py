"""RFC 6376 §5: which fields are signed, and the field that is made."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from letterlock.protocols.dkim.canonical import BodyHash
from letterlock.protocols.dkim.fields import split_fields
from letterlock.protocols.dkim.results import DkimResult
from letterlock.protocols.dkim.signature import Algorithm, Signature, parse_signature
from letterlock.protocols.dkim.signing import (
    BODY_FORM,
    MAX_SIGNED_OF_A_NAME,
    SigningKey,
    plan_signature,
    select_fields,
)
from letterlock.protocols.dkim.verifying import Verifier
from tests.protocols.dkim.keys import ed25519_key, rsa_key

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HEADER = b"From: a@example.org\r\nTo: b@example.net\r\nSubject: x\r\n  y\r\nX-Mine: 1\r\n"
BODY = b"Hello  there \r\n\r\n"


def sign(
    key: SigningKey, header: bytes = HEADER, body: bytes = BODY, lifetime: timedelta | None = None
) -> bytes:
    hashed = BodyHash(BODY_FORM)
    hashed.receive(body)
    fields = select_fields(split_fields(header))
    return plan_signature(key, fields, NOW, lifetime).make(hashed.finish())


def verify(key: SigningKey, header: bytes, body: bytes = BODY) -> DkimResult:
    verifier = Verifier(header, NOW)
    verifier.receive(body)
    (result,) = verifier.finish(dict.fromkeys(verifier.key_names, (key.record.encode(),)))
    return result.result


def names(header: bytes) -> list[str]:
    text = select_fields(split_fields(header)).names
    return re.sub(r"\s", "", text).split(":")


@pytest.mark.parametrize("make_key", [rsa_key, ed25519_key])
def test_a_signature_verifies_until_something_changes(make_key: Callable[[], SigningKey]) -> None:
    """RFC 6376 §5.5; what folds anew or adds white space changes nothing."""
    key = make_key()
    field = sign(key)
    assert verify(key, field + HEADER) is DkimResult.PASS
    assert verify(key, b"Received: x\r\n" + field + b"X: 1\r\n" + HEADER) is DkimResult.PASS
    assert verify(key, field + HEADER.replace(b"x\r\n  y", b"x \t y")) is DkimResult.PASS
    assert verify(key, field + HEADER, b"Hello there\r\n") is DkimResult.PASS
    assert verify(key, field + HEADER, BODY + b"more\r\n") is DkimResult.FAIL
    assert verify(key, field + HEADER.replace(b"net", b"com")) is DkimResult.FAIL
    assert verify(key, field.replace(b"s=sel", b"i=@example.org; s=sel") + HEADER) is (
        DkimResult.FAIL
    )


@pytest.mark.parametrize("added", [b"From", b"Reply-To", b"To", b"Cc", b"Subject"])
def test_nobody_adds_what_people_see(added: bytes) -> None:
    """RFC 6376 §5.4: such a name is listed once more than it is there."""
    key = ed25519_key()
    field = sign(key)
    assert verify(key, field + added + b": x@evil.example\r\n" + HEADER) is DkimResult.FAIL
    assert verify(key, field + HEADER + added + b": x@evil.example\r\n") is DkimResult.FAIL


def test_what_is_listed() -> None:
    """RFC 6376 §5.4.1."""
    assert names(b"From: x\r\n") == ["From", "From", "Reply-To", "To", "Cc", "Subject"]
    always = ["From", "From", "Reply-To", "To", "Cc", "Subject"]
    assert names(b"FROM: x\r\nDate: x\r\nReceived: x\r\nReturn-Path: x\r\n") == [
        *always,
        *("Date", "Date"),
    ]
    header = b"List-Id: x\r\nTo: 1\r\nTo: 2\r\nResent-From: x\r\nResent-From: y\r\nFrom: z\r\n"
    listed = ["From", "From", "Reply-To", "To", "To", "To", "Cc", "Subject"]
    assert names(header) == [*listed, "Resent-From", "Resent-From", "List-Id"]


def test_reports_have_their_fields_signed() -> None:
    """RFC 8460 §5.3."""
    header = b"From: x\r\nTLS-Report-Domain: a\r\nTLS-Report-Submitter: b\r\n"
    assert set(names(header)) > {"TLS-Report-Domain", "TLS-Report-Submitter"}


def test_how_often_a_name_is_listed_is_bounded() -> None:
    key = ed25519_key()
    header = HEADER + b"To: more@example.net\r\n" * 500
    assert names(header).count("To") == MAX_SIGNED_OF_A_NAME
    assert verify(key, sign(key, header) + header) is DkimResult.PASS


def test_fields_are_signed_from_the_bottom_up() -> None:
    """RFC 6376 §5.4.2."""
    key = ed25519_key()
    header = b"Resent-From: 1\r\nResent-From: 2\r\n" + HEADER
    field = sign(key, header)
    assert verify(key, field + b"Resent-From: 0\r\n" + header) is DkimResult.PASS
    swapped = b"Resent-From: 2\r\nResent-From: 1\r\n" + HEADER
    assert verify(key, field + swapped) is DkimResult.FAIL


def test_the_field_says_what_it_must() -> None:
    """RFC 6376 §3.5, §5.6: one field, none of whose lines is long."""
    key = rsa_key()
    field = sign(key, HEADER + b"In-Reply-To: 1\r\nReferences: 2\r\nMessage-ID: 3\r\n")
    assert field.endswith(b"==\r\n")
    assert [name for name, _ in split_fields(field)] == [b"dkim-signature"]
    assert max(map(len, field.split(b"\r\n"))) <= 78
    signature = parse_signature(field)
    assert isinstance(signature, Signature)
    assert signature.algorithm is Algorithm.RSA_SHA256
    assert signature.signed == int(NOW.timestamp())
    assert signature.expires is None
    assert signature.max_octets is None
    assert signature.key_name == "sel._domainkey.example.org"


def test_a_signature_may_expire() -> None:
    """RFC 6376 §3.5, x=."""
    key = ed25519_key()
    field = sign(key, lifetime=timedelta(days=7))
    signature = parse_signature(field)
    assert isinstance(signature, Signature)
    assert signature.expires == int(NOW.timestamp()) + 7 * 86400
    assert verify(key, field + HEADER) is DkimResult.PASS


@pytest.mark.parametrize("make_key", [rsa_key, ed25519_key])
@pytest.mark.parametrize("lifetime", [None, timedelta(days=7)])
def test_its_length_is_known_before(
    make_key: Callable[[], SigningKey], lifetime: timedelta | None
) -> None:
    key, fields = make_key(), select_fields(split_fields(HEADER))
    octets = plan_signature(key, fields, NOW, lifetime).octets
    assert octets == len(sign(key, lifetime=lifetime))


def test_a_key_does_not_show_itself() -> None:
    assert "key" not in repr(rsa_key()).lower().replace("signingkey", "")
