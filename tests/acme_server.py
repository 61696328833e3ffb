"""An ACME server in memory: it answers HTTPS requests as values, and does as it is told.

RFC 8555 §7. Strict about what a client must do (signatures, nonces, headers), and lenient where
tests are about the client's own sense. `replies` are given instead of its own; `seen` is what
tests look at.
"""

import asyncio
import json
from base64 import urlsafe_b64decode
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jws
from joserfc.jwk import ECKey

from letterlock.network.http_exchange import HttpBounds, HttpFailed, HttpRequest, HttpResponse
from letterlock.protocols.acme.fields import Url, parse_url
from letterlock.protocols.pki.throwaway_ca import ThrowawayCa
from tests.fakes import START

BASE = "https://ca.example"
ERRORS = "urn:ietf:params:acme:error:"
TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"

_REGISTRY = jws.JWSRegistry(algorithms=["ES256"], strict_check_header=False)
_REGISTRY.max_header_length = 4096

Reply = HttpResponse | HttpFailed


def respond(status: int = 200, document: object = None, **headers: str) -> HttpResponse:
    """Make a response; a header's underscores are hyphens."""
    body = b"" if document is None else json.dumps(document).encode()
    found = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return HttpResponse(status, tuple(found), body)


def refuse(kind: str, status: int = 403, *subproblems: object, **headers: str) -> HttpResponse:
    """Make a problem document."""
    document: dict[str, object] = {"type": ERRORS + kind, "detail": f"it is {kind}"}
    if subproblems:
        document["subproblems"] = list(subproblems)
    return respond(status, document, **headers)


