"""RFC 6376 §6.1: what becomes of signatures."""

import sys
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from types import FrameType, FunctionType

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from letterlock.base.domains import Domain
from letterlock.protocols.dkim.canonical import (
    BodyHashes,
    CanonicalBody,
    Canonicalization,
    canonicalize_field,
)
from letterlock.protocols.dkim.fields import FieldStack, split_fields
from letterlock.protocols.dkim.results import DkimResult, SignatureResult
from letterlock.protocols.dkim.verifying import (
    MAX_SIGNATURES,
    KeyAnswer,
    KeyUnavailable,
    Verifier,
)
from tests.protocols.dkim import examples
from tests.protocols.dkim.keys import ed25519_key, make_key, rsa_key

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HEADER = b"From: a@example.org\r\nSubject: x\r\n"
BODY = b"Hello \r\n"
NAME = Domain("sel-ed25519._domainkey.example.org")


def make_field(header: bytes = HEADER, body: bytes = BODY, **tags: str) -> bytes:
    """Sign with any tags: also with those that our own signer never writes."""
    length = int(tags["l"]) if "l" in tags else None
    hashed = BodyHashes(Canonicalization.RELAXED, (length,))
    hashed.receive(body)
    hashed.finish()
    body_hash = b64encode(hashed.find_digest(length)).decode()
    all_tags = {
        "v": "1",
        "a": "ed25519-sha256",
        "c": "relaxed/relaxed",
        "d": "example.org",
        "s": "sel-ed25519",
        "h": "From:Subject",
        "bh": body_hash,
    } | tags
    text = "; ".join(f"{name}={value}" for name, value in all_tags.items())
    head = f"DKIM-Signature: {text}; b=".encode()
    stack, digest = FieldStack(split_fields(header)), sha256()
    for name in all_tags["h"].split(":"):
        if field := stack.take(name.lower().encode()):
            digest.update(canonicalize_field(field, Canonicalization.RELAXED))
    digest.update(canonicalize_field(head, Canonicalization.RELAXED))
    key = ed25519_key().key
    assert isinstance(key, Ed25519PrivateKey)
    return head + b64encode(key.sign(digest.digest())) + b"\r\n"


def verify(
    header: bytes,
    body: bytes = BODY,
    keys: Mapping[Domain, KeyAnswer] | None = None,
    service: str = "email",
) -> SignatureResult:
    verifier = Verifier(header, NOW, service)
    verifier.receive(body)
    if keys is None:
        keys = {NAME: (ed25519_key().record.encode(),)}
    (result,) = verifier.finish(keys)
    return result


def verify_by(record: str, field: bytes | None = None, service: str = "email") -> SignatureResult:
    return verify(
        (field or make_field()) + HEADER, keys={NAME: (record.encode(),)}, service=service
    )


RECORD = ed25519_key().record


def test_the_example_of_rfc_6376() -> None:
    """RFC 6376 §A.2: made with `simple`, and a key of 1024 bits."""
    verifier = Verifier(examples.OLD_SIGNATURE + examples.OLD_RECEIVED + examples.MESSAGE, NOW)
    verifier.receive(examples.OLD_BODY)
    assert verifier.key_names == ("brisbane._domainkey.example.com",)
    (result,) = verifier.finish({verifier.key_names[0]: (examples.OLD_RECORD,)})
    assert result == SignatureResult(
        DkimResult.PASS,
        "",
        "example.com",
        "brisbane",
        "joe@football.example.com",
        "rsa-sha256",
    )


def test_the_example_of_rfc_8463() -> None:
    """RFC 8463 §A.3: two signatures, by an Ed25519 key and by an RSA key."""
    header = examples.ED25519_SIGNATURE + examples.RSA_SIGNATURE + examples.MESSAGE
    verifier = Verifier(header, NOW)
    for octet in examples.BODY:
        verifier.receive(bytes([octet]))
    first, second = verifier.key_names
    assert first == "brisbane._domainkey.football.example.com"
    results = verifier.finish({first: (examples.ED25519_RECORD,), second: (examples.RSA_RECORD,)})
    assert [result.result for result in results] == [DkimResult.PASS, DkimResult.PASS]
    assert [result.algorithm for result in results] == ["ed25519-sha256", "rsa-sha256"]


def test_a_message_without_signatures_has_no_results() -> None:
    verifier = Verifier(HEADER, NOW)
    verifier.receive(BODY)
    assert verifier.key_names == ()
    assert verifier.finish({}) == ()


def test_a_good_signature() -> None:
    result = verify(make_field() + HEADER)
    assert result.result is DkimResult.PASS
    assert (result.domain, result.selector) == ("example.org", "sel-ed25519")
    assert (result.is_testing, result.has_length) == (False, False)


