"""A look at a host tells apart what a log cannot."""

from dataclasses import replace

import pytest

from letterlock.protocols.check.facts import AskedSni, Probe, State
from letterlock.protocols.check.second_look import SecondLook, look_again
from letterlock.protocols.check.terms import Terms
from letterlock.protocols.mail_log.causes import Cause
from letterlock.protocols.pki.throwaway_ca import self_signed
from tests.protocols.check.test_live import DAY, HOST, NOW, anchors, below, dated, good, leaf, shake

TERMS = Terms(anchors(), NOW)
Chain = tuple[bytes, ...]


def probe(chain: Chain, asked: AskedSni = AskedSni.OWN) -> Probe:
    return Probe(asked, State.OK, HOST, handshake=shake(chain))


def stranger() -> Chain:
    return self_signed(["invalid2.invalid"], now=NOW).chain_der


def test_a_host_that_is_self_signed_for_clients_without_sni_only() -> None:
    """Google's; Postfix sends none unless it is told to."""
    probes = (probe(good()), probe(stranger(), AskedSni.NONE))
    found = look_again(Cause.SELF_SIGNED, HOST, probes, TERMS)
    assert found.cause is Cause.NO_SNI_SELF_SIGNED
    assert "with its name (SNI) it shows a good certificate" in found.detail


def test_a_host_that_is_self_signed_for_everybody() -> None:
    probes = (probe(stranger()), probe(stranger(), AskedSni.NONE))
    assert look_again(Cause.SELF_SIGNED, HOST, probes, TERMS).cause is Cause.SELF_SIGNED


@pytest.mark.parametrize(
    ("chain", "causes"),
    [
        (leaf(ca=below()).chain_der[:1], {Cause.MISSING_INTERMEDIATE, Cause.UNTRUSTED_ISSUER}),
        (leaf("other.example").chain_der, {Cause.NAME_MISMATCH}),
        (leaf(shape=dated(-9 * DAY, -DAY)).chain_der, {Cause.CERTIFICATE_EXPIRED}),
        ((), {Cause.NO_CERTIFICATE}),
    ],
)
def test_what_is_wrong_with_its_name_too_is_what_counts(chain: Chain, causes: set[Cause]) -> None:
    assert look_again(Cause.UNTRUSTED_ISSUER, HOST, (probe(chain),), TERMS).cause in causes


def test_another_certificate_without_sni_that_is_not_self_signed_leaves_the_cause() -> None:
    probes = (probe(good()), probe(leaf("other.example").chain_der, AskedSni.NONE))
    assert look_again(Cause.NAME_MISMATCH, HOST, probes, TERMS).cause is Cause.NAME_MISMATCH


def test_a_host_that_was_mended_is_said_to_be() -> None:
    probes = (probe(good()), probe(good(), AskedSni.NONE))
    found = look_again(Cause.SELF_SIGNED, HOST, probes, TERMS)
    assert (found.cause, found.is_answered) == (None, True)
    assert look_again(Cause.SELF_SIGNED, HOST, probes[:1], TERMS).cause is None


def test_a_host_that_cannot_be_asked_says_nothing() -> None:
    blocked = Probe(AskedSni.OWN, State.BLOCKED, HOST, detail="it said 421")
    expected = SecondLook(None, "it cannot be asked now: it said 421", is_answered=False)
    assert look_again(Cause.SELF_SIGNED, HOST, (blocked,), TERMS) == expected
    assert not look_again(Cause.SELF_SIGNED, HOST, (), TERMS).is_answered
    left_out = replace(probe(good()), state=State.NOT_TESTED)
    assert not look_again(Cause.SELF_SIGNED, HOST, (left_out,), TERMS).is_answered
