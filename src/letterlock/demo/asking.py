"""Somebody who controls a host asks the authority for its certificate, whatever CAA says.

RFC 8659 §4: the owner of a name says who may issue for it, not who has a host. The receiver itself
would not even ask.
"""

from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric import ec

from letterlock.base.clock import Clock
from letterlock.demo.stage import Stage
from letterlock.demo.telling import CannotGoOn
from letterlock.network.acme_client import AcmeClient, AcmeFailed
from letterlock.network.client_contexts import ClientContexts
from letterlock.network.https_client import HttpsClient
from letterlock.node.certificate_stores import make_stores
from letterlock.protocols.acme.fields import parse_url
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.jws import make_account_key
from letterlock.protocols.acme.requests import OrderRequest
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.services.certify.authority import Terms, open_account
from letterlock.services.certify.issuing import Issued, Issuer, Patience
from letterlock.services.certify.solving.http import HttpSolver

_PATIENCE = Patience(shortest=timedelta(milliseconds=20), longest=timedelta(seconds=1))


async def ask_in_vain(stage: Stage, host: str, clock: Clock) -> str | None:
    """Ask for a certificate of a host that is the receiver's; gives why there is none.

    The proof is put where the receiver's listeners find it. None: there is one. Raises CannotGoOn.
    """
    anchors = TrustAnchors.from_pem(stage.authority.root_pem.encode())
    https = HttpsClient(
        stage.receiver.lookups,
        ClientContexts(),
        lambda: anchors,
        clock,
        has_private_addresses=True,
    )
    client = AcmeClient(https, parse_url(stage.authority.directory), clock)
    account = await open_account(client, make_account_key(), Terms())
    if isinstance(account, AcmeFailed):
        raise CannotGoOn(f"the authority gave no account: {account.reason}")
    stores = make_stores(stage.receiver.config, "somebody", clock)
    await stores.database.open()
    try:
        issuer = Issuer(account, [HttpSolver(stores.challenges, clock)], clock, _PATIENCE)
        request = OrderRequest(frozenset({parse_identifier(host)}))
        outcome = await issuer.issue(request, ec.generate_private_key(ec.SECP256R1()))
    finally:
        await stores.database.close()
    return None if isinstance(outcome, Issued) else outcome.lines[-1]
