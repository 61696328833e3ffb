"""What CAA says of many names, for people: each looked up, decided, and described.

RFC 8659, RFC 8657. The words are `protocols.caa`'s; `cli` writes the story from the document.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from letterlock.protocols.caa.decide import Issuance
from letterlock.protocols.caa.iodef import find_targets
from letterlock.protocols.caa.publishing import find_remedy
from letterlock.protocols.caa.relevant import LookupFailed
from letterlock.protocols.dns.answers import Answer, CaaRecord
from letterlock.services.discover.caa import CaaAnswer, CaaFinder, check_caa

NAMES_AT_ONCE = 64


async def check_all(
    finder: CaaFinder, issuances: Iterable[Issuance], tell: Callable[[CaaAnswer], None]
) -> None:
    """Check names, some at a time, and tell each answer as it comes, in the order of the names.

    No more is taken from `issuances` than is being looked up.
    """
    running: deque[asyncio.Future[CaaAnswer]] = deque()
    try:
        for issuance in issuances:
            if len(running) >= NAMES_AT_ONCE:
                tell(await running[0])
                running.popleft()
            running.append(asyncio.ensure_future(check_caa(finder, issuance)))
        while running:
            tell(await running[0])
            running.popleft()
    finally:
        for task in running:
            task.cancel()


def describe_answer(answer: CaaAnswer) -> dict[str, Any]:
    """Make the document of one name."""
    facts, verdict = answer.facts, answer.verdict
    issuance, relevant = verdict.issuance, facts.relevant
    method = issuance.method
    return {
        "name": str(issuance),
        "issuer": " ".join(issuance.issuers),
        "account": issuance.accounts[0] if issuance.accounts else None,
        "method": method,
        "decision": verdict.decision.value,
        "cause": verdict.cause.value,
        "reason": verdict.reason,
        "found_at": verdict.found_at,
        "failed_at": relevant.at if isinstance(relevant, LookupFailed) else None,
        "dnssec": relevant.security.value,
        "unsigned_zone": facts.is_zone_unsigned,
        "record": _describe_record(verdict.record) if verdict.record else None,
        "records": [
            {
                **_describe_record(judged.record),
                "effect": judged.effect.value,
                "reason": judged.reason,
            }
            for judged in verdict.judged
        ],
        "report_to": [str(target) for target in find_targets(verdict, may_be_elsewhere=True)[0]],
        "remedy": find_remedy(verdict, (method,) if method else ()),
        "lookups": [_describe_lookup(lookup) for lookup in facts.lookups],
        "notes": list(verdict.notes),
    }


def _describe_record(record: CaaRecord) -> Mapping[str, Any]:
    return {
        "flags": record.flags,
        "tag": record.tag.decode("utf-8", "backslashreplace"),
        "value": record.value.decode("utf-8", "backslashreplace"),
    }


def _describe_lookup(lookup: Answer) -> Mapping[str, Any]:
    return {
        "name": lookup.name,
        "dnssec": lookup.security.value,
        "existence": lookup.existence.value if lookup.is_answer else None,
        "records": len(lookup.records),
        "aliases": [link.target for link in lookup.cnames],
        "ttl": lookup.ttl if lookup.is_answer else None,
        "reason": lookup.reason,
    }
