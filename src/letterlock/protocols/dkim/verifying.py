"""Verification of a message's signatures, while its body comes by.

RFC 6376 §6.1, RFC 8301 §3. Keys are asked for by the caller, with the names that `Verifier` gives.
RFC 6376 §6.1.3 leaves it to us what an unsigned rest of a body means: such a signature does not
pass. Several records at one name are undefined (§3.6.2.2): each is tried.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from letterlock.base.domains import MAX_DOMAIN_OCTETS, Domain
from letterlock.protocols.dkim.canonical import BodyHashes, Canonicalization, canonicalize_field
from letterlock.protocols.dkim.fields import FieldStack, split_fields
from letterlock.protocols.dkim.key_record import (
    MIN_RSA_BITS,
    KeyFault,
    KeyRecord,
    PublicKey,
    parse_key_record,
    read_public_key,
)
from letterlock.protocols.dkim.results import DkimResult, SignatureResult, Unverified
from letterlock.protocols.dkim.signature import FIELD_NAME, Signature, parse_signature

MAX_SIGNATURES = 10
"""RFC 6376 §8.4: somebody may put any number of them there, each with a question to DNS."""
MAX_KEY_RECORDS = 4
"""Tried at one name."""


@dataclass(frozen=True, slots=True)
class KeyUnavailable:
    """DNS did not answer: it may later."""

    reason: str


KeyAnswer = tuple[bytes, ...] | KeyUnavailable
"""The TXT records at a name, the strings of each joined; none: there is no key."""

_Outcome = tuple[DkimResult, str]


class Verifier:
    """Verifies the first MAX_SIGNATURES signatures of one message.

    `header` is its header section without the empty line; lines end with CRLF. `service` is the s=
    that keys must be good for.
    """

    def __init__(self, header: bytes, now: datetime, service: str = "email") -> None:
        self._now = now.timestamp()
        self._service = service
        self._fields = split_fields(header)
        places = [at for at, (name, _) in enumerate(self._fields) if name == FIELD_NAME]
        self._places = places[:MAX_SIGNATURES]
        self._signatures = [parse_signature(self._fields[at][1]) for at in self._places]
        limits: dict[Canonicalization, list[int | None]] = {}
        for each in self._signatures:
            if isinstance(each, Signature):
                limits.setdefault(each.body_form, []).append(each.max_octets)
        self._bodies = {form: BodyHashes(form, those) for form, those in limits.items()}
        self._signed: dict[int, bytes] = {}

    @property
    def key_names(self) -> tuple[Domain, ...]:
        """Give the names of the TXT records that `finish` wants to have."""
        signatures = [each for each in self._signatures if isinstance(each, Signature)]
        names = [each.key_name for each in signatures if not self._is_expired(each)]
        short = [Domain(name) for name in names if len(name) <= MAX_DOMAIN_OCTETS]
        return tuple(dict.fromkeys(short))

    def receive(self, piece: bytes) -> None:
        """Take the next octets of the body."""
        for body in self._bodies.values():
            body.receive(piece)

    def finish(self, keys: Mapping[Domain, KeyAnswer]) -> tuple[SignatureResult, ...]:
        """End the body; gives a result for each signature, in the order of the fields.

        A name that `keys` does not have counts as one without records.
        """
        for body in self._bodies.values():
            body.finish()
        return tuple(
            self._finish(each, at, keys)
            for each, at in zip(self._signatures, self._places, strict=True)
        )

    def _finish(
        self, signature: Signature | Unverified, at: int, keys: Mapping[Domain, KeyAnswer]
    ) -> SignatureResult:
        if isinstance(signature, Unverified):
            return SignatureResult(signature.result, signature.reason, signature.domain or "")
        record: KeyRecord | None = None
        if self._is_expired(signature):
            outcome: _Outcome = (DkimResult.POLICY, "signature expired")
        else:
            answer = keys.get(Domain(signature.key_name), ())
            outcome, record = self._try_keys(signature, at, answer)
        return SignatureResult(
            *outcome,
            signature.domain,
            signature.selector,
            signature.auid,
            signature.algorithm,
            is_testing=record is not None and record.is_testing,
            has_length=signature.max_octets is not None,
        )

    def _try_keys(
        self, signature: Signature, at: int, answer: KeyAnswer
    ) -> tuple[_Outcome, KeyRecord | None]:
        """Try each record; gives the first that verifies, else what became of the last."""
        if isinstance(answer, KeyUnavailable):
            return (DkimResult.TEMPERROR, f"key unavailable: {answer.reason}"), None
        last: tuple[_Outcome, KeyRecord | None]
        last = (DkimResult.PERMERROR, "no key for signature"), None
        for octets in answer[:MAX_KEY_RECORDS]:
            record = parse_key_record(octets)
            if isinstance(record, KeyFault):
                last = (DkimResult.PERMERROR, record.reason), None
                continue
            last = self._try_key(signature, at, record), record
            if last[0][0] is DkimResult.PASS:
                break
        return last

    def _try_key(self, signature: Signature, at: int, record: KeyRecord) -> _Outcome:
        misfit = self._find_misfit(signature, record)
        key = read_public_key(record) if misfit is None else misfit
        if isinstance(key, KeyFault):
            return DkimResult.PERMERROR, key.reason
        if not isinstance(key, Ed25519PublicKey) and key.key_size < MIN_RSA_BITS:
            return DkimResult.POLICY, f"the key has less than {MIN_RSA_BITS} bits"
        return self._verify(signature, at, key)

    def _find_misfit(self, signature: Signature, record: KeyRecord) -> KeyFault | None:
        """RFC 6376 §6.1.2, steps 6 to 8; §3.6.1 (service, flags)."""
        if record.hashes is not None and signature.algorithm.hash_name not in record.hashes:
            return KeyFault("inappropriate hash algorithm")
        if not record.is_for(self._service):
            return KeyFault("no key for signature: it is for another service")
        if record.is_strict and signature.auid_domain != signature.domain:
            return KeyFault("domain mismatch: the key allows nothing below d=")
        if record.public_key and record.key_type != signature.algorithm.key_type:
            return KeyFault("inappropriate key algorithm")
        return None

    def _verify(self, signature: Signature, at: int, key: PublicKey) -> _Outcome:
        """RFC 6376 §6.1.3."""
        body, limit = self._bodies[signature.body_form], signature.max_octets
        surplus = 0 if limit is None else body.octets - limit
        if surplus < 0:
            # RFC 6376 §3.5: l= must not be larger than the body.
            return DkimResult.FAIL, "body hash did not verify: the body is shorter than l="
        if body.find_digest(limit) != signature.body_hash:
            return DkimResult.FAIL, "body hash did not verify"
        if not _is_valid(signature.signature, self._hash_fields(signature, at), key):
            return DkimResult.FAIL, "signature did not verify"
        if surplus:
            return DkimResult.POLICY, f"unsigned content: {surplus} octets beyond l="
        authors = sum(name == b"from" for name, _ in self._fields)
        if authors > signature.names.count(b"from"):
            # RFC 6376 §8.15: a reader may be shown that one, and the signature stands for another.
            return DkimResult.POLICY, "unsigned content: there is a From field more"
        return DkimResult.PASS, ""

    def _hash_fields(self, signature: Signature, at: int) -> bytes:
        """Hash what was signed, once for all keys that are tried.

        In its own h= a signature stands for others above and below it.
        """
        if at in self._signed:
            return self._signed[at]
        form = signature.header_form
        stack = FieldStack((*self._fields[:at], *self._fields[at + 1 :]))
        digest = sha256()
        for name in signature.names:
            if field := stack.take(name):
                digest.update(canonicalize_field(field, form))
        digest.update(canonicalize_field(signature.field, form))
        self._signed[at] = digest.digest()
        return self._signed[at]

    def _is_expired(self, signature: Signature) -> bool:
        return signature.expires is not None and signature.expires < self._now


def _is_valid(signature: bytes, digest: bytes, key: PublicKey) -> bool:
    try:
        if isinstance(key, Ed25519PublicKey):
            # RFC 8463 §3: what is signed is the hash.
            key.verify(signature, digest)
        else:
            key.verify(signature, digest, PKCS1v15(), Prehashed(SHA256()))
    except InvalidSignature:
        return False
    return True
