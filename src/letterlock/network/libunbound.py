"""Ask DNS by libunbound, which validates in this process: for machines without such a resolver.

RFC 4035 §4.3 (the states), RFC 5011 is left to whoever keeps the anchor file. By ctypes, so that
nothing is compiled: the library is Debian's libunbound8 and its like. It works in a thread of its
own and tells by a descriptor when an answer is there, so the event loop never waits for it. Its
callback needs no memory that is both writable and executable (MemoryDenyWriteExecute may be on).
"""

import asyncio
import ctypes
import itertools
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.base.printable import make_printable
from letterlock.network.dns import MAX_QUERIES, format_address
from letterlock.protocols.dns.answers import Answer, Security
from letterlock.protocols.dns.chains import (
    Unfinished,
    fail,
    format_failure,
    join_answers,
    make_bogus,
    read_answer,
)
from letterlock.protocols.dns.codec import MAX_EXTRA_TEXT_OCTETS, parse_response
from letterlock.protocols.dns.messages import RDTYPES, SERVFAIL, Malformed

LIBRARY = "libunbound.so.8"

ANCHOR_FILES = (Path("/usr/share/dns/root.key"), Path("/var/lib/unbound/root.key"))
"""Where Debian's packages dns-root-data and unbound have the root's key."""

_CLASS_IN = 1
_OPTIONS = {
    # As many questions at a time as we let through; the library's own bounds are for one user.
    "outgoing-range:": str(MAX_QUERIES),
    "num-queries-per-thread:": str(MAX_QUERIES),
    # Answers are kept by CachingResolver, with the records that they rest on here.
    "msg-cache-size:": "4m",
    "rrset-cache-size:": "8m",
}


class _Result(ctypes.Structure):
    """`struct ub_result` of unbound.h, as it is since 1.8."""

    _fields_ = (
        ("qname", ctypes.c_char_p),
        ("qtype", ctypes.c_int),
        ("qclass", ctypes.c_int),
        ("data", ctypes.c_void_p),
        ("len", ctypes.c_void_p),
        ("canonname", ctypes.c_char_p),
        ("rcode", ctypes.c_int),
        ("answer_packet", ctypes.c_void_p),
        ("answer_len", ctypes.c_int),
        ("havedata", ctypes.c_int),
        ("nxdomain", ctypes.c_int),
        ("secure", ctypes.c_int),
        ("bogus", ctypes.c_int),
        ("why_bogus", ctypes.c_char_p),
        ("was_ratelimited", ctypes.c_int),
        ("ttl", ctypes.c_int),
    )


_Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Result))


@dataclass(frozen=True, slots=True)
class _Found:
    """What the library found. `why_bogus` is None when it is not bogus."""

    rcode: int
    message: bytes = b""
    is_secure: bool = False
    why_bogus: str | None = None


class _LibraryError(Exception):
    """The library can't do what it is asked; never leaves this module."""


def _limit_ages(most: timedelta | None) -> dict[str, str]:
    if most is None:
        return {}
    seconds = str(int(most.total_seconds()))
    return {"cache-max-ttl:": seconds, "cache-max-negative-ttl:": seconds}


