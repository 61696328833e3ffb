"""What was signed is held beside its draft, and a token that hangs holds nobody up."""

import threading
from dataclasses import replace

import pytest

from letterlock.protocols.pki.der import split_elements, wrap_element
from letterlock.protocols.pki.issuance.signing import (
    AuthorityKey,
    KeySigner,
    KeyUnavailable,
    make_key,
    sign_draft,
)
from letterlock.services.ca.issuing.drafting import Drafted, Drafter, DraftError, check_signed
from letterlock.services.ca.issuing.judging import Judged, judge
from letterlock.services.ca.issuing.signing import sign
from tests.services.ca.issuing.office import DAY, WORLD, Office, make_csr

ISSUER = WORLD.authority.issuer


async def draft(office: Office, *names: str) -> Drafted:
    claimed = await office.add_order(*names)
    order = await office.find_order(claimed)
    judged = await judge(order, make_csr(names), office.rules, office.kept)
    assert isinstance(judged, Judged)
    drafter = Drafter(WORLD.authority, office.rules, office.linter)
    return drafter.draft(order, judged, office.clock.now())


async def test_what_is_signed_as_drafted_is_good(office: Office) -> None:
    """Baseline Requirements 4.3.1.3"""
    drafted = await draft(office, "mx.example")
    check_signed(sign_draft(drafted.draft, ISSUER.signer), drafted, ISSUER, office.clock.now())


async def test_what_is_signed_otherwise_is_found_out(office: Office) -> None:
    drafted, other = await draft(office, "mx.example"), await draft(office, "b.example")
    now = office.clock.now()
    good = sign_draft(drafted.draft, ISSUER.signer)
    stranger = KeySigner(make_key("ec-p256"))
    for der, moment, reason in (
        (sign_draft(other.draft, ISSUER.signer), now, "not what was drafted"),
        (sign_draft(drafted.draft, stranger), now, "no good: InvalidSignature"),
        (good, now - DAY, "not what was drafted"),
        (good, now + 100 * DAY, "not what was drafted"),
        (good[:-1], now, "no good: ValueError"),
        (b"", now, "no good: ValueError"),
    ):
        with pytest.raises(DraftError, match=reason):
            check_signed(der, drafted, ISSUER, moment)
    other_root = replace(ISSUER, certificate=WORLD.root.certificate)
    with pytest.raises(DraftError, match="no good"):
        check_signed(good, drafted, other_root, now)


async def test_what_has_no_names_is_found_out(office: Office) -> None:
    """As if the octets had changed between the draft and the key."""
    drafted = await draft(office, "mx.example")
    tbs = split_elements(split_elements(drafted.draft.der, limit=1)[0][1], limit=3)[0][0]
    fields = split_elements(split_elements(tbs, limit=1)[0][1], limit=16)
    bare = wrap_element(0x30, b"".join(whole for whole, _ in fields[:-1]))
    whole = split_elements(split_elements(drafted.draft.der, limit=1)[0][1], limit=3)
    bits = wrap_element(0x03, b"\0" + ISSUER.signer.sign(bare))
    der = wrap_element(0x30, bare + whole[1][0] + bits)
    with pytest.raises(DraftError, match="has no names"):
        check_signed(der, drafted, ISSUER, office.clock.now())


class Hanging:
    """A token that signs when it is let."""

    def __init__(self) -> None:
        self.is_let = threading.Event()

    @property
    def public_key(self) -> AuthorityKey:
        return ISSUER.key

    def sign(self, octets: bytes) -> bytes:
        self.is_let.wait(60)
        return ISSUER.signer.sign(octets)


async def test_a_token_that_hangs_is_given_up_and_the_loop_goes_on(office: Office) -> None:
    drafted = await draft(office, "mx.example")
    token = Hanging()
    with pytest.raises(KeyUnavailable, match=r"has not signed for 0\.01 seconds"):
        await sign(drafted.draft, token, seconds=0.01)
    token.is_let.set()
    assert await sign(drafted.draft, token)
