"""The DNS records that a domain of ours should have, exactly as they are pasted into a zone.

RFC 5321 §5.1 (MX), RFC 7208 §4.5 (SPF), RFC 7489 §6.3 (DMARC), RFC 8461 §3.1 (MTA-STS), RFC 8460
§3 (TLSRPT), RFC 7672 §3.1 and RFC 7671 §8, §13 (TLSA), RFC 8659 §4 and RFC 8657 (CAA). Pure: from
facts to records. What is published is looked at in `check`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address

from letterlock.base.clock import format_time
from letterlock.base.domains import MAX_DOMAIN_OCTETS, Domain
from letterlock.protocols.caa.publishing import make_issue_record
from letterlock.protocols.dns.answers import CaaRecord, MxRecord, Record, TlsaRecord
from letterlock.protocols.mta_sts.policy import MtaStsPolicy, format_policy
from letterlock.protocols.mta_sts.record import LABEL as MTA_STS_LABEL
from letterlock.protocols.pki.certificate import read_spki
from letterlock.protocols.policy.dane import DANE_EE, SPKI
from letterlock.protocols.tlsrpt.record import LABEL as TLSRPT_LABEL
from letterlock.storage.served_policies import ServedPolicy

POLICY_HOST_LABEL = "mta-sts"
DMARC_LABEL = "_dmarc"
DKIM_LABEL = "_domainkey"
SMTP_PORT = 25
SMTP_LABEL = "_25._tcp"
TTL = 3600
"""Seconds. RFC 7671 §13: for so long a lost key keeps mail away, and a roll-over takes two of them;
RFC 8461 §8.1: for so long an older MTA-STS policy has to work."""
FIRST_PREFERENCE = 10
SHA2_256 = 1

DKIM_NOTE = (
    "DKIM: none, since there is no key of this domain here: the node makes one when it starts, "
    "unless [dkim] says otherwise"
)
NO_ACCOUNT_NOTE = "CAA: none suggested, since this node has no account at a certificate authority"
NO_KEY_NOTE = "TLSA: none for {}, which has no certificate: without TLS there must be none"
NO_POLICY_NOTE = "MTA-STS: none, since {} is not in publishing.mta_sts.domains"

_MAX_STRING_OCTETS = 255

IpAddress = IPv4Address | IPv6Address


class RecordKind(StrEnum):
    """What a record is for."""

    MX = "mx"
    ADDRESS = "address"
    PTR = "ptr"
    SPF = "spf"
    DKIM = "dkim"
    DMARC = "dmarc"
    MTA_STS = "mta-sts"
    POLICY_HOST = "policy-host"
    TLSRPT = "tlsrpt"
    TLSA = "tlsa"
    CAA = "caa"


@dataclass(frozen=True, slots=True)
class OwnHost:
    """An MX host of ours. `is_here`: it is this node; of others only the name is known.

    `chains` are those that it shows, DER and leaf first, one for each type of key. `next_keys` and
    `past_keys` are those of a roll-over that goes on, as SHA-256 of their SubjectPublicKeyInfos.
    """

    name: Domain
    is_here: bool = True
    addresses: tuple[IpAddress, ...] = ()
    chains: tuple[tuple[bytes, ...], ...] = ()
    next_keys: tuple[bytes, ...] = ()
    past_keys: tuple[bytes, ...] = ()

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The keys that it has, in the same form."""
        spkis = (read_spki(chain[0]) for chain in self.chains)
        return tuple(dict.fromkeys(sha256(spki).digest() for spki in spkis if spki is not None))


