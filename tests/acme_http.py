"""An authority over ASGI in this process, its clients, and what happens behind its requests.

No socket, no task: what validates and issues is told by a test, by the commits with which the real
ones end their work.
"""

import asyncio
import json
from asyncio import Future
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256
from secrets import token_bytes
from typing import Any, Protocol
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.types import ASGIApp, Message

from letterlock.protocols.acme import requests
from letterlock.protocols.acme.fields import parse_url
from letterlock.protocols.acme.headers import find_links
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.jws import AccountKey, SigningKey, sign_request
from letterlock.protocols.acme.problems import Problem, parse_problem
from letterlock.protocols.acme.renewal_info import CertificateId
from letterlock.protocols.acme.server import transitions as change
from letterlock.protocols.acme.server.new_orders import OrderProfile
from letterlock.protocols.acme.server.nonces import NonceKeys
from letterlock.protocols.acme.server.objects import Certificate
from letterlock.protocols.acme.server.places import Places
from letterlock.protocols.acme.server.public_keys import make_public_key
from letterlock.protocols.acme.server.refusals import ErrorType
from letterlock.protocols.acme.server.revocations import Revocation
from letterlock.protocols.pki.issuance.issuers import SERIAL_RANDOM_OCTETS, make_serial
from letterlock.protocols.pki.issuance.lint_records import LintRecord
from letterlock.protocols.pki.issuance.profiles import Profile
from letterlock.protocols.pki.issuance.subject_keys import encode_spki
from letterlock.protocols.pki.throwaway_ca import ThrowawayCa
from letterlock.services.ca.requests.authority import Authority, RequestRules, RequestStore
from letterlock.services.ca.requests.work import Patience, Works
from letterlock.services.ca.revoking import Revoker, RevokingStore
from letterlock.storage.ca.changes import (
    AddCertificate,
    AddSerial,
    ChangeAuthorization,
    ChangeOrder,
    EndWork,
)
from letterlock.storage.ca.kept import Claimed, Issued, ReservedSerial, WorkKind
from letterlock.web.ca.application import make_application
from tests.acme_requests import ACCOUNT_KEY, OTHER_KEY
from tests.fakes import START, FakeClock, FakeLog

BASE = "https://ca.example"
PLACES = Places(BASE, ("https://old.example/acme",))
TERMS = "https://ca.example/terms"
JOSE = "application/jose+json"
ISSUER = ThrowawayCa("Test Issuer", START)
REUSE = timedelta(days=10)
HOUR = timedelta(hours=1)
NO_WAIT = Patience(0, 0, 0)

ORDERS = {
    "a": OrderProfile("a", "90 days", max_identifiers=4, reuse=REUSE),
    "dated": OrderProfile("dated", "as asked", longest=timedelta(days=90)),
    "web": OrderProfile("web", "by http-01 alone", challenge_types=("http-01",)),
}
CERTIFICATES = {name: Profile(name) for name in ORDERS}
RULES = RequestRules(
    ORDERS, CERTIFICATES, "a", "here", terms=TERMS, caa_identities=("ca.example",), patience=NO_WAIT
)


