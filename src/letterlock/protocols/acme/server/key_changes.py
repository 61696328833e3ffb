"""A new key for an account, to which both keys agree.

RFC 8555 §7.3.5: its nine checks; the first is that of every request. Orders and authorizations stay
as they are: they belong to the account, not to its key.
"""

from dataclasses import replace

from letterlock.protocols.acme.fields import Fields, ObjectError, parse_object
from letterlock.protocols.acme.server.objects import Account
from letterlock.protocols.acme.server.payloads import read_payload
from letterlock.protocols.acme.server.places import Places
from letterlock.protocols.acme.server.public_keys import ALGORITHMS, PublicKey, read_public_key
from letterlock.protocols.acme.server.refusals import CONFLICT, ErrorType, Refusal, refuse
from letterlock.protocols.acme.server.signed_requests import (
    Flattened,
    SignedRequest,
    find_signature_fault,
    read_flattened,
    read_header_key,
    refuse_algorithm,
)


def read_key_change(
    request: SignedRequest, account: Account, places: Places
) -> PublicKey | Refusal:
    """Give the new key (checks 2 to 8). Whether another account has it is asked next."""
    payload = read_payload(request.payload, "key change")
    if isinstance(payload, Refusal):
        return payload
    try:
        inner = read_flattened(payload)
        key = _find_new_key(inner)
        if isinstance(key, Refusal):
            return key
        _check_header(inner.header, request)
        _check_object(parse_object(inner.payload, "key change"), account, request, places)
    except ObjectError as error:
        return refuse(ErrorType.MALFORMED, str(error))
    return key


def change_key(
    account: Account, key: PublicKey, holder: Account | None, places: Places
) -> Account | Refusal:
    """Give the account its new key (check 9); `holder` is the account that has that key already.

    The store refuses a second account with one key, in the transaction that writes it.
    """
    if holder is not None:
        refusal = refuse(ErrorType.MALFORMED, "an account has this key already", status=CONFLICT)
        return replace(refusal, location=places.account(holder.id))
    return replace(account, key=key)


def _find_new_key(inner: Flattened) -> PublicKey | Refusal:
    if inner.algorithm not in ALGORITHMS:
        return refuse_algorithm(inner.algorithm)
    key = read_header_key(inner.header)
    if key is None:
        raise inner.header.fault("the inner JWS has no jwk")
    if isinstance(key, Refusal):
        return key
    return find_signature_fault(inner, key) or key


def _check_header(header: Fields, request: SignedRequest) -> None:
    if header.has("nonce") or header.has("kid"):
        raise header.fault("the inner JWS has neither nonce nor kid")
    if header.required_text("url") != request.url:
        raise header.fault("the inner JWS has another url")


def _check_object(found: Fields, account: Account, request: SignedRequest, places: Places) -> None:
    named = found.required_text("account")
    # As the client names it in this very request, which may be a former URL of it.
    if named != request.kid or places.find_account_id(named) != account.id:
        raise found.fault("account is not the URL of the account that asks")
    old = found.one("oldKey")
    if old is None or read_public_key(old) != account.key:
        raise found.fault("oldKey is not the account's key")
