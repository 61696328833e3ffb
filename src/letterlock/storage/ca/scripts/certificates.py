"""Serial numbers, and the certificates that come of them."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

import msgspec

from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.acme.renewal_info import CertificateId
from letterlock.protocols.acme.server.objects import Certificate
from letterlock.storage.ca.changes import AddCertificate, AddSerial, ChangeCertificate
from letterlock.storage.ca.documents import CERTIFICATE, GROUNDS, Grounds
from letterlock.storage.ca.kept import Issued, ListedCertificate, ReservedSerial
from letterlock.storage.ca.scripts.keys import find_name, identifier_text, name_values, serial_text
from letterlock.storage.ca.scripts.script import Row, Script, Value, array, require
from letterlock.storage.records import from_micros, to_micros

_ADD_SERIAL = """
    INSERT INTO serials (serial, issuer, order_id, profile, moment, not_after, is_used)
    VALUES (?, ?, ?, ?, ?, ?, 0)
"""
_USE_SERIAL = """
    UPDATE serials SET is_used = 1
    WHERE serial = ? AND issuer = ? AND order_id = ? AND is_used = 0 AND NOT EXISTS (
        SELECT 1 FROM revocations
        WHERE revocations.issuer = serials.issuer AND revocations.serial = serials.serial
    ) AND NOT EXISTS (SELECT 1 FROM blocked_keys WHERE spki_sha256 = ?) RETURNING 1
"""
_UNUSED_SERIALS = """
    SELECT serials.serial, serials.issuer, order_id, profile, serials.moment, serials.not_after
    FROM serials LEFT JOIN revocations USING (issuer, serial)
    WHERE is_used = 0 AND serials.moment < ? AND revocations.serial IS NULL
    ORDER BY serials.moment LIMIT ?
