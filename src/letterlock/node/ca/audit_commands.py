"""What an operator's commands do with the audit log: it is verified, and read."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from letterlock.base.config.sections import Config
from letterlock.base.errors import LocalError
from letterlock.node.ca.keys import load_issuers
from letterlock.node.ca.rules import find_crl_port, find_crl_url
from letterlock.protocols.audit.evidence import find_authorizations, find_decisions
from letterlock.protocols.audit.heads import MAX_HEAD_OCTETS, HeadError, SignedHead, parse_head
from letterlock.protocols.audit.records import AuditRecord
from letterlock.services.ca.auditing import certificates, log
from letterlock.services.ca.auditing.grounds import MAX_RECORDS
from letterlock.services.ca.auditing.log import Verified, verify_log
from letterlock.storage.ca.audits import AuditProgress
from letterlock.storage.ca.store import AuthorityStore

PAGE = 1000


@dataclass(frozen=True, slots=True)
class AuditState:
    """How far the authority's own audit is; `head` is what was signed last."""

    certificates: AuditProgress
    log: AuditProgress
    head: SignedHead | None


async def find_state(store: AuthorityStore) -> AuditState:
    """Give how far the audit is. Raises StoreUnavailable."""
    return AuditState(
        await store.load_progress(certificates.NAME),
        await store.load_progress(log.NAME),
        await store.load_last_signed_head(),
    )


async def verify(
    config: Config, store: AuthorityStore, heads: Sequence[Path]
) -> AsyncIterator[Verified]:
    """Verify the log, beside heads that are kept in files. Raises LocalError, StoreUnavailable."""
    issuers = load_issuers(config.ca, find_crl_url(config, find_crl_port(config)))
    keys = [each.authority.issuer.key for each in issuers]
    kept = [_read_head(path) for path in heads]
    async for each in verify_log(store, keys, kept):
        yield each


async def list_records(
    store: AuthorityStore, kind: str | None, after: int
) -> AsyncIterator[AuditRecord]:
    """Give all records behind a number, or those of a kind. Raises StoreUnavailable."""
    while page := await store.list_records(after, PAGE, kind=kind):
        for each in page:
            yield each
        after = page[-1].number


async def list_records_about(store: AuthorityStore, subject: str) -> list[AuditRecord]:
    """Give the records about one thing; of an order with those of its authorizations."""
    records = list(await store.list_records_about(subject, 0, MAX_RECORDS))
    for each in find_authorizations(find_decisions(records)):
        records += await store.list_records_about(each, 0, MAX_RECORDS)
    return sorted(records, key=lambda each: each.number)


def _read_head(path: Path) -> SignedHead:
    try:
        with path.open("rb") as file:
            return parse_head(file.read(MAX_HEAD_OCTETS + 1).strip())
    except OSError as error:
        raise LocalError(f"{path}: {error.strerror}") from error
    except HeadError as error:
        raise LocalError(f"{path}: {error}") from error
