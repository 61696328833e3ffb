"""The authority's objects as JSON, as both engines keep them beside the columns that are searched.

A field that a later release adds with a default is read from older documents as that default. What
is kept is compared with what is expected as values (`is_same`), so documents of several releases
stand beside each other. Keys are JWKs; reading the same one again costs nothing.
"""

import dataclasses
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Generic, TypeVar, get_type_hints

import msgspec

from letterlock.protocols.acme.fields import Fields
from letterlock.protocols.acme.server.objects import Account, Authorization, Certificate, Order
from letterlock.protocols.acme.server.public_keys import PublicKey, read_public_key
from letterlock.protocols.caa.rechecks import CaaCheck, ProvedName
from letterlock.protocols.pki.issuance.lint_records import LintRecord
from letterlock.storage.ca.audits import AuditProgress
from letterlock.storage.ca.incidents import Incident
from letterlock.storage.ca.kept import Halt

REMEMBERED_KEYS = 10_000
"""Some 2 KB each."""
REMEMBERED_DOCUMENTS = 256
"""Of each form, and as long as `MAX_REMEMBERED` characters: an order's requests come together."""
MAX_REMEMBERED = 4096

T = TypeVar("T")


class Form(Generic[T]):
    """How values of a dataclass are written and read. Its fields of type PublicKey become JWKs.

    What was read of late is remembered by its text: values don't change, and each is read some five
    times within a few requests.
    """

    def __init__(self, type_: type[T]) -> None:
        hints = get_type_hints(type_)
        self._keys = tuple(name for name, hint in hints.items() if hint is PublicKey)
        self._type = type_
        self._mirror = _make_mirror(type_, hints) if self._keys else type_
        self._names = tuple(hints)
        self._encode = msgspec.json.Encoder().encode
        self._decode: Callable[[str], Any] = msgspec.json.Decoder(self._mirror).decode
        self._remembered: dict[str, T] = {}

    def write(self, value: T) -> str:
        """Encode a value."""
        if not self._keys:
            return self._encode(value).decode()
        members = {name: getattr(value, name) for name in self._names}
        return self._encode(members | {name: members[name].jwk for name in self._keys}).decode()

    def read(self, document: str) -> T:
        """Decode a document that was written. Raises ValueError for any other."""
        value = self._remembered.get(document)
        if value is None:
            value = self._read(document)
            if len(document) <= MAX_REMEMBERED:
                if len(self._remembered) >= REMEMBERED_DOCUMENTS:
                    self._remembered.clear()
                self._remembered[document] = value
        return value

    def is_same(self, document: str, value: T) -> bool:
        """Tell whether a document has a value, however it was written."""
        return (
            self._remembered.get(document) is value
            or document == self.write(value)
            or self.read(document) == value
        )

    def _read(self, document: str) -> T:
        found = self._decode(document)
        if not self._keys:
            value: T = found
            return value
        members = {name: getattr(found, name) for name in self._names}
        for name in self._keys:
            members[name] = _read_key(tuple(members[name].items()))
        return self._type(**members)


@lru_cache(maxsize=REMEMBERED_KEYS)
def _read_key(jwk: tuple[tuple[str, str], ...]) -> PublicKey:
    return read_public_key(Fields(dict(jwk), "key"))


def _make_mirror(type_: type[Any], hints: dict[str, Any]) -> type[Any]:
    """Make a type of the same fields, with a mapping for each key."""
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for each in dataclasses.fields(type_):
        hint = dict[str, str] if hints[each.name] is PublicKey else hints[each.name]
        is_required = each.default is dataclasses.MISSING
        fields.append((each.name, hint) if is_required else (each.name, hint, each.default))
    return msgspec.defstruct(f"{type_.__name__}Document", fields, frozen=True)


@dataclasses.dataclass(frozen=True, slots=True)
class Grounds:
    """What of `kept.Issued` is only read with it."""

    profile: str
    issued: int
    lint: LintRecord
    names: tuple[ProvedName, ...]


ACCOUNT = Form(Account)
AUTHORIZATION = Form(Authorization)
ORDER = Form(Order)
CERTIFICATE = Form(Certificate)
CHECK = Form(CaaCheck)
GROUNDS = Form(Grounds)
HALT = Form(Halt)
INCIDENT = Form(Incident)
PROGRESS = Form(AuditProgress)
