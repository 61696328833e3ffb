"""What a look at a host adds to what a log says of it: which of two causes it was.

A log cannot tell a host that is self-signed from one that shows such a certificate to clients
without SNI only (RFC 6066 §3), nor an unknown authority from an intermediate that is not sent (RFC
8446 §4.4.2). The host of today is asked; what it showed when the log was written nobody knows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from letterlock.protocols.check.facts import AskedSni, Probe, State
from letterlock.protocols.check.terms import Terms
from letterlock.protocols.mail_log.causes import Cause
from letterlock.protocols.pki.chain import compare_names, judge_chain
from letterlock.protocols.tls.handshake import Handshake

UNCERTAIN = frozenset(
    {Cause.SELF_SIGNED, Cause.UNTRUSTED_ISSUER, Cause.NOT_VERIFIED, Cause.NAME_MISMATCH}
)
"""Causes of which a log may not know all."""

_BY_REASON = {
    "self-signed-certificate": Cause.SELF_SIGNED,
    "missing-intermediate": Cause.MISSING_INTERMEDIATE,
    "expired": Cause.CERTIFICATE_EXPIRED,
    "not-yet-valid": Cause.CERTIFICATE_NOT_YET_VALID,
    "unsuitable-purpose": Cause.WRONG_PURPOSE,
    "weak-key": Cause.WEAK_CERTIFICATE,
    "weak-signature": Cause.WEAK_CERTIFICATE,
    "no-certificate": Cause.NO_CERTIFICATE,
}


@dataclass(frozen=True, slots=True)
class SecondLook:
    """What a host shows now. `cause` None: nothing is wrong with it for who sends its name."""

    cause: Cause | None
    detail: str
    is_answered: bool = True


def look_again(logged: Cause, name: str, probes: Sequence[Probe], terms: Terms) -> SecondLook:
    """Say what was behind a cause of the log, by what the host shows with its name and without.

    `name` is the host's.
    """
    own = _find(probes, AskedSni.OWN)
    if own is None:
        detail = probes[0].detail if probes else "it was not asked"
        return SecondLook(None, f"it cannot be asked now: {detail}", is_answered=False)
    fault, said = _find_fault(own, name, terms)
    without = _find(probes, AskedSni.NONE)
    other, other_said = (None, "") if without is None else _find_fault(without, name, terms)
    if fault is not None:
        return SecondLook(fault, said)
    if other is None:
        return SecondLook(None, "it shows a good certificate now, with its name and without")
    cause = Cause.NO_SNI_SELF_SIGNED if other is Cause.SELF_SIGNED else logged
    text = f"with its name (SNI) it shows a good certificate, without it another: {other_said}"
    return SecondLook(cause, text)


def _find(probes: Sequence[Probe], asked: AskedSni) -> Handshake | None:
    for probe in probes:
        is_it = probe.asked is asked and probe.key is None and probe.state is not State.NOT_TESTED
        if is_it and isinstance(probe.handshake, Handshake):
            return probe.handshake
    return None


def _find_fault(handshake: Handshake, name: str, terms: Terms) -> tuple[Cause | None, str]:
    judgement = judge_chain(handshake.chain, terms.anchors, terms.now)
    if judgement.findings:
        first = judgement.findings[0]
        return _BY_REASON.get(first.reason_code, Cause.UNTRUSTED_ISSUER), first.text
    assert judgement.leaf is not None
    faults = compare_names(judgement.leaf.names, (name,))[1]
    return (Cause.NAME_MISMATCH, faults[0].text) if faults else (None, "")
