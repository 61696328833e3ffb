"""How facts are written into the audit log: DNS answers, looks at CAA, problems, as plain texts.

Baseline Requirements 5.4.1. All of it is bounded, as much of it is what somebody's servers said: of
an answer that is too long, records are left out and counted. RFC 8659 §4.1.1 (CAA as a text),
RFC 1035 §5.1 (octets as a text).
"""

from datetime import datetime

from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.audit.decisions import LoggedAnswer, LoggedCaaLook, LoggedProblem
from letterlock.protocols.caa.decide import CaaVerdict
from letterlock.protocols.caa.relevant import RecordSet
from letterlock.protocols.dns.answers import Answer, MxRecord, Record, SoaRecord

MAX_RECORDS = 100
MAX_RECORD_CHARACTERS = 2000
MAX_ANSWER_CHARACTERS = 8000
MAX_ALIASES = 20
MAX_LINE_CHARACTERS = 1000


def describe_answer(answer: Answer) -> LoggedAnswer:
    """Write an answer down; those of its records that are much too long are counted alone."""
    texts: list[str] = []
    room = MAX_ANSWER_CHARACTERS
    for record in answer.records[:MAX_RECORDS]:
        text = describe_record(record)
        if len(text) <= min(MAX_RECORD_CHARACTERS, room):
            texts.append(text)
            room -= len(text)
    return LoggedAnswer(
        name=str(answer.name),
        type=answer.rdtype,
        security=str(answer.security),
        existence=str(answer.existence),
        records=tuple(texts),
        owner=answer.owner,
        aliases=tuple(
            f"{each.name} -> {each.target} ({each.security})"
            for each in answer.cnames[:MAX_ALIASES]
        ),
        ttl=answer.ttl,
        reason=shorten_line(answer.reason),
        extended_error=answer.extended_error,
        left_out=len(answer.records) - len(texts),
    )


def describe_record(record: Record) -> str:
    """Write one record as a zone file would."""
    if isinstance(record, MxRecord):
        return f"{record.preference} {record.exchange or ''}."
    if isinstance(record, SoaRecord):
        return f"{record.mname or '?'} {record.serial} {record.minimum}"
    if isinstance(record, bytes):
        return "".join(
            f"\\{octet:03d}" if octet in b'"\\' or not 0x20 <= octet < 0x7F else chr(octet)
            for octet in record[: MAX_RECORD_CHARACTERS + 1]
        )
    return str(record)


def describe_problem(problem: Problem | None) -> LoggedProblem | None:
    """Write a problem down, with its subproblems; None stays None."""
    if problem is None:
        return None
    name = problem.identifier.value if problem.identifier is not None else None
    below = tuple(found for each in problem.subproblems if (found := describe_problem(each)))
    return LoggedProblem(problem.type, shorten_line(problem.detail), name, below)


def describe_caa_look(
    verdict: CaaVerdict,
    began: datetime,
    lookups: tuple[Answer, ...],
    place: tuple[str, str] | None = None,
) -> LoggedCaaLook:
    """Write a look at CAA down; `place` is the perspective's name and region, None: our own."""
    found = verdict.relevant
    perspective, region = place or (None, None)
    return LoggedCaaLook(
        name=str(verdict.issuance),
        began=began,
        decision=str(verdict.decision),
        cause=str(verdict.cause),
        reason=shorten_line(verdict.reason),
        lookups=tuple(describe_answer(each) for each in lookups),
        accounts=verdict.issuance.accounts,
        method=verdict.issuance.method,
        found_at=verdict.found_at,
        ttl=found.ttl if isinstance(found, RecordSet) else None,
        perspective=perspective,
        region=region,
    )


def shorten_line(text: str) -> str:
    """Make one line of at most MAX_LINE_CHARACTERS."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_LINE_CHARACTERS else f"{line[:MAX_LINE_CHARACTERS]}..."
