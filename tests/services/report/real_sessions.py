"""Sessions of 20 kinds, each of a real connection to a real MX host, and what each counts as."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from letterlock.network.https import FetchFailed
from letterlock.protocols.dns.answers import Security, TlsaRecord
from letterlock.protocols.pki.throwaway_ca import Shape
from letterlock.protocols.policy.requirement import Level
from letterlock.protocols.tlsrpt.result_types import ResultType
from letterlock.protocols.tlsrpt.sessions import Session
from tests.misbehaving import Conduct
from tests.network.certificates import NOW
from tests.services.deliver.outbound import DOMAIN, HOST, leaf
from tests.services.deliver.published import (
    ANOTHERS,
    GONE,
    UNUSABLE,
    Hosts,
    going_to,
    tlsa,
    untrusted,
)

STS, TLSA, NONE = "sts", "tlsa", "no-policy-found"

Expected = tuple[tuple[str, bool, tuple[str, ...]], ...]
"""Of each policy its type, whether the session failed, and the names of the failures."""
Publish = Callable[[Hosts], None]


def nothing(hosts: Hosts) -> None:
    """Publish no policy."""


def enforced(hosts: Hosts) -> None:
    hosts.publish_policy()


def tested(hosts: Hosts) -> None:
    hosts.publish_policy(mode="testing")


def unlisting(hosts: Hosts) -> None:
    hosts.publish_policy("other.example")


def failing(kind: ResultType) -> Publish:
    """Publish a policy that cannot be had."""

    def publish(hosts: Hosts) -> None:
        hosts.publish_policy()
        hosts.source.outcome = FetchFailed(kind, "as it happens")

    return publish


def publishing(record: TlsaRecord) -> Publish:
    return lambda hosts: hosts.publish_tlsa(HOST, record)


def matching(hosts: Hosts) -> None:
    hosts.publish_tlsa(HOST, tlsa(leaf()))


def publishing_both(hosts: Hosts) -> None:
    hosts.publish_policy()
    hosts.publish_tlsa(HOST, tlsa(UNPROVED))


def demanding_dane(hosts: Hosts) -> None:
    hosts.node.level = Level.DANE_ONLY


def expired() -> Conduct:
    past = NOW - timedelta(days=2)
    return Conduct(leaf(shape=Shape(not_before=NOW - timedelta(days=9), not_after=past)))


def good() -> Conduct:
    return Conduct(leaf())


def misnamed() -> Conduct:
    return Conduct(leaf(("wrong.example",)))


def unproved() -> Conduct:
    return Conduct(UNPROVED)


def plain() -> Conduct:
    return Conduct(has_starttls=False)


def broken() -> Conduct:
    return Conduct(leaf(), instead_of_tls=b"no TLS\r\n")


UNPROVED = untrusted()


@dataclass(frozen=True)
class Kind:
    """A host, what is published of it, and what a session with it is to count as."""

    conduct: Callable[[], Conduct]
    publish: Publish
    expected: Expected
    is_signed: bool = False
    """The MX record is, so that TLSA records count."""
    is_cached: bool = False
    """The policy that was there is kept, and the next one cannot be fetched."""

    async def make(self, folder: Path) -> tuple[Session, ...]:
        """Connect once; gives what the delivery counts."""
        security = Security.SECURE if self.is_signed else Security.INSECURE
        async with going_to(folder, self.conduct(), mx=security) as hosts:
            self.publish(hosts)
            if self.is_cached:
                await hosts.look_again()
                hosts.source.outcome = GONE
                hosts.node.resolver.set(f"_mta-sts.{DOMAIN}", "TXT", b"v=STSv1; id=2;")
                hosts.node.clock.move(timedelta(days=1))
                await hosts.look_again()
            hosts.node.is_counting = True
            return (await hosts.node.send()).sessions


def signed(conduct: Callable[[], Conduct], publish: Publish, expected: Expected) -> Kind:
    return Kind(conduct, publish, expected, is_signed=True)


def failed(policy: str, *names: str) -> Expected:
    return ((policy, True, names),)


FINE: Expected = ((STS, False, ()),)
NO_TLS, BROKEN = "starttls-not-supported", "validation-failure"
MISNAMED, UNTRUSTED = "certificate-host-mismatch", "certificate-not-trusted"
FETCH, INVALID, WEBPKI = "sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid"

KINDS = (
    Kind(good, nothing, ((NONE, False, ()),)),
    Kind(plain, nothing, failed(NONE, NO_TLS)),
    Kind(broken, nothing, failed(NONE, BROKEN)),
    Kind(good, enforced, FINE),
    Kind(expired, enforced, failed(STS, "certificate-expired")),
    Kind(misnamed, enforced, failed(STS, MISNAMED)),
    Kind(unproved, enforced, failed(STS, UNTRUSTED)),
    Kind(plain, enforced, failed(STS, NO_TLS)),
    Kind(misnamed, tested, failed(STS, MISNAMED)),
    Kind(good, unlisting, failed(STS, BROKEN)),
    Kind(good, failing(ResultType.STS_POLICY_FETCH_ERROR), failed(STS, FETCH)),
    Kind(good, failing(ResultType.STS_POLICY_INVALID), failed(STS, INVALID)),
    Kind(good, failing(ResultType.STS_WEBPKI_INVALID), failed(STS, WEBPKI)),
    Kind(good, enforced, ((STS, False, (FETCH,)),), is_cached=True),
    signed(good, matching, ((TLSA, False, ()),)),
    signed(good, publishing(ANOTHERS), failed(TLSA, BROKEN)),
    signed(good, publishing(UNUSABLE), failed(TLSA, "tlsa-invalid")),
    signed(good, lambda hosts: hosts.fail_tlsa(HOST), failed(TLSA, "dnssec-invalid")),
    signed(good, demanding_dane, failed(TLSA, "dane-required")),
    signed(unproved, publishing_both, ((STS, True, (UNTRUSTED,)), (TLSA, False, ()))),
)
