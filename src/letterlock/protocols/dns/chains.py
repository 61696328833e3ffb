"""From responses to an answer: follow aliases to the records, say what there is and how sure.

RFC 1034 §3.6.2 (aliases), RFC 2181 §10.1 (one alias for a name), RFC 4035 §4.3 (states). Asking
is `network.dns`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from letterlock.base.counts import format_count
from letterlock.base.domains import Domain, DomainError, parse_domain
from letterlock.protocols.dns.answers import (
    Answer,
    CnameLink,
    Existence,
    MxRecord,
    Record,
    Security,
    SoaRecord,
)
from letterlock.protocols.dns.extended_errors import format_extended_error
from letterlock.protocols.dns.messages import (
    NOERROR,
    NXDOMAIN,
    RDTYPES,
    ExtendedError,
    MxRdata,
    Rdata,
    ResourceRecord,
    Response,
    SoaRdata,
    format_rcode,
)

MAX_LINKS = 10
"""Aliases followed for one question; resolvers stop near this number too."""
MAX_SHOWN_NAMES = 3
MAX_SHOWN_CHARACTERS = 80
"""Of what is no domain name: somebody else wrote it. The octets in it are escaped already."""

_CNAME = RDTYPES["CNAME"]
_WEAKER = tuple(Security)
_BAD_NAME = "a name in it is no domain name"


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The response ends at an alias: ask for `target`, and join its answer to `start`."""

    start: Answer
    target: Domain


def read_answer(
    name: Domain, rdtype: str, response: Response, security: Security
) -> Answer | Unfinished:
    """Say what a response means. `security` is that of a usable response (NOERROR, NXDOMAIN)."""
    extended = response.extended_errors[0] if response.extended_errors else None
    if response.rcode not in (NOERROR, NXDOMAIN):
        return fail(name, rdtype, format_failure(response.rcode, extended), extended)
    chain = _follow(name, rdtype, response.answers, security)
    if isinstance(chain, str):
        return fail(name, rdtype, chain, extended)
    numbered = RDTYPES[rdtype]
    found = [r for r in response.answers if r.rdtype == numbered and r.owner == chain.owner]
    records, reason = _make_records(found)
    ttls = [*chain.ttls, *(record.ttl for record in found)]
    if not found:
        ttls.append(response.negative_ttl or 0)
    answer = Answer(
        name=name,
        rdtype=rdtype,
        security=security,
        existence=_judge_existence(response.rcode, found),
        records=records,
        # Most names have no alias, and then it is what was asked.
        owner=_find_domain(chain.owner) if chain.links or chain.owner != name else name,
        cnames=chain.links,
        ttl=min(ttls),
        reason=reason,
        extended_error=extended.code if extended else None,
    )
    is_open = answer.existence is Existence.NODATA and response.negative_ttl is None
    if is_open and chain.links and answer.owner:
        return Unfinished(replace(answer, ttl=min(chain.ttls)), answer.owner)
    return answer


def join_answers(start: Answer, rest: Answer) -> Answer:
    """Join an answer that ended at an alias with that for the alias's target.

    The whole is only as secure as its weaker part, and fails if a part does.
    """
    seen = {start.name, *(link.target for link in start.cnames)}
    if any(link.target in seen for link in rest.cnames):
        return fail(start.name, start.rdtype, "its aliases form a loop")
    links = start.cnames + rest.cnames
    if len(links) > MAX_LINKS:
        return fail(start.name, start.rdtype, f"it has more than {MAX_LINKS} aliases")
    return replace(
        rest,
        name=start.name,
        cnames=links,
        security=weaker(start.security, rest.security),
        ttl=min(start.ttl, rest.ttl),
    )


def weaker(first: Security, second: Security) -> Security:
    """Give the state of what depends on both."""
    return max(first, second, key=_WEAKER.index)


