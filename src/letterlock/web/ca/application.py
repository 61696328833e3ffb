"""An authority's routes as an ASGI application: ACME, thin over `services.ca.requests`.

RFC 8555 §6.1 (browsers may ask from anywhere), §6.2 (content type), §6.3 (which methods), §6.4 (the
URL that is signed is made from our own base, never from Host). Bodies are bounded in octets here;
heads, and the time for both, in `connections`.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from letterlock.protocols.acme.directory import format_directory
from letterlock.protocols.acme.fields import parse_url
from letterlock.protocols.acme.server.refusals import (
    TOO_LARGE,
    ErrorType,
    Refusal,
    refuse,
    refuse_method,
    refuse_unknown,
)
from letterlock.protocols.acme.server.replies import (
    NO_CONTENT,
    OK,
    Reply,
    format_headers,
    reply_document,
    reply_nonce,
    reply_refusal,
)
from letterlock.protocols.acme.server.signed_requests import MAX_REQUEST_OCTETS
from letterlock.services.ca.requests.authority import Answer, Authority
from letterlock.services.ca.requests.certificates import tell_renewal
from letterlock.services.ca.requests.posts import Posted, Route, answer_post, make_fresh_nonce
from letterlock.services.ca.requests.routes import DIRECTORY, NEW_NONCE, RENEWAL_INFO, ROUTES
from letterlock.services.ca.requests.settling import refuse_unavailable
from letterlock.storage.queue import StoreUnavailable
from letterlock.web.ca.routing import make_routing
from letterlock.web.ca.sending import send_reply

STORE_WAIT = timedelta(seconds=10)
"""When clients ask again after the database was away."""

# What a browser asks before it posts a JWS (Fetch, CORS-preflight request).
_PREFLIGHT = (
    ("Access-Control-Allow-Methods", "GET, HEAD, POST"),
    ("Access-Control-Allow-Headers", "Content-Type"),
    ("Access-Control-Max-Age", "86400"),
)

Report = Callable[[str, Exception], None]
"""Is told what could not be answered (a method and a path), and why: a defect, or the database."""
Get = Callable[[Scope], Awaitable[Answer]]


class ClientGone(Exception):  # noqa: N818 - what happened, not a mistake
    """Nobody waits for an answer."""


def make_application(
    authority: Authority, report: Report, more: Sequence[BaseRoute] = ()
) -> ASGIApp:
    """Make the application. `more` are further routes, which come after ACME's."""
    prefix = parse_url(authority.places.base).target.rstrip("/")
    gets = _find_gets(authority)
    paths = [each.path for each in ROUTES] + [RENEWAL_INFO]
    routes = {each.path: each for each in ROUTES}
    found = {
        path: Resource(authority, report, routes.get(path), gets.get(path), prefix)
        for path in paths
    }
    nowhere = Resource(authority, report, None, None, prefix)
    rest = Router([*more], redirect_slashes=False, default=nowhere)
    return make_routing(prefix, found, rest)


def _find_gets(authority: Authority) -> dict[str, Get]:
    """Give what is open to anybody, by its path."""
    directory = format_directory(authority.rules.make_directory(authority.places))
    directory_reply = reply_document(directory)

    async def get_directory(_: Scope) -> Answer:
        return directory_reply

    async def get_nonce(scope: Scope) -> Answer:
        return reply_nonce(is_head=scope["method"] == "HEAD")

    async def get_renewal(scope: Scope) -> Answer:
        return await tell_renewal(authority, scope["path_params"]["name"])

    return {DIRECTORY: get_directory, NEW_NONCE: get_nonce, RENEWAL_INFO: get_renewal}


@dataclass(frozen=True, slots=True)
class Resource:
    """What is at one path. With neither `route` nor `get` there is nothing."""

    authority: Authority
    report: Report
    route: Route | None
    get: Get | None
    prefix: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI)."""
        if scope["type"] != "http":
            raise LookupError(f"no {scope['type']} is spoken here")
        method: str = scope["method"]
        try:
            answer = await self._answer(scope, receive)
        except ClientGone:
            return
        except StoreUnavailable as error:
            self.report(f"{method} {scope['path']}", error)
            answer = refuse_unavailable("the database is away: ask again", STORE_WAIT)
        except Exception as error:  # noqa: BLE001 - one request's defect is not the others'
            self.report(f"{method} {scope['path']}", error)
            answer = refuse(ErrorType.SERVER_INTERNAL, "something is wrong here, and was noted")
        reply = reply_refusal(answer) if isinstance(answer, Refusal) else answer
        await send_reply(send, reply, self._find_headers(method, reply), is_head=method == "HEAD")

    def _find_headers(self, method: str, reply: Reply) -> tuple[tuple[str, str], ...]:
        path = self.route.path if self.route is not None else None
        has_nonce = method == "POST" or (path == NEW_NONCE and reply.status in (OK, NO_CONTENT))
        headers = format_headers(
            reply,
            self.authority.places,
            make_fresh_nonce(self.authority) if has_nonce else None,
            is_directory=path == DIRECTORY,
        )
        return headers + _PREFLIGHT if method == "OPTIONS" else headers

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        allowed = self._find_methods()
        if not allowed:
            return refuse_unknown("place")
        method: str = scope["method"]
        if method == "OPTIONS":
            return Reply(NO_CONTENT, allowed_methods=allowed)
        if method == "POST" and self.route is not None:
            body = await read_body(scope, receive)
            if isinstance(body, Refusal):
                return body
            return await answer_post(self.authority, self.route, self._read_post(scope, body))
        if method in ("GET", "HEAD") and self.get is not None:
            return await self.get(scope)
        return refuse_method(allowed)

    def _find_methods(self) -> tuple[str, ...]:
        gets = ("GET", "HEAD") if self.get is not None else ()
        posts = ("POST",) if self.route is not None else ()
        return (*gets, *posts)

    def _read_post(self, scope: Scope, body: bytes) -> Posted:
        # As it was written: another spelling of a path, or a query, is another URL.
        raw: bytes = scope.get("raw_path") or scope["path"].encode("ascii", "replace")
        query: bytes = scope["query_string"]
        target = raw.decode("latin-1").removeprefix(f"{self.prefix}/")
        return Posted(
            target=f"{target}?{query.decode('latin-1')}" if query else target,
            content_type=_find_content_type(scope),
            body=body,
            ids=tuple(scope["path_params"].values()),
            address=_find_address(scope),
        )


async def read_body(scope: Scope, receive: Receive) -> bytes | Refusal:
    """Read a request's body, at most MAX_REQUEST_OCTETS. Raises ClientGone."""
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if not length.isdigit() or int(length[:20]) > MAX_REQUEST_OCTETS:
        return _refuse_length()
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message.get("body", b"")
        if len(body) > MAX_REQUEST_OCTETS:
            return _refuse_length()
        if not message.get("more_body", False):
            return bytes(body)


def _refuse_length() -> Refusal:
    detail = f"a request has at most {MAX_REQUEST_OCTETS} octets"
    return refuse(ErrorType.MALFORMED, detail, status=TOO_LARGE)


def _find_content_type(scope: Scope) -> str:
    """Give the content type; where there are several, none."""
    found = [value for name, value in scope["headers"] if name == b"content-type"]
    return found[0].decode("latin-1") if len(found) == 1 else ""


def _find_address(scope: Scope) -> IPv4Address | IPv6Address | None:
    client = scope.get("client")
    return _parse_address(client[0]) if client else None


@lru_cache(maxsize=4096)  # One for each connection is enough: it has several requests.
def _parse_address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
