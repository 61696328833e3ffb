"""Signed requests as they arrive: a flattened JWS becomes a payload of a known key, or a refusal.

RFC 8555 §6.2 (what a JWS must be), §6.3 (POST-as-GET), §6.4 (`url`), §6.5.2 (`nonce`); RFC 7515
§4.1.11 (`crit`), §7.2.2. In three steps, because what lies between is fetched: `read_request`, then
the nonce is spent and the account of `kid` is looked up, then `verify_request`.
"""

from dataclasses import dataclass, replace
from enum import Enum, auto

from letterlock.protocols.acme.base64url import Base64UrlError, decode_base64url
from letterlock.protocols.acme.fields import Fields, ObjectError, parse_object
from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.server.public_keys import ALGORITHMS, PublicKey, read_public_key
from letterlock.protocols.acme.server.refusals import (
    TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    ErrorType,
    Refusal,
    refuse,
)

MEDIA_TYPE = "application/jose+json"
MAX_REQUEST_OCTETS = 128 * 1024
"""A CSR for 100 names has less than 30 kilobytes, and is in base64url twice."""
MAX_PROTECTED_OCTETS = 8 * 1024
MAX_SIGNATURE_OCTETS = 1024
MAX_NONCE_CHARACTERS = 256

MAC_ALGORITHMS = ("HS256", "HS384", "HS512")


class KeyField(Enum):
    """Which of the two says who asks (RFC 8555 §6.2)."""

    JWK = auto()
    """`newAccount`"""
    KID = auto()
    EITHER = auto()
    """`revokeCert`: by an account, or by the certificate's key."""


@dataclass(frozen=True, slots=True)
class Flattened:
    """A JWS whose signature was not looked at yet."""

    algorithm: str
    header: Fields
    payload: bytes
    signature: bytes
    signed: bytes
    """What the signature is over."""


@dataclass(frozen=True, slots=True)
class UnverifiedRequest:
    """A request of which everything is known but whether it is by whom it says.

    It has one of `key` and `kid`, the account's URL. `nonce` is none of ours perhaps.
    """

    jws: Flattened
    url: str
    nonce: str
    key: PublicKey | None
    kid: str | None


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request, and the key that made it. `kid` is the account's URL; None: it has the key."""

    url: str
    key: PublicKey
    kid: str | None
    payload: bytes

    @property
    def is_post_as_get(self) -> bool:
        """RFC 8555 §6.3: an empty payload; `{}` is none."""
        return not self.payload


def read_request(
    body: bytes, content_type: str, url: str, takes: KeyField = KeyField.KID
) -> UnverifiedRequest | Refusal:
    """Take a POST's body apart. `url` is the one that we give out for what is asked."""
    if content_type.partition(";")[0].strip().lower() != MEDIA_TYPE:
        return refuse(
            ErrorType.MALFORMED,
            f"Content-Type is {MEDIA_TYPE} here",
            status=UNSUPPORTED_MEDIA_TYPE,
        )
    if len(body) > MAX_REQUEST_OCTETS:
        return refuse(
            ErrorType.MALFORMED,
            f"a request has at most {MAX_REQUEST_OCTETS} octets",
            status=TOO_LARGE,
        )
    try:
        jws = read_flattened(parse_object(body, "request"))
        nonce = find_nonce(jws.header)
    except ObjectError as error:
        return refuse(ErrorType.MALFORMED, str(error))
    found = _read_header(jws, url, takes, nonce)
    return replace(found, seen_nonce=nonce) if isinstance(found, Refusal) else found


def verify_request(request: UnverifiedRequest, key: PublicKey) -> SignedRequest | Refusal:
    """Verify the signature by the request's own key, or by that of the account it names."""
    if fault := find_signature_fault(request.jws, key):
        return fault
    return SignedRequest(request.url, key, request.kid, request.jws.payload)


