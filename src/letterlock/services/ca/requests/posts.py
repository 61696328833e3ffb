"""One POST of ACME: its signature, nonce and account are judged, then its verb is asked.

RFC 8555 §6.2 (signature), §6.3 (POST-as-GET), §6.4 (URL), §6.5 (nonce: once it appeared, it is
spent), §7.3.6 (closed accounts). Nothing of a verb happens before all of this is good.
"""

import secrets
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from letterlock.protocols.acme.server.accounts import find_account_refusal, refuse_kid
from letterlock.protocols.acme.server.nonces import (
    CHANCE_OCTETS,
    KEY_OCTETS,
    NonceKeys,
    judge_nonce,
    make_nonce,
    refuse_nonce,
)
from letterlock.protocols.acme.server.objects import Account
from letterlock.protocols.acme.server.refusals import Refusal
from letterlock.protocols.acme.server.signed_requests import (
    KeyField,
    UnverifiedRequest,
    read_request,
    verify_request,
)
from letterlock.services.ca.requests.authority import (
    Answer,
    Asked,
    Authority,
    RequestStore,
    Verb,
)
from letterlock.storage.ca.kept import NONCE_SECRET


@dataclass(frozen=True, slots=True)
class Route:
    """Where a verb is asked: `path` behind the authority's URL, with {parts} that are ids."""

    path: str
    takes: KeyField
    verb: Verb


@dataclass(frozen=True, slots=True)
class Posted:
    """A POST as HTTP has it. `target` is its path behind the authority's URL, as it was written."""

    target: str
    content_type: str
    body: bytes
    ids: tuple[str, ...] = ()
    address: IPv4Address | IPv6Address | None = None


async def answer_post(authority: Authority, route: Route, posted: Posted) -> Answer:
    """Answer a POST."""
    url = f"{authority.places.base}/{posted.target}"
    found = read_request(posted.body, posted.content_type, url, route.takes)
    if isinstance(found, Refusal):
        if found.seen_nonce is not None:
            await _spend(authority, found.seen_nonce)
        return found
    account_id = authority.places.find_account_id(found.kid) if found.kid is not None else None
    account = await _spend(authority, found.nonce, account_id)
    if isinstance(account, Refusal):
        return account
    asked = _authenticate(authority, found, account, posted)
    return asked if isinstance(asked, Refusal) else await route.verb(authority, asked)


def make_fresh_nonce(authority: Authority) -> str:
    """Make a nonce for an answer."""
    chance = secrets.token_bytes(CHANCE_OCTETS)
    return make_nonce(authority.nonce_keys, authority.clock.now(), chance)


async def load_nonce_keys(store: RequestStore) -> NonceKeys:
    """Load the key by which all processes know each other's nonces."""
    fresh = secrets.token_bytes(KEY_OCTETS)
    return NonceKeys((await store.keep_secret(NONCE_SECRET, fresh),))


async def _spend(
    authority: Authority, nonce: str, account_id: str | None = None
) -> Account | Refusal | None:
    """Spend a nonce, and give the account with this id; None: there is none."""
    now = authority.clock.now()
    good = judge_nonce(authority.nonce_keys, nonce, now)
    if isinstance(good, Refusal):
        return good
    if account_id is None:
        return None if await authority.store.spend_nonce(good, now) else refuse_nonce()
    # In one: each request has both, and what is asked of the store alone costs several times more.
    is_fresh, account = await authority.store.spend_nonce_of(good, now, account_id)
    return account if is_fresh else refuse_nonce()


def _authenticate(
    authority: Authority, found: UnverifiedRequest, account: Account | None, posted: Posted
) -> Asked | Refusal:
    now = authority.clock.now()
    if found.key is not None:
        request = verify_request(found, found.key)
        if isinstance(request, Refusal):
            return request
        return Asked(request, None, posted.ids, posted.address, now)
    if account is None:
        return refuse_kid()
    request = verify_request(found, account.key)
    if isinstance(request, Refusal):
        return request
    refusal = find_account_refusal(account)
    return refusal or Asked(request, account, posted.ids, posted.address, now)