@dataclass(frozen=True)
class Answered:
    """An answer as a client has it."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def find(self, name: str) -> list[str]:
        return [value.decode() for each, value in self.headers if each == name.lower().encode()]

    def one(self, name: str) -> str:
        (value,) = self.find(name)
        return value

    def links(self, relation: str) -> list[str]:
        values = [value for name, value in self.headers if name == b"link"]
        return [each.text for each in find_links(values, relation)]

    @property
    def document(self) -> Any:
        assert self.status < 400, self.body
        return json.loads(self.body)

    @property
    def problem(self) -> Problem:
        assert self.status >= 400, self.body
        assert self.one("Content-Type") == "application/problem+json"
        return parse_problem(self.status, self.body)


class Store(RequestStore, RevokingStore, Protocol):
    """The one that a test gives."""


@dataclass
class World:
    """An authority, and what it began."""

    store: Store
    rules: RequestRules = RULES
    clock: FakeClock = field(default_factory=FakeClock)
    reports: list[tuple[str, Exception]] = field(default_factory=list)
    begun: dict[tuple[WorkKind, str], Claimed] = field(default_factory=dict)
    running: dict[tuple[WorkKind, str], "Future[None]"] = field(default_factory=dict)
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)
    revoked: list[tuple[Revocation, str]] = field(default_factory=list)
    places: Places = PLACES
    more: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.make()

    def make(self, **more: Any) -> None:
        """Make the authority again, as another process over the same store would."""
        self.more |= more
        self.revoker = Revoker(self.store, self.clock, FakeLog(), lambda: None)
        self.authority = Authority(
            self.store,
            self.clock,
            self.places,
            self.rules,
            Works(self._begin),
            NonceKeys((b"k" * 32,)),
            self._revoke,
            **self.more,
        )
        self.app: ASGIApp = make_application(
            self.authority, lambda what, error: self.reports.append((what, error))
        )

    def _begin(self, claimed: Claimed) -> "Future[None]":
        key = (claimed.work.kind, claimed.work.subject)
        self.begun[key] = claimed
        self.running[key] = asyncio.get_running_loop().create_future()
        self.has_begun.set()
        return self.running[key]

    async def _revoke(self, issued: Issued, revocation: Revocation, by: str) -> bool:
        is_done = await self.revoker(issued, revocation, by)
        if is_done:
            self.revoked.append((revocation, by))
        return is_done

    async def ask(
        self,
        method: str,
        target: str,
        body: bytes | Sequence[bytes] = b"",
        content_type: str | None = JOSE,
        *,
        headers: Sequence[tuple[bytes, bytes]] = (),
        address: str = "192.0.2.9",
    ) -> Answered:
        """Ask, and look at what every answer must have. `target` may be a URL."""
        found = list(headers)
        if content_type is not None and method == "POST":
            found.append((b"content-type", content_type.encode()))
        answered = await send(self.app, (method, target.removeprefix(BASE)), body, found, address)
        self._check(method, target, answered)
        return answered

    def _check(self, method: str, target: str, answered: Answered) -> None:
        path = urlsplit(target).path.removeprefix(urlsplit(self.places.base).path)
        nonces = answered.find("Replay-Nonce")
        is_given = path == "/new-nonce" and answered.status in (200, 204)
        assert len(nonces) == (1 if method == "POST" or is_given else 0)
        index = [] if path == "/directory" else [self.places.directory]
        assert answered.links("index") == index
        assert answered.one("Access-Control-Allow-Origin") == "*"
        if answered.status >= 400 and method != "HEAD":
            problem = answered.problem
            assert problem.type in set(ErrorType)
            assert problem.identifier is None
            names = [each.identifier for each in problem.subproblems]
            assert len(names) == len(set(names)) != 1

    async def nonce(self) -> str:
        return (await self.ask("HEAD", "/new-nonce", content_type=None)).one("Replay-Nonce")

    async def validate(self, authorization_id: str, problem: Problem | None = None) -> None:
        """End a validation, well or with a problem."""
        claimed = self.begun.pop((WorkKind.VALIDATION, authorization_id))
        kept = await self.store.load_authorization(authorization_id)
        assert kept is not None
        before, kind, now = kept.authorization, claimed.work.detail.decode(), self.clock.now()
        if problem is None:
            after = change.accept_challenge(before, kind, now, now + REUSE)
        else:
            after = change.fail_challenge(before, kind, problem)
        changes = (ChangeAuthorization(before, after), EndWork(claimed.lease))
        assert await self.store.commit(changes)
        self.running.pop((WorkKind.VALIDATION, authorization_id)).set_result(None)

    async def issue(self, order_id: str) -> Issued:
        """Issue what an order is for."""
        claimed = self.begun.pop((WorkKind.ISSUANCE, order_id))
        kept = await self.store.load_order(order_id)
        assert kept is not None
        issued = make_issued(self, claimed, kept.order.account_id)
        order = change.complete_order(
            kept.order, issued.certificate.id, issued.certificate.not_after
        )
        serial = ReservedSerial(
            issued.certificate.name, order_id, "a", self.clock.now(), order.expires
        )
        assert await self.store.commit((AddSerial(serial),))
        assert await self.store.commit(
            (AddCertificate(issued), ChangeOrder(kept.order, order), EndWork(claimed.lease))
        )
        self.running.pop((WorkKind.ISSUANCE, order_id)).set_result(None)
        return issued


def make_issued(world: World, claimed: Claimed, account_id: str) -> Issued:
    """Sign what a request asks for."""
    now = world.clock.now()
    request = x509.load_der_x509_csr(claimed.work.detail)
    key, issuer = request.public_key(), ISSUER.issued
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    subject = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject.value)
    certificate = (
        x509.CertificateBuilder(issuer.certificate.subject, x509.Name([]), key)
        .serial_number(make_serial(token_bytes(SERIAL_RANDOM_OCTETS), 1))
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=90))
        .add_extension(names.value, critical=True)
        .add_extension(identifier, critical=False)
        .sign(issuer.key, hashes.SHA256())
    )
    assert identifier.key_identifier is not None
    made = Certificate(
        id=f"certificate-{certificate.serial_number % (1 << 64):020}",
        name=CertificateId(identifier.key_identifier, certificate.serial_number),
        account_id=account_id,
        order_id=claimed.work.subject,
        identifiers=tuple(map(parse_identifier, map(str, _texts(names.value)))),
        not_before=now,
        not_after=now + timedelta(days=90),
        key=make_public_key(key),
        chain_count=2,
    )
    chains = (ISSUER.pem, ISSUER.pem * 2)
    digest = sha256(encode_spki(key)).digest()  # type: ignore[arg-type]
    lint = LintRecord((), (), "none 1")
    der = certificate.public_bytes(Encoding.DER)
    return Issued(made, der, chains, digest, "a", now, lint, ())


def _texts(names: x509.SubjectAlternativeName) -> list[object]:
    return [
        *names.get_values_for_type(x509.DNSName),
        *names.get_values_for_type(x509.IPAddress),
    ]


@dataclass
class Client:
    """One who asks, with a key and an account's URL."""

    world: World
    key: SigningKey = ACCOUNT_KEY
    url: str | None = None

    async def post(
        self, url: str, payload: object | None = None, *, has_key: bool = False
    ) -> Answered:
        """Ask with a fresh nonce; None is POST-as-GET."""
        return await self.world.ask("POST", url, await self.sign(url, payload, has_key=has_key))

    async def sign(self, url: str, payload: object | None, *, has_key: bool = False) -> bytes:
        kid = parse_url(self.url) if self.url is not None and not has_key else None
        nonce = await self.world.nonce()
        return sign_request(AccountKey(self.key), parse_url(url), nonce, payload, kid)

    async def open(self, **more: object) -> Answered:
        payload = {"termsOfServiceAgreed": True, "contact": ["mailto:a@b.example"], **more}
        answered = await self.post(f"{BASE}/new-account", payload, has_key=True)
        if answered.status in (200, 201):
            self.url = answered.one("Location")
        return answered

    async def order(self, *names: str, **more: object) -> Answered:
        identifiers = frozenset(map(parse_identifier, names))
        payload = requests.format_order(requests.OrderRequest(identifiers)) | more
        return await self.post(f"{BASE}/new-order", payload)

    async def prove(self, order: Answered, kind: str = "http-01") -> None:
        """Respond to a challenge for each name of an order, and let all of them be valid."""
        for url in order.document["authorizations"]:
            authorization = (await self.post(url)).document
            if authorization["status"] == "valid":
                continue
            (challenge,) = (each for each in authorization["challenges"] if each["type"] == kind)
            assert (await self.post(challenge["url"], {})).document["status"] == "processing"
            await self.world.validate(url.rpartition("/")[2])

    async def ready(self, *names: str, **more: object) -> Answered:
        """Give an order all of whose names are proved."""
        answered = await self.order(*names, **more)
        kind = "dns-01" if any(each.startswith("*") for each in names) else "http-01"
        await self.prove(answered, kind)
        return answered

    async def finalize(self, order: Answered, key: SigningKey = OTHER_KEY, *names: str) -> Answered:
        found = names or [each["value"] for each in order.document["identifiers"]]
        csr = requests.make_signing_request(key, map(parse_identifier, found))
        return await self.post(order.document["finalize"], requests.format_finalization(csr))

    async def obtain(self, *names: str, **more: object) -> tuple[Answered, Issued]:
        """Get a certificate; gives its order as it is then."""
        order = await self.ready(*names, **more)
        place = order.one("Location")
        assert (await self.finalize(order)).document["status"] == "processing"
        issued = await self.world.issue(place.rpartition("/")[2])
        return await self.post(place), issued


async def send(
    app: ASGIApp,
    asked: tuple[str, str],
    body: bytes | Sequence[bytes] = b"",
    headers: Sequence[tuple[bytes, bytes]] = (),
    address: str = "192.0.2.9",
) -> Answered:
    """Speak ASGI with an application: a method and a target. A body in parts comes in parts."""
    method, target = asked
    path, _, query = target.partition("?")
    parts = [body] if isinstance(body, bytes) else list(body)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"elsewhere.example"), *headers],
        "client": (address, 4711),
        "server": ("192.0.2.1", 443),
    }
    left = list(enumerate(parts, start=1))
    sent: list[Message] = []

    async def receive() -> Message:
        if not left:
            return {"type": "http.disconnect"}
        number, part = left.pop(0)
        return {"type": "http.request", "body": part, "more_body": number < len(parts)}

    async def keep(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, keep)
    start, *rest = sent
    content = b"".join(each["body"] for each in rest)
    if method != "HEAD" and start["status"] != 204:
        assert (b"content-length", b"%d" % len(content)) in start["headers"]
    return Answered(start["status"], tuple(start["headers"]), content)


def with_rules(**more: Any) -> RequestRules:
    """The rules of these tests, but for some."""
    return replace(RULES, **more)
