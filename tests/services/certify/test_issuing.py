"""RFC 8555 §7.4, §7.5: from an order to a certificate, deterministic and without a network."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from letterlock.network.acme_client import AcmeClient
from letterlock.network.http_exchange import HttpFailed, HttpFault, HttpResponse
from letterlock.protocols.acme.fields import Url
from letterlock.protocols.acme.identifiers import ChallengeType, parse_identifier
from letterlock.protocols.acme.jws import make_account_key
from letterlock.protocols.acme.requests import OrderRequest
from letterlock.protocols.pki.throwaway_ca import self_signed
from letterlock.services.certify import issuing as module
from letterlock.services.certify.authority import Authority, Terms, open_account
from letterlock.services.certify.issuing import Issued, Issuer, NotIssued, Patience
from letterlock.services.certify.solvers import Proof, Solver
from tests.acme_server import BASE, TOKEN, FakeAcmeServer, refuse, respond
from tests.fakes import START, FakeClock

KEY = ec.generate_private_key(ec.SECP256R1())
RENEWAL_INFO = {"renewalInfo": f"{BASE}/renewal-info"}


@dataclass
class FakeSolver:
    """Keeps what is presented."""

    kind: ChallengeType = "http-01"
    fault: str | None = None
    up: list[Proof] = field(default_factory=list)
    down: list[Proof] = field(default_factory=list)
    on_present: asyncio.Event | None = None
    is_stuck: bool = False

    async def present(self, proof: Proof) -> str | None:
        self.up.append(proof)
        if self.on_present is not None:
            self.on_present.set()
            await asyncio.Event().wait()
        return self.fault

    async def cleanup(self, proof: Proof) -> None:
        self.down.append(proof)
        if self.is_stuck:
            await asyncio.Event().wait()


@dataclass
class Scene:
    """A server, an account there, and a clock that pauses move."""

    server: FakeAcmeServer
    authority: Authority
    clock: FakeClock
    pauses: list[float] = field(default_factory=list)

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.move(timedelta(seconds=seconds))

    async def issue(
        self,
        request: OrderRequest,
        *solvers: Solver,
        top_issuer: str | None = None,
        patience: Patience | None = None,
        before: Url | None = None,
    ) -> Issued | NotIssued:
        issuer = Issuer(self.authority, solvers, self.clock, patience or Patience(), self.pause)
        return await issuer.issue(request, KEY, top_issuer, before)


async def scene(server: FakeAcmeServer | None = None) -> Scene:
    server = server or FakeAcmeServer()
    clock = FakeClock()
    client = AcmeClient(server, server.directory_url, clock)
    authority = await open_account(client, make_account_key(), Terms(is_agreed=True))
    assert isinstance(authority, Authority)
    return Scene(server, authority, clock)


def order(*names: str, replaces: str | None = None) -> OrderRequest:
    return OrderRequest(frozenset(map(parse_identifier, names)), replaces=replaces)


def lines(outcome: Issued | NotIssued) -> Sequence[str]:
    assert isinstance(outcome, NotIssued)
    return outcome.lines


async def test_an_order_leads_to_a_certificate() -> None:
    """RFC 8555 §7.4: proofs are up before the server is told, and down in the end."""
    here = await scene()
    solver = FakeSolver()
    issued = await here.issue(order("a.example", "b.example"), solver)
    assert isinstance(issued, Issued)
    names = issued.chain.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == ["a.example", "b.example"]
    assert issued.chain.leaf.public_key() == KEY.public_key()
    assert [str(proof.identifier) for proof in solver.up] == ["a.example", "b.example"]
    expected = f"{TOKEN}.{here.authority.key.thumbprint}"
    assert {proof.key_authorization for proof in solver.up} == {expected}
    assert sorted(map(str, solver.down)) == sorted(map(str, solver.up))


async def test_nothing_is_answered_before_all_is_up() -> None:
    """RFC 8555 §8.2."""
    here = await scene()
    broken = FakeSolver(fault="the server did not take the record")
    outcome = await here.issue(order("a.example", "b.example"), broken)
    assert lines(outcome) == (
        "a.example: http-01: the server did not take the record",
        "b.example: http-01: the server did not take the record",
    )
    assert here.server.paths("challenge") == []
    assert len(broken.down) == 2
    # Nothing is left pending.
    states = {each["status"] for each in here.server.authorizations.values()}
    assert states == {"deactivated"}


async def test_every_name_that_fails_is_told() -> None:
    """RFC 8555 §6.7: not the first one only."""
    server = FakeAcmeServer(is_valid=lambda name, _kind: name == "b.example")
    here = await scene(server)
    solver = FakeSolver()
    outcome = await here.issue(order("a.example", "b.example", "c.example"), solver)
    assert lines(outcome) == (
        "a.example: unauthorized: not seen at a.example",
        "c.example: unauthorized: not seen at c.example",
    )
    assert len(solver.down) == 3


async def test_retry_after_is_obeyed_within_limits() -> None:
    """RFC 8555 §7.5.1."""
    for retry_after, expected in (("5", 5.0), ("0", 1.0), ("9999", 60.0)):
        here = await scene(FakeAcmeServer(polls=1, retry_after=retry_after))
        assert isinstance(await here.issue(order("a.example"), FakeSolver()), Issued)
        assert set(here.pauses) == {expected}


async def test_without_retry_after_waits_grow() -> None:
    here = await scene(FakeAcmeServer(polls=4))
    assert isinstance(await here.issue(order("a.example"), FakeSolver()), Issued)
    assert here.pauses[:4] == [1.0, 2.0, 4.0, 8.0]


async def test_a_server_in_trouble_is_asked_again() -> None:
    """RFC 8555 §6.6: a look that fails for now does not end the order."""
    here = await scene()
    lost = HttpFailed(HttpFault.TIMED_OUT, "ca.example: no response")
    here.server.replies["authz"] += [None, lost]
    here.server.replies["order"] += [respond(503, retry_after="30"), lost]
    assert isinstance(await here.issue(order("a.example"), FakeSolver()), Issued)
    assert here.pauses[:3] == [1.0, 30.0, 2.0]


async def test_patience_has_an_end() -> None:
    server = FakeAcmeServer(polls=1000)
    here = await scene(server)
    patience = Patience(total=timedelta(minutes=1))
    outcome = await here.issue(order("a.example"), FakeSolver(), patience=patience)
    assert lines(outcome) == ("a.example: nothing came of it within 0:01:00",)
    assert sum(here.pauses) <= 60


@pytest.mark.parametrize(
    ("reply", "orders"),
    [
        (respond(503), 1),
        (HttpFailed(HttpFault.TIMED_OUT, "ca.example: no response"), 1),
        (respond(404), 2),
        (respond(200, {}), 2),
    ],
)
async def test_an_order_of_before_is_looked_at(
    reply: HttpResponse | HttpFailed, orders: int
) -> None:
    """One that cannot be seen now is not given up; one that is gone is placed anew."""
    here = await scene()
    here.server.edits["finalize"] = {"status": "processing"}
    here.server.edits["order"] = {"status": "processing"}
    first = await here.issue(order("a.example"), FakeSolver())
    assert isinstance(first, NotIssued)
    assert first.order is not None
    here.server.edits.clear()
    here.server.replies["order"].append(reply)
    second = await here.issue(order("a.example"), FakeSolver(), before=first.order)
    assert len(here.server.paths("new-order")) == orders
    if isinstance(second, NotIssued):
        assert second.order == first.order


async def test_a_certificate_that_cannot_be_fetched_now_is_fetched_later() -> None:
    here = await scene()
    here.server.replies["certificate"].append(respond(503))
    first = await here.issue(order("a.example"), FakeSolver())
    assert isinstance(first, NotIssued)
    second = await here.issue(order("a.example"), FakeSolver(), before=first.order)
    assert isinstance(second, Issued)
    assert len(here.server.paths("new-order")) == 1
    of_others = await here.issue(order("b.example"), FakeSolver(), before=first.order)
    assert isinstance(of_others, Issued)
    assert len(here.server.paths("new-order")) == 2


async def test_an_order_that_is_proved_already_needs_no_proof() -> None:
    """RFC 8555 §7.4: a server may reuse authorizations."""
    here = await scene(FakeAcmeServer(reuses=True))
    solver = FakeSolver()
    assert isinstance(await here.issue(order("a.example"), solver), Issued)
    assert solver.up == []


async def test_a_proof_that_another_order_gave_meanwhile_counts() -> None:
    """RFC 8555 §7.5.1: the challenge can't be answered any more, as all is well."""
    here = await scene()

    here.server.replies["challenge"].append(refuse("malformed", 400))
    solver = FakeSolver()
    original = solver.present

    async def present(proof: Proof) -> str | None:
        (authorization,) = here.server.authorizations.values()
        authorization["status"] = "valid"
        return await original(proof)

    solver.present = present  # type: ignore[method-assign] # the other order
    assert isinstance(await here.issue(order("a.example"), solver), Issued)


