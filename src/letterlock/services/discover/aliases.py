"""The DNSSEC state of each alias in a chain, where a resolver vouches for the whole or not at all.

RFC 7672 §2.1.3 (an insecure answer may begin with secure aliases; a CNAME query of its own tells).
"""

from collections.abc import Iterable
from dataclasses import replace

from letterlock.network.dns import Resolver
from letterlock.protocols.dns.answers import CnameLink, Security


async def examine_aliases(
    resolver: Resolver, links: Iterable[CnameLink]
) -> tuple[tuple[CnameLink, ...], str]:
    """Ask for each alias by itself; gives the links with their own states, and what went wrong.

    Links that are secure already are not asked for. From the first one on that is not secure,
    nothing behind it can be: the rest gets its state. The text is empty when no lookup failed.
    """
    examined: list[CnameLink] = []
    worst, reason = Security.SECURE, ""
    for link in links:
        if worst is Security.SECURE and link.security is not Security.SECURE:
            answer = await resolver.ask(link.name, "CNAME")
            worst = answer.security
            if not answer.is_answer:
                reason = f"CNAME of {link.name}: {answer.reason}"
        examined.append(replace(link, security=worst))
    return tuple(examined), reason
