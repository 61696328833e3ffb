"""Ask a resolver until when records are signed, also those that it would not give out itself.

RFC 4035 §3.2.1 (DO), §3.2.2 (CD: what does not validate is given out as well), RFC 4034 §3.1. What
is read here is for people, and decides nothing: who may forge it can make us say a wrong day.
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import dns.exception
import dns.flags
import dns.message
import dns.rdatatype

from letterlock.network.dns_exchange import exchange_tcp, exchange_udp, explain_os_error
from letterlock.protocols.check.signatures import Signature

ASK_SECONDS = 5.0
MAX_SIGNATURES = 64
"""Of one answer."""


async def ask_signatures(
    server: tuple[str, int], name: str, rdtype: str, seconds: float = ASK_SECONDS
) -> tuple[Signature, ...] | str:
    """Ask for the signatures of records and of the aliases that lead to them; none: unsigned.

    Text says in one line why nothing is known.
    """
    try:
        query = dns.message.make_query(
            name.rstrip(".") + ".", rdtype, want_dnssec=True, flags=dns.flags.RD | dns.flags.CD
        )
        async with asyncio.timeout(seconds):
            reply = await _exchange(server, query)
    except dns.exception.DNSException as error:
        return f"it can't be asked for: {error}"
    except TimeoutError:
        return f"no answer within {seconds:g} seconds"
    except EOFError:
        return "the resolver ended the connection without an answer"
    except OSError as error:
        return f"the resolver can't be reached: {explain_os_error(error)}"
    if reply is None:
        return "no answer that can be read"
    return tuple(_read(reply))[:MAX_SIGNATURES]


async def _exchange(
    server: tuple[str, int], query: dns.message.Message
) -> dns.message.Message | None:
    wire = query.to_wire()

    def read(octets: bytes) -> dns.message.Message | None:
        try:
            reply = dns.message.from_wire(octets, raise_on_truncation=False)
        except (dns.exception.DNSException, ValueError):
            return None
        return reply if query.is_response(reply) else None

    reply: dns.message.Message | None = await exchange_udp(server, wire, read)
    if reply is not None and reply.flags & dns.flags.TC:
        return read(await exchange_tcp(server, wire))
    return reply


def _read(reply: dns.message.Message) -> Iterator[Signature]:
    for rrset in reply.answer:
        if rrset.rdtype != dns.rdatatype.RRSIG:
            continue
        for rrsig in rrset:
            yield Signature(
                rrset.name.to_text(omit_final_dot=True).lower(),
                dns.rdatatype.to_text(rrsig.type_covered),
                rrsig.signer.to_text(omit_final_dot=True).lower(),
                datetime.fromtimestamp(rrsig.inception, UTC),
                datetime.fromtimestamp(rrsig.expiration, UTC),
                rrsig.original_ttl,
            )
