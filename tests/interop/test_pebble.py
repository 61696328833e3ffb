"""Certificates from Pebble, which refuses two nonces in five, and reuses authorizations by chance.

RFC 8555, RFC 8737, RFC 8738, RFC 9773; Debian's own release, and one that has renewal information
and profiles.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from letterlock.base.clock import SystemClock
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.jws import make_account_key
from letterlock.protocols.acme.requests import OrderRequest
from letterlock.services.certify.authority import Authority, Terms, open_account
from letterlock.services.certify.issuing import Issued, Issuer, Patience
from letterlock.services.certify.solvers import Solver
from tests.interop.pebble import Pebble, running_pebble
from tests.peers import is_foreign, require_mounts

PEBBLES = ("pebble", "pebble-2.10")
AGREED = Terms(contacts=("mailto:postmaster@example.org",), is_agreed=True)
PATIENCE = Patience(shortest=timedelta(milliseconds=20), longest=timedelta(seconds=2))


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.peer(name)) for name in PEBBLES])
async def pebble(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pebble]:
    if is_foreign(request.param):
        require_mounts(request.param)
    async with running_pebble(request.param, tmp_path) as running:
        yield running


async def account(pebble: Pebble) -> Authority:
    opened = await open_account(pebble.client(), make_account_key(), AGREED)
    assert isinstance(opened, Authority), opened
    return opened


def solver(pebble: Pebble, kind: str) -> Solver:
    return next(each for each in (pebble.http, pebble.dns, pebble.tls) if each.kind == kind)


def order(*names: str) -> OrderRequest:
    return OrderRequest(frozenset(parse_identifier(name) for name in names))


async def issue(authority: Authority, by: Solver, *names: str) -> Issued:
    issuer = Issuer(authority, [by], SystemClock(), PATIENCE)
    issued = await issuer.issue(order(*names), ec.generate_private_key(ec.SECP256R1()))
    assert isinstance(issued, Issued), issued.lines
    return issued


@pytest.mark.parametrize("kind", ["http-01", "dns-01", "tls-alpn-01"])
async def test_a_certificate_by_each_challenge(pebble: Pebble, kind: str) -> None:
    pebble.add("mx1.example.org", "mx2.example.org")
    issued = await issue(
        await account(pebble), solver(pebble, kind), "mx1.example.org", "mx2.example.org"
    )
    assert len(issued.chain.certificates) >= 2
