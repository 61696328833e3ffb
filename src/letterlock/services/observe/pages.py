"""What is served over HTTPS for inbound tests: the policy of one host, and a page for each test.

RFC 8461 §3.2, §3.3 (the policy). The page's token is its key: whoever has the address of a test has
it too, and so it tells nothing of who wrote. It is never stored on the way, and loads nothing.
"""

from http import HTTPStatus

from letterlock.network.http_server import HttpAnswer, HttpAsked
from letterlock.network.https import PATH
from letterlock.protocols.inbound.cases import HostNames
from letterlock.protocols.inbound.document import describe_result
from letterlock.protocols.inbound.texts import format_page
from letterlock.protocols.mta_sts.policy import MIME_TYPE, format_policy
from letterlock.services.observe.records import make_policy
from letterlock.services.observe.register import Register

PAGES = "/inbound/"
_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; form-action 'none'",
    ),
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
)
_NOT_FOUND = HttpAnswer(HTTPStatus.NOT_FOUND, headers=_HEADERS)


class InboundPages:
    """Answers requests."""

    def __init__(self, names: HostNames, register: Register) -> None:
        self._names = names
        self._register = register
        self._policy = format_policy(make_policy(names)).encode()

    async def answer(self, asked: HttpAsked) -> HttpAnswer:
        if asked.host == self._names.policy_host and asked.path == PATH:
            return HttpAnswer(HTTPStatus.OK, self._policy, MIME_TYPE)
        if asked.host != self._names.base or not asked.path.startswith(PAGES):
            return _NOT_FOUND
        test = self._register.find(asked.path.removeprefix(PAGES))
        if test is None:
            return _NOT_FOUND
        page = format_page(describe_result(test, self._names, None))
        return HttpAnswer(HTTPStatus.OK, page.encode(), "text/html; charset=utf-8", _HEADERS)
