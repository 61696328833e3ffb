"""The resolver that `[dns]` describes: a stub that asks another, or libunbound."""

from letterlock.base.config.choices import DnsBackend
from letterlock.base.config.outbound import DnsSection
from letterlock.network.dns import Backend, RandomBits, make_stub_resolver


def make_backend(section: DnsSection, random: RandomBits) -> Backend:
    """Make it, without asking anything yet. Raises LocalError where libunbound is not there."""
    match section.backend:
        case DnsBackend.STUB:
            return make_stub_resolver(section, random)
        case DnsBackend.LIBUNBOUND:
            # Only loaded where it is used: ctypes and a library of several MiB.
            from letterlock.network.libunbound import LibunboundResolver  # noqa: PLC0415 - an extra

            chosen = section.resolver
            return LibunboundResolver(
                section.trust_anchor,
                forward=(chosen.host, chosen.port) if chosen else None,
                timeout=section.timeout * section.attempts,
            )
