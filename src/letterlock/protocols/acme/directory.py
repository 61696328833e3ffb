"""An ACME server's directory and a client's account there.

RFC 8555 §7.1.1 (directory), §7.1.2, §7.3 (accounts); RFC 9773 §4.1 (`renewalInfo`). Profiles are
those of draft-aaron-acme-profiles, as Let's Encrypt has them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from letterlock.protocols.acme.fields import Url, format_line, parse_object
from letterlock.protocols.acme.states import AccountStatus

MAX_DIRECTORY_ENTRIES = 100
MAX_CONTACTS = 100


@dataclass(frozen=True, slots=True)
class Directory:
    """Where a server does what. `profiles` are names and what they mean, in the server's words."""

    new_nonce: Url
    new_account: Url
    new_order: Url
    revoke_cert: Url
    key_change: Url
    renewal_info: Url | None = None
    terms_of_service: str | None = None
    website: str | None = None
    caa_identities: tuple[str, ...] = ()
    is_external_account_required: bool = False
    profiles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Account:
    """An account as the server has it; `url` names it in every request (RFC 8555 §6.2)."""

    url: Url
    status: AccountStatus
    contact: tuple[str, ...] = ()


def parse_directory(body: bytes) -> Directory:
    """Parse a directory. Raises ObjectError."""
    found = parse_object(body, "directory")
    meta = found.one("meta")
    profiles = meta.one("profiles") if meta else None
    return Directory(
        new_nonce=found.required_url("newNonce"),
        new_account=found.required_url("newAccount"),
        new_order=found.required_url("newOrder"),
        revoke_cert=found.required_url("revokeCert"),
        key_change=found.required_url("keyChange"),
        renewal_info=found.url("renewalInfo"),
        terms_of_service=_line(meta.text("termsOfService") if meta else None),
        website=_line(meta.text("website") if meta else None),
        caa_identities=meta.texts("caaIdentities", MAX_DIRECTORY_ENTRIES) if meta else (),
        is_external_account_required=meta.flag("externalAccountRequired") if meta else False,
        profiles=profiles.entries(MAX_DIRECTORY_ENTRIES) if profiles else {},
    )


def format_directory(directory: Directory) -> dict[str, object]:
    """Make the document (RFC 8555 §7.1.1). There is no `newAuthz`: see `server.new_orders`."""
    found: dict[str, object] = {
        "newNonce": directory.new_nonce.text,
        "newAccount": directory.new_account.text,
        "newOrder": directory.new_order.text,
        "revokeCert": directory.revoke_cert.text,
        "keyChange": directory.key_change.text,
    }
    if directory.renewal_info is not None:
        found["renewalInfo"] = directory.renewal_info.text
    if meta := _format_meta(directory):
        found["meta"] = meta
    return found


def _format_meta(directory: Directory) -> dict[str, object]:
    meta: dict[str, object] = {
        "termsOfService": directory.terms_of_service,
        "website": directory.website,
        "caaIdentities": list(directory.caa_identities),
        "externalAccountRequired": directory.is_external_account_required,
        "profiles": dict(directory.profiles),
    }
    return {key: value for key, value in meta.items() if value}


def parse_account(url: Url, body: bytes) -> Account:
    """Parse an account object. Raises ObjectError."""
    found = parse_object(body, "account")
    text = found.required_text("status")
    try:
        status = AccountStatus(text)
    except ValueError as error:
        raise found.fault("its status is none of RFC 8555's") from error
    return Account(url, status, found.texts("contact", MAX_CONTACTS))


def _line(text: str | None) -> str | None:
    return None if text is None else format_line(text)
