"""Whether hosts' certificates are revoked: by CRLs that are fetched politely, or it is not told."""

from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509

from letterlock.base.domains import Domain
from letterlock.network.http_exchange import (
    HttpBounds,
    HttpFailed,
    HttpFault,
    HttpRequest,
    HttpResponse,
)
from letterlock.protocols.check.facts import (
    AddressFacts,
    AskedSni,
    DomainFacts,
    HostFacts,
    Probe,
    State,
)
from letterlock.protocols.check.findings import Severity
from letterlock.protocols.check.terms import Terms
from letterlock.protocols.dns.answers import Security
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.pki.throwaway_ca import ThrowawayCa, self_signed
from letterlock.protocols.tls.handshake import FailureCause, Handshake, HandshakeFailed
from letterlock.services.certify.revocation import RevocationFinder
from letterlock.services.check.revoked import (
    BOUNDS,
    LeafRevocation,
    RevocationLooker,
    find_revoked,
)
from tests.fakes import START, FakeClock
from tests.revocations import URL, issue_with_crl, make_crl

CA = ThrowawayCa("Root", START)
HOST = "mx.example.org"
ISSUED = issue_with_crl(CA, HOST)
SERIAL = ISSUED.certificate.serial_number
TERMS = Terms(TrustAnchors.from_pem(CA.pem), START)
PUBLIC, PRIVATE = "9.9.9.9", "127.0.0.1"


class Place:
    """Serves one CRL over HTTP, to whoever comes from inside or from outside."""

    def __init__(self, reply: bytes | HttpFailed) -> None:
        self.asked: list[str] = []
        self._reply = reply

    async def ask(self, request: HttpRequest, bounds: HttpBounds) -> HttpResponse | HttpFailed:
        assert (bounds.seconds, bounds.max_body_octets) == (BOUNDS.seconds, BOUNDS.octets)
        self.asked.append(request.host)
        reply = self._reply
        return HttpResponse(200, (), reply) if isinstance(reply, bytes) else reply


def revoking(*serials: int, reason: x509.ReasonFlags = x509.ReasonFlags.key_compromise) -> bytes:
    return make_crl(CA, dict.fromkeys(serials, reason))


def looking(place: Place, private: Place | None = None) -> RevocationLooker:
    finders = [RevocationFinder({}, each, FakeClock(), BOUNDS) for each in (place, private) if each]
    return RevocationLooker(finders[0], finders[-1])


def make_domain(*chains: tuple[bytes, ...], ip: str = PUBLIC) -> DomainFacts:
    hosts = [_make_host(chain, ip) for chain in chains]
    return DomainFacts(Domain("example.org"), tuple(hosts), None)


def _make_host(chain: tuple[bytes, ...], ip: str) -> HostFacts:
    shaken = Handshake("TLSv1.3", "AES", 256, None, HOST, chain)
    own = Probe(AskedSni.OWN, State.OK, HOST, handshake=shaken)
    failed = HandshakeFailed(FailureCause.RESET, "reset")
    probes = (own, own, replace(own, handshake=failed), replace(own, asked=AskedSni.NONE))
    address = AddressFacts(ip_address(ip), Security.SECURE, State.OK, probes)
    return HostFacts(Domain(HOST), 10, (address, address))


async def look(place: Place, *chains: tuple[bytes, ...], ip: str = PUBLIC) -> LeafRevocation:
    (found,) = await looking(place).look(make_domain(*chains, ip=ip), TERMS)
    return found


async def test_a_revoked_certificate_is_found_once_and_its_reason_counts() -> None:
    found = await look(Place(revoking(SERIAL)), ISSUED.chain_der)
    assert (found.state, found.reason, found.crl) == ("revoked", "keyCompromise", URL)
    assert found.serial == f"{SERIAL:x}"
    (finding,) = find_revoked((found,))
    assert (finding.id, finding.severity) == ("certificate-revoked", Severity.CRITICAL)
    superseded = revoking(SERIAL, reason=x509.ReasonFlags.superseded)
    (finding,) = find_revoked((await look(Place(superseded), ISSUED.chain_der),))
    assert (finding.where, finding.severity) == (HOST, Severity.WARNING)


async def test_one_that_is_in_no_crl_is_not_revoked() -> None:
    found = await look(Place(revoking(7)), ISSUED.chain_der)
    assert (found.state, found.reason, found.at) == ("not revoked", "", None)
    assert list(find_revoked((found,))) == []


@pytest.mark.parametrize(
    ("chain", "reply", "reason", "crl"),
    [
        (
            ISSUED.chain_der,
            HttpFailed(HttpFault.UNREACHABLE, "crl.example: refused"),
            "crl.example: refused",
            URL,
        ),
        (ISSUED.chain_der, make_crl(CA, now=START - timedelta(days=8)), "out of date", URL),
        (CA.issue([HOST], now=START).chain_der, b"", "it names no CRL", None),
        (self_signed([HOST], now=START).chain_der, b"", "no authority that is trusted", None),
        ((), b"", "no authority that is trusted", None),
        ((b"junk",), b"", "no authority that is trusted", None),
    ],
)
async def test_what_cannot_be_told_is_never_called_good(
    chain: tuple[bytes, ...], reply: bytes | HttpFailed, reason: str, crl: str | None
) -> None:
    found = await look(Place(reply), chain)
    assert (found.state, found.crl) == ("not told", crl)
    assert reason in found.reason
    assert list(find_revoked((found,))) == []


async def test_only_an_authority_that_is_trusted_says_whom_we_ask() -> None:
    place, stranger = Place(revoking(1)), ThrowawayCa("Stranger", START)
    await look(place, issue_with_crl(stranger, HOST).chain_der)
    assert place.asked == []


async def test_a_crl_is_fetched_once_for_all_domains_of_a_run() -> None:
    place, other = Place(revoking(SERIAL)), issue_with_crl(CA, HOST)
    looker = looking(place)
    for issued, state in ((ISSUED, "revoked"), (other, "not revoked"), (ISSUED, "revoked")):
        (found,) = await looker.look(make_domain(issued.chain_der), TERMS)
        assert found.state == state
    assert len(place.asked) == 1


@pytest.mark.parametrize(("ip", "inside"), [(PUBLIC, 0), (PRIVATE, 1)])
async def test_private_addresses_are_asked_for_hosts_that_are_there_themselves(
    ip: str, inside: int
) -> None:
    public, private = Place(revoking(SERIAL)), Place(revoking(SERIAL))
    await looking(public, private).look(make_domain(ISSUED.chain_der, ip=ip), TERMS)
    assert (len(public.asked), len(private.asked)) == (1 - inside, inside)