@dataclass(frozen=True, slots=True)
class AcmeAccount:
    """Our account at an authority. `issuer` is its name in CAA records (RFC 8555 §9.7.6)."""

    issuer: str
    uri: str
    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A key that mail is signed with: `record` is what RFC 6376 §3.6.1 has published of it.

    `is_next`: it signs nothing yet.
    """

    selector: str
    record: str
    is_next: bool = False


@dataclass(frozen=True, slots=True)
class OwnDomain:
    """What is known of a domain of ours, and of the hosts that take its mail, the best first.

    `senders` are addresses that send its mail though no MX host has them. `is_relayed`: other hosts
    send it. `policy` None: no MTA-STS. `held_hosts` are those that a policy served before forbids,
    and until when others may hold it; `served` are all those policies (`policies`).
    `certificate_names` are those that our certificates are for.
    """

    domain: Domain
    hosts: tuple[OwnHost, ...]
    policy: MtaStsPolicy | None = None
    tls_reports: tuple[str, ...] = ()
    accounts: tuple[AcmeAccount, ...] = ()
    senders: tuple[IpAddress, ...] = ()
    is_relayed: bool = False
    held_hosts: Mapping[Domain, datetime] = field(default_factory=dict)
    served: tuple[ServedPolicy, ...] = ()
    certificate_names: tuple[Domain, ...] = ()
    dkim_keys: tuple[DkimKey, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedRecord:
    """A record to publish; `value` as in a zone file, `ttl` in seconds.

    `is_complete` False: the value says in words what only the operator knows, or the record is not
    to be published yet; the reason says which.
    """

    kind: RecordKind
    name: Domain
    rdtype: str
    value: str
    reason: str
    ttl: int = TTL
    is_complete: bool = True

    @property
    def line(self) -> str:
        """The line of a zone file; one that is not complete is a comment."""
        line = f"{self.name}. {self.ttl} IN {self.rdtype} {self.value}"
        return line if self.is_complete else f"; {line}"


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a domain should publish. `notes` say what is missing in it, and why."""

    own: OwnDomain
    records: tuple[PlannedRecord, ...]
    notes: tuple[str, ...] = ()


def plan_records(own: OwnDomain) -> Plan:
    """Make the records of a domain, and of the names that its mail needs."""
    records = [
        *_plan_hosts(own),
        *_plan_senders(own),
        *_plan_mta_sts(own),
        *_plan_tlsrpt(own),
        *(record for host in own.hosts for record in plan_tlsa(host)),
        *_plan_caa(own),
    ]
    return Plan(own, tuple(dict.fromkeys(records)), tuple(_find_notes(own)))


def find_planned(plan: Plan | None, kind: RecordKind) -> tuple[PlannedRecord, ...]:
    """Give the records of a kind; none without a plan."""
    records = plan.records if plan is not None else ()
    return tuple(record for record in records if record.kind is kind)


def list_hosts(plan: Plan | None) -> tuple[OwnHost, ...]:
    """Give the domain's hosts; none without a plan."""
    return plan.own.hosts if plan is not None else ()


def plan_tlsa(host: OwnHost) -> Iterator[PlannedRecord]:
    """Make the TLSA records of a host: `3 1 1` for the keys that it has and will have.

    RFC 7672 §3.1: of these a renewal with the same key changes nothing.
    """
    name = below(SMTP_LABEL, host.name)
    if name is None:
        return
    seen: set[bytes] = set()
    for keys, reason in (
        (host.keys, "DANE: senders hold the host to this key; it does nothing in an unsigned zone"),
        (host.next_keys, "DANE: the next key, published two TTLs before it is used"),
        (host.past_keys, "DANE: the key before, until the roll-over is done"),
    ):
        for key in keys:
            if key not in seen:
                yield PlannedRecord(RecordKind.TLSA, name, "TLSA", str(make_tlsa(key)), reason)
            seen.add(key)


def make_tlsa_label(port: int) -> str:
    """Make what stands before a host's name where its TLSA records are (RFC 6698 §3)."""
    return f"_{port}._tcp"


def make_tlsa(key: bytes) -> TlsaRecord:
    """Make the record `3 1 1` of a key (SHA-256 of its SubjectPublicKeyInfo)."""
    return TlsaRecord(DANE_EE, SPKI, SHA2_256, key)