def read_flattened(found: Fields) -> Flattened:
    """Read a JWS in flattened JSON (RFC 7515 §7.2.2, RFC 8555 §6.2). Raises ObjectError."""
    for member in ("header", "signatures"):
        if found.has(member):
            raise found.fault(f"{member} is not taken: it is flattened JSON, all of it protected")
    protected = found.octets("protected", MAX_PROTECTED_OCTETS)
    payload = found.octets("payload", MAX_REQUEST_OCTETS)
    signature = found.octets("signature", MAX_SIGNATURE_OCTETS)
    if not protected or payload is None or not signature:
        raise found.fault("it has not all of protected, payload and signature")
    header = parse_object(protected, "protected header")
    for member in ("crit", "b64"):
        # RFC 7515 §4.1.11: we know no extension; RFC 8555 §6.2: the payload is encoded.
        if header.has(member):
            raise header.fault(f"{member} is not taken")
    members = found.members()
    signed = f"{members['protected']}.{members['payload']}".encode("ascii")
    return Flattened(header.required_text("alg"), header, payload, signature, signed)


def refuse_algorithm(algorithm: str, known: tuple[str, ...] = ALGORITHMS) -> Refusal:
    """Refuse an algorithm and tell those that are taken (RFC 8555 §6.2)."""
    detail = f"alg {algorithm[:40]!r} is none of {', '.join(known)}"
    fault = refuse(ErrorType.BAD_SIGNATURE_ALGORITHM, detail)
    problem = fault.problem
    return Refusal(Problem(problem.type, problem.detail, problem.status, algorithms=known))


def find_signature_fault(jws: Flattened, key: PublicKey) -> Refusal | None:
    """Say why a JWS is not one of this key; None: it is."""
    if jws.algorithm != key.algorithm:
        detail = f"alg is {jws.algorithm}, and the key signs with {key.algorithm}"
        return refuse(ErrorType.BAD_PUBLIC_KEY, detail)
    if not key.is_signed(jws.signature, jws.signed):
        return refuse(ErrorType.MALFORMED, "the signature is not one of this key")
    return None


def read_header_key(header: Fields) -> PublicKey | Refusal | None:
    """Read the key in a header; None: there is none. Raises ObjectError where it is no object."""
    found = header.one("jwk")
    if found is None:
        return None
    try:
        return read_public_key(found)
    except ObjectError as error:
        return refuse(ErrorType.BAD_PUBLIC_KEY, str(error))


def _read_header(
    jws: Flattened, url: str, takes: KeyField, nonce: str | None
) -> UnverifiedRequest | Refusal:
    if jws.algorithm not in ALGORITHMS:
        return refuse_algorithm(jws.algorithm)
    try:
        key, kid = _read_key(jws.header, takes)
        directed = jws.header.required_text("url")
    except ObjectError as error:
        return refuse(ErrorType.MALFORMED, str(error))
    if isinstance(key, Refusal):
        return key
    if nonce is None:
        return refuse(ErrorType.BAD_NONCE, "the request has no nonce")
    if directed != url:
        # RFC 8555 §6.4: compared as strings.
        return refuse(ErrorType.UNAUTHORIZED, f"the request is signed for {directed[:200]!r}")
    return UnverifiedRequest(jws, directed, nonce, key, kid)


def _read_key(header: Fields, takes: KeyField) -> tuple[PublicKey | Refusal | None, str | None]:
    has_key, kid = header.has("jwk"), header.text("kid")
    if has_key == (kid is not None):
        raise header.fault("it has not exactly one of jwk and kid")
    if takes is not KeyField.EITHER and has_key != (takes is KeyField.JWK):
        raise header.fault(f"{takes.name.lower()} is what says here who asks")
    return read_header_key(header), kid


def find_nonce(header: Fields) -> str | None:
    """Find the nonce; None: there is none. Raises ObjectError where it is not base64url."""
    nonce = header.text("nonce")
    if nonce is None:
        return None
    try:
        decode_base64url(nonce)
    except Base64UrlError as error:
        raise header.fault(f"nonce: {error}") from error
    if not nonce or len(nonce) > MAX_NONCE_CHARACTERS:
        raise header.fault("nonce is empty or too long")
    return nonce
