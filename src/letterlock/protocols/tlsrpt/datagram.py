"""One datagram of libtlsrpt: what a mail server's TLS session with one MX host came to.

RFC 8460 §4.2-4.4 (what is counted), the wire of libtlsrpt 0.5. Postfix 3.10 and later sends one for
each connection. It is JSON, in which octets above 127 stand as the MTA had them: those that are no
UTF-8 are replaced. Members that are not known are passed over.
"""

import re
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, MsgspecError, Struct

from letterlock.base.domains import DomainError, parse_domain
from letterlock.protocols.tlsrpt.findings import PolicyType
from letterlock.protocols.tlsrpt.repairs import Names, take_address
from letterlock.protocols.tlsrpt.report import FailureDetails
from letterlock.protocols.tlsrpt.result_types import ResultType
from letterlock.protocols.tlsrpt.sessions import (
    MAX_POLICY_STRINGS,
    MAX_TEXT_CHARACTERS,
    AppliedPolicy,
    Outcome,
    Session,
    clean_text,
)

MAX_DATAGRAM_OCTETS = 256 * 1024
"""Linux lets a sender have 208 KiB unless it is root; real ones have some hundred octets."""
MAX_POLICIES = 16
"""In one datagram. Postfix tells one; two where an MTA applies DANE and MTA-STS."""
MAX_FAILURES = 100
"""Of one policy in one datagram."""
MAX_RECORD_CHARACTERS = 4000
_MAX_HELO_CHARACTERS = 255

POLICY_TYPES = {1: PolicyType.TLSA, 2: PolicyType.STS, 9: PolicyType.NO_POLICY_FOUND}
RESULT_TYPES = {
    201: ResultType.STARTTLS_NOT_SUPPORTED,
    202: ResultType.CERTIFICATE_HOST_MISMATCH,
    203: ResultType.CERTIFICATE_NOT_TRUSTED,
    204: ResultType.CERTIFICATE_EXPIRED,
    205: ResultType.VALIDATION_FAILURE,
    301: ResultType.STS_POLICY_FETCH_ERROR,
    302: ResultType.STS_POLICY_INVALID,
    303: ResultType.STS_WEBPKI_INVALID,
    304: ResultType.TLSA_INVALID,
    305: ResultType.DNSSEC_INVALID,
    306: ResultType.DANE_REQUIRED,
}
"""The library's numbers of what RFC 8460 §4.3 names."""

_REPLY_CODE = re.compile(r"\d{3}[- ]")
_BLANK = re.compile(r"\s")


class DatagramFault(StrEnum):
    """Why a datagram is not counted."""

    TOO_LARGE = "too large"
    NOT_JSON = "not JSON"
    NOT_A_RESULT = "not a session's result"


class DatagramError(ValueError):
    """What came is no datagram that can be counted. It is the only exception, for any octets.

    The text is one line and begins with `fault`.
    """

    def __init__(self, fault: DatagramFault, text: str) -> None:
        super().__init__(f"{fault.value}: {clean_text(text, 200)}")
        self.fault = fault


class WireFailure(Struct, omit_defaults=True):
    """A failure as the library writes it: code, sender, MX name, helo, receiver, URI, reason."""

    c: Annotated[int, Meta(ge=0, le=9999)]
    s: str | None = None
    n: str | None = None
    h: str | None = None
    r: str | None = None
    a: str | None = None
    f: str | None = None


class WirePolicy(Struct, rename="kebab", omit_defaults=True):
    """A policy as the library writes it."""

    policy_type: Annotated[int, Meta(ge=0, le=9999)]
    policy_domain: str | None = None
    policy_string: Annotated[tuple[str, ...], Meta(max_length=MAX_POLICY_STRINGS)] = ()
    mx_host: Annotated[tuple[str, ...], Meta(max_length=MAX_POLICY_STRINGS)] = ()


class _Policy(WirePolicy, rename="kebab", kw_only=True):
    failure_details: Annotated[tuple[WireFailure, ...], Meta(max_length=MAX_FAILURES)] = ()
    f: Annotated[int, Meta(ge=0, le=1)]


class _Datagram(Struct):
    d: str
    pr: Annotated[str, Meta(max_length=MAX_RECORD_CHARACTERS)]
    policies: Annotated[tuple[_Policy, ...], Meta(min_length=1, max_length=MAX_POLICIES)]


