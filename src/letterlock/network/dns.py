"""Ask DNS: a stub that asks one resolver, by UDP and where needed by TCP.

RFC 1035 §4.2 (transports, in `dns_exchange`); against forged answers a socket and a random id for
each query, and only what answers it is taken. RFC 4035 §3.2.2 (CD), §3.2.3 (AD), RFC 6891 §7
(servers without EDNS). What a response means is `protocols.dns.chains`; keeping answers is
`dns_cache`.
"""

import asyncio
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Protocol

from letterlock.base.config.outbound import DnsSection
from letterlock.base.domains import Domain
from letterlock.network.dialing import Dialer
from letterlock.network.dns_exchange import exchange_dialed, exchange_tcp, exchange_udp
from letterlock.network.wire import Lost
from letterlock.protocols.dns.answers import Answer, Security
from letterlock.protocols.dns.chains import (
    Unfinished,
    fail,
    format_failure,
    join_answers,
    make_bogus,
    read_answer,
)
from letterlock.protocols.dns.codec import build_query, parse_response
from letterlock.protocols.dns.extended_errors import DNSSEC_FAILURES, format_extended_error
from letterlock.protocols.dns.messages import (
    FORMERR,
    NOERROR,
    NXDOMAIN,
    RDTYPES,
    SERVFAIL,
    Malformed,
    Question,
    Response,
)

MAX_QUERIES = 256
"""Questions under way at a time: each holds a socket, and the resolver's queue is finite too."""

RESOLV_CONF = Path("/etc/resolv.conf")


class Resolver(Protocol):
    """Looks names up. What goes wrong is in the answer: FAILED or BOGUS, with the reason."""

    async def ask(self, name: Domain, rdtype: str) -> Answer:
        """Look up one name and type, aliases followed. KeyError: a type the codec can't name."""


class Backend(Resolver, Protocol):
    """A resolver that goes to the network itself, and can say how far it is to be believed."""

    @property
    def address(self) -> str:
        """Who is asked, for people."""

    @property
    def is_trusted(self) -> bool:
        """Whether its answers can be secure at all."""


class RandomBits(Protocol):
    """`random.SystemRandom`, or one that a test holds still."""

    def getrandbits(self, k: int, /) -> int: ...


