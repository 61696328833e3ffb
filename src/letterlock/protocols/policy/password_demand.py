"""What a hop must have before a password is said there: a server that proved who it is.

RFC 4954 §14 (no name that insecure DNS gave), RFC 7817 §3 (which names count), RFC 8314 §3.3
(implicit TLS). Put on top of what `decide` says, and never below it.
"""

from dataclasses import replace
from enum import StrEnum

from letterlock.base.domains import Domain
from letterlock.protocols.policy.decide import without_old_tls
from letterlock.protocols.policy.requirement import Decision, Level, Requirement, Source
from letterlock.protocols.policy.table import PolicyTable
from letterlock.protocols.policy.table_demand import Asked, ask_table

_PROVED = "a password is said only to a host that proves itself (RFC 4954 §14)"
_ENCRYPTED = "a password is said to any host under TLS (deliver.passwords_for)"
_IMPLICIT = "TLS comes first on this port (RFC 8314 §3.3)"


class HopSecret(StrEnum):
    """What of ours is said on a hop, beside mail."""

    NONE = "none"
    PASSWORD = "password"  # noqa: S105 - its name
    PASSWORD_UNPROVED = "password-unproved"  # noqa: S105 - as above
    """A password, to whoever is there: the operator's wish."""


def protect(
    decision: Decision,
    next_hop_key: str,
    next_hop_domain: Domain | None,
    mx_host: str,
    table: PolicyTable,
    *,
    is_host_known: bool,
) -> Decision:
    """Ask for the proof that a password needs; parameters as for `decide`.

    `is_host_known`: the host is the next hop's by DNSSEC, or because it is the next hop.
    """
    if not isinstance(decision, Requirement):
        return decision
    asked = ask_table(next_hop_key, next_hop_domain, mx_host, table)
    if decision.level.is_authenticated and (is_host_known or not _rests_on_host(asked, decision)):
        return decision
    known = (mx_host,) if is_host_known or next_hop_domain is None else ()
    by_domain = (next_hop_domain, f".{next_hop_domain}") if next_hop_domain is not None else ()
    return replace(
        without_old_tls(decision),
        level=Level.SECURE,
        source=Source.PASSWORD,
        sources=tuple(dict.fromkeys((Source.PASSWORD, *_kept_sources(decision)))),
        names=known or by_domain,
        reason=f"{decision.reason}; {_PROVED}",
    )


def ask_for_tls(decision: Decision, *, is_password: bool) -> Decision:
    """Ask for TLS, proved or not: for a password, or because it comes first on this port."""
    if not isinstance(decision, Requirement) or decision.level.is_tls_required:
        return decision
    reason = f"{decision.reason}; {_ENCRYPTED if is_password else _IMPLICIT}"
    source = Source.PASSWORD if is_password else decision.source
    return replace(
        without_old_tls(decision),
        level=Level.ENCRYPT,
        source=source,
        sources=(source,),
        reason=reason,
    )


def _kept_sources(decision: Requirement) -> tuple[Source, ...]:
    # What `none` and `may` ask is met by anything.
    return decision.sources if decision.level.is_tls_required else ()


def _rests_on_host(asked: Asked | object, decision: Requirement) -> bool:
    """Say if what is proved is a name that insecure DNS gave, and nothing that we know."""
    if decision.level is Level.FINGERPRINT:
        return False
    if decision.mta_sts is not None and decision.mta_sts.is_enforced:
        return False
    is_own_wish = decision.source in (Source.TABLE, Source.DEFAULT)
    if is_own_wish and decision.level in (Level.VERIFY, Level.SECURE):
        return not isinstance(asked, Asked) or asked.is_host_named
    return True