_DECODER = msgspec.json.Decoder(_Datagram)


def parse_datagram(octets: bytes) -> Session:
    """Parse one datagram. Raises DatagramError."""
    if len(octets) > MAX_DATAGRAM_OCTETS:
        raise DatagramError(DatagramFault.TOO_LARGE, f"more than {MAX_DATAGRAM_OCTETS} octets")
    found = _decode(octets)
    try:
        domain = parse_domain(found.d)
    except DomainError as error:
        raise DatagramError(DatagramFault.NOT_A_RESULT, f"`d`: {error}") from None
    outcomes = tuple(_make_outcome(policy, domain) for policy in found.policies)
    return Session(domain, clean_text(found.pr, MAX_RECORD_CHARACTERS), outcomes)


def make_policy(wire: WirePolicy, domain: str) -> AppliedPolicy:
    """Make a policy of what came; `domain` is that of the report. Raises DatagramError."""
    kind = POLICY_TYPES.get(wire.policy_type)
    if kind is None:
        text = f"`policy-type` {wire.policy_type} is not known"
        raise DatagramError(DatagramFault.NOT_A_RESULT, text)
    names = Names()
    policy_domain: str | None = domain
    if wire.policy_domain is not None:
        policy_domain, why = names.take_domain(wire.policy_domain)
        if policy_domain is None:
            raise DatagramError(DatagramFault.NOT_A_RESULT, f"`policy-domain`: {why}")
    assert policy_domain is not None
    strings = tuple(clean_text(text, MAX_TEXT_CHARACTERS) for text in wire.policy_string)
    hosts = (names.take_pattern(clean_text(text, MAX_TEXT_CHARACTERS))[0] for text in wire.mx_host)
    return AppliedPolicy(kind, policy_domain, strings, tuple(host for host in hosts if host))


def make_failure(wire: WireFailure) -> FailureDetails:
    """Make a failure of what came; a code that RFC 8460 has no word for is `validation-failure`."""
    kind, reason = RESULT_TYPES.get(wire.c), _clean_or_none(wire.f)
    if kind is None:
        kind, reason = ResultType.VALIDATION_FAILURE, reason or f"libtlsrpt-code-{wire.c}"
    host = _clean_or_none(wire.n)
    return FailureDetails(
        result_type=kind,
        sending_mta_ip=_take_address(wire.s),
        receiving_mx_hostname=Names().take_host(host)[0] if host else None,
        receiving_mx_helo=_take_helo(wire.h),
        receiving_ip=_take_address(wire.r),
        additional_information=_clean_or_none(wire.a),
        reason_code=reason,
    )


def _decode(octets: bytes) -> _Datagram:
    try:
        return _DECODER.decode(octets)
    except (MsgspecError, UnicodeError, RecursionError, ValueError) as error:
        first = error
    # The library passes on what is no UTF-8, as a server's reply may have been.
    replaced = octets.decode("utf-8", "replace").encode()
    try:
        if replaced != octets:
            return _DECODER.decode(replaced)
    except (MsgspecError, UnicodeError, RecursionError, ValueError) as error:
        first = error
    is_form = isinstance(first, msgspec.ValidationError)
    fault = DatagramFault.NOT_A_RESULT if is_form else DatagramFault.NOT_JSON
    raise DatagramError(fault, str(first) or "too deep") from None


def _make_outcome(wire: _Policy, domain: str) -> Outcome:
    failures = tuple(map(make_failure, wire.failure_details))
    return Outcome(make_policy(wire, domain), bool(wire.f), failures)


def _clean_or_none(text: str | None) -> str | None:
    return clean_text(text, MAX_TEXT_CHARACTERS).strip() or None if text else None


def _take_address(text: str | None) -> str | None:
    return take_address(text[:MAX_TEXT_CHARACTERS])[0] if text else None


def _take_helo(text: str | None) -> str | None:
    """Take the name that a server called itself: Postfix tells the whole reply to its EHLO.

    A fetcher may have the name alone, which has no code in front, whatever its digits are.
    """
    if not text:
        return None
    text = text.lstrip()
    code = _REPLY_CODE.match(text) if _BLANK.search(text) else None
    line = text[code.end() :] if code else text
    words = clean_text(line.lstrip(), 2 * _MAX_HELO_CHARACTERS).split(maxsplit=1)
    return words[0][:_MAX_HELO_CHARACTERS] if words else None
