"""The domains and mailboxes that are ours.

RFC 5321 §4.5.1 (postmaster), RFC 2142 §2 and §4 (role names), RFC 3464 §2 (who wrote a
notification can be written to). Asked when mail is taken and again
when it is delivered, so that both mean the same mailbox.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from letterlock.base.domains import Domain
from letterlock.protocols.smtp.paths import Mailbox, fold_local_part
from letterlock.protocols.tables.lookup import split_extension

ROLE_NAMES = ("postmaster", "abuse", "mailer-daemon")
"""Always there, in every local domain."""


@dataclass(frozen=True, slots=True)
class LocalDirectory:
    """The domains and mailboxes that are ours.

    `mailboxes` holds `local@domain` in lower case; `postmaster` is the mailbox (`local` in each
    domain, or `local@domain`) that gets the role addresses' mail where there is none of that name.
    What begins with a sign of `delimiter` is an extension: `user+tag` is `user`, unless there is a
    mailbox of the whole name.
    """

    hostname: Domain
    domains: frozenset[Domain]
    mailboxes: frozenset[str]
    postmaster: str
    delimiter: str = ""
    is_own_literal: Callable[[str], bool] = lambda _: False
    """Says whether an address literal, `[192.0.2.1]`, is an address of this host."""

    def is_local(self, mailbox: Mailbox) -> bool:
        """Say if the domain is ours, or the host itself is meant: by its name or its address."""
        domain = mailbox.domain
        if domain in self.domains or domain == self.hostname:
            return True
        return domain[:1] == "[" and self.is_own_literal(domain)

    def is_role(self, mailbox: Mailbox) -> bool:
        """Say if an address is one of those that are always there."""
        return fold_local_part(mailbox.local) in ROLE_NAMES and self.is_local(mailbox)

    def find_mailbox(self, mailbox: Mailbox) -> tuple[Domain, str] | None:
        """Give domain and name of the mailbox that an address of ours goes to; None: no such one.

        Local parts are compared without case, as postmasters expect, and in NFC.
        """
        name = fold_local_part(mailbox.local)
        if mailbox.domain in self.domains:
            if f"{name}@{mailbox.domain}" in self.mailboxes:
                return Domain(mailbox.domain), name
            user, extension = split_extension(name, self.delimiter)
            if extension and f"{user}@{mailbox.domain}" in self.mailboxes:
                return Domain(mailbox.domain), user
        if self.is_role(mailbox):
            local, _, home = self.postmaster.partition("@")
            if not home:
                home = mailbox.domain if mailbox.domain in self.domains else min(self.domains)
            return Domain(home), local
        return None


def local_mailboxes(names: Iterable[str], domains: Iterable[Domain]) -> frozenset[str]:
    """Spread configured mailbox names over domains: a name without `@` is one in each of them."""
    known = tuple(domains)
    mailboxes: set[str] = set()
    for name in names:
        if "@" in name:
            local, _, domain = name.rpartition("@")
            mailboxes.add(f"{fold_local_part(local)}@{domain}")
        else:
            mailboxes.update(f"{fold_local_part(name)}@{domain}" for domain in known)
    return frozenset(mailboxes)
