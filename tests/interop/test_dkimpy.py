"""DKIM beside dkimpy: what either signs the other verifies, and both find the same messages broken.

Where they may differ, messages are left out: dkimpy takes an LF alone for a line end, and any white
space for white space; it keeps blanks at the end of a body that has no line end.
"""

from collections.abc import Callable, Iterator
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.protocols.dkim.canonical import BodyHash
from letterlock.protocols.dkim.fields import split_fields
from letterlock.protocols.dkim.results import DkimResult
from letterlock.protocols.dkim.signing import (
    BODY_FORM,
    SigningKey,
    plan_signature,
    select_fields,
)
from letterlock.protocols.dkim.verifying import Verifier
from tests.interop.dkimpy import Dkimpy, require_dkimpy, running_dkimpy
from tests.protocols.dkim.keys import ed25519_key, rsa_key

FEW = 40 if settings().max_examples <= 100 else 1000
KEYS = [rsa_key, ed25519_key]

# Lines of a body and parts of values: runs of white space, octets over 127, long lines.
TEXTS = st.lists(
    st.sampled_from([b" ", b"  ", b"\t", b" \t ", b"a", b"word", b"=", b";", b"\xfc", b"\xc3\xbc"])
    | st.integers(1, 200).map(lambda count: b"x" * count),
    max_size=6,
).map(b"".join)
FOLDS = st.sampled_from([b"\r\n ", b"\r\n\t", b" \r\n  ", b" ", b""])
NAMES = st.sampled_from(
    [b"To", b"to", b"CC", b"Subject", b"Date", b"X-Other", b"Received", b"Reply-To", b"List-Id"]
)


@st.composite
def fields(draw: st.DrawFn) -> bytes:
    """Make one field, folded in odd ways."""
    parts = draw(st.lists(TEXTS, max_size=3))
    value = b""
    for part in parts:
        value += draw(FOLDS) + part
    lines = [line for line in value.split(b"\r\n") if line.strip(b" \t")] or [b""]
    first, *others = lines
    folded = [line if line[:1] in b" \t" else b" " + line for line in others]
    return draw(NAMES) + b":" + b"\r\n".join([first, *folded]) + b"\r\n"


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """Make a header section with one From field somewhere."""
    before, after = draw(st.lists(fields(), max_size=5)), draw(st.lists(fields(), max_size=5))
    author = draw(st.sampled_from([b"From: a@example.org", b"FROM:\t=?x?= \r\n <a@example.org> "]))
    return b"".join([*before, author + b"\r\n", *after])


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Make a body: empty, with empty lines at its end, with or without a last line end."""
    body = b"\r\n".join(draw(st.lists(TEXTS, max_size=6)))
    body += b"\r\n" * draw(st.integers(0, 3))
    if not body.endswith((b" ", b"\t")):
        return body
    return body + b"\r\n"


@st.composite
def changes(draw: st.DrawFn, octets: bytes) -> bytes:
    """Put something in, or take an octet out, or leave it all."""
    at = draw(st.integers(0, len(octets)))
    added = draw(st.sampled_from([b"", b" ", b"\t", b"x", b"\r\n", b"\r\n "]))
    return octets[:at] + added + octets[at + draw(st.integers(0, 1)) :]


@pytest.fixture(scope="module")
def dkimpy() -> Iterator[Dkimpy]:
    require_dkimpy()
    with running_dkimpy() as running:
        yield running


@pytest.fixture(scope="module")
def now() -> datetime:
    return SystemClock().now()


def sign(key: SigningKey, header: bytes, body: bytes, now: datetime) -> bytes:
    hashed = BodyHash(BODY_FORM)
    hashed.receive(body)
    fields = select_fields(split_fields(header))
    return plan_signature(key, fields, now).make(hashed.finish())


def verify(key: SigningKey, header: bytes, body: bytes, now: datetime) -> DkimResult:
    verifier = Verifier(header, now)
    verifier.receive(body)
    names: tuple[Domain, ...] = verifier.key_names
    (result,) = verifier.finish(dict.fromkeys(names, (key.record.encode(),)))
    return result.result


def find_keys(key: SigningKey) -> dict[str, str]:
    return {f"{key.selector}._domainkey.{key.domain}": key.record}


@settings(max_examples=FEW)
@given(key=st.sampled_from(KEYS), header=headers(), body=bodies())
def test_it_verifies_what_we_sign(
    dkimpy: Dkimpy, now: datetime, key: Callable[[], SigningKey], header: bytes, body: bytes
) -> None:
    signer = key()
    message = sign(signer, header, body, now) + header + b"\r\n" + body
    assert dkimpy.verify(message, find_keys(signer))


@settings(max_examples=FEW)
@given(
    key=st.sampled_from(KEYS),
    forms=st.tuples(st.sampled_from(["simple", "relaxed"]), st.sampled_from(["simple", "relaxed"])),
    length=st.booleans(),
    header=headers(),
    body=bodies(),
    names=st.lists(st.sampled_from(["to", "subject", "from", "cc", "x-other"]), max_size=6),
)
def test_we_verify_what_it_signs(  # noqa: PLR0913, PLR0917 - one for each thing that varies
    dkimpy: Dkimpy,
    now: datetime,
    key: Callable[[], SigningKey],
    forms: tuple[str, str],
    length: bool,
    header: bytes,
    body: bytes,
    names: list[str],
) -> None:
    signer = key()
    message = header + b"\r\n" + body
    field = dkimpy.sign(signer, message, ["from", *names], forms, length=length)
    assert verify(signer, field + header, body, now) is DkimResult.PASS


@settings(max_examples=FEW)
@given(data=st.data(), header=headers(), body=bodies())
def test_both_find_the_same_bodies_changed(
    dkimpy: Dkimpy, now: datetime, data: st.DataObject, header: bytes, body: bytes
) -> None:
    signer = ed25519_key()
    field = sign(signer, header, body, now) + header
    changed = data.draw(changes(body))
    if is_comparable(changed):
        is_good = dkimpy.verify(field + b"\r\n" + changed, find_keys(signer))
        assert (verify(signer, field, changed, now) is DkimResult.PASS) is is_good


@settings(max_examples=FEW)
@given(data=st.data(), header=headers(), body=bodies())
def test_both_find_the_same_headers_changed(
    dkimpy: Dkimpy, now: datetime, data: st.DataObject, header: bytes, body: bytes
) -> None:
    signer = ed25519_key()
    field = sign(signer, header, body, now)
    changed = data.draw(changes(header))
    if is_header(changed):
        is_good = dkimpy.verify(field + changed + b"\r\n" + body, find_keys(signer))
        assert (verify(signer, field + changed, body, now) is DkimResult.PASS) is is_good


def is_comparable(body: bytes) -> bool:
    """Say whether both read a body in the same way."""
    rest = body.replace(b"\r\n", b"")
    return not (b"\r" in rest or b"\n" in rest or body.endswith((b" ", b"\t")))


def is_header(octets: bytes) -> bool:
    """Say whether octets are a header section to both."""
    if not octets.endswith(b"\r\n") or not is_comparable(octets):
        return False
    lines = octets.removesuffix(b"\r\n").split(b"\r\n")
    names = [line.partition(b":")[0] for line in lines if line[:1] not in (b" ", b"\t")]
    is_whole = all(
        line[:1] in (b" ", b"\t") or (b":" in line and line[:1] != b":") for line in lines
    )
    return (
        is_whole
        and all(line.strip(b" \t") for line in lines)
        and lines[0][:1] not in (b" ", b"\t")
        and all(name.isascii() and name.decode().isprintable() for name in names)
        and not any(b" " in name for name in names)
    )
