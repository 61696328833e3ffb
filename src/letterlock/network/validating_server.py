"""A resolver on loopback for the demo: it validates what the demo's name server says.

RFC 4035 §3.2 (AD, CD, and SERVFAIL for what is bogus), RFC 8914 §4.7 (the reason). Nodes use it as
they use Unbound: by their stub, which believes the AD bit of a resolver on loopback.
"""

from collections.abc import Mapping

import dns.edns
import dns.flags
import dns.message
import dns.rcode
from dns.rdtypes.ANY.DNSKEY import DNSKEY

from letterlock.base.clock import Clock
from letterlock.network.dns_server import Answerer, DnsServer
from letterlock.network.zone_validator import ZoneValidator
from letterlock.protocols.dns.answers import Security


class ValidatingServer:
    """Asks a name server in this process (`respond`), and vouches for what it can validate.

    `anchors` are the keys that it trusts, each for its zone and all below: origin -> key.
    """

    def __init__(self, respond: Answerer, anchors: Mapping[str, DNSKEY], clock: Clock) -> None:
        self._respond = respond
        self._validator = ZoneValidator(anchors)
        self._clock = clock
        self._server = DnsServer(self._answer)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> tuple[str, int]:
        """Listen; gives the address. Port 0: one that is free for TCP and UDP both."""
        return await self._server.start(host, port)

    async def close(self) -> None:
        """Stop listening."""
        await self._server.close()

    def _answer(self, query: dns.message.Message) -> dns.message.Message | None:
        question = dns.message.make_query(
            query.question[0].name, query.question[0].rdtype, want_dnssec=True
        )
        found = self._respond(question)
        if found is None:
            return None
        response = dns.message.make_response(query, recursion_available=True)
        validation = self._validator.validate(found, self._clock.now())
        if validation.security is Security.BOGUS and not query.flags & dns.flags.CD:
            response.set_rcode(dns.rcode.SERVFAIL)
            bogus = dns.edns.EDEOption(dns.edns.EDECode.DNSSEC_BOGUS, validation.reason)
            if query.edns >= 0:
                response.use_edns(0, options=[bogus])
            return response
        response.set_rcode(found.rcode())
        response.answer, response.authority = found.answer, found.authority
        if validation.security is Security.SECURE:
            response.flags |= dns.flags.AD
        return response
