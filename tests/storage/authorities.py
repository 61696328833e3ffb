"""The authority's store on each engine, and objects to keep in it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it has no types
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain
from letterlock.protocols.acme.identifiers import DNS, Identifier
from letterlock.protocols.acme.renewal_info import CertificateId
from letterlock.protocols.acme.server.objects import (
    Account,
    Authorization,
    Certificate,
    Challenge,
    Order,
)
from letterlock.protocols.acme.server.public_keys import PublicKey, make_public_key
from letterlock.protocols.acme.states import AccountStatus, AuthorizationStatus, OrderStatus
from letterlock.protocols.audit.decisions import HaltLogged
from letterlock.protocols.audit.records import AuditEntry
from letterlock.protocols.caa.decide import CaaDecision, Issuance
from letterlock.protocols.caa.rechecks import CaaCheck, ProvedName
from letterlock.protocols.pki.issuance.issuers import make_serial
from letterlock.protocols.pki.issuance.lint_records import LintRecord
from letterlock.storage.ca.kept import Issued, ReservedSerial
from letterlock.storage.ca.store import AuthorityStore
from letterlock.storage.postgres.ca.store import PostgresAuthority
from letterlock.storage.sqlite.ca.store import SqliteAuthority
from tests.fakes import START

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
ISSUER = bytes(range(20))
CHAIN = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
TABLES = (
    *("accounts", "authorizations", "orders", "work", "serials", "certificates"),
    *("certificate_names", "chains", "revocations", "shards", "blocked_keys", "nonces"),
    *("counters", "paused_names", "secrets", "halt", "audit"),
    *("incidents", "affected", "audit_progress", "audit_heads", "external_keys"),
)

MakeStore = Callable[[], AuthorityStore]


def sqlite_store(path: Path, clock: Clock) -> AuthorityStore:
    return SqliteAuthority(path, clock)


def postgres_store(dsn: str, clock: Clock) -> AuthorityStore:
    return PostgresAuthority(dsn, "node1", clock)


async def emptied_authority(dsn: str) -> str:
    """Give the same database with empty tables: emptying is quicker than making."""
    connection = await asyncpg.connect(dsn)
    if await connection.fetchval("SELECT to_regclass('letterlock_authority.audit')") is not None:
        # Without triggers: the log is not to be emptied.
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(
            "".join(f"DELETE FROM letterlock_authority.{table};" for table in TABLES)
        )
        await connection.execute("UPDATE letterlock_authority.nonce_horizon SET moment = 0")
    await connection.close()
    return dsn


def make_key() -> PublicKey:
    return make_public_key(generate_private_key(SECP256R1()).public_key())


KEYS = tuple(make_key() for _ in range(4))


def make_account(account_id: str = "account-1", key: PublicKey = KEYS[0]) -> Account:
    return Account(account_id, key, AccountStatus.VALID, ("mailto:a@example.org",))


def name(text: str) -> Identifier:
    return Identifier(DNS, text)


def make_authorization(
    authorization_id: str, ordered: str = "a.example", account_id: str = "account-1"
) -> Authorization:
    return Authorization(
        id=authorization_id,
        account_id=account_id,
        identifier=name(ordered.removeprefix("*.")),
        status=AuthorizationStatus.PENDING,
        expires=START + 7 * DAY,
        challenges=(Challenge("http-01", "token"), Challenge("dns-01", "token")),
        is_wildcard=ordered.startswith("*."),
        profile="a",
    )


def make_order(
    order_id: str, *authorizations: Authorization, account_id: str = "account-1"
) -> Order:
    return Order(
        id=order_id,
        account_id=account_id,
        identifiers=tuple(each.ordered for each in authorizations),
        authorization_ids=tuple(each.id for each in authorizations),
        status=OrderStatus.PENDING,
        expires=START + 7 * DAY,
        profile="a",
        replaces=CertificateId(ISSUER, make_serial(bytes(17), 4)),
    )


def validated(authorization: Authorization) -> Authorization:
    return replace(authorization, status=AuthorizationStatus.VALID)


def make_check(authorization: Authorization) -> CaaCheck:
    domain = Domain(authorization.identifier.value)
    issuance = Issuance(domain, authorization.is_wildcard, ("ca.example",), (), "http-01")
    return CaaCheck(issuance, CaaDecision.ALLOW, START, timedelta(minutes=5))


def make_name(number: int) -> CertificateId:
    return CertificateId(ISSUER, make_serial(number.to_bytes(17, "big"), 1))


def reserve(number: int, order_id: str = "order-1") -> ReservedSerial:
    return ReservedSerial(make_name(number), order_id, "a", START, START + 90 * DAY)


def make_issued(
    number: int, *names: str, order_id: str = "order-1", account_id: str = "account-1"
) -> Issued:
    identifiers = tuple(name(each) for each in names or ("a.example",))
    certificate = Certificate(
        id=f"certificate-{number}",
        name=make_name(number),
        account_id=account_id,
        order_id=order_id,
        identifiers=identifiers,
        not_before=START,
        not_after=START + 90 * DAY,
        key=KEYS[-1],
    )
    return Issued(
        certificate=certificate,
        der=b"der %d" % number,
        chains=(CHAIN,),
        spki_sha256=number.to_bytes(32, "big"),
        profile="a",
        issued=START,
        lint=LintRecord((), ("excused: why",), "linter 1", "ab"),
        names=tuple(_prove(each) for each in identifiers),
    )


def _prove(identifier: Identifier) -> ProvedName:
    domain = Domain(identifier.base)
    issuance = Issuance(domain, identifier.is_wildcard, ("ca.example",), (), "dns-01")
    check = CaaCheck(issuance, CaaDecision.ALLOW, START, None)
    return ProvedName(identifier, issuance, check)


def logged(why: str) -> AuditEntry:
    return AuditEntry(START, HaltLogged(is_halted=True, why=why, who="test"))
