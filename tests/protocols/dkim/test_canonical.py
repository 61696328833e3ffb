"""RFC 6376 §3.4: canonical forms, byte by byte."""

import base64
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.dkim.canonical import (
    BodyHash,
    BodyHashes,
    CanonicalBody,
    Canonicalization,
    canonicalize_field,
)

SIMPLE, RELAXED = Canonicalization.SIMPLE, Canonicalization.RELAXED


def canonicalize(how: Canonicalization, *pieces: bytes) -> bytes:
    written: list[bytes] = []
    body = CanonicalBody(how, written.append)
    for piece in pieces:
        body.receive(piece)
    body.finish()
    return b"".join(written)


def test_the_examples_of_the_rfc() -> None:
    """RFC 6376 §3.4.5."""
    first, second = b"A: X\r\n", b"B : Y\t\r\n\tZ  \r\n"
    body = b" C \r\nD \t E\r\n\r\n\r\n"
    assert canonicalize_field(first, RELAXED) == b"a:X\r\n"
    assert canonicalize_field(second, RELAXED) == b"b:Y Z\r\n"
    assert canonicalize(RELAXED, body) == b" C\r\nD E\r\n"
    assert canonicalize_field(first, SIMPLE) == first
    assert canonicalize_field(second, SIMPLE) == second
    assert canonicalize(SIMPLE, body) == b" C \r\nD \t E\r\n"


@pytest.mark.parametrize(
    ("how", "digest"),
    [
        (SIMPLE, "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY="),
        (RELAXED, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
    ],
)
def test_the_hash_of_an_empty_body(how: Canonicalization, digest: str) -> None:
    """RFC 6376 §3.4.3, §3.4.4."""
    for body in (b"", b"\r\n", b"\r\n\r\n\r\n"):
        hashed = BodyHash(how)
        hashed.receive(body)
        assert base64.b64encode(hashed.finish()).decode() == digest


@pytest.mark.parametrize(
    ("body", "simple", "relaxed"),
    [
        (b"a", b"a\r\n", b"a\r\n"),
        (b"a \t", b"a \t\r\n", b"a\r\n"),
        (b"a \t\r\n \r\n\t\r\n", b"a \t\r\n \r\n\t\r\n", b"a\r\n"),
        (b" \t\r\n", b" \t\r\n", b""),
        (b"\r\n\r\na\r\n", b"\r\n\r\na\r\n", b"\r\n\r\na\r\n"),
        (b"a\r\n \r\n\r\nb\r\n", b"a\r\n \r\n\r\nb\r\n", b"a\r\n\r\n\r\nb\r\n"),
        (b"  a\t\tb  c\r\n", b"  a\t\tb  c\r\n", b" a b c\r\n"),
        # A CR or an LF alone ends no line.
        (b"a\r", b"a\r\r\n", b"a\r\r\n"),
        (b"a \r\r\n", b"a \r\r\n", b"a \r\r\n"),
        (b"a\n\r\n\n", b"a\n\r\n\n\r\n", b"a\n\r\n\n\r\n"),
        (b"\r\n \r", b"\r\n \r\r\n", b"\r\n \r\r\n"),
        (b"\r\r\n\r\n", b"\r\r\n", b"\r\r\n"),
        (b"\xe4 \xff\0\r\n", b"\xe4 \xff\0\r\n", b"\xe4 \xff\0\r\n"),
    ],
)
def test_bodies(body: bytes, simple: bytes, relaxed: bytes) -> None:
    """RFC 6376 §3.4.3, §3.4.4."""
    assert canonicalize(SIMPLE, body) == simple
    assert canonicalize(RELAXED, body) == relaxed


BODIES = st.lists(
    st.sampled_from([b" ", b"\t", b"\r\n", b"\r", b"\n", b"a", b"bc", b"  ", b"\r\n\r\n", b"\xff"]),
    max_size=20,
).map(b"".join)


@given(body=BODIES, data=st.data())
def test_how_a_body_is_cut_does_not_matter(body: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=5)))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    for how in Canonicalization:
        whole = canonicalize(how, body)
        assert canonicalize(how, *pieces) == whole
        assert canonicalize(how, *(body[at : at + 1] for at in range(len(body)))) == whole


@given(body=BODIES)
def test_a_canonical_body_stays_as_it_is(body: bytes) -> None:
    for how in Canonicalization:
        whole = canonicalize(how, body)
        if whole:
            assert whole.endswith(b"\r\n")
        assert canonicalize(how, whole) == whole


def test_many_empty_lines_cost_no_memory() -> None:
    """They are written in portions once something follows."""
    written: list[int] = []
    body = CanonicalBody(RELAXED, lambda piece: written.append(len(piece)))
    for _ in range(100):
        body.receive(b"\t\r\n" * 1000)
    assert written == []
    body.receive(b"x")
    body.finish()
    assert max(written) < 100_000
    assert sum(written) == 2 * 100_000 + 3


def test_a_length_cuts_what_is_hashed() -> None:
    """RFC 6376 §3.7: the canonical body is truncated."""
    hashed = {0: b"", 2: b"ab", 4: b"ab\r\n", 7: b"ab\r\n", None: b"ab\r\n"}
    body = BodyHashes(RELAXED, (*hashed, 2))
    body.receive(b"a")
    body.receive(b"b \r\n\r\n")
    body.finish()
    assert body.octets == 4
    for octets, those in hashed.items():
        assert body.find_digest(octets) == sha256(those).digest()


@pytest.mark.parametrize(
    ("field", "relaxed"),
    [
        (b"SUBJect: AbC\r\n", b"subject:AbC\r\n"),
        (b"Subject:\r\n", b"subject:\r\n"),
        (b"Subject: \t \r\n", b"subject:\r\n"),
        (b"Subject:\r\n a\r\n\t b \r\n", b"subject:a b\r\n"),
        (b"Subject \t :a:  b", b"subject:a: b"),
        (b"X:\x0b a \x0c\r\n", b"x:\x0b a \x0c\r\n"),
        (b"no field\r\n", b"no field\r\n"),
    ],
)
def test_fields(field: bytes, relaxed: bytes) -> None:
    """RFC 6376 §3.4.2."""
    assert canonicalize_field(field, RELAXED) == relaxed
    assert canonicalize_field(field, SIMPLE) == field