def fail(name: Domain, rdtype: str, reason: str, extended: ExtendedError | None = None) -> Answer:
    """Make the answer of a lookup that failed."""
    code = extended.code if extended else None
    return Answer(name, rdtype, Security.FAILED, reason=reason, extended_error=code)


def make_bogus(name: Domain, rdtype: str, words: str = "", code: int | None = None) -> Answer:
    """Make the answer of a lookup whose result does not validate; `words` say why."""
    reason = "DNSSEC validation failed" + (f" ({words})" if words else "")
    return Answer(name, rdtype, Security.BOGUS, reason=reason, extended_error=code)


def format_failure(rcode: int, extended: ExtendedError | None) -> str:
    """Give one line for a response that is no answer."""
    words = f"the name server said {format_rcode(rcode)}"
    if extended is None:
        return words
    return f"{words} ({format_extended_error(extended.code, extended.text)})"


@dataclass(frozen=True, slots=True)
class _Chain:
    owner: str
    links: tuple[CnameLink, ...]
    ttls: tuple[int, ...]


def _follow(
    name: Domain, rdtype: str, records: Sequence[ResourceRecord], security: Security
) -> _Chain | str:
    """Follow aliases from `name` inside one response; a text says why that failed."""
    if rdtype == "CNAME" or not records:
        return _Chain(name, (), ())
    aliases: dict[str, ResourceRecord] = {}
    for record in records:
        if record.rdtype == _CNAME:
            first = aliases.setdefault(record.owner, record)
            if first.rdata != record.rdata:
                return "a name has more than one alias"
    owner: str = name
    links: list[CnameLink] = []
    ttls: list[int] = []
    seen: set[str] = {owner}
    while alias := aliases.get(owner):
        assert isinstance(alias.rdata, str)
        source, target = _find_domain(owner), _find_domain(alias.rdata)
        if source and target:
            links.append(CnameLink(source, target, security))
        elif rdtype != "PTR":
            # Reverse zones are delegated by way of names such as 0/25.2.0.192.in-addr.arpa.
            return "an alias leads to a name that is no domain name"
        owner = alias.rdata
        ttls.append(alias.ttl)
        if owner in seen:
            return "its aliases form a loop"
        seen.add(owner)
        if len(ttls) > MAX_LINKS:
            return f"it has more than {MAX_LINKS} aliases"
    return _Chain(owner, tuple(links), tuple(ttls))


def _judge_existence(rcode: int, found: list[ResourceRecord]) -> Existence:
    if found:
        return Existence.RECORDS
    return Existence.NXDOMAIN if rcode == NXDOMAIN else Existence.NODATA


def _make_records(found: list[ResourceRecord]) -> tuple[tuple[Record, ...], str]:
    """Make the records' values, in their order, each once; and say what had to be left out."""
    values = [_make_record(record.rdata) for record in found]
    records = tuple(dict.fromkeys(value for value in values if value is not None))
    if None not in values:
        return records, ""
    in_turn = zip(found, values, strict=True)
    return records, _explain_skipped([each.rdata for each, value in in_turn if value is None])


def _explain_skipped(skipped: list[Rdata]) -> str:
    names = [each.exchange if isinstance(each, MxRdata) else str(each) for each in skipped]
    shown = ", ".join(f"'{each[:MAX_SHOWN_CHARACTERS]}'" for each in names[:MAX_SHOWN_NAMES])
    return f"{format_count(len(names), 'record')} skipped: {_BAD_NAME} ({shown})"


def _make_record(rdata: Rdata) -> Record | None:
    """None when a name that must be a domain name is none."""
    match rdata:
        case MxRdata(preference, exchange):
            target = _find_domain(exchange)
            if target is None and exchange:
                return None
            return MxRecord(preference, target)
        case SoaRdata(mname, serial, minimum):
            return SoaRecord(_find_domain(mname), serial, minimum)
        case str():
            return _find_domain(rdata)
        case _:
            return rdata


def _find_domain(name: str) -> Domain | None:
    try:
        return parse_domain(name)
    except DomainError:
        return None
