"""The routes of the status page: to be read by anybody, and one form.

RFC 9110 §9.3.1, §9.3.3; Fetch Metadata (a form of another site is not answered).
"""

from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from letterlock.protocols.audit.heads import format_head
from letterlock.services.ca.incidents.public import StatusKeeper
from letterlock.storage.queue import StoreUnavailable
from letterlock.web.ca.status.checking import HostChecker
from letterlock.web.ca.status.pages import HEADERS, Pages

MAX_FORM_OCTETS = 2048
MAX_FIELDS = 5
UNAVAILABLE = 503
_OWN_SITES = ("same-origin", "none", None)

Answer = Callable[[Request], Awaitable[Response]]


class StatusRoutes:
    """Answers. `checker` None: there is no form."""

    def __init__(self, pages: Pages, reader: StatusKeeper, checker: HostChecker | None) -> None:
        self._pages = pages
        self._reader = reader
        self._checker = checker

    def list_routes(self, prefix: str) -> Sequence[BaseRoute]:
        """Give the routes behind a path."""
        routes = [
            Route(f"{prefix}/status", self._guard(self._show_status)),
            Route(f"{prefix}/status/audit-head", self._guard(self._show_head)),
            Route(f"{prefix}/status/incident/{{incident}}", self._guard(self._show_incident)),
        ]
        if self._checker is not None:
            answer = self._guard(self._check_host)
            routes.append(Route(f"{prefix}/status/host", answer, methods=["POST"]))
        return routes

    def _guard(self, answer: Answer) -> Answer:
        async def guarded(request: Request) -> Response:
            try:
                return await answer(request)
            except StoreUnavailable:
                text = "The database is away: how the authority stands is not known now."
                return self._refuse("not known", text, UNAVAILABLE)
            except ClientDisconnect:
                return Response(status_code=400)

        return guarded

    async def _show_status(self, _: Request) -> Response:
        return _make_response(self._pages.write_status(await self._reader.read()))

    async def _show_incident(self, request: Request) -> Response:
        found = (await self._reader.read()).find(request.path_params["incident"])
        if found is None:
            return self._refuse("no such incident", "There is no such incident.", 404)
        return _make_response(self._pages.write_incident(found))

    async def _show_head(self, _: Request) -> Response:
        head = (await self._reader.read()).head
        if head is None:
            return self._refuse("audit log", "Its head is not signed yet.", 404)
        octets = format_head(head) + b"\n"
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        return Response(octets, media_type="application/json", headers=headers)

    async def _check_host(self, request: Request) -> Response:
        assert self._checker is not None
        if request.headers.get("sec-fetch-site") not in _OWN_SITES:
            return self._refuse("not from here", "The form is on the status page.", 403)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MAX_FORM_OCTETS:
                return self._refuse("too long", "That is no host.", 413)
        answer = await self._checker.check(_read_host(body), _find_asker(request))
        return _make_response(self._pages.write_answer(answer), answer.status)

    def _refuse(self, title: str, text: str, status: int) -> Response:
        return _make_response(self._pages.write_refusal(title, text), status)


def _make_response(page: bytes, status: int = 200) -> Response:
    return Response(page, status, dict(HEADERS))


def _read_host(body: bytes) -> str:
    """Read the form; what is none of it gives no host."""
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=MAX_FIELDS, errors="replace")
    except ValueError:
        return ""
    return fields.get("host", [""])[0].strip()


def _find_asker(request: Request) -> IPv4Address | IPv6Address | None:
    client = request.client
    try:
        return ip_address(client.host) if client is not None else None
    except ValueError:
        return None
