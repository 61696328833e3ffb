"""The DKIM-Signature field: what it says, and whether it may say that.

RFC 6376 §3.5 (tags), §6.1.1 (what must hold before a key is asked for); RFC 8301 §3.1 and RFC 8463
§3 (algorithms). What is copied in z= is not looked at.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from letterlock.base.domains import Domain, DomainError, parse_domain
from letterlock.protocols.dkim.canonical import Canonicalization
from letterlock.protocols.dkim.results import DkimResult, Unverified
from letterlock.protocols.dkim.tags import (
    TagError,
    drop_white_space,
    parse_base64,
    parse_tags,
    split_list,
)

FIELD_NAME: Final = b"dkim-signature"
MAX_FIELD_OCTETS = 64 * 1024
"""Of one signature: z= may hold a copy of the header section."""
MAX_NAMES = 1000
"""In h=."""

_REQUIRED = ("v", "a", "b", "bh", "d", "h", "s")
_ALGORITHM = re.compile(r"[A-Za-z][A-Za-z0-9]*-[A-Za-z][A-Za-z0-9]*\Z")
# RFC 5322 §3.6.8: printable ASCII but the colon.
_FIELD_NAME = re.compile(r"[!-9;-~]+\Z")
_SECONDS = re.compile(r"[0-9]{1,12}\Z")
_LENGTH = re.compile(r"[0-9]{1,76}\Z")
_ENCODED = re.compile(r"=([0-9A-F]{2})")
_QUOTED_PRINTABLE = re.compile(r"(?:[!-:<>-~\x80-\U0010ffff]|=[0-9A-F]{2})*\Z")
# The value of b=, with all white space around it (RFC 6376 §3.7).
_SIGNATURE_VALUE = re.compile(rb"(\A[^:]*:|;)([ \t\r\n]*b[ \t\r\n]*=)[^;]*")


class Algorithm(StrEnum):
    """What signatures are made with. RFC 8301 §3.1: rsa-sha1 is historic, and proves nothing."""

    RSA_SHA256 = "rsa-sha256"
    ED25519_SHA256 = "ed25519-sha256"

    @property
    def key_type(self) -> str:
        """Give the k= of its keys."""
        return self.value.partition("-")[0]

    @property
    def hash_name(self) -> str:
        """Give its name in the h= of keys."""
        return self.value.partition("-")[2]


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature that may be verified. `field` is the field without the value of b=.

    `names` are those of the signed fields, in lower case and in their order; `auid` is i=.
    `max_octets` is l=, of the canonical body. `signed` and `expires` are seconds since 1970 UTC.
    """

    field: bytes
    algorithm: Algorithm
    signature: bytes
    body_hash: bytes
    header_form: Canonicalization
    body_form: Canonicalization
    domain: Domain
    selector: Domain
    names: tuple[bytes, ...]
    auid: str
    max_octets: int | None = None
    signed: int | None = None
    expires: int | None = None

    @property
    def key_name(self) -> str:
        """Give the name of its key's TXT record (RFC 6376 §3.6.2.1). It may be too long for DNS."""
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def auid_domain(self) -> Domain:
        """Give the domain of i=."""
        return Domain(self.auid.rpartition("@")[2])


def parse_signature(field: bytes) -> Signature | Unverified:
    """Read a whole field, with or without its CRLF. One that may not count says why."""
    if len(field) > MAX_FIELD_OCTETS:
        return _refuse("the field is longer than a signature may be")
    line = field.removesuffix(b"\r\n")
    tags: dict[str, str] = {}
    try:
        tags |= parse_tags(line.partition(b":")[2])
        missing = [f"{name}=" for name in _REQUIRED if not tags.get(name)]
        if missing:
            return _refuse(f"signature missing required tag ({', '.join(missing)})", tags)
        if tags["v"] != "1":
            return _refuse(f"incompatible version ({tags['v'][:20]!r})", tags)
        return _read(remove_signature_value(line), tags)
    except _Refused as refused:
        return _refuse(str(refused), tags, refused.result)
    except (TagError, DomainError) as error:
        return _refuse(f"signature syntax error: {error}", tags)


def remove_signature_value(field: bytes) -> bytes:
    """Give a field as it is hashed: the value of b= is empty (RFC 6376 §3.7)."""
    return _SIGNATURE_VALUE.sub(rb"\1\2", field, count=1)


