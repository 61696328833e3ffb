"""Whether each certificate is on the list, and what to do about it.

RFC 5280 §4.1.2.2: a serial number is one issuer's. What could not be asked is never "not affected".
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from letterlock.protocols.incidents.serials import format_serial
from letterlock.protocols.pki.certificate import (
    CertificateFacts,
    IssuerAndSerial,
    read_certificate,
    read_issuer_and_serial,
)
from letterlock.services.incidents.findings import NotAsked, Shown

SHORT_SERIAL_BITS = 64
"""CA/Browser Forum Baseline Requirements 7.1: at least as many come from chance."""

RENEW_SHOWN = (
    "renew it now, and let the server load the new one; if it was renewed already, the server was "
    "not reloaded: this is what it shows"
)
RENEW_FILE = (
    "renew it now and reload what uses it, then ask the live hosts with --host: a server may go on "
    "showing the old one"
)
NOTHING_TO_DO = "nothing to do"
ASK_AGAIN = "put that right and ask again: it may be affected or not"
SHORT = "; its serial number is short: see whether the list is of this issuer"
OTHER_ISSUER = "the list has this serial number, but is of another issuer's certificates"
NOT_THIS_ISSUERS = "the list is of another issuer's certificates"


class List(Protocol):
    """What a list tells; `issuer` (DER) is None where it does not say whose it is."""

    @property
    def issuer(self) -> bytes | None: ...

    def find(self, serial: int) -> int | None: ...

    def read_entries(self, places: Collection[int]) -> Mapping[int, str]: ...


@dataclass(frozen=True, slots=True)
class Result:
    """The answer for one certificate; `affected` None: nobody knows, `reason` says why.

    `place` is where the list has it (a line; of a CRL, its entry), `entry` what it says there.
    """

    source: str
    serial: str | None
    affected: bool | None
    advice: str
    reason: str | None = None
    place: int | None = None
    entry: str | None = None
    names: tuple[str, ...] = ()
    key: str | None = None
    asked: tuple[str, ...] = ()


def check(listed: List, findings: Iterable[Shown | NotAsked]) -> list[Result]:
    """Give a result for each finding, in their order."""
    results = [_check_one(listed, finding) for finding in findings]
    places = {result.place for result in results if result.place is not None}
    entries = listed.read_entries(places) if places else {}
    return [
        result if result.place is None else replace(result, entry=entries.get(result.place))
        for result in results
    ]


def _check_one(listed: List, finding: Shown | NotAsked) -> Result:
    if isinstance(finding, NotAsked):
        return _unknown(finding.source, finding.reason, finding.asked)
    identity = read_issuer_and_serial(finding.der)
    if identity is None:
        return _unknown(finding.source, "not a certificate that can be read", finding.asked)
    if identity.serial < 0:
        reason = "its serial number is negative (RFC 5280 §4.1.2.2), which no list can have"
        return _unknown(finding.source, reason, finding.asked)
    return _judge(listed, finding, identity)


def _judge(listed: List, finding: Shown, identity: IssuerAndSerial) -> Result:
    place = listed.find(identity.serial)
    is_other = listed.issuer is not None and listed.issuer != identity.issuer
    facts = read_certificate(finding.der)
    base = Result(
        finding.source,
        format_serial(identity.serial),
        affected=False,
        advice=NOTHING_TO_DO,
        reason=NOT_THIS_ISSUERS if is_other else None,
        names=facts.names.texts if isinstance(facts, CertificateFacts) else (),
        key=facts.key if isinstance(facts, CertificateFacts) else None,
        asked=finding.asked,
    )
    if place is None:
        return base
    if is_other:
        # Names can be written in several ways (RFC 5280 §7.1): it is no proof of the contrary.
        return replace(base, affected=None, advice=ASK_AGAIN, reason=OTHER_ISSUER, place=place)
    advice = RENEW_SHOWN if finding.asked else RENEW_FILE
    if identity.serial.bit_length() < SHORT_SERIAL_BITS and listed.issuer is None:
        advice += SHORT
    return replace(base, affected=True, advice=advice, place=place)


def _unknown(source: str, reason: str, asked: tuple[str, ...]) -> Result:
    return Result(source, None, None, ASK_AGAIN, reason, asked=asked)