@dataclass
class FakeAcmeServer:
    """One server with one account. URLs are `/<what>/<number>`."""

    meta: dict[str, Any] = field(default_factory=dict)
    directory: dict[str, str] = field(default_factory=dict)
    """More of the directory."""
    replies: dict[str, list[Reply | None]] = field(default_factory=lambda: defaultdict(list))
    """Given for what a path begins with (`order`, `new-order`), in turn; None: its own reply."""
    is_valid: Callable[[str, str], bool] = lambda _name, _kind: True
    """Does a name prove to be its owner's, by a type of challenge?"""
    edits: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Members that objects of a kind (`order`, `authz`, `finalize`) have instead of their own."""
    polls: int = 0
    """How often an authorization or an order is looked at before it changes."""
    bad_nonces: int = 0
    """So many good nonces are refused next."""
    has_nonces: bool = True
    silent: list[Reply] = field(default_factory=list)
    """Replies that come without a nonce."""
    challenges: tuple[str, ...] = ("http-01", "dns-01", "tls-alpn-01", "later-01")
    alternates: tuple[str, ...] = ()
    retry_after: str | None = None
    reuses: bool = False
    """Authorizations are valid from the start."""
    answer: Callable[[x509.Certificate], x509.Certificate] = lambda certificate: certificate
    now: Callable[[], datetime] = lambda: START
    """When certificates begin to be valid."""
    window: tuple[str, str] = ("2026-03-10T00:00:00Z", "2026-03-12T00:00:00Z")
    """When renewal is suggested."""

    def __post_init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []
        """What was asked, by path, with its payload."""
        self.nonces_used: list[str] = []
        self.accounts: dict[str, dict[str, Any]] = {}
        """By thumbprint."""
        self.revoked: list[Any] = []
        self.orders: dict[str, dict[str, Any]] = {}
        self.authorizations: dict[str, dict[str, Any]] = {}
        self._waits: dict[str, int] = {}
        self._certificates: dict[str, bytes] = {}
        self._nonces: set[str] = set()
        self._numbers = count(1)
        self._roots = {name: ThrowawayCa(name, START) for name in ("Root", *self.alternates)}

    @property
    def directory_url(self) -> Url:
        return parse_url(f"{BASE}/directory")

    def paths(self, start: str) -> list[Any]:
        """Give the payloads of requests to what begins so."""
        return [payload for path, payload in self.seen if path.startswith(f"/{start}")]

    async def ask(self, request: HttpRequest, bounds: HttpBounds) -> Reply:
        """Be `network.https_client.HttpsClient`."""
        assert bounds.seconds > 0
        await asyncio.sleep(0)  # as a network would, let others have their turn
        assert request.host == "ca.example"
        path = request.target.partition("?")[0]
        what = path.split("/")[1]
        scripted = self.replies[what].pop(0) if self.replies[what] else None
        if request.method == "POST":
            return self._with_nonce(self._post(request, path, what, scripted))
        self.seen.append((path, None))
        if scripted is not None:
            return scripted
        if what == "directory":
            return respond(200, self._directory())
        if what == "renewal-info":
            window = dict(zip(("start", "end"), self.window, strict=True))
            return respond(200, {"suggestedWindow": window}, retry_after="21600")
        assert (request.method, what) == ("HEAD", "new-nonce")
        return self._with_nonce(HttpResponse(200, ()))

    def _directory(self) -> dict[str, Any]:
        names = ("new-nonce", "new-account", "new-order", "revoke-cert", "key-change")
        urls = {_camel(name): f"{BASE}/{name}" for name in names}
        return {**urls, **self.directory, "meta": self.meta}

    def _with_nonce(self, reply: Reply) -> Reply:
        if isinstance(reply, HttpFailed) or not self.has_nonces or reply in self.silent:
            return reply
        nonce = f"nonce-{next(self._numbers)}"
        self._nonces.add(nonce)
        headers = (*reply.headers, (b"replay-nonce", nonce.encode()))
        return HttpResponse(reply.status, headers, reply.body)

    def _post(self, request: HttpRequest, path: str, what: str, scripted: Reply | None) -> Reply:
        assert dict(request.headers)["Content-Type"] == "application/jose+json"
        assert dict(request.headers)["Accept-Language"]
        header, key, payload = self._verify(json.loads(request.body))
        assert header["url"] == f"{BASE}{path}"
        self.nonces_used.append(header["nonce"])
        if header["nonce"] not in self._nonces:
            return refuse("badNonce", 400)
        self._nonces.discard(header["nonce"])
        if self.bad_nonces:
            self.bad_nonces -= 1
            return refuse("badNonce", 400)
        self.seen.append((path, payload))
        if scripted is not None:
            return scripted
        reply = self._answer(what, path, key, payload)
        if edit := self.edits.get(what):
            edited = json.dumps({**json.loads(reply.body), **edit}).encode()
            return HttpResponse(reply.status, reply.headers, edited)
        return reply

    def _verify(self, signed: dict[str, Any]) -> tuple[dict[str, Any], ECKey, Any]:
        assert set(signed) == {"protected", "payload", "signature"}
        header = json.loads(_decode(signed["protected"]))
        assert ("jwk" in header) != ("kid" in header)
        if "kid" in header:
            account = next(a for a in self.accounts.values() if a["url"] == header["kid"])
            key = account["key"]
        else:
            key = ECKey.import_key(header["jwk"])
        flattened: Any = signed
        found = jws.deserialize_json(flattened, key, registry=_REGISTRY)
        return header, key, json.loads(found.payload) if found.payload else None

    def _answer(self, what: str, path: str, key: ECKey, payload: Any) -> HttpResponse:
        answers: dict[str, Callable[[], HttpResponse]] = {
            "new-account": lambda: self._open_account(key, payload),
            "account": lambda: respond(200, {"status": payload["status"]}),
            "key-change": lambda: self._change_key(key, payload),
            "new-order": lambda: self._place_order(payload),
            "order": lambda: self._show(path, self.orders[path]),
            "authz": lambda: self._show_authorization(path, payload),
            "challenge": lambda: self._validate(path, payload),
            "finalize": lambda: self._finalize(path, payload),
            "certificate": lambda: self._certificate(path),
            "revoke-cert": lambda: self._revoke(key, payload),
        }
        return answers[what]()

    def _show_authorization(self, path: str, payload: Any) -> HttpResponse:
        if payload:
            self.authorizations[path]["status"] = payload["status"]
        return self._show(path, self.authorizations[path])

    def _revoke(self, key: ECKey, payload: Any) -> HttpResponse:
        self.revoked.append((payload, key.thumbprint()))
        return HttpResponse(200, ())

    def _open_account(self, key: ECKey, payload: Any) -> HttpResponse:
        account = self.accounts.get(key.thumbprint())
        if account is None:
            if payload.get("onlyReturnExisting"):
                return refuse("accountDoesNotExist", 400)
            account = {"key": key, "url": f"{BASE}/account/{next(self._numbers)}"}
            self.accounts[key.thumbprint()] = account
            return respond(201, {"status": "valid"}, location=account["url"])
        return respond(200, {"status": "valid"}, location=account["url"])

    def _change_key(self, key: ECKey, inner: Any) -> HttpResponse:
        header = json.loads(_decode(inner["protected"]))
        new = ECKey.import_key(header["jwk"])
        payload = json.loads(jws.deserialize_json(inner, new, registry=_REGISTRY).payload)
        assert payload["oldKey"] == key.as_dict(private=False)
        account = self.accounts.pop(key.thumbprint())
        assert payload["account"] == account["url"]
        self.accounts[new.thumbprint()] = {**account, "key": new}
        return respond(200, {"status": "valid"})

    def _place_order(self, payload: Any) -> HttpResponse:
        number = next(self._numbers)
        urls = []
        for identifier in payload["identifiers"]:
            path = f"/authz/{next(self._numbers)}"
            self.authorizations[path] = self._authorization(path, identifier)
            urls.append(BASE + path)
        order = {
            **payload,
            "status": "pending",
            "authorizations": urls,
            "finalize": f"{BASE}/finalize/{number}",
        }
        self.orders[f"/order/{number}"] = order
        return respond(201, order, location=f"{BASE}/order/{number}")

    def _authorization(self, path: str, identifier: dict[str, str]) -> dict[str, Any]:
        name = identifier["value"]
        found: dict[str, Any] = {
            "status": "valid" if self.reuses else "pending",
            "identifier": {**identifier, "value": name.removeprefix("*.")},
            "challenges": [
                {
                    "type": kind,
                    "url": f"{BASE}/challenge/{path.rpartition('/')[2]}/{kind}",
                    "status": "pending",
                    "token": TOKEN,
                }
                for kind in self.challenges
            ],
        }
        return {**found, "wildcard": True} if name.startswith("*.") else found

    def _validate(self, path: str, payload: Any) -> HttpResponse:
        assert payload == {}
        _, _, number, kind = path.split("/")
        found = self.authorizations[f"/authz/{number}"]
        challenge = next(each for each in found["challenges"] if each["type"] == kind)
        name = found["identifier"]["value"]
        if self.is_valid(name, kind):
            outcome = "valid"
        else:
            outcome = "invalid"
            challenge["error"] = {"type": ERRORS + "unauthorized", "detail": f"not seen at {name}"}
        challenge["status"] = outcome
        self._change_later(f"/authz/{number}", found, outcome)
        return respond(200, {**challenge, "status": "processing"})

    def _change_later(self, path: str, thing: dict[str, Any], status: str) -> None:
        self._waits[path] = self.polls
        thing["next"] = status

    def _show(self, path: str, thing: dict[str, Any]) -> HttpResponse:
        if "next" in thing:
            if self._waits[path] == 0:
                thing["status"] = thing.pop("next")
            else:
                self._waits[path] -= 1
        if "authorizations" in thing and thing["status"] == "pending":
            states = {
                self.authorizations[u.removeprefix(BASE)]["status"] for u in thing["authorizations"]
            }
            thing["status"] = "ready" if states == {"valid"} else "pending"
        return self._respond(thing)

    def _respond(self, thing: dict[str, Any]) -> HttpResponse:
        shown = {key: value for key, value in thing.items() if key != "next"}
        headers = {"retry_after": self.retry_after} if self.retry_after else {}
        return respond(200, shown, **headers)

    def _finalize(self, path: str, payload: Any) -> HttpResponse:
        number = path.rpartition("/")[2]
        order = self.orders[f"/order/{number}"]
        if order["status"] != "ready":
            return refuse("orderNotReady")
        request = x509.load_der_x509_csr(_decode(payload["csr"]))
        for index, root in enumerate(self._roots.values()):
            self._certificates[f"/certificate/{number}/{index}"] = _sign(
                root, request, self.answer, self.now()
            )
        order["certificate"] = f"{BASE}/certificate/{number}/0"
        order["status"] = "processing"
        self._change_later(f"/order/{number}", order, "valid")
        return self._respond(order)

    def _certificate(self, path: str) -> HttpResponse:
        start = path.rpartition("/")[0]
        links = ", ".join(
            f'<{BASE}{start}/{number}>;rel="alternate"' for number in range(1, len(self._roots))
        )
        headers = [(b"content-type", b"application/pem-certificate-chain")]
        if path.endswith("/0"):
            headers.append((b"link", links.encode()))
        return HttpResponse(200, tuple(headers), self._certificates[path])


def _sign(
    root: ThrowawayCa,
    request: x509.CertificateSigningRequest,
    change: Callable[[x509.Certificate], x509.Certificate],
    now: datetime,
) -> bytes:
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(root.issued.certificate.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=90))
        .add_extension(names, critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root.issued.key.public_key()),
            critical=False,
        )
        .sign(root.issued.key, hashes.SHA256())
    )
    return change(certificate).public_bytes(Encoding.PEM) + root.pem


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _camel(name: str) -> str:
    first, second = name.split("-")
    return first + second.title()
