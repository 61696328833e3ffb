"""Authorizations and their challenges: shown, given up, responded to.

RFC 8555 §7.5 (shown), §7.5.1 (responding: any object, erratum 5729), §7.5.2 (given up), §8.2.
Validating begins with the commit of the response.
"""

from datetime import datetime

from letterlock.protocols.acme.fields import ObjectError
from letterlock.protocols.acme.server.documents import format_authorization, format_challenge
from letterlock.protocols.acme.server.finalizations import RETRY_AFTER
from letterlock.protocols.acme.server.objects import Account, Authorization
from letterlock.protocols.acme.server.payloads import read_payload
from letterlock.protocols.acme.server.refusals import (
    ErrorType,
    Refusal,
    refuse,
    refuse_foreign,
    refuse_unknown,
)
from letterlock.protocols.acme.server.replies import (
    Reply,
    find_challenge_wait,
    link_up,
    reply_document,
)
from letterlock.protocols.acme.server.transitions import deactivate_authorization, respond
from letterlock.protocols.acme.states import AuthorizationStatus, ChallengeStatus
from letterlock.protocols.audit.decisions import AuthorizationLogged
from letterlock.protocols.audit.records import AuditEntry
from letterlock.services.ca.requests.authority import Answer, Asked, Authority
from letterlock.services.ca.requests.settling import Plan, settle
from letterlock.storage.ca.changes import AddWork, ChangeAuthorization
from letterlock.storage.ca.kept import (
    Claimed,
    KeptAuthorization,
    KeptOrder,
    Lease,
    Work,
    WorkKind,
)


async def show_authorization(authority: Authority, asked: Asked) -> Answer:
    """Show an authorization to its account, or let it be given up (RFC 8555 §7.5.2)."""
    if not asked.request.is_post_as_get:
        return await _give_up(authority, asked)
    found = await _load_own(authority, asked)
    if isinstance(found, Refusal):
        return found
    patience = authority.rules.patience.validation
    if _is_tried(found) and await _wait(authority, asked, patience):
        found = await _load_own(authority, asked)
    return found if isinstance(found, Refusal) else _show(authority, found, asked.now)


async def answer_challenge(authority: Authority, asked: Asked) -> Answer:
    """Show a challenge, or take the client's word that it is ready (RFC 8555 §7.5.1)."""
    patience = authority.rules.patience
    if not asked.request.is_post_as_get:
        answer = await _respond(authority, asked)
        if isinstance(answer, Refusal) or not await _wait(authority, asked, patience.response):
            return answer
    found = await _load_own(authority, asked)
    if isinstance(found, Refusal):
        return found
    if found.find_challenge(asked.ids[1]) is None:
        return refuse_unknown("challenge")
    if asked.request.is_post_as_get and _is_tried(found):
        await _wait(authority, asked, patience.validation)
        found = await _load_own(authority, asked)
    return found if isinstance(found, Refusal) else _show_challenge(authority, found, asked.ids[1])


async def _respond(authority: Authority, asked: Asked) -> Answer:
    kind = asked.ids[1]
    payload = read_payload(asked.request.payload, "response")
    if isinstance(payload, Refusal):
        return payload

    async def plan() -> Plan | Refusal:
        before = await _load_own(authority, asked)
        if isinstance(before, Refusal):
            return before
        if before.find_challenge(kind) is None:
            return refuse_unknown("challenge")
        after = respond(before, kind, _find_account(asked).key, asked.now)
        if isinstance(after, Refusal):
            return after
        reply = _show_challenge(authority, after, kind)
        if after == before:
            return Plan(reply, begins=await _try_again(authority, asked, before))
        work = Work(WorkKind.VALIDATION, after.id, asked.now, kind.encode())
        begins = claim(authority, work, KeptAuthorization(after))
        changes = (ChangeAuthorization(before, after), AddWork(work, begins.lease))
        return Plan(reply, changes, begins=begins)

    return await settle(authority, plan)


async def _try_again(
    authority: Authority, asked: Asked, authorization: Authorization
) -> Claimed | None:
    """Claim the next try, which the client wants now (RFC 8555 §8.2): they are not many.

    None: nothing is tried, or it is being tried.
    """
    if not _is_tried(authorization):
        return None
    until = asked.now + authority.rules.lease
    return await authority.store.claim_put_off(
        WorkKind.VALIDATION, authorization.id, authority.rules.owner, until
    )


def claim(authority: Authority, work: Work, kept: KeptAuthorization | KeptOrder) -> Claimed:
    """Give this process the lease of work that begins, for what will be `kept` then."""
    until = work.moment + authority.rules.lease
    return Claimed(work, Lease(work.kind, work.subject, authority.rules.owner, until), kept)


async def _give_up(authority: Authority, asked: Asked) -> Answer:
    payload = read_payload(asked.request.payload, "authorization")
    if isinstance(payload, Refusal):
        return payload
    try:
        status = payload.text("status")
    except ObjectError as error:
        return refuse(ErrorType.MALFORMED, str(error))
    if status != AuthorizationStatus.DEACTIVATED:
        return refuse(ErrorType.MALFORMED, "an authorization can only become deactivated")

    async def plan() -> Plan | Refusal:
        before = await _load_own(authority, asked)
        if isinstance(before, Refusal):
            return before
        after = deactivate_authorization(before, asked.now)
        if isinstance(after, Refusal):
            return after
        reply = _show(authority, after, asked.now)
        if after == before:
            return Plan(reply)
        decision = AuthorizationLogged(after.id, after.account_id, after.status.value)
        entry = AuditEntry(asked.now, decision)
        return Plan(reply, (ChangeAuthorization(before, after),), (entry,))

    return await settle(authority, plan)


async def _load_own(authority: Authority, asked: Asked) -> Authorization | Refusal:
    kept = await authority.store.load_authorization(asked.ids[0])
    if kept is None:
        return refuse_unknown("authorization")
    if kept.authorization.account_id != _find_account(asked).id:
        return refuse_foreign("authorization")
    return kept.authorization


async def _wait(authority: Authority, asked: Asked, patience: float) -> bool:
    """Wait a little for news of what is tried here. False: nothing is."""
    return await authority.works.wait(WorkKind.VALIDATION, asked.ids[0], patience)


def _is_tried(authorization: Authorization) -> bool:
    return any(each.status is ChallengeStatus.PROCESSING for each in authorization.challenges)


def _find_account(asked: Asked) -> Account:
    assert asked.account is not None
    return asked.account


def _show(authority: Authority, authorization: Authorization, now: datetime) -> Reply:
    document = format_authorization(authorization, authority.places, now)
    return reply_document(document, retry_after=find_challenge_wait(authorization, RETRY_AFTER))


def _show_challenge(authority: Authority, authorization: Authorization, kind: str) -> Reply:
    challenge = authorization.find_challenge(kind)
    assert challenge is not None
    return reply_document(
        format_challenge(authorization, challenge, authority.places),
        links=link_up(authorization, authority.places),
        retry_after=find_challenge_wait(authorization, RETRY_AFTER),
    )