@pytest.mark.parametrize(
    ("answer", "result", "words"),
    [
        (KeyUnavailable("no answer"), DkimResult.TEMPERROR, "key unavailable: no answer"),
        ((), DkimResult.PERMERROR, "no key for signature"),
        ((b"v=spf1 -all",), DkimResult.PERMERROR, "key syntax error"),
        ((b"v=DKIM1; p=",), DkimResult.PERMERROR, "key revoked"),
        ((b"v=DKIM1; k=ed25519; p=",), DkimResult.PERMERROR, "key revoked"),
        ((b"x", b"v=DKIM1; p="), DkimResult.PERMERROR, "key revoked"),
        ((b"x", RECORD.encode(), b"y"), DkimResult.PASS, ""),
        ((b"x", b"x", b"x", b"x", RECORD.encode()), DkimResult.PERMERROR, "key syntax error"),
    ],
)
def test_what_dns_says(answer: KeyAnswer, result: DkimResult, words: str) -> None:
    """RFC 6376 §6.1.2, steps 2 to 7."""
    found = verify(make_field() + HEADER, keys={NAME: answer})
    assert found.result is result
    assert words in found.reason
    assert found.domain == "example.org"


@pytest.mark.parametrize(
    ("record", "result", "words"),
    [
        (RECORD.replace("t=s", "h=sha256"), DkimResult.PASS, ""),
        (RECORD.replace("t=s", "h=sha1"), DkimResult.PERMERROR, "inappropriate hash algorithm"),
        (RECORD.replace("t=s", "s=*"), DkimResult.PASS, ""),
        (RECORD.replace("t=s", "s=other:email"), DkimResult.PASS, ""),
        (RECORD.replace("t=s", "s=tlsrpt"), DkimResult.PERMERROR, "another service"),
        (rsa_key().record, DkimResult.PERMERROR, "inappropriate key algorithm"),
        (RECORD.replace("k=ed25519; ", ""), DkimResult.PERMERROR, "inappropriate key algorithm"),
        (RECORD.replace("k=ed25519", "k=new"), DkimResult.PERMERROR, "inappropriate key algorithm"),
    ],
)
def test_what_a_key_is_for(record: str, result: DkimResult, words: str) -> None:
    """RFC 6376 §3.6.1, §6.1.2, steps 6 and 8."""
    found = verify_by(record)
    assert found.result is result
    assert words in found.reason


def test_a_key_for_another_service() -> None:
    """RFC 8460 §3: a key that has `tlsrpt` is good for reports."""
    record = RECORD.replace("t=s", "s=tlsrpt")
    assert verify_by(record, service="tlsrpt").result is DkimResult.PASS


def test_a_key_may_want_the_very_domain() -> None:
    """RFC 6376 §3.10."""
    field = make_field(i="joe@sub.example.org")
    assert verify_by(RECORD, field).result is DkimResult.PERMERROR
    assert verify_by(RECORD.replace("t=s; ", ""), field).result is DkimResult.PASS
    assert verify_by(RECORD, make_field(i="joe@example.org")).result is DkimResult.PASS


def test_a_domain_that_tries() -> None:
    """RFC 6376 §3.6.1, flag y."""
    assert verify_by(RECORD.replace("t=s", "t=y")).is_testing
    bad = verify_by(RECORD.replace("t=s", "t=y"), make_field(body=b"other\r\n"))
    assert bad.is_testing
    assert bad.result is DkimResult.FAIL


def test_a_weak_key_proves_nothing() -> None:
    """RFC 8301 §3.2."""
    # RFC 8017 §A.1.1: an RSAPublicKey of 1016 bits.
    number = (2**1015 + 1).to_bytes(128, "big")
    content = b"\x02\x81\x80" + number + b"\x02\x03\x01\x00\x01"
    octets = b"\x30\x81" + bytes([len(content)]) + content
    record = f"v=DKIM1; p={b64encode(octets).decode()}"
    found = verify_by(record, make_field(a="rsa-sha256"))
    assert found.result is DkimResult.POLICY
    assert "less than 1024 bits" in found.reason


def test_another_rsa_key() -> None:
    other = make_key(generate_private_key(65537, 1024), "sel")
    found = verify_by(other.record, make_field(a="rsa-sha256"))
    assert found.result is DkimResult.FAIL
    assert found.reason == "signature did not verify"


