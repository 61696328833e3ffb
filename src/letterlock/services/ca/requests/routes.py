"""Which verb answers at which place: all of ACME's resources, as one table.

RFC 8555 §7.1, §6.2 (which requests bring a key, and which an account's URL); the paths are those
that `protocols.acme.server.places` gives out. GET is for what is open to anybody alone: directory,
nonces (§6.3) and renewal information (RFC 9773 §4.1).
"""

from letterlock.protocols.acme.directory import format_directory
from letterlock.protocols.acme.server.payloads import refuse_payload
from letterlock.protocols.acme.server.replies import reply_document, reply_nonce
from letterlock.protocols.acme.server.signed_requests import KeyField
from letterlock.services.ca.requests.accounts import (
    list_orders,
    open_account,
    replace_key,
    show_account,
)
from letterlock.services.ca.requests.authority import Answer, Asked, Authority
from letterlock.services.ca.requests.authorizations import answer_challenge, show_authorization
from letterlock.services.ca.requests.certificates import show_certificate
from letterlock.services.ca.requests.finalizing import finalize
from letterlock.services.ca.requests.orders import order, show_order
from letterlock.services.ca.requests.posts import Route
from letterlock.services.ca.requests.revoking import revoke

DIRECTORY = "directory"
NEW_NONCE = "new-nonce"
RENEWAL_INFO = "renewal-info/{name}"


async def show_directory(authority: Authority, asked: Asked) -> Answer:
    """Give the directory to who asks by POST-as-GET (RFC 8555 §6.3)."""
    return refuse_payload(asked.request) or reply_document(
        format_directory(authority.rules.make_directory(authority.places))
    )


async def give_nonce(authority: Authority, asked: Asked) -> Answer:
    """Give a nonce to who has one (RFC 8555 §6.3): each answer has a new one."""
    del authority
    return refuse_payload(asked.request) or reply_nonce(is_head=False)


ROUTES = (
    Route("order/{order}", KeyField.KID, show_order),
    Route("authorization/{authorization}", KeyField.KID, show_authorization),
    Route("challenge/{authorization}/{kind}", KeyField.KID, answer_challenge),
    Route("new-order", KeyField.KID, order),
    Route("order/{order}/finalize", KeyField.KID, finalize),
    Route("certificate/{certificate}", KeyField.KID, show_certificate),
    Route("certificate/{certificate}/{chain}", KeyField.KID, show_certificate),
    Route("new-account", KeyField.JWK, open_account),
    Route(DIRECTORY, KeyField.KID, show_directory),
    Route(NEW_NONCE, KeyField.KID, give_nonce),
    Route("account/{account}", KeyField.KID, show_account),
    Route("account/{account}/orders", KeyField.KID, list_orders),
    Route("account/{account}/orders/after/{order}", KeyField.KID, list_orders),
    Route("key-change", KeyField.KID, replace_key),
    Route("revoke-cert", KeyField.EITHER, revoke),
)