async def test_a_refused_answer_says_more_than_that_nothing_came() -> None:
    here = await scene()
    here.server.replies["challenge"].append(refuse("connection", 400))
    outcome = await here.issue(order("a.example"), FakeSolver())
    assert lines(outcome) == ("ca.example: connection: it is connection",)
    assert here.pauses == []


async def test_the_first_solver_that_fits_is_used() -> None:
    """RFC 8738 §7 and the wildcard's rule: some challenges prove not all."""
    here = await scene()
    http, dns = FakeSolver("http-01"), FakeSolver("dns-01")
    names = order("a.example", "*.b.example", "192.0.2.1")
    assert isinstance(await here.issue(names, dns, http), Issued)
    assert sorted(str(proof.identifier) for proof in dns.up) == ["a.example", "b.example"]
    assert [str(proof.identifier) for proof in http.up] == ["192.0.2.1"]


async def test_a_name_that_no_solver_can_prove_is_told() -> None:
    here = await scene()
    outcome = await here.issue(order("*.a.example"), FakeSolver("http-01"))
    (line,) = lines(outcome)
    assert line.startswith("*.a.example: no way to prove it here; the authority offers: http-01,")


async def test_alternate_chains_are_fetched_and_chosen_from() -> None:
    """RFC 8555 §7.4.2."""
    here = await scene(FakeAcmeServer(alternates=("Other Root", "Third Root")))
    issued = await here.issue(order("a.example"), FakeSolver(), top_issuer="Other")
    assert isinstance(issued, Issued)
    assert issued.chain.top_issuer == "CN=Other Root"
    assert len(issued.chains) == 3


