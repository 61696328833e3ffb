"""What a domain publishes, as it was looked up: facts, without judgement.

Looking is `looking`; `check` says what is wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address

from letterlock.base.domains import Domain
from letterlock.network.https import FetchFailed
from letterlock.protocols.caa.relevant import Relevant
from letterlock.protocols.dns.answers import Answer, MxRecord, Security, TlsaRecord
from letterlock.services.discover.authorities import NameServer, Published
from letterlock.services.publish.records import SMTP_PORT, IpAddress, below, make_tlsa_label

MAX_SHOWN_CHARACTERS = 200
"""Of a text that somebody else wrote."""

NOT_ASKED = "it was not asked for"


@dataclass(frozen=True, slots=True)
class AtServers:
    """One question, asked of every authoritative server of its zone.

    `signature_ends`: until when the records are signed, at those that sign them.
    """

    name: Domain
    rdtype: str
    published: Published
    signature_ends: tuple[tuple[NameServer, datetime], ...] = ()


@dataclass(frozen=True, slots=True)
class Observed:
    """All answers. `hosts` are the MX hosts as published, the best first, then our own others.

    `policy` is the MTA-STS policy as fetched, None: there was no reason to fetch one.
    `caa` has the relevant CAA records of the names that our certificates are for. `is_validating`:
    the resolver's word on DNSSEC can be believed. `port` is the one whose TLSA records were asked
    for.
    """

    domain: Domain
    answers: Mapping[tuple[Domain, str], Answer]
    hosts: tuple[Domain, ...] = ()
    policy: bytes | FetchFailed | None = None
    caa: Mapping[Domain, Relevant] = field(default_factory=dict)
    at_servers: tuple[AtServers, ...] = ()
    is_validating: bool = True
    undecided: tuple[str, ...] = field(default=())
    """What could not be asked, for people."""
    port: int = SMTP_PORT

    def find(self, name: Domain | None, rdtype: str) -> Answer:
        """Give an answer; FAILED when it was not asked for."""
        if name is not None and (answer := self.answers.get((name, rdtype))) is not None:
            return answer
        return Answer(name or self.domain, rdtype, Security.FAILED, reason=NOT_ASKED)

    def find_texts(self, name: Domain | None, start: str) -> tuple[bytes, ...]:
        """Give the TXT records at a name that begin so, in any case."""
        prefix = start.lower().encode()
        texts = self.find(name, "TXT").records
        return tuple(t for t in texts if isinstance(t, bytes) and t.lower().startswith(prefix))

    def find_mx(self) -> tuple[MxRecord, ...]:
        """Give the domain's MX records."""
        records = self.find(self.domain, "MX").records
        return tuple(record for record in records if isinstance(record, MxRecord))

    def find_addresses(self, host: Domain) -> tuple[IpAddress, ...]:
        """Give the addresses of a host, IPv4 first."""
        records = [*self.find(host, "A").records, *self.find(host, "AAAA").records]
        return tuple(each for each in records if isinstance(each, IPv4Address | IPv6Address))

    def find_tlsa(self, host: Domain) -> Answer:
        """Give the answer to the question for a host's TLSA records."""
        return self.find(below(make_tlsa_label(self.port), host), "TLSA")

    def find_ttl(self, answer: Answer) -> int:
        """Give the TTL of an answer's records as the zone has it: in caches it runs down."""
        said = (
            each.published.ttl
            for each in self.at_servers
            if (each.name, each.rdtype) == (answer.name, answer.rdtype)
        )
        return max(answer.ttl, *said, 0)

    def is_secure(self, host: Domain) -> bool:
        """Say whether DNSSEC vouches for the addresses of a host."""
        answers = (self.find(host, "A"), self.find(host, "AAAA"))
        return any(answer.security is Security.SECURE and answer.records for answer in answers)


def list_tlsa(answer: Answer) -> tuple[TlsaRecord, ...]:
    """Give the TLSA records of an answer."""
    return tuple(record for record in answer.records if isinstance(record, TlsaRecord))


def show(text: bytes | str) -> str:
    """Quote what a stranger wrote, so that it stays on one line and short."""
    words = text.decode("latin-1") if isinstance(text, bytes) else text
    return repr(words[:MAX_SHOWN_CHARACTERS])
