"""What is looked up for an address or a domain, in Postfix's order.

virtual(5), transport(5), aliases(5), postconf(5): `recipient_delimiter`, `relay_domains`,
`parent_domain_matches_subdomains`. Keys have a normal form: case is folded, a local part is quoted
only where it must be, a domain is in A-labels. Postfix looks up what was written; here two ways to
write one address find the same entry, and so do two ways to write a letter (RFC 6532 §3.1: NFC).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from unicodedata import normalize

from letterlock.base.domains import DomainError, parse_domain
from letterlock.protocols.smtp.paths import AddressError, Mailbox, parse_mailbox
from letterlock.protocols.tables.lines import TableError, shorten

WILDCARD = "*"
"""The key of transport(5) that matches everything."""

# Postfix never splits these (split_addr(3)); with `-` as delimiter also not lists' own addresses.
_NEVER_SPLIT = ("postmaster", "mailer-daemon", "double-bounce")
_OWNER, _REQUEST = "owner-", "-request"


@dataclass(frozen=True, slots=True)
class AddressKey:
    """A key for an address. `extension` is what it leaves out, with its delimiter (`+tag`)."""

    text: str
    extension: str = ""
    is_domain: bool = False
    """`@domain`: it stands for any local part."""


def split_extension(local: str, delimiter: str) -> tuple[str, str]:
    """Split `user+tag` into `user` and `+tag`; the latter is empty where there is none.

    Any character of `delimiter` splits, the first one in the local part.
    """
    folded = local.lower()
    if not delimiter or folded in _NEVER_SPLIT:
        return local, ""
    if "-" in delimiter and (
        folded.startswith(_OWNER) or (folded.endswith(_REQUEST) and len(folded) > len(_REQUEST))
    ):
        return local, ""
    for at, character in enumerate(local):
        if character in delimiter:
            is_split = 0 < at < len(local) - 1
            return (local[:at], local[at:]) if is_split else (local, "")
    return local, ""


def fold_local(local: str) -> str:
    """Give the normal key of a local part, from what its quoting meant."""
    if local.isalnum() and local.isascii():
        return local.lower()  # needs no quotes; most are such
    return Mailbox(normalize("NFC", local.casefold()), "").format()[:-1]


def fold_address(mailbox: Mailbox) -> str:
    """Give the normal key of an address."""
    return f"{fold_local(mailbox.local)}@{mailbox.domain}"


def address_keys(mailbox: Mailbox, delimiter: str, *, is_local: bool) -> tuple[AddressKey, ...]:
    """Give virtual(5)'s keys for an address; `is_local` says that its domain is one of ours.

    `user+tag@domain`, `user@domain`, of ours `user+tag` and `user` too, `@domain`.
    """
    user, extension = split_extension(mailbox.local, delimiter)
    names = [AddressKey(fold_local(mailbox.local))]
    if extension:
        names.append(AddressKey(fold_local(user), extension))
    keys = [AddressKey(f"{name.text}@{mailbox.domain}", name.extension) for name in names]
    keys += names if is_local else []
    return (*keys, AddressKey(f"@{mailbox.domain}", is_domain=True))


def alias_keys(local: str, delimiter: str) -> tuple[AddressKey, ...]:
    """Give aliases(5)'s keys for the local part of an address of ours: `user+tag`, `user`."""
    user, extension = split_extension(local, delimiter)
    whole = AddressKey(fold_local(local))
    return (whole, AddressKey(fold_local(user), extension)) if extension else (whole,)


def domain_keys(domain: str, *, matches_subdomains: bool) -> Iterator[str]:
    """Give a domain's own key, then those of the domains above it.

    With `matches_subdomains` these are `parent`, as for `relay_domains` by Postfix's default; else
    `.parent`, as for transport(5).
    """
    yield domain
    if domain.startswith("["):
        return
    rest = domain
    while (at := rest.find(".", 1)) >= 0:
        rest = rest[at + 1 :] if matches_subdomains else rest[at:]
        yield rest


def transport_keys(mailbox: Mailbox, delimiter: str) -> tuple[str, ...]:
    """Give transport(5)'s keys for a recipient.

    `user+tag@domain`, `user@domain`, `domain`, `.parent` and further up, `*`.
    """
    addresses = [key.text for key in address_keys(mailbox, delimiter, is_local=False)[:-1]]
    return (*addresses, *domain_keys(mailbox.domain, matches_subdomains=False), WILDCARD)


def normal_address_key(text: str) -> str:
    """Give the normal form of a key: an address, `@domain`, or what has no @. Raises TableError."""
    if text.startswith("@"):
        return "@" + normal_domain(text[1:])
    try:
        if _has_domain(text):
            return fold_address(parse_mailbox(text))
        # Alone it is a local part, or a domain: only the form tells them apart.
        return fold_local(parse_mailbox(f"{text}@x").local)
    except AddressError as error:
        raise TableError(str(error)) from error


def normal_domain(text: str) -> str:
    """Give the normal form of a domain or an address literal. Raises TableError."""
    try:
        if text.startswith("["):
            return parse_mailbox(f"x@{text}").domain
        return parse_domain(text)
    except (AddressError, DomainError) as error:
        raise TableError(f"{shorten(text)} is no domain: {error}") from error


def _has_domain(text: str) -> bool:
    """Say whether there is an @ behind the local part, which may have one in quotes."""
    return "@" in text and not text.endswith('"')