async def test_an_alternate_that_can_not_be_had_costs_nothing() -> None:
    here = await scene(FakeAcmeServer(alternates=("Other Root", "Third Root")))
    wrong = self_signed(["x.example"], now=START).certificate_pem
    pem = respond(200, content_type="application/pem-certificate-chain")
    odd = type(pem)(200, pem.headers, wrong)
    here.server.replies["certificate"] += [None, respond(500), odd]
    issued = await here.issue(order("a.example"), FakeSolver())
    assert isinstance(issued, Issued)
    assert [chain.top_issuer for chain in issued.chains] == ["CN=Root"]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("alreadyReplaced", 409),
        ("malformed", 400),
        ("unauthorized", 403),
        ("serverInternal", 500),
    ],
)
async def test_an_order_is_placed_without_replaces_where_that_is_refused(
    kind: str, status: int
) -> None:
    """RFC 9773 §5, and servers that know neither the old certificate nor whose it was."""
    here = await scene(FakeAcmeServer(directory=RENEWAL_INFO))
    here.server.replies["new-order"].append(refuse(kind, status))
    issued = await here.issue(order("a.example", replaces="a.b"), FakeSolver())
    assert isinstance(issued, Issued)
    assert [("replaces" in asked) for asked in here.server.paths("new-order")] == [True, False]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("rateLimited", 429),
        ("serverInternal", 503),
        ("accountDoesNotExist", 400),
        ("rejectedIdentifier", 400),
    ],
)
async def test_a_refusal_for_another_reason_is_not_asked_for_twice(kind: str, status: int) -> None:
    here = await scene(FakeAcmeServer(directory=RENEWAL_INFO))
    here.server.replies["new-order"].append(refuse(kind, status))
    outcome = await here.issue(order("a.example", replaces="a.b"), FakeSolver())
    assert kind in lines(outcome)[0]
    assert len(here.server.paths("new-order")) == 1


@pytest.mark.parametrize("directory", [{}, RENEWAL_INFO])
async def test_replaces_is_told_where_renewal_information_is(directory: dict[str, str]) -> None:
    """RFC 9773 §5."""
    here = await scene(FakeAcmeServer(directory=dict(directory)))
    issued = await here.issue(order("a.example", replaces="a.b"), FakeSolver())
    assert isinstance(issued, Issued)
    (asked,) = here.server.paths("new-order")
    assert ("replaces" in asked) == bool(directory)


PROBLEM = {"type": "urn:ietf:params:acme:error:caa", "detail": "CAA forbids"}

OTHER = [{"type": "dns", "value": "b.example"}]
CHANGES: list[tuple[str, dict[str, object], str]] = [
    ("order", {"identifiers": OTHER}, "identifiers or authorizations changed"),
    ("finalize", {"identifiers": OTHER}, "identifiers or authorizations changed"),
    ("finalize", {"status": "pending"}, "the order became pending after it was ready"),
    ("order", {"status": "invalid", "error": PROBLEM}, "caa: CAA forbids"),
    ("order", {"status": "invalid"}, "the order became invalid"),
    ("order", {"status": "ready"}, "the order: nothing came of it within"),
]

