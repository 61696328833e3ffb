"""Whatever clients ask in whatever sequence: each answer is one that our own client reads.

`tests.acme_authority` joins the decisions as a server would; RFC 8555 §7 has the fields.
"""

from collections.abc import Callable
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from letterlock.protocols.acme import orders as client
from letterlock.protocols.acme import requests
from letterlock.protocols.acme.directory import parse_account
from letterlock.protocols.acme.fields import Url, parse_url
from letterlock.protocols.acme.headers import find_links
from letterlock.protocols.acme.identifiers import Identifier, parse_identifier
from letterlock.protocols.acme.jws import AccountKey, make_key_change, sign_request
from letterlock.protocols.acme.problems import Problem, parse_problem
from letterlock.protocols.acme.server import renewals, replies
from letterlock.protocols.acme.server import transitions as change
from letterlock.protocols.acme.server.refusals import ErrorType, refuse
from letterlock.protocols.acme.server.replies import Reply
from letterlock.protocols.acme.states import AccountStatus, OrderStatus
from tests.acme_authority import DIRECTORY, PLACES, Authority
from tests.acme_requests import ACCOUNT_KEY, OTHER_KEY

KEYS = tuple(map(AccountKey, (ACCOUNT_KEY, OTHER_KEY)))
NAMES = (
    *map(parse_identifier, ("a.example", "*.a.example", "b.example", "192.0.2.1")),
    Identifier("dns", "x.ip6.arpa"),
    Identifier("email", "a@b.example"),
)


