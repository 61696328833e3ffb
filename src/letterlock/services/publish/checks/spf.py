"""The SPF record of a domain of ours, as far as it speaks of itself.

RFC 7208 §4.5 (one record), §4.6.1 (terms), §4.6.4 (ten lookups), §5.1 (all). Records that it
includes are not followed: whether they name us stays open then. Judging the mail of others by SPF
is not ours.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from letterlock.base.domains import Domain
from letterlock.services.publish.checks.null_mx import NO_SENDERS, has_null_mx
from letterlock.services.publish.findings import Code, Finding, error, note, warning
from letterlock.services.publish.observed import Observed, show
from letterlock.services.publish.records import (
    IpAddress,
    OwnDomain,
    Plan,
    RecordKind,
    find_planned,
    format_text,
    list_hosts,
)

VERSION = b"v=spf1"
MAX_LOOKUPS = 10

_MECHANISMS = ("all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists")
# RFC 7208 §4.6.1, §12: directive = [qualifier] mechanism; modifier = name "=" macro-string
_TERM = re.compile(
    rf"(?P<qualifier>[+?~-]?)(?P<name>{'|'.join(_MECHANISMS)})(?P<value>[:/][\x21-\x7e]*)?\Z",
    re.IGNORECASE,
)
_MODIFIER = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9._-]*)=(?P<value>[\x21-\x7e]*)\Z")
_WITH_LOOKUP = ("include", "a", "mx", "ptr", "exists", "redirect")
_MISSING_FIX = "add the TXT record {} to {}"


@dataclass(frozen=True, slots=True)
class _Term:
    """A mechanism or modifier; `value` as written behind the name, `:` or `=` gone."""

    name: str
    value: str
    qualifier: str = "+"


def check_spf(observed: Observed, plan: Plan | None) -> Iterator[Finding]:
    """Check the record of the domain, and of our own host's name."""
    domain = observed.domain
    yield from _check_one(observed, domain, _find_planned(plan, domain))
    for host in list_hosts(plan):
        planned = _find_planned(plan, host.name)
        if host.is_here and host.name != domain and planned:
            yield from _check_host(observed, host.name, planned)
    texts = _find_records(observed, domain)
    if plan is not None and len(texts) == 1:
        yield from _check_ours(observed, plan.own, texts[0])


def _check_one(observed: Observed, name: Domain, planned: str) -> Iterator[Finding]:
    answer, texts = observed.find(name, "TXT"), _find_records(observed, name)
    if not answer.is_answer:
        return
    if not texts and not planned and has_null_mx(observed):
        text = (
            "nothing says that the domain sends no mail, as it takes none: others can in its name"
        )
        yield warning(Code.SPF_MISSING, name, text, _MISSING_FIX.format(f'"{NO_SENDERS}"', name))
    elif not texts:
        fix = _MISSING_FIX.format(planned, name) if planned else "add an SPF record"
        text = "there is no SPF record: large receivers refuse mail that has neither SPF nor DKIM"
        yield error(Code.SPF_MISSING, name, text, fix)
    elif len(texts) > 1:
        text = f"there are {len(texts)} SPF records, where one is allowed: all are invalid"
        yield error(Code.SPF_SEVERAL, name, text, "make one of them")
    else:
        faults = tuple(_check_text(name, texts[0]))
        yield from faults
        if planned and format_text(texts[0]) != planned and not faults:
            text = f"the SPF record is {show(texts[0])}, where {planned} would do"
            yield note(Code.SPF_DIFFERS, name, text, "leave it if it is meant")


def _check_host(observed: Observed, name: Domain, planned: str) -> Iterator[Finding]:
    texts = _find_records(observed, name)
    if texts or not observed.find(name, "TXT").is_answer:
        return
    text = "there is no SPF record for the name that this host says in EHLO"
    yield note(Code.SPF_MISSING, name, text, _MISSING_FIX.format(planned, name))


def _check_text(name: Domain, octets: bytes) -> Iterator[Finding]:
    terms = _split_terms(octets)
    if isinstance(terms, str):
        yield error(Code.SPF_INVALID, name, f"the SPF record is invalid: {terms}", "correct it")
        return
    lookups = sum(term.name in _WITH_LOOKUP for term in terms)
    if lookups > MAX_LOOKUPS:
        text = f"the SPF record takes {lookups} lookups, where {MAX_LOOKUPS} are allowed"
        yield error(Code.SPF_LOOKUPS, name, text, "name addresses (ip4, ip6) in place of hosts")
    last = next((term for term in terms if term.name == "all"), None)
    if last is not None and last.qualifier == "+":
        text = "the SPF record lets everybody send mail of this name"
        yield error(Code.SPF_ALLOWS_ALL, name, text, "end it with -all")
    elif last is not None and last.qualifier == "?":
        text = "the SPF record says nothing of hosts that it does not name"
        yield warning(Code.SPF_OPEN_END, name, text, "end it with -all")
    elif last is None and all(term.name != "redirect" for term in terms):
        text = "the SPF record has no end: hosts that it does not name are neither good nor bad"
        yield warning(Code.SPF_OPEN_END, name, text, "end it with -all")