class StubResolver:
    """Asks one resolver. `timeout` is for each of `attempts`; a question takes at most their sum.

    The AD bit counts only from a resolver on loopback, or with `trust_ad`: on any other path
    whoever can change packets could set it.
    """

    def __init__(  # noqa: PLR0913 - they come from one section, and all but two have defaults
        self,
        address: str,
        port: int = 53,
        *,
        random: RandomBits,
        trust_ad: bool = False,
        timeout: timedelta = timedelta(seconds=5),
        attempts: int = 2,
        dialer: Dialer | None = None,
    ) -> None:
        """`dialer`: questions go by TCP alone, over connections that it opens."""
        host = ip_address(address)
        self._dialer = dialer
        self._server = (address, port)
        self._is_ad_trusted = trust_ad or _is_loopback(host)
        self._random = random
        self._timeout = timeout.total_seconds()
        self._attempts = attempts
        self._slots = asyncio.Semaphore(MAX_QUERIES)

    @property
    def address(self) -> str:
        return format_address(*self._server)

    @property
    def server(self) -> tuple[str, int]:
        """Its address and port."""
        return self._server

    @property
    def is_trusted(self) -> bool:
        """Whether its AD bit counts."""
        return self._is_ad_trusted

    async def ask(self, name: Domain, rdtype: str) -> Answer:
        async with self._slots:
            deadline = asyncio.get_running_loop().time() + self._timeout * self._attempts
            start, target = None, name
            # Ends: each turn adds an alias, and `join_answers` allows few of them.
            while True:
                result = await self._ask_once(target, rdtype, deadline)
                part = result.start if isinstance(result, Unfinished) else result
                answer = join_answers(start, part) if start else part
                if not isinstance(result, Unfinished) or not answer.is_answer:
                    return answer
                start, target = answer, result.target

    async def _ask_once(self, name: Domain, rdtype: str, deadline: float) -> Answer | Unfinished:
        response = await self._exchange(name, rdtype, deadline)
        if isinstance(response, Malformed):
            return fail(name, rdtype, response.reason)
        if response.rcode == SERVFAIL:
            return await self._explain_servfail(name, rdtype, response, deadline)
        is_secure = response.is_authentic and self._is_ad_trusted
        security = Security.SECURE if is_secure else Security.INSECURE
        return read_answer(name, rdtype, response, security)

    async def _explain_servfail(
        self, name: Domain, rdtype: str, refusal: Response, deadline: float
    ) -> Answer:
        """Tell bogus from failed: by the resolver's own words, or by asking without checking.

        With checking disabled (RFC 4035 §3.2.2), what does not validate is given out.
        """
        errors = refusal.extended_errors
        if failure := next((error for error in errors if error.code in DNSSEC_FAILURES), None):
            return make_bogus(
                name, rdtype, format_extended_error(failure.code, failure.text), failure.code
            )
        extended = errors[0] if errors else None
        unchecked = await self._exchange(name, rdtype, deadline, is_checking_disabled=True)
        if isinstance(unchecked, Malformed) or unchecked.rcode not in (NOERROR, NXDOMAIN):
            return fail(name, rdtype, format_failure(SERVFAIL, extended), extended)
        if extended is None:
            return make_bogus(name, rdtype)
        words = format_extended_error(extended.code, extended.text)
        return make_bogus(name, rdtype, words, extended.code)

    async def _exchange(
        self, name: Domain, rdtype: str, deadline: float, *, is_checking_disabled: bool = False
    ) -> Response | Malformed:
        """Ask until there is a response; Malformed has the reason why there is none."""
        loop = asyncio.get_running_loop()
        question = Question(name, RDTYPES[rdtype])
        outcome: Response | Malformed = Malformed("the time for this question has run out")
        has_edns = True
        for _ in range(self._attempts):
            query = build_query(
                name,
                rdtype,
                self._random.getrandbits(16),
                is_checking_disabled=is_checking_disabled,
                has_edns=has_edns,
            )
            end = min(loop.time() + self._timeout, deadline)
            outcome = await self._attempt(query, question, end)
            if isinstance(outcome, Response):
                if outcome.rcode != FORMERR or not has_edns:
                    break
                has_edns = False
        return outcome

    async def _attempt(self, query: bytes, question: Question, end: float) -> Response | Malformed:
        try:
            if self._dialer is None:
                response = await self._ask_udp(query, question, end)
                if isinstance(response, Malformed) or not response.is_truncated:
                    return response
            async with asyncio.timeout_at(end):
                return await self._ask_tcp(query, question)
        except TimeoutError:
            return Malformed(f"{self} did not answer in time")
        except OSError as error:
            return Malformed(f"{self} cannot be asked: {error.strerror or error}")
        except EOFError as error:
            return Malformed(f"{self} cannot be asked: {error}")

    async def _ask_udp(self, query: bytes, question: Question, end: float) -> Response | Malformed:
        def read(datagram: bytes) -> Response | Malformed | None:
            if datagram[:2] != query[:2]:
                return None
            response = parse_response(datagram)
            if isinstance(response, Malformed):
                return Malformed(f"{self} sent a malformed response: {response.reason}")
            return response if _is_answer_to(question, response) else None

        found: Response | Malformed | None = await exchange_udp(self._server, query, read, end)
        return found or Malformed(f"{self} sent nothing but responses to other questions")

    async def _ask_tcp(self, query: bytes, question: Question) -> Response | Malformed:
        message = await self._exchange_tcp(query)
        if isinstance(message, Lost):
            return Malformed(f"{self} cannot be asked: {message.detail}")
        response = parse_response(message)
        if isinstance(response, Malformed):
            return Malformed(f"{self} sent a malformed response: {response.reason}")
        if message[:2] != query[:2] or not _is_answer_to(question, response):
            return Malformed(f"{self} answered another question by TCP")
        if response.is_truncated:
            return Malformed(f"{self} sent a truncated response by TCP")
        return response

    async def _exchange_tcp(self, query: bytes) -> bytes | Lost:
        if self._dialer is None:
            return await exchange_tcp(self._server, query)
        return await exchange_dialed(self._dialer, self._server, query, self._timeout)

    def __str__(self) -> str:
        return f"resolver {self.address}"


def make_stub_resolver(
    section: DnsSection, random: RandomBits, *, resolv_conf: Path = RESOLV_CONF
) -> StubResolver:
    """Make the stub that `[dns]` describes; without a resolver there, the system's own."""
    is_ad_trusted = section.trust_ad
    if section.resolver:
        address, port = section.resolver.host, section.resolver.port
    else:
        port = 53
        try:
            text = resolv_conf.read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        address, is_marked = parse_resolv_conf(text)
        is_ad_trusted = is_ad_trusted or is_marked
    return StubResolver(
        address,
        port,
        random=random,
        trust_ad=is_ad_trusted,
        timeout=section.timeout,
        attempts=section.attempts,
    )


def format_address(host: str, port: int) -> str:
    """Write an address and a port, an IPv6 one in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_resolv_conf(text: str) -> tuple[str, bool]:
    """Give the address of the first name server, and whether `options trust-ad` is set.

    With no name server in it the one on this machine is asked, as resolv.conf(5) says.
    """
    servers: list[str] = []
    is_ad_trusted = False
    for line in text.splitlines():
        keyword, *values = line.split() or [""]
        if keyword == "nameserver" and values and _is_address(values[0]):
            servers.append(values[0])
        elif keyword == "options":
            is_ad_trusted = is_ad_trusted or "trust-ad" in values
    return (servers[0] if servers else "127.0.0.1"), is_ad_trusted


def _is_answer_to(question: Question, response: Response) -> bool:
    """Errors may come without the question, from servers that could not read it."""
    if response.question is None:
        return response.rcode not in (NOERROR, NXDOMAIN)
    return response.question == question


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_loopback(address: IPv4Address | IPv6Address) -> bool:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