TROUBLE = [
    ("new-order", [refuse("rateLimited", 429, retry_after="3600")], "rateLimited"),
    ("new-order", [respond(201, {"status": "pending"})], "the new order has no URL"),
    ("new-order", [respond(201, {}, location=f"{BASE}/order/1")], "order: status is missing"),
    ("authz", [respond(500)], "HTTP status 500"),
    ("authz", [None, respond(404)], "HTTP status 404"),
    ("authz", [None, *[respond(500)] * 99], "HTTP status 500"),
    ("order", [respond(404)], "HTTP status 404"),
    ("order", [respond(429)] * 99, "HTTP status 429"),
    ("finalize", [refuse("badCSR", 400)], "badCSR"),
    ("certificate", [respond(500)], "HTTP status 500"),
    ("certificate", [respond(200, {}, content_type="text/html")], "does not come as"),
    (
        "certificate",
        [respond(200, {}, content_type="application/pem-certificate-chain")],
        "something else than certificates",
    ),
]


@pytest.mark.parametrize(("what", "replies", "words"), TROUBLE)
async def test_trouble_at_any_step_is_a_value(what: str, replies: list[object], words: str) -> None:
    """And what was put up is taken down."""
    here = await scene()
    here.server.replies[what] += replies  # type: ignore[arg-type] # replies
    solver = FakeSolver()
    outcome = await here.issue(order("a.example"), solver)
    assert words in lines(outcome)[0]
    assert len(solver.up) == len(solver.down)


async def test_the_longest_retry_after_is_the_orders() -> None:
    """RFC 8555 §6.6."""
    here = await scene()
    here.server.replies["new-order"].append(refuse("rateLimited", 429, retry_after="3600"))
    outcome = await here.issue(order("a.example"), FakeSolver())
    assert isinstance(outcome, NotIssued)
    assert outcome.retry_after == timedelta(hours=1)
    assert NotIssued(()).retry_after is None


async def test_an_order_for_other_names_is_not_followed() -> None:
    """RFC 8555 §7.4."""
    here = await scene()
    here.server.edits["new-order"] = {"identifiers": OTHER}
    outcome = await here.issue(order("a.example"), FakeSolver())
    assert lines(outcome) == ("the order is not for the names that were asked for",)


@pytest.mark.parametrize(("what", "change", "words"), CHANGES)
async def test_an_order_that_changes_is_not_followed(
    what: str, change: dict[str, object], words: str
) -> None:
    """RFC 8555 §7.1.3."""
    here = await scene()
    here.server.edits[what] = change
    outcome = await here.issue(order("a.example"), FakeSolver())
    assert words in lines(outcome)[0]


async def test_an_order_may_be_further_than_expected() -> None:
    """RFC 8555 §7.1.6: a client that polls may miss steps."""
    here = await scene()
    here.server.edits["order"] = {"status": "valid"}
    outcome = await here.issue(order("a.example"), FakeSolver())
    assert lines(outcome) == ("the order is valid, and has no certificate",)
    assert here.server.paths("finalize") == []


async def test_a_certificate_for_something_else_is_not_taken() -> None:
    """RFC 8555 §7.4: another key, from a server that mixes things up."""
    other = self_signed(["a.example"], now=START).certificate
    here = await scene(FakeAcmeServer(answer=lambda _certificate: other))
    outcome = await here.issue(order("a.example"), FakeSolver())
    assert lines(outcome) == ("the certificate is for another key",)


async def test_a_certificate_never_has_the_accounts_key() -> None:
    """RFC 8555 §11.1."""
    here = await scene()
    private = here.authority.key.private
    with pytest.raises(ValueError, match="account's key"):
        await Issuer(here.authority, [], here.clock).issue(order("a.example"), private)


async def test_an_authorization_that_is_lost_is_told() -> None:
    """RFC 8555 §7.1.6."""
    here = await scene()
    here.server.edits["authz"] = {"status": "revoked"}
    outcome = await here.issue(order("a.example"), FakeSolver())
    assert lines(outcome) == ("a.example: the authorization is revoked",)


async def test_proofs_are_taken_away_when_issuing_is_cancelled() -> None:
    """RFC 8555 §8.3, §8.4."""
    here = await scene()
    presented = asyncio.Event()
    solver = FakeSolver(on_present=presented)
    issuing = asyncio.ensure_future(here.issue(order("a.example"), solver))
    await presented.wait()
    issuing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await issuing
    assert solver.down == solver.up


async def test_a_cleanup_that_hangs_keeps_no_certificate_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CLEANUP_SECONDS", 0.01)
    here = await scene()
    issued = await here.issue(order("a.example"), FakeSolver(is_stuck=True))
    assert isinstance(issued, Issued)