def _check_ours(observed: Observed, own: OwnDomain, octets: bytes) -> Iterator[Finding]:
    terms = _split_terms(octets)
    if isinstance(terms, str):
        return
    here = [address for host in own.hosts if host.is_here for address in host.addresses]
    refused = [
        address
        for address in dict.fromkeys([*here, *own.senders])
        if not _may_pass(observed, own, terms, address)
    ]
    if refused and not own.is_relayed:
        names = ", ".join(map(str, refused))
        more = " ".join(f"ip{each.version}:{each}" for each in refused)
        text = f"the SPF record does not let {names} send, which is this host"
        fix = f"add to it, before `all`: {more}"
        yield error(Code.SPF_EXCLUDES_US, observed.domain, text, fix)


def _may_pass(observed: Observed, own: OwnDomain, terms: list[_Term], address: IpAddress) -> bool:
    """Say whether an address passes; True also where that depends on records not looked at."""
    for term in terms:
        if term.name not in _MECHANISMS:
            continue
        matches = _matches(observed, own, term, address)
        if matches is None or (matches and term.qualifier == "+"):
            return True
        if matches:
            return False
    return any(term.name == "redirect" for term in terms)


def _matches(observed: Observed, own: OwnDomain, term: _Term, address: IpAddress) -> bool | None:
    """Say whether a mechanism matches; None: it is not known."""
    if term.name == "all":
        return True
    if term.name in ("ip4", "ip6"):
        network = ip_network(term.value, strict=False)
        return address.version == network.version and address in network
    if term.value or term.name not in ("a", "mx"):
        return None
    if term.name == "a":
        answer = observed.find(observed.domain, "A" if address.version == 4 else "AAAA")
        return address in answer.records if answer.is_answer else None
    hosts = {record.exchange for record in observed.find_mx() if record.exchange is not None}
    # That an address of ours is not published is a fault of its own.
    ours = (each for host in own.hosts if host.name in hosts for each in host.addresses)
    others = (each for host in hosts for each in observed.find_addresses(host))
    return address in {*ours, *others} if hosts else None


def _split_terms(octets: bytes) -> list[_Term] | str:
    """Give the terms of a record in lower case; a text says which one is wrong."""
    terms: list[_Term] = []
    for word in octets.decode("latin-1")[len(VERSION) :].split():
        if found := _TERM.match(word):
            name, value = found["name"].lower(), (found["value"] or "").removeprefix(":")
            terms.append(_Term(name, value.lower(), found["qualifier"] or "+"))
        elif found := _MODIFIER.match(word):
            terms.append(_Term(found["name"].lower(), found["value"].lower()))
        else:
            return f"{show(word)} is no term of SPF"
        if not _is_usable(terms[-1]):
            return f"{show(word)} lacks its value, or has a wrong one"
    return terms


def _is_usable(term: _Term) -> bool:
    """RFC 7208 §5: what must stand behind a mechanism's name."""
    match term.name:
        case "all":
            return not term.value
        case "include" | "exists" | "redirect":
            return bool(term.value)
        case "ip4" | "ip6":
            return _is_network(term.value, 4 if term.name == "ip4" else 6)
        case _:
            return True


def _is_network(text: str, version: int) -> bool:
    try:
        ip_address(text.partition("/")[0])
        return ip_network(text, strict=False).version == version
    except ValueError:
        return False


def _find_records(observed: Observed, name: Domain) -> tuple[bytes, ...]:
    """RFC 7208 §4.5: `v=spf1` by itself, or with a space behind it."""
    texts = observed.find_texts(name, VERSION.decode())
    return tuple(text for text in texts if text[len(VERSION) : len(VERSION) + 1] in (b"", b" "))


def _find_planned(plan: Plan | None, name: Domain) -> str:
    values = (
        record.value
        for record in find_planned(plan, RecordKind.SPF)
        if record.name == name and record.is_complete
    )
    return next(values, "")