def make_policy_id(policy: MtaStsPolicy) -> str:
    """Make the id of a policy: another for any other content, and the same on every node.

    RFC 8461 §3.1. Going back to an older policy gives its id again: who still has that policy has
    the right one.
    """
    return sha256(format_policy(policy).encode()).hexdigest()[:32]


def format_value(record: Record) -> str:
    """Give what was looked up in the form of `PlannedRecord.value`."""
    match record:
        case MxRecord(preference, exchange):
            return f"{preference} {exchange or ''}."
        case bytes():
            return format_text(record)
        case IPv4Address() | IPv6Address() | TlsaRecord() | CaaRecord():
            return str(record)
        case str():
            return f"{record}."
        case _:
            return str(record.serial)


def format_text(octets: bytes) -> str:
    """Write a TXT record: strings of at most 255 octets, quoted (RFC 1035 §3.3.14, §5.1)."""
    starts = range(0, max(len(octets), 1), _MAX_STRING_OCTETS)
    strings = (octets[start : start + _MAX_STRING_OCTETS] for start in starts)
    return " ".join(f'"{"".join(map(_escape, string))}"' for string in strings)


def below(label: str, domain: Domain) -> Domain | None:
    """Give the name below a domain; None where it would be too long for DNS."""
    name = Domain(f"{label}.{domain}")
    return name if len(name) <= MAX_DOMAIN_OCTETS else None


def _plan_hosts(own: OwnDomain) -> Iterator[PlannedRecord]:
    for place, host in enumerate(own.hosts, start=1):
        value = f"{place * FIRST_PREFERENCE} {host.name}."
        reason = f"mail for {own.domain} goes to {host.name}"
        if (end := own.held_hosts.get(host.name)) is not None:
            reason = (
                f"not before {format_time(end)}: until then others may hold an MTA-STS policy that "
                f"does not list {host.name}, and would not deliver to it"
            )
            yield PlannedRecord(RecordKind.MX, own.domain, "MX", value, reason, is_complete=False)
            continue
        yield PlannedRecord(RecordKind.MX, own.domain, "MX", value, reason)
    for host in own.hosts:
        if host.is_here:
            yield from _plan_addresses(host)


def _plan_addresses(host: OwnHost) -> Iterator[PlannedRecord]:
    reason = f"where {host.name} is"
    if not host.addresses:
        for rdtype, words in (("A", "(its IPv4 address)"), ("AAAA", "(its IPv6 address)")):
            yield PlannedRecord(
                RecordKind.ADDRESS, host.name, rdtype, words, reason, is_complete=False
            )
    for address in host.addresses:
        rdtype = "A" if address.version == 4 else "AAAA"
        yield PlannedRecord(RecordKind.ADDRESS, host.name, rdtype, str(address), reason)
    reason = "many refuse mail from an address without a name; who gave you the address sets it"
    for address in host.addresses:
        name = Domain(address.reverse_pointer)
        yield PlannedRecord(RecordKind.PTR, name, "PTR", f"{host.name}.", reason)


def _plan_senders(own: OwnDomain) -> Iterator[PlannedRecord]:
    known = {address for host in own.hosts for address in host.addresses}
    more = [f"ip{each.version}:{each}" for each in own.senders if each not in known]
    text = " ".join(["v=spf1", "mx", *more, "-all"])
    reason = f"SPF: only these hosts send mail of {own.domain}"
    if own.is_relayed:
        value = format_text(text.replace(" -all", " (what your relay asks for) -all").encode())
        reason = "SPF: your mail leaves by a relay (deliver.relayhost), which has to be named here"
        yield PlannedRecord(RecordKind.SPF, own.domain, "TXT", value, reason, is_complete=False)
    else:
        yield _text(RecordKind.SPF, own.domain, text, reason)
    for host in own.hosts:
        if host.is_here and host.name != own.domain:
            reason = "SPF: bounces have no sender, and are judged by the name in EHLO"
            yield _text(RecordKind.SPF, host.name, "v=spf1 a -all", reason)
    for key in own.dkim_keys:
        if name := below(f"{key.selector}.{DKIM_LABEL}", own.domain):
            reason = "DKIM: the next key, published some days before it is used"
            if not key.is_next:
                reason = "DKIM: a key that mail is signed with; without it signatures fail"
            yield _text(RecordKind.DKIM, name, key.record, reason)
    if name := below(DMARC_LABEL, own.domain):
        text = f"v=DMARC1; p=none; rua=mailto:postmaster@{own.domain}"
        reason = "DMARC: others report who sends as you, and refuse nothing before mail is signed"
        yield _text(RecordKind.DMARC, name, text, reason)