@pytest.mark.parametrize(
    ("length", "added", "result"),
    [
        ("7", b"", DkimResult.PASS),
        ("7", b"more\r\n", DkimResult.POLICY),
        ("3", b"", DkimResult.POLICY),
        ("0", b"", DkimResult.POLICY),
        ("8", b"", DkimResult.FAIL),
        ("7", b"\r\n\r\n", DkimResult.PASS),
    ],
)
def test_a_length_must_be_that_of_the_body(length: str, added: bytes, result: DkimResult) -> None:
    """RFC 6376 §6.1.3: what is unsigned counts as a reason not to pass; §3.5: never more."""
    found = verify(make_field(l=length) + HEADER, BODY + added)
    assert found.result is result
    assert found.has_length


@pytest.mark.parametrize(("expires", "result"), [(-1, DkimResult.POLICY), (1, DkimResult.PASS)])
def test_signatures_expire(expires: int, result: DkimResult) -> None:
    """RFC 6376 §3.5, x=: no key is asked for then."""
    header = make_field(x=str(int(NOW.timestamp()) + expires)) + HEADER
    assert verify(header).result is result
    assert bool(Verifier(header, NOW).key_names) is (result is DkimResult.PASS)


def test_a_signature_that_may_not_count_is_told_with_its_domain() -> None:
    found = verify(make_field(v="2") + HEADER)
    assert found == SignatureResult(DkimResult.NEUTRAL, "incompatible version ('2')", "example.org")
    assert verify(b"DKIM-Signature: x\r\n").domain == ""


def test_other_signatures_may_be_signed() -> None:
    """RFC 6376 §3.5: DKIM-Signature in h= stands for others, never for itself."""
    other = make_field()
    field = make_field(header=other + HEADER, h="From:DKIM-Signature:DKIM-Signature")
    for header in (field + other + HEADER, other + field + HEADER):
        verifier = Verifier(header, NOW)
        verifier.receive(BODY)
        results = verifier.finish({NAME: (RECORD.encode(),)})
        assert [each.result for each in results] == [DkimResult.PASS, DkimResult.PASS]


def test_a_second_from_field_must_be_signed() -> None:
    """RFC 6376 §8.15: readers may see that one."""
    second = b"From: somebody@else.example\r\n"
    assert verify(make_field() + second + HEADER).result is DkimResult.POLICY
    both = make_field(header=second + HEADER, h="From:From:Subject")
    assert verify(both + second + HEADER).result is DkimResult.PASS
    assert verify(make_field(h="From:From") + HEADER).result is DkimResult.PASS


def test_how_many_are_tried_is_bounded() -> None:
    """RFC 6376 §8.4."""
    fields = b"".join(make_field(s=f"s{number}") for number in range(MAX_SIGNATURES + 5))
    verifier = Verifier(fields + HEADER, NOW)
    assert len(verifier.key_names) == MAX_SIGNATURES
    assert len(verifier.finish({})) == MAX_SIGNATURES


def count_calls(function: Callable[..., object], run: Callable[[], object]) -> int:
    """Say how often a function is called: what it costs, whatever else the machine does."""
    assert isinstance(function, FunctionType)
    calls = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_code is function.__code__

    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(None)
    return calls


def test_a_body_is_brought_into_a_form_once_for_all_signatures() -> None:
    """RFC 6376 §8.4: somebody may sign a large body ten times, each with another l=."""
    fields = b"".join(make_field(l=str(number)) for number in range(MAX_SIGNATURES))
    verifier = Verifier(fields + HEADER, NOW)
    assert count_calls(CanonicalBody.receive, lambda: verifier.receive(BODY)) == 1
    results = verifier.finish({NAME: (RECORD.encode(),)})
    # In this form the body has seven octets.
    assert [each.result for each in results[:7]] == [DkimResult.POLICY] * 7
    assert results[7].result is DkimResult.PASS
    assert [each.result for each in results[8:]] == [DkimResult.FAIL] * 2


def test_a_header_is_hashed_once_for_all_keys() -> None:
    """RFC 6376 §8.4: of several records at one name each is tried."""
    verifier = Verifier(make_field() + HEADER, NOW)
    verifier.receive(BODY)
    others = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in range(4)]
    keys = {NAME: tuple(make_key(each, "other").record.encode() for each in others)}
    assert count_calls(canonicalize_field, lambda: verifier.finish(keys)) == 3


def test_a_name_that_dns_cannot_have_has_no_key() -> None:
    selector = ".".join(["a" * 60] * 4)
    verifier = Verifier(make_field(s=selector) + HEADER, NOW)
    assert verifier.key_names == ()
    (result,) = verifier.finish({})
    assert result.reason == "no key for signature"


def test_another_field_than_was_signed() -> None:
    found = verify(make_field() + HEADER.replace(b"x", b"y"))
    assert found.result is DkimResult.FAIL
    assert found.reason == "signature did not verify"
