"""Whether an audit log is as it was written: which record is changed, missing or out of its place.

Records are given in the order in which they stand, each with the digest that stands with it. After
a break the look goes on with that digest, so that what is good behind it is not named too.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from letterlock.protocols.audit.records import START, AuditRecord, Head, hash_record, head_of

MAX_BREAKS = 100


@dataclass(frozen=True, slots=True)
class Break:
    """Something is wrong with a record; `reason` is one line."""

    number: int
    reason: str

    def __str__(self) -> str:
        return f"record {self.number}: {self.reason}"


@dataclass(slots=True)
class ChainVerifier:
    """Takes records one by one. `head` is where the log ends, as far as it was read.

    `known` are heads that were signed once, by the numbers of their records.
    """

    head: Head = START
    known: Mapping[int, bytes] = field(default_factory=dict)

    def receive(self, record: AuditRecord) -> tuple[Break, ...]:
        """Take the next record; gives what is wrong there."""
        before, self.head = self.head, head_of(record)
        found = _find_order_break(before.number + 1, record)
        is_known = self.known.get(record.number, record.hash) == record.hash
        if not is_known:
            reason = "it is not the one whose head was signed: the log was written anew"
            found = (*found, Break(record.number, reason))
        if found:
            return found
        if hash_record(before.hash, record) == record.hash:
            return ()
        reason = "it was changed, or it does not follow the one before"
        return (Break(record.number, reason),)

    def finish(self) -> tuple[Break, ...]:
        """Say that this was all; gives what was cut off, as heads tell that were signed."""
        last = max(self.known, default=0)
        if last <= self.head.number:
            return ()
        reason = f"it is missing, and all up to {last}: the log was cut off"
        return (Break(self.head.number + 1, reason),)


def find_breaks(
    records: Iterable[AuditRecord],
    after: Head = START,
    signed: Sequence[Head] = (),
) -> Iterator[Break]:
    """Give all that is wrong with a log, or a part of it that begins behind `after`."""
    reader = ChainVerifier(after, {each.number: each.hash for each in signed})
    for record in records:
        yield from reader.receive(record)
    yield from reader.finish()


def _find_order_break(wanted: int, record: AuditRecord) -> tuple[Break, ...]:
    if record.number == wanted:
        return ()
    if record.number < wanted:
        return (Break(record.number, f"it stands where record {wanted} should"),)
    last = record.number - 1
    more = "" if last == wanted else f", and all up to {last}"
    return (Break(wanted, f"it is missing{more}"),)
