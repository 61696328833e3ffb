"""Certificates: fetched with their chains, and when they should be renewed.

RFC 8555 §7.4.2 (one of several chains), §6.3 (to its account only); RFC 9773 §4.1, §4.2 (anybody
may ask when, without a signature).
"""

import re
import secrets

from letterlock.protocols.acme.server.payloads import refuse_payload
from letterlock.protocols.acme.server.refusals import Refusal, refuse_foreign, refuse_unknown
from letterlock.protocols.acme.server.renewals import answer_renewal, parse_asked
from letterlock.protocols.acme.server.replies import reply_chain, reply_renewal
from letterlock.services.ca.requests.authority import Answer, Asked, Authority

_CHAIN = re.compile(r"[1-9][0-9]?\Z")
_CHANCES = 1 << 32


async def show_certificate(authority: Authority, asked: Asked) -> Answer:
    """Give a certificate to its account, with the chain that the URL names, or the usual one."""
    certificate_id, *more = asked.ids
    issued = await authority.store.load_certificate(certificate_id)
    if issued is None:
        return refuse_unknown("certificate")
    certificate = issued.certificate
    assert asked.account is not None
    if certificate.account_id != asked.account.id:
        return refuse_foreign("certificate")
    if (refusal := refuse_payload(asked.request)) is not None:
        return refusal
    chain = _read_chain(more)
    if chain is None or chain >= certificate.chain_count:
        return refuse_unknown("chain")
    return reply_chain(issued.format_chain(chain), certificate, chain, authority.places)


async def tell_renewal(authority: Authority, name: str) -> Answer:
    """Answer who asks when a certificate should be renewed (RFC 9773 §4.1)."""
    asked = parse_asked(name)
    if isinstance(asked, Refusal):
        return asked
    issued = await authority.store.find_certificate(asked)
    certificate = issued.certificate if issued is not None else None
    find, urgency = authority.find_urgency, None
    if certificate is not None and find is not None:
        urgency = await find(certificate)
    answer = answer_renewal(certificate, urgency, secrets.randbelow(_CHANCES) / _CHANCES)
    return answer if isinstance(answer, Refusal) else reply_renewal(answer)


def _read_chain(more: list[str]) -> int | None:
    if not more:
        return 0
    return int(more[0]) if _CHAIN.match(more[0]) else None
