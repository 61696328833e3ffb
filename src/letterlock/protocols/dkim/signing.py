"""Making a signature: which fields it covers, and the field that says so.

RFC 6376 §5.4 (fields), §5.5, §5.6; RFC 8301 §3, RFC 8463 §3 (algorithms); RFC 8460 §5.3 (fields
of reports). Header and body are canonicalized `relaxed`: mail survives relays that fold anew or
drop white space. There is never an l=: it would let others add to the body.
"""

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from letterlock.base.domains import Domain
from letterlock.protocols.dkim.canonical import Canonicalization, canonicalize_field
from letterlock.protocols.dkim.key_record import PublicKey, format_key_record
from letterlock.protocols.dkim.signature import Algorithm

PrivateKey = RSAPrivateKey | Ed25519PrivateKey

BODY_FORM = Canonicalization.RELAXED
MAX_SIGNED_OF_A_NAME = 20

# A list says that there are no more of a name by naming it once more (RFC 6376 §5.4): always for
# these, which people see or answer to, and which nobody adds to a message on its way ...
_ALWAYS_CLOSED = ("From", "Reply-To", "To", "Cc", "Subject")
# ... for these where they are there: a relay may add one that is missing ...
_CLOSED = (
    *("Sender", "Date", "Message-ID", "In-Reply-To", "References", "Content-Type"),
    *("MIME-Version", "Content-Transfer-Encoding", "Content-ID", "Content-Description"),
    *("TLS-Report-Domain", "TLS-Report-Submitter"),
)
# ... and for these never: a list or a forwarder adds its own.
_OPEN = (
    *("Resent-Date", "Resent-From", "Resent-To", "Resent-Cc"),
    *("List-Id", "List-Help", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Subscribe"),
    *("List-Post", "List-Owner", "List-Archive", "Autocrypt"),
)
_RULES = tuple(
    (name, name.lower().encode("ascii"), is_closed, is_always)
    for names, is_closed, is_always in (
        (_ALWAYS_CLOSED, True, True),
        (_CLOSED, True, False),
        (_OPEN, False, False),
    )
    for name in names
)
_NAMES = frozenset(name for _, name, _, _ in _RULES)

_HASH_CHARACTERS = 44
_ED25519_OCTETS = 64
_PADDING = PKCS1v15()
_HASH = Prehashed(SHA256())
_LINE_CHARACTERS = 72
_FOLD = "\r\n\t"
_VALUE_FOLD = b"\r\n\t "
_VALUE_TAG = b";\r\n\tb="


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key with its place in DNS."""

    domain: Domain
    selector: Domain
    key: PrivateKey = field(repr=False)
    algorithm: Algorithm = field(init=False)
    """What signatures are made with."""
    value_octets: int = field(init=False)
    """How long the value of b= is as we write it."""

    def __post_init__(self) -> None:
        """Ask once: isinstance is slow for these classes."""
        if isinstance(self.key, RSAPrivateKey):
            octets = (self.key.key_size + 7) // 8
            object.__setattr__(self, "algorithm", Algorithm.RSA_SHA256)
        else:
            octets = _ED25519_OCTETS
            object.__setattr__(self, "algorithm", Algorithm.ED25519_SHA256)
        object.__setattr__(self, "value_octets", len(_format_value(bytes(octets))))

    @property
    def public_key(self) -> PublicKey:
        """Give what is published of it."""
        return self.key.public_key()

    @property
    def record(self) -> str:
        """Give the text of its TXT record."""
        return format_key_record(self.public_key)


@dataclass(frozen=True, slots=True)
class SignedFields:
    """The fields of a message that are signed: the value of h=, and their canonical octets."""

    names: str
    octets: bytes


def select_fields(fields: Iterable[tuple[bytes, bytes]]) -> SignedFields:
    """Choose what is signed of the fields that `split_fields` gives, of each name from below."""
    found: dict[bytes, list[bytes]] = {}
    for name, octets in fields:
        if name in _NAMES:
            found.setdefault(name, []).append(octets)
    names: list[str] = []
    taken: list[bytes] = []
    for written, name, is_closed, is_always in _RULES:
        if (all_octets := found.get(name)) is not None:
            kept = all_octets[: -MAX_SIGNED_OF_A_NAME - 1 : -1]
            taken += [canonicalize_field(each, Canonicalization.RELAXED) for each in kept]
            # One that names none, when some are left over, would name one of those.
            names += [written] * (len(kept) + (is_closed and len(kept) == len(all_octets)))
        elif is_always:
            names.append(written)
    return SignedFields(_fold_names(tuple(names)), b"".join(taken))


@dataclass(frozen=True, slots=True)
class PlannedSignature:
    """A signature before the body is known; `octets` is the length of its field."""

    key: SigningKey
    fields: SignedFields
    beginning: bytes
    octets: int

    def make(self, body_hash: bytes) -> bytes:
        """Make the DKIM-Signature field, with its CRLF; `body_hash` is `BodyHash(BODY_FORM)`'s."""
        head = self.beginning + b64encode(body_hash) + _VALUE_TAG
        # RFC 6376 §3.7: this field comes last, without a value of b= and without a line end.
        hashed = sha256(self.fields.octets)
        hashed.update(canonicalize_field(head, Canonicalization.RELAXED))
        return head + _format_value(_sign(self.key, hashed.digest()))


def plan_signature(
    key: SigningKey, fields: SignedFields, now: datetime, lifetime: timedelta | None = None
) -> PlannedSignature:
    """Begin a signature. With a `lifetime` it says when it expires (x=)."""
    seconds = int(now.timestamp())
    expires = f" x={seconds + int(lifetime.total_seconds())};" if lifetime is not None else ""
    beginning = (
        f"DKIM-Signature: v=1; a={key.algorithm}; c=relaxed/{BODY_FORM};{_FOLD}"
        f"d={key.domain};{_FOLD}s={key.selector}; t={seconds};{expires}{_FOLD}"
        f"h={fields.names};{_FOLD}bh="
    ).encode("ascii")
    octets = len(beginning) + _HASH_CHARACTERS + len(_VALUE_TAG) + key.value_octets
    return PlannedSignature(key, fields, beginning, octets)


def _format_value(signature: bytes) -> bytes:
    encoded = b64encode(signature)
    starts = range(0, len(encoded), _LINE_CHARACTERS)
    lines = [encoded[start : start + _LINE_CHARACTERS] for start in starts]
    return _VALUE_FOLD.join(lines) + b"\r\n"


def _sign(key: SigningKey, digest: bytes) -> bytes:
    if isinstance(key.key, Ed25519PrivateKey):
        return key.key.sign(digest)  # RFC 8463 §3: of the hash, not of what was hashed
    return key.key.sign(digest, _PADDING, _HASH)


@lru_cache(maxsize=256)  # most messages of a program have the same fields
def _fold_names(names: tuple[str, ...]) -> str:
    lines = [names[0]]
    for name in names[1:]:
        if len(lines[-1]) + len(name) < _LINE_CHARACTERS:
            lines[-1] += f":{name}"
        else:
            lines.append(name)
    return f":{_FOLD} ".join(lines)
