"""External account binding: who opens an account has one elsewhere that the authority knows.

RFC 8555 §7.3.4. In two steps: `read_binding`, then the key of `kid` is looked up, then
`verify_binding`.
"""

from dataclasses import dataclass
from hashlib import sha256, sha384, sha512
from hmac import compare_digest, digest

from letterlock.protocols.acme.fields import Fields, ObjectError, parse_object
from letterlock.protocols.acme.jws import ExternalAccount
from letterlock.protocols.acme.server.objects import ExternalBinding
from letterlock.protocols.acme.server.public_keys import PublicKey, read_public_key
from letterlock.protocols.acme.server.refusals import ErrorType, Refusal, refuse
from letterlock.protocols.acme.server.signed_requests import (
    MAC_ALGORITHMS,
    Flattened,
    read_flattened,
    refuse_algorithm,
)

MAX_KID_CHARACTERS = 256

_HASHES = {"HS256": sha256, "HS384": sha384, "HS512": sha512}
_MEMBERS = ("protected", "payload", "signature")


@dataclass(frozen=True, slots=True)
class UnverifiedBinding:
    """A binding to the account `kid`, if its MAC is by that account's key."""

    kid: str
    jws: Flattened
    shown: tuple[tuple[str, str], ...]


def read_binding(found: Fields, url: str, key: PublicKey) -> UnverifiedBinding | Refusal:
    """Read `externalAccountBinding`; `url` and `key` are those of the request around it."""
    try:
        jws = read_flattened(found)
        if jws.algorithm not in MAC_ALGORITHMS:
            return refuse_algorithm(jws.algorithm, MAC_ALGORITHMS)
        kid = jws.header.required_text("kid")
        if jws.header.has("nonce") or jws.header.has("jwk"):
            raise jws.header.fault("a binding has neither nonce nor jwk")
        if jws.header.required_text("url") != url or len(kid) > MAX_KID_CHARACTERS:
            raise jws.header.fault("its url is not the request's, or its kid is too long")
        bound = read_public_key(parse_object(jws.payload, "bound key"))
    except ObjectError as error:
        return refuse(ErrorType.MALFORMED, f"externalAccountBinding: {error}")
    if bound != key:
        return refuse(ErrorType.MALFORMED, "externalAccountBinding: it binds another key")
    return UnverifiedBinding(kid, jws, tuple((each, _text(found, each)) for each in _MEMBERS))


def verify_binding(
    binding: UnverifiedBinding, external: ExternalAccount | None
) -> ExternalBinding | Refusal:
    """Verify the MAC. `external` is the account of its `kid`; None: nobody knows that one."""
    # A kid that is not known takes as long, and is told in the same words.
    mac_key = external.mac_key if external is not None else b"nobody's"
    made = digest(mac_key, binding.jws.signed, _HASHES[binding.jws.algorithm])
    if not compare_digest(made, binding.jws.signature) or external is None:
        return refuse(
            ErrorType.UNAUTHORIZED, "externalAccountBinding: its kid and MAC are none that we gave"
        )
    return ExternalBinding(binding.kid, binding.shown)


def refuse_revoked_key() -> Refusal:
    """Refuse a binding by a key that was taken back. Only who has the key is told so."""
    return refuse(ErrorType.UNAUTHORIZED, "externalAccountBinding: this key was taken back")


def _text(found: Fields, member: str) -> str:
    return str(found.members()[member])
