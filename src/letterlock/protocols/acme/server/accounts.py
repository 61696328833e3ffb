"""Accounts: opening, finding, changing and closing them.

RFC 8555 §7.3 (contacts, terms), §7.3.1 (finding), §7.3.2 (changing), §7.3.3 (new terms), §7.3.6
(closing). Bindings to accounts elsewhere are in `external_accounts`, new keys in `key_changes`.
"""

from dataclasses import dataclass, replace

from letterlock.protocols.acme.contacts import find_contact_fault
from letterlock.protocols.acme.fields import Fields, ObjectError
from letterlock.protocols.acme.server.objects import Account, ExternalBinding
from letterlock.protocols.acme.server.payloads import read_payload
from letterlock.protocols.acme.server.public_keys import PublicKey
from letterlock.protocols.acme.server.refusals import (
    UNAUTHENTICATED,
    ErrorType,
    Link,
    Refusal,
    refuse,
)
from letterlock.protocols.acme.server.transitions import deactivate_account
from letterlock.protocols.acme.states import AccountStatus

MAX_CONTACTS = 10
MAX_SENT_CONTACTS = 100
"""More are no list of contacts at all."""


@dataclass(frozen=True, slots=True)
class AccountRules:
    """What an authority wants of those who open accounts. `terms` is a URL; None: it has none."""

    terms: str | None = None
    is_external_account_required: bool = False


@dataclass(frozen=True, slots=True)
class AccountRequest:
    """What a newAccount request says. `binding` is not verified."""

    contacts: tuple[str, ...]
    is_agreed: bool
    only_existing: bool
    binding: Fields | None


@dataclass(frozen=True, slots=True)
class Opening:
    """An account is to be made with this; its key is the request's."""

    contacts: tuple[str, ...]
    agreed_terms: str | None
    external: ExternalBinding | None


def parse_account_request(payload: bytes) -> AccountRequest | Refusal:
    """Parse the payload of newAccount (RFC 8555 §7.3). A client's `orders` is passed over."""
    found = read_payload(payload, "account")
    if isinstance(found, Refusal):
        return found
    try:
        contacts = _read_contacts(found)
        if isinstance(contacts, Refusal):
            return contacts
        return AccountRequest(
            contacts=contacts,
            is_agreed=found.flag("termsOfServiceAgreed"),
            only_existing=found.flag("onlyReturnExisting"),
            binding=found.one("externalAccountBinding"),
        )
    except ObjectError as error:
        return refuse(ErrorType.MALFORMED, str(error))


def decide_account(
    request: AccountRequest,
    rules: AccountRules,
    existing: Account | None,
    external: ExternalBinding | None,
) -> Account | Opening | Refusal:
    """Decide what newAccount gives; `existing` is the account of the key that signed it.

    `external` is the request's binding, verified. An account that is there is given as it is,
    whatever else the request says (RFC 8555 §7.3.1).
    """
    if existing is not None:
        return find_account_refusal(existing) or existing
    if request.only_existing:
        return refuse(ErrorType.ACCOUNT_DOES_NOT_EXIST, "there is no account with this key")
    if rules.terms is not None and not request.is_agreed:
        return refuse_terms(rules.terms, "termsOfServiceAgreed must be true")
    if rules.is_external_account_required and external is None:
        detail = "accounts are for those who have one with us elsewhere"
        return refuse(ErrorType.EXTERNAL_ACCOUNT_REQUIRED, detail)
    return Opening(request.contacts, rules.terms if request.is_agreed else None, external)


def find_account_refusal(account: Account) -> Refusal | None:
    """Refuse what an account asks that was closed (RFC 8555 §7.3.6); None: it is valid."""
    if account.status is AccountStatus.VALID:
        return None
    detail = f"the account is {account.status}"
    return refuse(ErrorType.UNAUTHORIZED, detail, status=UNAUTHENTICATED)


def refuse_kid() -> Refusal:
    """Refuse a `kid` that is no account's (RFC 8555 §6.7)."""
    return refuse(ErrorType.ACCOUNT_DOES_NOT_EXIST, "kid is not the URL of an account here")


def find_terms_refusal(account: Account, terms: str | None) -> Refusal | None:
    """Refuse until new terms are agreed to (RFC 8555 §7.3.3); None: those agreed to still hold."""
    if terms is None or account.agreed_terms == terms:
        return None
    return refuse_terms(terms, "the terms of service have changed: agree to them there")


def refuse_terms(terms: str, detail: str) -> Refusal:
    """Refuse, with where the terms are in `instance` and in a Link (RFC 8555 §7.3.3)."""
    refusal = refuse(ErrorType.USER_ACTION_REQUIRED, detail)
    problem = replace(refusal.problem, instance=terms)
    return replace(refusal, problem=problem, links=(Link(terms, "terms-of-service"),))


def update_account(account: Account, payload: bytes) -> Account | Refusal:
    """Change an account as its holder says (RFC 8555 §7.3.2), or close it (§7.3.6).

    Fields but `contact` and `status` are passed over, and a status but `deactivated` too.
    """
    found = read_payload(payload, "account")
    if isinstance(found, Refusal):
        return found
    try:
        if found.text("status") == AccountStatus.DEACTIVATED:
            return deactivate_account(account)
        if not found.has("contact"):
            return account
        contacts = _read_contacts(found)
    except ObjectError as error:
        return refuse(ErrorType.MALFORMED, str(error))
    return contacts if isinstance(contacts, Refusal) else replace(account, contacts=contacts)


def find_holder_refusal(account: Account, request_key: PublicKey) -> Refusal | None:
    """Refuse a request whose key is not the account's any more; None: it is.

    Between the look-up of the key and this moment it may have been changed.
    """
    if account.key != request_key:
        return refuse(ErrorType.UNAUTHORIZED, "the account has another key now")
    return find_account_refusal(account)


def _read_contacts(found: Fields) -> tuple[str, ...] | Refusal:
    contacts = tuple(dict.fromkeys(found.texts("contact", MAX_SENT_CONTACTS)))
    if len(contacts) > MAX_CONTACTS:
        return refuse(ErrorType.INVALID_CONTACT, f"an account has at most {MAX_CONTACTS} contacts")
    for contact in contacts:
        if fault := find_contact_fault(contact):
            return refuse(ErrorType(fault.type.value), f"{contact[:80]!r}: {fault.detail}")
    return contacts