def _plan_mta_sts(own: OwnDomain) -> Iterator[PlannedRecord]:
    host, name = below(POLICY_HOST_LABEL, own.domain), below(MTA_STS_LABEL, own.domain)
    here = next((each for each in own.hosts if each.is_here), None)
    if own.policy is None or host is None or name is None or here is None:
        return
    reason = "MTA-STS: the policy is fetched from there"
    yield PlannedRecord(RecordKind.POLICY_HOST, host, "CNAME", f"{here.name}.", reason)
    text = f"v=STSv1; id={make_policy_id(own.policy)}"
    reason = "MTA-STS: says which policy holds; to be changed after the policy, never before"
    yield _text(RecordKind.MTA_STS, name, text, reason)


def _plan_tlsrpt(own: OwnDomain) -> Iterator[PlannedRecord]:
    uris = own.tls_reports or (f"mailto:postmaster@{own.domain}",)
    text = f"v=TLSRPTv1; rua={','.join(uris)}"
    if name := below(TLSRPT_LABEL, own.domain):
        reason = f"TLSRPT: how others fare with the TLS of {own.domain}"
        yield _text(RecordKind.TLSRPT, name, text, reason)
    for host in own.hosts:
        name = below(TLSRPT_LABEL, host.name)
        if host.is_here and host.name != own.domain and name is not None:
            reason = "TLSRPT: with DANE the policy is the host's, and so are the reports"
            yield _text(RecordKind.TLSRPT, name, text, reason)


def _plan_caa(own: OwnDomain) -> Iterator[PlannedRecord]:
    reason = "CAA: nobody but this account, by these methods, gets certificates for the name"
    for host in own.hosts:
        for account in own.accounts if host.is_here else ():
            record = make_issue_record(account.issuer, account.uri, account.methods)
            yield PlannedRecord(RecordKind.CAA, host.name, "CAA", str(record), reason)


def _find_notes(own: OwnDomain) -> Iterator[str]:
    for host in own.hosts:
        if not host.is_here:
            yield f"{host.name} is another node: `letterlock dns records` there says what it needs"
        elif not host.keys:
            yield NO_KEY_NOTE.format(host.name)
    if own.policy is None:
        yield NO_POLICY_NOTE.format(own.domain)
    if not own.dkim_keys:
        yield DKIM_NOTE
    if not own.accounts:
        yield NO_ACCOUNT_NOTE


def _text(kind: RecordKind, name: Domain, text: str, reason: str) -> PlannedRecord:
    return PlannedRecord(kind, name, "TXT", format_text(text.encode()), reason)


def _escape(octet: int) -> str:
    if octet in b'"\\':
        return f"\\{chr(octet)}"
    return chr(octet) if 0x20 <= octet < 0x7F else f"\\{octet:03d}"


def format_zone(records: Sequence[PlannedRecord], notes: Sequence[str] = ()) -> str:
    """Write records as lines of a zone file, each reason above those that share it."""
    lines: list[str] = []
    reason = ""
    for record in records:
        if record.reason != reason:
            lines.append(f"; {(reason := record.reason)}")
        lines.append(record.line)
    lines += [f"; {note}" for note in notes]
    return "".join(f"{line}\n" for line in lines)
