"""Accounts: opened, found, shown, changed, closed; their orders; new keys.

RFC 8555 §7.3, §7.3.1 (finding), §7.3.2 (changing), §7.3.4 (external accounts), §7.3.5 (keys),
§7.3.6 (closing: pending orders end), §7.1.2.1 (lists of orders).
"""

from letterlock.protocols.acme.fields import Fields
from letterlock.protocols.acme.server import accounts as rules
from letterlock.protocols.acme.server.documents import format_account, format_orders
from letterlock.protocols.acme.server.external_accounts import (
    read_binding,
    refuse_revoked_key,
    verify_binding,
)
from letterlock.protocols.acme.server.key_changes import change_key, read_key_change
from letterlock.protocols.acme.server.objects import Account, ExternalBinding
from letterlock.protocols.acme.server.payloads import refuse_payload
from letterlock.protocols.acme.server.rate_limits import use_all
from letterlock.protocols.acme.server.refusals import (
    ErrorType,
    Link,
    Refusal,
    refuse,
    refuse_foreign,
)
from letterlock.protocols.acme.server.replies import Reply, reply_document
from letterlock.protocols.acme.states import AccountStatus
from letterlock.protocols.audit.decisions import AccountLogged
from letterlock.protocols.audit.records import AuditEntry
from letterlock.services.ca.requests.authority import Answer, Asked, Authority, make_id
from letterlock.services.ca.requests.ended_orders import end_orders
from letterlock.services.ca.requests.limits import count_account
from letterlock.services.ca.requests.settling import Plan, settle
from letterlock.storage.ca.changes import AddAccount, ChangeAccount, UseCounter

ORDERS_OF_A_PAGE = 50


async def open_account(authority: Authority, asked: Asked) -> Answer:
    """Answer newAccount (RFC 8555 §7.3)."""
    request = rules.parse_account_request(asked.request.payload)
    if isinstance(request, Refusal):
        return request

    async def plan() -> Plan | Refusal:
        existing = await authority.store.find_account(asked.request.key.thumbprint)
        # Who has an account gets it, whatever else the request says (RFC 8555 §7.3.1).
        is_bound = existing is None and not request.only_existing and request.binding is not None
        external = await _bind(authority, asked, request.binding) if is_bound else None
        if isinstance(external, Refusal):
            return external
        wanted = rules.AccountRules(
            authority.rules.terms, authority.rules.is_external_account_required
        )
        found = rules.decide_account(request, wanted, existing, external)
        if isinstance(found, rules.Opening):
            return await _plan_opening(authority, asked, found)
        return found if isinstance(found, Refusal) else Plan(_show(authority, found))

    return await settle(authority, plan)


async def show_account(authority: Authority, asked: Asked) -> Answer:
    """Show an account to its holder, or change it as he says (RFC 8555 §7.3.2, §7.3.6)."""
    account = _find_own(asked)
    if isinstance(account, Refusal):
        return account
    if asked.request.is_post_as_get:
        return reply_document(format_account(account, authority.places))

    async def plan() -> Plan | Refusal:
        before = await _load_again(authority, asked)
        if isinstance(before, Refusal):
            return before
        after = rules.update_account(before, asked.request.payload)
        if isinstance(after, Refusal):
            return after
        reply = reply_document(format_account(after, authority.places))
        if after == before:
            return Plan(reply)
        action = "updated" if after.status is AccountStatus.VALID else "closed"
        return _change(asked, before, after, action, reply)

    answer = await settle(authority, plan)
    if not isinstance(answer, Refusal):
        after = await authority.store.load_account(account.id)
        if after is not None and after.status is AccountStatus.DEACTIVATED:
            await end_orders(authority.store, after, asked.now)
    return answer


async def list_orders(authority: Authority, asked: Asked) -> Answer:
    """List an account's orders, a page at a time (RFC 8555 §7.1.2.1)."""
    account = _find_own(asked)
    if isinstance(account, Refusal):
        return account
    if (refusal := refuse_payload(asked.request)) is not None:
        return refusal
    after = asked.ids[1] if len(asked.ids) > 1 else None
    size = ORDERS_OF_A_PAGE
    found = await authority.store.list_order_ids(account.id, after, size + 1)
    page = format_orders(account.id, found, authority.places, size)
    links = (Link(page.next_url, "next"),) if page.next_url else ()
    return reply_document(page.document, links=links)


async def replace_key(authority: Authority, asked: Asked) -> Answer:
    """Answer keyChange (RFC 8555 §7.3.5)."""

    async def plan() -> Plan | Refusal:
        before = await _load_again(authority, asked)
        if isinstance(before, Refusal):
            return before
        key = read_key_change(asked.request, before, authority.places)
        if isinstance(key, Refusal):
            return key
        holder = await authority.store.find_account(key.thumbprint)
        after = change_key(before, key, holder, authority.places)
        if isinstance(after, Refusal):
            return after
        reply = reply_document(format_account(after, authority.places))
        return _change(asked, before, after, "key changed", reply)

    return await settle(authority, plan)


async def _bind(
    authority: Authority, asked: Asked, binding: Fields | None
) -> ExternalBinding | Refusal | None:
    if binding is None:
        return None
    found = read_binding(binding, asked.request.url, asked.request.key)
    if isinstance(found, Refusal):
        return found
    find = authority.find_external
    external = await find(found.kid) if find is not None and found.kid.isprintable() else None
    verified = verify_binding(found, external)
    if isinstance(verified, Refusal):
        return verified
    key = await authority.store.load_external_key(verified.kid)
    return verified if key.revoked is None else refuse_revoked_key()


async def _plan_opening(
    authority: Authority, asked: Asked, opening: rules.Opening
) -> Plan | Refusal:
    counters = count_account(authority.rules.limits, asked.address)
    used = use_all(await authority.store.load_counters(counters), asked.now) if counters else ()
    if isinstance(used, Refusal):
        return used
    account = Account(
        id=make_id(),
        key=asked.request.key,
        status=AccountStatus.VALID,
        contacts=opening.contacts,
        agreed_terms=opening.agreed_terms,
        external=opening.external,
    )
    return Plan(
        _show(authority, account, is_new=True),
        (AddAccount(account), *(UseCounter(each, asked.now) for each in counters)),
        (_log(asked, account, "opened"),),
    )


def _find_own(asked: Asked) -> Account | Refusal:
    account = asked.account
    assert account is not None
    return account if asked.ids[0] == account.id else refuse_foreign("account")


async def _load_again(authority: Authority, asked: Asked) -> Account | Refusal:
    """Load the account that asks: since it was looked up it may have been changed."""
    assert asked.account is not None
    account = await authority.store.load_account(asked.account.id)
    if account is None:
        return refuse(ErrorType.ACCOUNT_DOES_NOT_EXIST, "the account is gone")
    return rules.find_holder_refusal(account, asked.request.key) or account


def _change(asked: Asked, before: Account, after: Account, action: str, reply: Reply) -> Plan:
    return Plan(reply, (ChangeAccount(before, after),), (_log(asked, after, action),))


def _log(asked: Asked, account: Account, action: str) -> AuditEntry:
    decision = AccountLogged(
        account=account.id,
        action=action,
        key=account.key.thumbprint,
        contacts=account.contacts,
        agreed_terms=account.agreed_terms,
        external=account.external.kid if account.external is not None else None,
    )
    return AuditEntry(asked.now, decision)


def _show(authority: Authority, account: Account, *, is_new: bool = False) -> Reply:
    document = format_account(account, authority.places)
    return reply_document(document, location=authority.places.account(account.id), is_new=is_new)
