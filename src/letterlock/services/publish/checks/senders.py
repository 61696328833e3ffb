"""DKIM and DMARC records of a domain of ours.

RFC 6376 §3.6.1 (keys), RFC 7489 §6.3, §6.6.3 (one record, which a parent's may stand in for).
Judging the mail of others by them is not ours.
"""

import re
from collections.abc import Iterator

from letterlock.base.domains import Domain
from letterlock.protocols.dkim.key_record import KeyFault, KeyRecord, parse_key_record
from letterlock.services.publish.findings import Code, Finding, error, note, warning
from letterlock.services.publish.observed import Observed, show
from letterlock.services.publish.records import (
    DKIM_LABEL,
    DMARC_LABEL,
    DkimKey,
    Plan,
    PlannedRecord,
    RecordKind,
    below,
    find_planned,
    format_text,
)

DMARC_VERSION = "v=DMARC1"

# dmarc-version = "v" *WSP "=" *WSP %x44 %x4d %x41 %x52 %x43 %x31; then `p`, the first of the tags
_DMARC = re.compile(
    r"v\s*=\s*DMARC1\s*;\s*p\s*=\s*(?:none|quarantine|reject)\s*(?:;|\Z)", re.IGNORECASE
)


def check_dkim(observed: Observed, plan: Plan | None) -> Iterator[Finding]:
    """Check the keys that our mail is signed with, and those that it will be."""
    keys = {key.selector: key for key in plan.own.dkim_keys} if plan is not None else {}
    for record in find_planned(plan, RecordKind.DKIM):
        answer = observed.find(record.name, "TXT")
        if answer.is_answer:
            texts = [each for each in answer.records if isinstance(each, bytes)]
            selector = record.name.partition(f".{DKIM_LABEL}.")[0]
            yield from _check_key(record, keys[selector], texts)


def _check_key(record: PlannedRecord, key: DkimKey, texts: list[bytes]) -> Iterator[Finding]:
    complain = warning if key.is_next else error
    what = "that mail will be signed with" if key.is_next else "that mail is signed with"
    effect = "do not sign with it before it is" if key.is_next else "signatures fail"
    if not texts:
        text = f"the key {what} is not published: {effect}"
        yield complain(Code.DKIM_MISSING, record.name, text, f"add {record.line}")
        return
    if len(texts) > 1:
        text = f"there are {len(texts)} records, where one is allowed: which counts is not defined"
        yield complain(Code.DKIM_SEVERAL, record.name, text, f"leave only {record.line}")
    planned = parse_key_record(key.record.encode("ascii"))
    found = [each for each in map(parse_key_record, texts) if _is_same_key(each, planned)]
    if not found:
        text = f"another key than that {what} is published: {show(texts[0])}; {effect}"
        yield complain(Code.DKIM_DIFFERS, record.name, text, f"publish {record.line}")
    elif any(isinstance(each, KeyRecord) and each.is_testing for each in found):
        text = "the record says that DKIM is only tried (t=y): others may ignore signatures"
        yield note(Code.DKIM_TESTING, record.name, text, f"publish {record.line}")


def check_dmarc(observed: Observed, plan: Plan | None) -> Iterator[Finding]:
    """Check the domain's own record; that of a parent, where it has none, is enough too."""
    name = below(DMARC_LABEL, observed.domain)
    if name is None or not observed.find(name, "TXT").is_answer:
        return
    planned = next(iter(find_planned(plan, RecordKind.DMARC)), None)
    texts = observed.find_texts(name, DMARC_VERSION)
    if not texts:
        yield _explain_none(observed, name, planned)
    elif len(texts) > 1:
        text = f"there are {len(texts)} DMARC records, where one is allowed: none of them counts"
        yield error(Code.DMARC_SEVERAL, name, text, "leave one of them")
    elif not _DMARC.match(texts[0].decode("latin-1")):
        text = f"the DMARC record is invalid: {show(texts[0])}"
        fix = "begin it with v=DMARC1; p=none (or quarantine, or reject)"
        yield error(Code.DMARC_INVALID, name, text, fix)
    elif planned is not None and format_text(texts[0]) != planned.value:
        text = f"the DMARC record is {show(texts[0])}, where {planned.value} is suggested"
        yield note(Code.DMARC_DIFFERS, name, text, "leave it if it is meant")


def list_parents(domain: Domain) -> Iterator[Domain]:
    """Give the names above a domain that may have its DMARC record, the nearest first."""
    labels = domain.split(".")
    for start in range(1, len(labels) - 1):
        yield Domain(f"{DMARC_LABEL}.{'.'.join(labels[start:])}")


def _is_same_key(found: KeyRecord | KeyFault, planned: KeyRecord | KeyFault) -> bool:
    """Say whether a record has our key, and nothing that forbids its use: notes may differ."""
    return (
        isinstance(found, KeyRecord)
        and isinstance(planned, KeyRecord)
        and (found.key_type, found.public_key) == (planned.key_type, planned.public_key)
        and (found.hashes is None or "sha256" in found.hashes)
        and found.is_for("email")
    )


def _explain_none(observed: Observed, name: Domain, planned: PlannedRecord | None) -> Finding:
    fix = f"add {planned.line}" if planned is not None else "add a DMARC record"
    for parent in list_parents(observed.domain):
        if observed.find_texts(parent, DMARC_VERSION):
            text = f"there is no DMARC record: the one of {parent} counts"
            return note(Code.DMARC_MISSING, name, text, fix)
    text = "there is no DMARC record: large receivers ask senders for one"
    return warning(Code.DMARC_MISSING, name, text, fix)
