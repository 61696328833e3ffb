"""Reports of what CAA prevented: where a domain wants them, which may be sent, what they say.

RFC 8659 §4.4 (iodef), RFC 7970 §7.1 (the smallest incident report there can be, and a description).
Mail has the report as an attachment, with a text for people. By HTTPS the document is posted as it
is: the envelope of RFC 6546 is left out, which partners agree on beforehand. Sending is not here.

Whoever can publish a record can have us write to whom it names, and pays nothing. So a report goes
only to hosts of the domain that has the record, or that it is part of, unless a setting says
otherwise; to few for one name; once a day to each host, whatever the names are; and only about
requests of accounts. It holds nothing that the asker chose but the name, which the domain's own
records speak of.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from letterlock.base.domains import Domain, DomainError, parse_domain
from letterlock.protocols.acme.contacts import SCHEME, find_contact_fault
from letterlock.protocols.acme.fields import HTTPS_PORT, ObjectError, Url, format_line, parse_url
from letterlock.protocols.caa.decide import CaaVerdict
from letterlock.protocols.caa.relevant import RecordSet

MAX_TARGETS = 3
"""Of one record set; more say nothing that these do not."""
MAX_VALUE_OCTETS = 1000
USUAL_PAUSE = timedelta(days=1)
MEDIA_TYPE = "application/xml"

_TAG = b"iodef"
_SHOWN_OCTETS = 100
_MAX_DESCRIPTION = 2000
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}


@dataclass(frozen=True, slots=True)
class ReportTarget:
    """Where a report may go: a mail address, or an HTTPS URL. `host` is the domain of either."""

    to: str | Url
    host: Domain

    def __str__(self) -> str:
        return str(self.to)


@dataclass(frozen=True, slots=True)
class UnusedTarget:
    """An iodef value that is not used. `reason` is one line, with the value."""

    reason: str


def find_targets(
    verdict: CaaVerdict, *, may_be_elsewhere: bool = False
) -> tuple[tuple[ReportTarget, ...], tuple[UnusedTarget, ...]]:
    """Give where a domain wants to be told of this, and what of its wishes is not followed."""
    found = verdict.relevant
    if not isinstance(found, RecordSet):
        return (), ()
    values = dict.fromkeys(each.value for each in found.records if each.tag.lower() == _TAG)
    targets: list[ReportTarget] = []
    unused: list[UnusedTarget] = []
    for value in values:
        read = parse_iodef(value)
        if isinstance(read, UnusedTarget):
            unused.append(read)
        elif not may_be_elsewhere and not _is_at(read.host, found):
            unused.append(UnusedTarget(f"{_show(value)} is not at {found.found_at}"))
        elif len(targets) == MAX_TARGETS:
            unused.append(UnusedTarget(f"{_show(value)} is one more than {MAX_TARGETS}"))
        else:
            targets.append(read)
    return tuple(targets), tuple(unused)


def parse_iodef(value: bytes) -> ReportTarget | UnusedTarget:
    """Read a value: `mailto:` and one address, or `https:` on the usual port.

    `http:` is not used: it would tell anybody on the way what was asked for.
    """
    shown = _show(value)
    if len(value) > MAX_VALUE_OCTETS or not value.isascii():
        return UnusedTarget(f"{shown} is no URL")
    text = value.decode("ascii")
    if text[: len(SCHEME)].lower() == SCHEME:
        if find_contact_fault(text) is not None or text[-1].isdigit():
            return UnusedTarget(f"{shown} is no mail address to report to")
        address = text[len(SCHEME) :]
        return ReportTarget(address, parse_domain(address.rpartition("@")[2]))
    try:
        url = parse_url(text)
        host = parse_domain(url.host)
    except (ObjectError, DomainError):
        return UnusedTarget(f"{shown} is neither mailto: nor https: with a host's name")
    if url.port != HTTPS_PORT or host[-1].isdigit():
        return UnusedTarget(f"{shown} is not a host's name with the port {HTTPS_PORT}")
    return ReportTarget(url, host)


def _is_at(host: Domain, found: RecordSet) -> bool:
    """Tell whether a host is at the domain with the records, below it, or above it.

    Where an alias leads to the records, their owner's domain will do too. No top-level domain does.
    """
    return any(
        host == home or host.endswith(f".{home}") or (home.endswith(f".{host}") and "." in host)
        for home in (found.found_at, found.owner)
    )


def choose_targets(
    targets: Iterable[ReportTarget],
    sent: Mapping[Domain, datetime],
    now: datetime,
    pause: timedelta = USUAL_PAUSE,
) -> tuple[ReportTarget, ...]:
    """Give those that may be written to now. `sent` is when each host was written to last.

    A time later than now counts: a clock that was set back sends nothing twice.
    """
    chosen: dict[Domain, ReportTarget] = {}
    for target in targets:
        last = sent.get(target.host)
        if last is None or now - last >= pause:
            chosen.setdefault(target.host, target)
    return tuple(chosen.values())


@dataclass(frozen=True, slots=True)
class PreventedIssuance:
    """What was prevented. `number` is the report's own among those of `authority`, a domain.

    `contact` is the authority's mail address.
    """

    number: str
    authority: Domain
    contact: str
    at: datetime
    verdicts: Sequence[CaaVerdict]


def format_description(prevented: PreventedIssuance) -> str:
    """Say in a few lines what happened, for people."""
    names = [str(verdict.issuance) for verdict in prevented.verdicts]
    moment = prevented.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    lines = [
        f"{prevented.authority} was asked for a certificate, and has not issued it:",
        "the CAA records of the domain do not allow it.",
        "",
        f"When: {moment}",
        *(
            format_line(f"{name}: {verdict.reason}", _MAX_DESCRIPTION)
            for name, verdict in zip(names, prevented.verdicts, strict=True)
        ),
    ]
    return "\n".join(lines)


def format_iodef(prevented: PreventedIssuance) -> bytes:
    """Make the document (RFC 7970 §7.1), in ASCII."""
    moment = prevented.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<IODEF-Document version="2.00" xml:lang="en" '
        'xmlns="urn:ietf:params:xml:ns:iodef-2.0">\n'
        '  <Incident purpose="reporting" restriction="private">\n'
        f'    <IncidentID name="{_escape(prevented.authority)}">{_escape(prevented.number)}'
        "</IncidentID>\n"
        f"    <GenerationTime>{moment}</GenerationTime>\n"
        f"    <Description>{_escape(format_description(prevented))}</Description>\n"
        '    <Contact type="organization" role="creator">\n'
        f"      <Email><EmailTo>{_escape(prevented.contact)}</EmailTo></Email>\n"
        "    </Contact>\n"
        "  </Incident>\n"
        "</IODEF-Document>\n"
    ).encode("ascii")


def _escape(text: str) -> str:
    """Write text in XML; what is not printable ASCII becomes `?`, but for ends of lines."""
    return "".join(
        _ESCAPES.get(each, each if each == "\n" or " " <= each <= "~" else "?") for each in text
    )


def _show(value: bytes) -> str:
    more = "..." if len(value) > _SHOWN_OCTETS else ""
    return f"{value[:_SHOWN_OCTETS].decode('latin-1')!r}{more}"
