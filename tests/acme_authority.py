"""A small authority over dicts, which joins what `protocols.acme.server` decides.

It validates and signs nothing: a test says what became of that.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

from letterlock.protocols.acme.renewal_info import CertificateId
from letterlock.protocols.acme.server import accounts as opening
from letterlock.protocols.acme.server import documents, finalizations, replies
from letterlock.protocols.acme.server import new_orders as ordering
from letterlock.protocols.acme.server import transitions as change
from letterlock.protocols.acme.server.key_changes import change_key, read_key_change
from letterlock.protocols.acme.server.nonces import (
    NonceKeys,
    SpentNonces,
    judge_nonce,
    make_nonce,
    refuse_nonce,
)
from letterlock.protocols.acme.server.objects import Account, Authorization, Certificate, Order
from letterlock.protocols.acme.server.places import Places
from letterlock.protocols.acme.server.refusals import Refusal, refuse_foreign
from letterlock.protocols.acme.server.replies import Reply, reply_document, reply_refusal
from letterlock.protocols.acme.server.signed_requests import (
    MEDIA_TYPE,
    KeyField,
    SignedRequest,
    read_request,
    verify_request,
)
from letterlock.protocols.acme.states import AccountStatus

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PLACES = Places("https://ca.example")
DIRECTORY = PLACES.make_directory(terms="https://ca.example/terms", profiles=(("a", "90 days"),))
PROFILES = {"a": ordering.OrderProfile("a", "90 days", max_identifiers=4)}
TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
Answer = Reply | Refusal


class Authority:
    """Everything that a server has, in dicts; one table for each kind of object."""

    def __init__(self) -> None:
        self.now = NOW
        self.accounts: dict[str, Account] = {}
        self.authorizations: dict[str, Authorization] = {}
        self.orders: dict[str, Order] = {}
        self.certificates: dict[str, Certificate] = {}
        self._numbers = count(1)
        self._keys = NonceKeys((b"k" * 32,))
        self._spent = SpentNonces()

    def make_id(self) -> str:
        return f"id-{next(self._numbers):020}"

    def make_nonce(self) -> str:
        return make_nonce(self._keys, self.now, next(self._numbers).to_bytes(16, "big"))

    def post(self, url: str, body: bytes) -> Reply:
        takes = KeyField.JWK if url == DIRECTORY.new_account.text else KeyField.KID
        found = self._verify(url, body, takes)
        answer = found if isinstance(found, Refusal) else self._route(url, found)
        return reply_refusal(answer) if isinstance(answer, Refusal) else answer

    def _verify(self, url: str, body: bytes, takes: KeyField) -> SignedRequest | Refusal:
        found = read_request(body, MEDIA_TYPE, url, takes)
        seen = found.seen_nonce if isinstance(found, Refusal) else found.nonce
        nonce = judge_nonce(self._keys, seen, self.now) if seen else None
        if nonce is not None and not isinstance(nonce, Refusal):
            nonce = nonce if self._spent.spend(nonce, self.now) else refuse_nonce()
        if isinstance(found, Refusal):
            return found
        if isinstance(nonce, Refusal):
            return nonce
        if found.kid is None:
            assert found.key is not None
            return verify_request(found, found.key)
        account = self.accounts.get(PLACES.find_account_id(found.kid) or "")
        if account is None:
            return opening.refuse_kid()
        request = verify_request(found, account.key)
        return opening.find_account_refusal(account) or request

    def _route(self, url: str, request: SignedRequest) -> Answer:
        if request.kid is None:
            return self._open(request)
        account = self.accounts[PLACES.find_account_id(request.kid) or ""]
        if url == DIRECTORY.new_order.text:
            return self._order(account, request)
        if url == DIRECTORY.key_change.text:
            return self._change_key(account, request)
        return self._reach(account, url, request)

    def _reach(self, account: Account, url: str, request: SignedRequest) -> Answer:
        kind, object_id, *more = url.removeprefix(f"{PLACES.base}/").split("/")
        if kind == "account":
            return self._update(account, request)
        if kind == "order":
            order = self.look(object_id)
            if order.account_id != account.id:
                return refuse_foreign("order")
            return self._finalize(order, request) if more else self._show(order)
        authorization = self.authorizations[object_id]
        if authorization.account_id != account.id:
            return refuse_foreign("authorization")
        if more:
            return self._respond(authorization, more[0], account)
        return self._show_authorization(authorization, request)

    def _show_authorization(self, authorization: Authorization, request: SignedRequest) -> Answer:
        if not request.is_post_as_get:
            found = change.deactivate_authorization(authorization, self.now)
            if isinstance(found, Refusal):
                return found
            authorization = self.authorizations[found.id] = found
        return reply_document(documents.format_authorization(authorization, PLACES, self.now))

    def _open(self, request: SignedRequest) -> Answer:
        asked = opening.parse_account_request(request.payload)
        if isinstance(asked, Refusal):
            return asked
        holder = self._find_holder(request.key.thumbprint)
        rules = opening.AccountRules(DIRECTORY.terms_of_service)
        found = opening.decide_account(asked, rules, holder, None)
        if isinstance(found, Refusal):
            return found
        is_new = isinstance(found, opening.Opening)
        if isinstance(found, opening.Opening):
            valid = AccountStatus.VALID
            made = (self.make_id(), request.key, valid, found.contacts, found.agreed_terms)
            found = self.accounts[made[0]] = Account(*made)
        document = documents.format_account(found, PLACES)
        return reply_document(document, location=PLACES.account(found.id), is_new=is_new)

    def _find_holder(self, thumbprint: str) -> Account | None:
        holders = (each for each in self.accounts.values() if each.key.thumbprint == thumbprint)
        return next(holders, None)

    def _update(self, account: Account, request: SignedRequest) -> Answer:
        found = opening.update_account(account, request.payload)
        if isinstance(found, Refusal):
            return found
        self.accounts[account.id] = found
        return reply_document(documents.format_account(found, PLACES))

    def _change_key(self, account: Account, request: SignedRequest) -> Answer:
        key = read_key_change(request, account, PLACES)
        if isinstance(key, Refusal):
            return key
        found = change_key(account, key, self._find_holder(key.thumbprint), PLACES)
        if isinstance(found, Refusal):
            return found
        self.accounts[account.id] = found
        return reply_document(documents.format_account(found, PLACES))

    def _order(self, account: Account, request: SignedRequest) -> Answer:
        asked = ordering.parse_order_request(request.payload, PROFILES, "a", self.now)
        if isinstance(asked, Refusal):
            return asked
        plan = ordering.plan_authorizations(
            asked, account.id, self.authorizations.values(), self.now
        )
        chosen: list[Authorization] = []
        for each in plan:
            ids = (self.make_id(), account.id)
            made = each.reused or ordering.make_authorization(each, asked, ids, TOKEN, self.now)
            assert isinstance(made, Authorization)
            chosen.append(made)
        self.authorizations |= {each.id: each for each in chosen}
        order = ordering.make_order(asked, (self.make_id(), account.id), chosen, self.now)
        self.orders[order.id] = order
        return replace(self._show(order), status=201, location=PLACES.order(order.id))

    def look(self, order_id: str) -> Order:
        order = self.orders[order_id]
        its = [self.authorizations[each] for each in order.authorization_ids]
        self.orders[order_id] = change.judge_order(order, its, self.now)
        return self.orders[order_id]

    def _show(self, order: Order) -> Reply:
        wait = replies.find_order_wait(order, finalizations.RETRY_AFTER)
        return reply_document(documents.format_order(order, PLACES), retry_after=wait)

    def _finalize(self, order: Order, request: SignedRequest) -> Answer:
        csr = finalizations.parse_finalization(request.payload)
        begun = csr if isinstance(csr, Refusal) else change.begin_order(order)
        if isinstance(begun, Refusal):
            return begun
        assert isinstance(begun, Order)
        self.orders[order.id] = begun
        return self._show(begun)

    def _respond(self, authorization: Authorization, kind: str, account: Account) -> Answer:
        found = change.respond(authorization, kind, account.key, self.now)
        if isinstance(found, Refusal):
            return found
        self.authorizations[found.id] = found
        challenge = found.find_challenge(kind)
        assert challenge is not None
        document = documents.format_challenge(found, challenge, PLACES)
        wait = replies.find_challenge_wait(found, finalizations.RETRY_AFTER)
        return reply_document(document, links=replies.link_up(found, PLACES), retry_after=wait)

    def issue(self, order: Order) -> None:
        """What comes of an order that is processed."""
        made = Certificate(
            id=self.make_id(),
            name=CertificateId(b"key", next(self._numbers)),
            account_id=order.account_id,
            order_id=order.id,
            identifiers=order.identifiers,
            not_before=self.now,
            not_after=self.now + timedelta(days=90),
            key=self.accounts[order.account_id].key,
        )
        self.certificates[made.id] = made
        until = self.now + timedelta(days=90)
        self.orders[order.id] = change.complete_order(order, made.id, until)
