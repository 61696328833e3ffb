"""A message on its way in gets its signatures."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.base.domains import Domain
from letterlock.protocols.dkim.results import DkimResult
from letterlock.protocols.dkim.signature import Signature, parse_signature
from letterlock.protocols.dkim.signing import SigningKey
from letterlock.protocols.dkim.verifying import Verifier
from letterlock.services.sign.keyring import Keyring
from letterlock.services.sign.keys import KeyPlan, make_missing_key
from letterlock.services.sign.signer import MAX_HEADER_OCTETS, Signer
from letterlock.storage.dkim_keys import DkimKeyFiles
from tests.fakes import START, FakeClock, FakeLog

DOMAIN = Domain("example.org")
PLAN = KeyPlan((DOMAIN,), "s1")
HEADER = b"From: Joe <joe@example.org>\r\nSubject: x\r\n"
BODY = b"Hello\r\n\r\nthere\r\n"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dkim")
    for which in PLAN.list_all():
        make_missing_key(DkimKeyFiles(folder), which)
    return folder


def make_signer(folder: Path, lifetime: timedelta | None = None) -> Signer:
    clock = FakeClock()
    return Signer(Keyring(PLAN, DkimKeyFiles(folder), clock, FakeLog()), clock, lifetime)


def sign(signer: Signer, *pieces: bytes) -> bytes:
    """Give the message as it is stored."""
    signing = signer.begin()
    written = b"".join([signing.receive(piece) for piece in pieces])
    rest, fields = signing.finish()
    written += rest
    assert bool(signing.keys) is bool(fields)
    return fields + written[len(fields) :]


def list_records(signer: Signer) -> dict[Domain, tuple[bytes, ...]]:
    found: tuple[SigningKey, ...] = signer.keyring.find(DOMAIN)
    return {
        Domain(f"{key.selector}._domainkey.{key.domain}"): (key.record.encode(),) for key in found
    }


def verify(signer: Signer, message: bytes) -> list[DkimResult]:
    header, _, body = message.partition(b"\r\n\r\n")
    verifier = Verifier(header + b"\r\n", START)
    verifier.receive(body)
    return [result.result for result in verifier.finish(list_records(signer))]


def test_both_keys_sign_and_nothing_else_changes(keys: Path) -> None:
    """RFC 8463 §6: a signature for each algorithm."""
    signer, message = make_signer(keys), HEADER + b"\r\n" + BODY
    signed = sign(signer, message)
    assert signed.endswith(message)
    assert signed.startswith(b"DKIM-Signature: v=1; a=rsa-sha256;")
    assert verify(signer, signed) == [DkimResult.PASS, DkimResult.PASS]


def test_a_whole_message_is_signed_at_once(keys: Path) -> None:
    """What we write ourselves: our Received field stands in front, and is not signed."""
    signer, message = make_signer(keys), b"Received: by x\r\n" + HEADER + b"\r\n" + BODY
    signed = signer.sign(message)
    assert signed.endswith(message)
    assert verify(signer, signed) == [DkimResult.PASS, DkimResult.PASS]
    strange = message.replace(b"example.org", b"example.com")
    assert signer.sign(strange) == strange


@pytest.mark.parametrize(
    "message",
    [
        HEADER,
        HEADER + b"\r\n",
        HEADER + b"\r\n\r\n",
        HEADER[:-2],
        HEADER + b"\r\nno line end",
    ],
)
def test_bodies_may_be_empty_or_without_an_end(keys: Path, message: bytes) -> None:
    signer = make_signer(keys)
    signed = sign(signer, message)
    assert signed.endswith(message)
    results = verify(signer, signed if b"\r\n\r\n" in signed else signed + b"\r\n")
    assert results == [DkimResult.PASS, DkimResult.PASS]


@settings(max_examples=30)
@given(data=st.data(), body=st.binary(max_size=30).map(lambda octets: octets.replace(b"\n", b"")))
def test_how_a_message_is_cut_does_not_matter(keys: Path, data: st.DataObject, body: bytes) -> None:
    signer, message = make_signer(keys), HEADER + b"\r\n" + body
    cuts = sorted(data.draw(st.lists(st.integers(0, len(message)), max_size=4)))
    pieces = [message[a:b] for a, b in zip([0, *cuts], [*cuts, len(message)], strict=True)]
    signed = sign(signer, *pieces)
    assert signed == sign(signer, message)
    octets = [message[at : at + 1] for at in range(len(message))]
    assert signed == sign(signer, *octets)


@pytest.mark.parametrize(
    "header",
    [
        b"Subject: no author\r\n",
        b"From: joe@elsewhere.example\r\n",
        b"From: joe@example.org.elsewhere.example\r\n",
        b"From: joe@badexample.org\r\n",
        b"From: joe@example.org\r\nFrom: joe@example.org\r\n",
        b"From: nobody\r\n",
        b'From: "joe@example.org" <joe@elsewhere.example>\r\n',
        b"",
    ],
)
def test_what_is_not_ours_is_let_through(keys: Path, header: bytes) -> None:
    """RFC 6376 §3.8: a message with two From fields is none that one should answer for."""
    message = header + b"\r\n" + BODY
    assert sign(make_signer(keys), message) == message


@pytest.mark.parametrize(
    "author",
    [b"root@host.example.org", b"a@elsewhere.example, joe@example.org", b"joe@EXAMPLE.ORG (x@y.z)"],
)
def test_what_is_ours(keys: Path, author: bytes) -> None:
    """RFC 6376 §3.10: a name below our domain is ours."""
    signer = make_signer(keys)
    signed = sign(signer, b"From: " + author + b"\r\n\r\n" + BODY)
    assert verify(signer, signed) == [DkimResult.PASS, DkimResult.PASS]


def test_the_first_message_of_a_node_is_signed(tmp_path: Path) -> None:
    """Its keys are made for it."""
    message = HEADER + b"\r\n" + BODY
    signer = make_signer(tmp_path / "dkim")
    assert verify(signer, sign(signer, message)) == [DkimResult.PASS, DkimResult.PASS]


def test_without_keys_nothing_is_signed(tmp_path: Path) -> None:
    message = HEADER + b"\r\n" + BODY
    (tmp_path / "dkim").write_text("no folder")
    assert sign(make_signer(tmp_path / "dkim"), message) == message


def test_a_header_without_end_is_not_held_for_ever(keys: Path) -> None:
    piece = b"X-More: " + b"x" * 900 + b"\r\n"
    signing = make_signer(keys).begin()
    held = 0
    for count in range(1, 1000):
        held = count * len(piece) - len(signing.receive(piece))
        if not held:
            break
    assert count * len(piece) < MAX_HEADER_OCTETS + 2 * len(piece)
    assert signing.receive(b"\r\nbody") == b"\r\nbody"
    assert signing.finish() == (b"", b"")


def test_signatures_expire_where_that_is_set(keys: Path) -> None:
    signed = sign(make_signer(keys, timedelta(days=14)), HEADER + b"\r\n")
    signature = parse_signature(signed.partition(b"\r\nDKIM")[0])
    assert isinstance(signature, Signature)
    assert signature.expires == int(START.timestamp()) + 14 * 86400