class _Refused(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, reason: str, result: DkimResult = DkimResult.NEUTRAL) -> None:
        super().__init__(reason)
        self.result = result


def _read(field: bytes, tags: dict[str, str]) -> Signature:
    """Read the tags. Raises _Refused, TagError and DomainError."""
    algorithm = _read_algorithm(tags["a"])
    header_form, body_form = _read_forms(tags.get("c", "simple/simple"))
    domain = _read_domain(tags["d"])
    selector = parse_domain(tags["s"])
    signature, body_hash = parse_base64(tags["b"]), parse_base64(tags["bh"])
    if signature is None or body_hash is None:
        raise TagError(f"{'b=' if signature is None else 'bh='} is not base64")
    names = _read_names(tags["h"])
    signed, expires = _read_seconds(tags, "t"), _read_seconds(tags, "x")
    if signed is not None and expires is not None and expires <= signed:
        raise TagError("x= is not after t=")
    if "dns/txt" not in split_list(tags.get("q", "dns/txt")):
        raise _Refused(f"the key is nowhere that we could ask (q={tags['q'][:40]})")
    if "l" in tags and not _LENGTH.match(tags["l"]):
        raise TagError("l= is not a number")
    return Signature(
        field,
        algorithm,
        signature,
        body_hash,
        header_form,
        body_form,
        domain,
        selector,
        names,
        _read_auid(tags.get("i"), domain),
        int(tags["l"]) if "l" in tags else None,
        signed,
        expires,
    )


def _read_algorithm(text: str) -> Algorithm:
    if not _ALGORITHM.match(text):
        raise TagError("a= names no algorithm")
    if text == "rsa-sha1":
        # RFC 8301 §3.1: "permanently failed evaluation".
        raise _Refused("rsa-sha1 must not be used any more", DkimResult.POLICY)
    try:
        return Algorithm(text)
    except ValueError:
        raise _Refused(f"the algorithm {text[:40]} is not known") from None


def _read_forms(text: str) -> tuple[Canonicalization, Canonicalization]:
    header, slash, body = text.partition("/")
    try:
        return Canonicalization(header), Canonicalization(body if slash else "simple")
    except ValueError:
        raise _Refused(f"the canonicalization {text[:40]!r} is not known") from None


def _read_domain(text: str) -> Domain:
    domain = parse_domain(text)
    if text.endswith(".") or "." not in domain:
        raise TagError("d= is not a domain of two labels or more")
    return domain


def _read_names(text: str) -> tuple[bytes, ...]:
    names = split_list(text)
    if len(names) > MAX_NAMES:
        raise TagError(f"h= has more than {MAX_NAMES} names")
    if not all(map(_FIELD_NAME.match, names)):
        raise TagError("h= has something that is no name of a field")
    lower = tuple(name.lower().encode("ascii") for name in names)
    if b"from" not in lower:
        raise _Refused("From field not signed", DkimResult.PERMERROR)
    return lower


def _read_seconds(tags: dict[str, str], name: str) -> int | None:
    text = tags.get(name)
    if text is None:
        return None
    if not _SECONDS.match(text):
        raise TagError(f"{name}= is not a number of at most 12 digits")
    return int(text)


def _read_auid(text: str | None, domain: Domain) -> str:
    """Give i= with its domain in our form. Raises what `_read` does."""
    if text is None:
        return f"@{domain}"
    encoded = drop_white_space(text)
    if not _QUOTED_PRINTABLE.match(encoded):
        raise TagError("i= is not quoted-printable as DKIM has it")
    local, at, own = _ENCODED.sub(lambda found: chr(int(found[1], 16)), encoded).rpartition("@")
    if not at:
        raise TagError("i= has no @")
    own_domain = parse_domain(own)
    if own_domain != domain and not own_domain.endswith(f".{domain}"):
        raise _Refused("domain mismatch: i= is not below d=", DkimResult.PERMERROR)
    return f"{local}@{own_domain}"


def _refuse(
    reason: str, tags: dict[str, str] | None = None, result: DkimResult = DkimResult.NEUTRAL
) -> Unverified:
    domain = (tags or {}).get("d", "")
    try:
        return Unverified(result, reason, parse_domain(domain) if domain else None)
    except DomainError:
        return Unverified(result, reason)
