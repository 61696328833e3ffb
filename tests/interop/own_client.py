"""Our own ACME client as tests call it, at whichever authority."""

from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from letterlock.base.clock import SystemClock
from letterlock.protocols.acme.identifiers import ChallengeType, parse_identifier
from letterlock.protocols.acme.jws import SigningKey, make_account_key
from letterlock.protocols.acme.requests import OrderRequest
from letterlock.services.certify.authority import Authority, Terms, open_account
from letterlock.services.certify.issuing import Issued, Issuer, NotIssued, Patience
from letterlock.services.certify.solvers import Proof, Solver
from tests.interop.pebble import Tried

AGREED = Terms(contacts=("mailto:postmaster@example.org",), is_agreed=True)
PATIENCE = Patience(shortest=timedelta(milliseconds=20), longest=timedelta(milliseconds=100))
CHALLENGES = ("http-01", "dns-01", "tls-alpn-01")


async def account(tried: Tried) -> Authority:
    opened = await open_account(tried.client(), make_account_key(), AGREED)
    assert isinstance(opened, Authority), opened
    return opened


def solver(tried: Tried, kind: str) -> Solver:
    return next(each for each in (tried.http, tried.dns, tried.tls) if each.kind == kind)


class Forgetful:
    """Says that a proof is there, and does nothing."""

    kind: ChallengeType = "http-01"

    async def present(self, proof: Proof) -> str | None:
        del proof
        return None

    async def cleanup(self, proof: Proof) -> None:
        del proof


def order(*names: str) -> OrderRequest:
    return OrderRequest(frozenset(parse_identifier(name) for name in names))


def make_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


async def ask(
    authority: Authority, by: Solver, request: OrderRequest, key: SigningKey | None = None
) -> Issued | NotIssued:
    issuer = Issuer(authority, [by], SystemClock(), PATIENCE)
    return await issuer.issue(request, key or make_key())


async def issue(
    authority: Authority, by: Solver, request: OrderRequest, key: SigningKey | None = None
) -> Issued:
    issued = await ask(authority, by, request, key)
    assert isinstance(issued, Issued), issued.lines
    return issued


def names_of(certificate: x509.Certificate) -> set[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(each.value) for each in names}