"""
_ADD = """
    INSERT INTO certificates (
        certificate_id, serial, issuer, account_id, spki_sha256, not_after, is_open, chains,
        document, grounds, der
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number
"""
_ADD_NAMES = """
    INSERT INTO certificate_names (identifier, number)
    SELECT value, ? FROM {each} WHERE true ON CONFLICT DO NOTHING
"""
_ADD_CHAIN = "INSERT INTO chains (chain_id, pem) VALUES (?, ?) ON CONFLICT DO NOTHING"
_CHAINS = "SELECT chain_id, pem FROM chains WHERE chain_id IN (SELECT value FROM {each})"
_DOCUMENT = "SELECT document FROM certificates WHERE certificate_id = ?"
_CHANGE = "UPDATE certificates SET is_open = ?, document = ? WHERE certificate_id = ?"
_SELECT = """
    SELECT certificates.number, document, grounds, spki_sha256, chains, der FROM certificates
"""
_PAGE = "AND certificates.number > ? ORDER BY certificates.number LIMIT ?"
_ALL = f"{_SELECT} WHERE true {_PAGE}"
_BY_ID = f"{_SELECT} WHERE certificate_id = ?"
_BY_NAME = f"{_SELECT} WHERE serial = ? AND issuer = ?"
_UNREPLACED = f"{_SELECT} WHERE is_open = 1 AND not_after > ? {_PAGE}"
_OF_ACCOUNT = f"{_SELECT} WHERE account_id = ? {_PAGE}"
_OF_KEY = f"{_SELECT} WHERE spki_sha256 = ? {_PAGE}"
_OF_NAME = f"""
    {_SELECT} JOIN certificate_names USING (number)
    WHERE identifier = ? AND certificate_names.number > ?
    ORDER BY certificate_names.number LIMIT ?
"""
_OF_SERIALS = f"{_SELECT} WHERE serial IN (SELECT value FROM {{each}}) ORDER BY number"  # noqa: S608 - constants

MAX_REMEMBERED = 64
"""Chains, of some 4 KB each: an authority has one or two at a time."""
_REMEMBERED: dict[str, bytes] = {}


def add_serial(change: AddSerial) -> Script[None]:
    new = change.serial
    values = (*name_values(new.name), new.order_id, new.profile)
    yield _ADD_SERIAL, (*values, to_micros(new.moment), to_micros(new.not_after))


def list_unused_serials(before: datetime, limit: int) -> Script[tuple[ReservedSerial, ...]]:
    rows = yield _UNUSED_SERIALS, (to_micros(before), limit)
    return tuple(
        ReservedSerial(
            find_name(serial, issuer), order_id, profile, from_micros(moment), from_micros(ends)
        )
        for serial, issuer, order_id, profile, moment, ends in rows
    )


def add_certificate(change: AddCertificate) -> Script[None]:
    issued = change.issued
    new = issued.certificate
    if new.chain_count != len(issued.chains):
        raise ValueError(f"certificate {new.id} has not as many chains as it says")
    serial, issuer = name_values(new.name)
    require((yield _USE_SERIAL, (serial, issuer, new.order_id, issued.spki_sha256)))
    chains = [(sha256(pem).hexdigest(), pem) for pem in issued.chains]
    for each in chains:
        yield _ADD_CHAIN, each
    grounds = Grounds(issued.profile, to_micros(issued.issued), issued.lint, issued.names)
    values = (new.id, serial, issuer, new.account_id, issued.spki_sha256)
    rows = yield (
        _ADD,
        (
            *(*values, to_micros(new.not_after), _is_open(new)),
            *(array(chain_id for chain_id, _ in chains), CERTIFICATE.write(new)),
            *(GROUNDS.write(grounds), issued.der),
        ),
    )
    yield _ADD_NAMES, (rows[0][0], array(identifier_text(each) for each in new.identifiers))


def change_certificate(change: ChangeCertificate) -> Script[None]:
    before, after = change.before, change.after
    rows = yield _DOCUMENT, (before.id,)
    require(rows and CERTIFICATE.is_same(rows[0][0], before))
    yield _CHANGE, (_is_open(after), CERTIFICATE.write(after), before.id)


def load_certificate(certificate_id: str) -> Script[Issued | None]:
    return (yield from _load_one(_BY_ID, certificate_id))


def find_certificate(name: CertificateId) -> Script[Issued | None]:
    return (yield from _load_one(_BY_NAME, *name_values(name)))


def list_certificates(after: int, limit: int) -> Script[tuple[ListedCertificate, ...]]:
    return (yield from _load_all(_ALL, after, limit))


def list_unreplaced(now: datetime, after: int, limit: int) -> Script[tuple[ListedCertificate, ...]]:
    return (yield from _load_all(_UNREPLACED, to_micros(now), after, limit))


def list_of_account(
    account_id: str, after: int, limit: int
) -> Script[tuple[ListedCertificate, ...]]:
    return (yield from _load_all(_OF_ACCOUNT, account_id, after, limit))


def list_of_name(
    identifier: Identifier, after: int, limit: int
) -> Script[tuple[ListedCertificate, ...]]:
    return (yield from _load_all(_OF_NAME, identifier_text(identifier), after, limit))


def list_of_key(
    spki_sha256: bytes, after: int, limit: int
) -> Script[tuple[ListedCertificate, ...]]:
    return (yield from _load_all(_OF_KEY, spki_sha256, after, limit))


def list_of_serials(serials: Sequence[int]) -> Script[tuple[ListedCertificate, ...]]:
    return (yield from _load_all(_OF_SERIALS, array(serial_text(each) for each in serials)))


def _load_one(sql: str, *values: Value) -> Script[Issued | None]:
    found = yield from _load_all(sql, *values)
    return found[0].issued if found else None


def _load_all(sql: str, *values: Value) -> Script[tuple[ListedCertificate, ...]]:
    rows = yield sql, values
    if not rows:
        return ()
    chain_ids = {each for row in rows for each in _read_ids(row[4])}
    pems = yield from _load_chains(chain_ids)
    return tuple(ListedCertificate(row[0], _read(row, pems)) for row in rows)


def _load_chains(chain_ids: set[str]) -> Script[dict[str, bytes]]:
    """Give chains by their ids, which are their digests: what was read once is so for ever."""
    pems = {each: pem for each in chain_ids if (pem := _REMEMBERED.get(each)) is not None}
    if len(pems) < len(chain_ids):
        found: dict[str, bytes] = dict((yield _CHAINS, (array(chain_ids - pems.keys()),)))
        pems |= found
        if len(_REMEMBERED) + len(found) > MAX_REMEMBERED:
            _REMEMBERED.clear()
        if len(found) <= MAX_REMEMBERED:
            _REMEMBERED.update(found)
    return pems


def _read(row: Row, pems: dict[str, bytes]) -> Issued:
    _, document, kept, spki_sha256, chains, der = row
    grounds = GROUNDS.read(kept)
    return Issued(
        certificate=CERTIFICATE.read(document),
        der=der,
        chains=tuple(pems[each] for each in _read_ids(chains)),
        spki_sha256=spki_sha256,
        profile=grounds.profile,
        issued=from_micros(grounds.issued),
        lint=grounds.lint,
        names=grounds.names,
    )


def _is_open(certificate: Certificate) -> int:
    return int(certificate.revoked is None and certificate.replaced_by is None)


def _read_ids(text: str) -> Sequence[str]:
    return msgspec.json.decode(text, type=list[str])