class Sequences(RuleBasedStateMachine):
    """Two clients, by our own requests and parsers."""

    def __init__(self) -> None:
        super().__init__()
        self.authority = Authority()
        self.urls: list[Url] = []
        self.keys: list[AccountKey] = []
        self.seen: dict[Url, client.Order] = {}
        self.sent: list[tuple[str, bytes]] = []

    who = st.integers(0, 1)
    which = st.integers(0, 30)

    def ask(
        self, url: Url, payload: object | None, who: int, *, has_key: bool = False
    ) -> Reply | Problem:
        """Ask, and check what every answer must have."""
        if not has_key and not self.urls:
            return Problem("none")
        who %= max(1, len(self.urls))
        key, kid = (KEYS[who], None) if has_key else (self.keys[who], self.urls[who])
        body = sign_request(key, url, self.authority.make_nonce(), payload, kid)
        self.sent.append((url.text, body))
        return self.check(self.authority.post(url.text, body))

    def check(self, reply: Reply) -> Reply | Problem:
        headers = replies.format_headers(reply, PLACES, self.authority.make_nonce())
        assert [name for name, _ in headers].count("Replay-Nonce") == 1
        links = [value.encode() for name, value in headers if name == "Link"]
        assert [each.text for each in find_links(links, "index")] == [PLACES.directory]
        if reply.status < 400:
            return reply
        problem = parse_problem(reply.status, reply.body)
        assert problem.type in set(ErrorType)
        assert problem.identifier is None
        names = [each.identifier for each in problem.subproblems]
        assert len(names) == len(set(names)) != 1
        return problem

    @rule(who=who, is_agreed=st.booleans())
    def opens(self, who: int, is_agreed: bool) -> None:
        payload = requests.format_account(["mailto:a@b.example"], is_agreed=is_agreed)
        reply = self.ask(DIRECTORY.new_account, payload, who, has_key=True)
        if isinstance(reply, Reply) and reply.location is not None:
            account = parse_account(parse_url(reply.location), reply.body)
            assert account.status is AccountStatus.VALID
            if account.url not in self.urls:
                self.urls.append(account.url)
                self.keys.append(KEYS[who])

    @rule(who=who, names=st.sets(st.sampled_from(NAMES), max_size=4))
    def orders(self, who: int, names: set[Identifier]) -> None:
        payload = requests.format_order(requests.OrderRequest(frozenset(names)))
        reply = self.ask(DIRECTORY.new_order, payload, who)
        if isinstance(reply, Reply):
            assert reply.location is not None
            order = client.parse_order(parse_url(reply.location), reply.body)
            assert client.find_order_fault(order, frozenset(names)) is None
            self.seen[order.url] = order

    def pick(self, which: int) -> client.Order | None:
        return list(self.seen.values())[which % len(self.seen)] if self.seen else None

    @rule(which=which, who=who)
    def looks(self, which: int, who: int) -> None:
        order = self.pick(which)
        reply = self.ask(order.url, None, who) if order else None
        if order and isinstance(reply, Reply):
            new = client.parse_order(order.url, reply.body)
            assert client.find_change(order, new) is None
            assert (reply.retry_after is not None) == (new.status is OrderStatus.PROCESSING)
            self.seen[order.url] = new

    @rule(which=which, who=who, kind=st.sampled_from(client.KNOWN_CHALLENGES))
    def responds(self, which: int, who: int, kind: str) -> None:
        for url in sorted(order.authorizations, key=str) if (order := self.pick(which)) else ():
            reply = self.ask(url, None, who)
            if not isinstance(reply, Reply):
                continue
            found = client.parse_authorization(url, reply.body)
            if challenge := found.find_challenge(kind):
                answer = self.ask(challenge.url, {"unknown": 1}, who)
                if isinstance(answer, Reply):
                    assert client.parse_challenge(answer.body).type == kind

    @rule(is_good=st.booleans(), which=which)
    def is_validated(self, is_good: bool, which: int) -> None:
        table = self.authority.authorizations
        for number, each in enumerate(list(table.values())):
            for challenge in each.challenges:
                until = self.authority.now + timedelta(days=10)
                found = change.accept_challenge(each, challenge.type, self.authority.now, until)
                if not is_good and number == which:
                    problem = refuse(ErrorType.DNS, "no such name").problem
                    found = change.fail_challenge(each, challenge.type, problem)
                if found is not each:
                    table[each.id] = found

    @rule(which=which, who=who)
    def finalizes(self, which: int, who: int) -> None:
        if (order := self.pick(which)) is not None:
            reply = self.ask(order.finalize, {"csr": "AAAA"}, who)
            if isinstance(reply, Reply):
                order = client.parse_order(order.url, reply.body)
                assert order.status is OrderStatus.PROCESSING
                self.seen[order.url] = order

    @rule()
    def issues(self) -> None:
        for each in list(self.authority.orders.values()):
            if self.authority.look(each.id).status is OrderStatus.PROCESSING:
                self.authority.issue(each)

    @rule(which=which, who=who)
    def deactivates(self, which: int, who: int) -> None:
        if (order := self.pick(which)) and which % 5 == 0:
            url = min(order.authorizations, key=str)
            reply = self.ask(url, {"status": "deactivated"}, who)
            if isinstance(reply, Reply):
                assert client.parse_authorization(url, reply.body).status == "deactivated"

    @rule(who=who)
    def changes_its_key(self, who: int) -> None:
        if self.urls:
            who %= len(self.urls)
            new = KEYS[0] if self.keys[who] is KEYS[1] else KEYS[1]
            inner = make_key_change(self.urls[who], DIRECTORY.key_change, self.keys[who], new)
            if isinstance(self.ask(DIRECTORY.key_change, inner, who), Reply):
                self.keys[who] = new

    @rule(who=who, is_over=st.booleans())
    def updates(self, who: int, is_over: bool) -> None:
        if self.urls:
            payload: object = {"status": "deactivated"} if is_over else {"contact": []}
            url = self.urls[who % len(self.urls)]
            reply = self.ask(url, payload, who)
            if isinstance(reply, Reply):
                found = parse_account(url, reply.body)
                assert (found.status is AccountStatus.DEACTIVATED) == is_over

    @rule(which=which)
    def replays(self, which: int) -> None:
        """RFC 8555 §6.5: what was sent once is never taken again."""
        if self.sent:
            url, body = self.sent[which % len(self.sent)]
            problem = self.check(self.authority.post(url, body))
            assert isinstance(problem, Problem)
            assert problem.type in ("badNonce", "accountDoesNotExist", "malformed", "unauthorized")

    @rule()
    def asks_about_renewal(self) -> None:
        for each in self.authority.certificates.values():
            answer = renewals.answer_renewal(each, None, 0.5)
            assert isinstance(answer, renewals.RenewalAnswer)
            assert replies.reply_renewal(answer).status == 200

    @rule(wait=st.sampled_from([1, 50, 200]))
    def waits(self, wait: int) -> None:
        self.authority.now += timedelta(hours=wait)


TestSequences = Sequences.TestCase
# Of examples: many in the profile `proof`.
TestSequences.settings = settings(
    max_examples=15 if settings().max_examples <= 100 else 300,
    stateful_step_count=30,
    deadline=None,
)


def test_a_certificate_from_the_first_request_to_the_last() -> None:
    """RFC 8555 §7: the sequence that all clients go through does reach its end."""
    life = Sequences()
    steps: tuple[Callable[[], None], ...] = (
        lambda: life.opens(0, is_agreed=True),
        lambda: life.orders(0, set(NAMES[:4])),
        lambda: life.responds(0, 0, "dns-01"),
        lambda: life.responds(0, 0, "http-01"),
        lambda: life.is_validated(is_good=True, which=0),
        lambda: life.looks(0, 0),
        lambda: life.finalizes(0, 0),
        life.issues,
        lambda: life.looks(0, 0),
    )
    for step in steps:
        step()
    (order,) = life.seen.values()
    assert order.status is OrderStatus.VALID
    assert order.certificate is not None
    again = life.ask(
        DIRECTORY.new_order,
        requests.format_order(requests.OrderRequest(frozenset(NAMES[:4]))),
        0,
    )
    assert isinstance(again, Reply)
    assert client.parse_order(order.url, again.body).status is OrderStatus.READY