class LibunboundResolver:
    """Validates by itself, from a trust anchor. A question takes at most `timeout`.

    `forward` is a resolver to ask (address, port), which must pass DNSSEC's records on; without
    one the name servers of the Internet are asked, from the root down. `max_age` is for how long
    answers are kept, in whole seconds, also that there is none; None: as long as they say. The
    library's context is made at the first question: after a fork, in the loop that it is used in.
    """

    def __init__(
        self,
        anchor: Path | None = None,
        *,
        forward: tuple[str, int] | None = None,
        timeout: timedelta = timedelta(seconds=10),
        max_age: timedelta | None = None,
        library: str = LIBRARY,
    ) -> None:
        """Load the library. Raises LocalError when it, or the anchor, is not there."""
        self._anchor = anchor or _find_anchor()
        if not self._anchor.is_file():
            raise LocalError(f"dns.trust_anchor: {self._anchor} is no file")
        self._forward = forward
        self._timeout = timeout.total_seconds()
        self._max_age = max_age
        self._library = _load(library)
        self._version = str(self._library.ub_version().decode("ascii", "replace"))
        self._context: int | None = None
        self._slots = asyncio.Semaphore(MAX_QUERIES)
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[_Found]] = {}
        self._callback = _Callback(self._take)

    async def ask(self, name: Domain, rdtype: str) -> Answer:
        number = RDTYPES[rdtype]
        try:
            async with self._slots, asyncio.timeout(self._timeout):
                return await self._ask(name, rdtype, number)
        except TimeoutError:
            return fail(name, rdtype, f"{self} found no answer in time")
        except _LibraryError as error:
            return fail(name, rdtype, f"{self} cannot be used: {error}")

    def close(self) -> None:
        """End the library's thread. Questions under way are never answered."""
        if self._context is not None:
            asyncio.get_running_loop().remove_reader(self._library.ub_fd(self._context))
            self._library.ub_ctx_delete(self._context)
            self._context = None

    @property
    def is_trusted(self) -> bool:
        return True

    @property
    def address(self) -> str:
        if self._forward is None:
            return f"libunbound {self._version}"
        return f"libunbound {self._version} by way of {format_address(*self._forward)}"

    def __str__(self) -> str:
        return self.address

    async def _ask(self, name: Domain, rdtype: str, number: int) -> Answer:
        start, target = None, name
        # Ends: each turn adds an alias, and `join_answers` allows few of them.
        while True:
            result = _read(target, rdtype, await self._look_up(target, number))
            part = result.start if isinstance(result, Unfinished) else result
            answer = join_answers(start, part) if start else part
            if not isinstance(result, Unfinished) or not answer.is_answer:
                return answer
            start, target = answer, result.target

    async def _look_up(self, name: Domain, number: int) -> _Found:
        context = self._open()
        key = next(self._numbers)
        identity = ctypes.c_int(0)
        future = asyncio.get_running_loop().create_future()
        self._waiting[key] = future
        try:
            self._require(
                self._library.ub_resolve_async(
                    context,
                    name.encode("ascii"),
                    number,
                    _CLASS_IN,
                    key,
                    self._callback,
                    ctypes.byref(identity),
                )
            )
            found: _Found = await future
            return found
        finally:
            del self._waiting[key]
            if not future.done() or future.cancelled():
                self._library.ub_cancel(context, identity)

    def _open(self) -> int:
        if self._context is None:
            library = self._library
            context = library.ub_ctx_create()
            if not context:
                raise MemoryError("ub_ctx_create")
            # Or it writes every validation failure to standard error.
            library.ub_ctx_debugout(context, None)
            for option, text in (_OPTIONS | _limit_ages(self._max_age)).items():
                self._require(library.ub_ctx_set_option(context, option.encode(), text.encode()))
            self._require(library.ub_ctx_add_ta_file(context, bytes(self._anchor)))
            if self._forward is not None:
                host, port = self._forward
                self._require(library.ub_ctx_set_fwd(context, f"{host}@{port}".encode()))
            self._require(library.ub_ctx_async(context, 1))
            loop = asyncio.get_running_loop()
            loop.add_reader(library.ub_fd(context), library.ub_process, context)
            self._context = context
        return self._context

    def _require(self, code: int) -> None:
        if code != 0:
            raise _LibraryError(self._library.ub_strerror(code).decode("ascii", "replace"))

    def _take(self, key: int, code: int, result: "ctypes._Pointer[_Result]") -> None:
        """Take an answer: called by the library in our thread, within `ub_process`."""
        try:
            future = self._waiting.get(key)
            if future is not None and not future.done():
                future.set_result(_copy(result.contents) if code == 0 else _Found(SERVFAIL))
        finally:
            self._library.ub_resolve_free(result)


def _copy(result: _Result) -> _Found:
    """Copy what is needed, before the library frees it."""
    message = ctypes.string_at(result.answer_packet, result.answer_len)
    why = (result.why_bogus or b"").decode("utf-8", "replace") if result.bogus else None
    return _Found(result.rcode, message, bool(result.secure), why)


def _read(name: Domain, rdtype: str, found: _Found) -> Answer | Unfinished:
    if found.why_bogus is not None:
        return make_bogus(name, rdtype, make_printable(found.why_bogus[:MAX_EXTRA_TEXT_OCTETS]))
    if not found.message:
        return fail(name, rdtype, format_failure(found.rcode, None))
    response = parse_response(found.message)
    if isinstance(response, Malformed):
        return fail(name, rdtype, f"a malformed response: {response.reason}")
    security = Security.SECURE if found.is_secure else Security.INSECURE
    return read_answer(name, rdtype, response, security)


def _find_anchor() -> Path:
    for path in ANCHOR_FILES:
        if path.is_file():
            return path
    raise LocalError(
        f"dns.trust_anchor: the root's key is not in {ANCHOR_FILES[0]}: install dns-root-data, "
        "or name a file that has it"
    )


def _load(name: str) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        raise LocalError(
            f"dns.backend: {name} cannot be loaded: install libunbound8, or use the stub ({error})"
        ) from error
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for function, result, arguments in (
        ("ub_version", text, ()),
        ("ub_strerror", text, (number,)),
        ("ub_ctx_create", pointer, ()),
        ("ub_ctx_delete", None, (pointer,)),
        ("ub_ctx_set_option", number, (pointer, text, text)),
        ("ub_ctx_add_ta_file", number, (pointer, text)),
        ("ub_ctx_set_fwd", number, (pointer, text)),
        ("ub_ctx_debugout", number, (pointer, pointer)),
        ("ub_ctx_async", number, (pointer, number)),
        ("ub_fd", number, (pointer,)),
        ("ub_process", number, (pointer,)),
        ("ub_cancel", number, (pointer, number)),
        ("ub_resolve_free", None, (ctypes.POINTER(_Result),)),
        (
            "ub_resolve_async",
            number,
            (pointer, text, number, number, pointer, _Callback, ctypes.POINTER(number)),
        ),
    ):
        declared = getattr(library, function)
        declared.restype, declared.argtypes = result, arguments
    return library
