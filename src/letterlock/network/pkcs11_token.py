"""A PKCS#11 token (HSM): keys that sign in it and never leave it.

OASIS PKCS #11 2.40, by python-pkcs11 (docs/decisions/0010-pkcs11.md), which only this module
imports. Sessions are lost when a token is pulled, restarts or its network goes, and are opened
again; a PIN that was refused is never tried again: tokens lock themselves after few. All of it
blocks, one call at a time.
"""

import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import TypeVar

import pkcs11
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters
from pkcs11.util.rsa import encode_rsa_public_key

from letterlock.base.printable import make_line
from letterlock.protocols.pki.issuance.signing import (
    AuthorityKey,
    AuthorityKeyKind,
    KeyUnavailable,
    digest_of,
)

PATIENCE_SECONDS = 10.0
"""How long a call waits for another one: longer, and the token does not answer."""

_CURVES = {"ec-p256": "secp256r1", "ec-p384": "secp384r1"}
_RSA_BITS = {"rsa-2048": 2048, "rsa-3072": 3072, "rsa-4096": 4096}
_ID_OCTETS = 16
_MAY_SIGN = pkcs11.MechanismFlag.SIGN | pkcs11.MechanismFlag.VERIFY
_STAYS = {pkcs11.Attribute.SENSITIVE: True, pkcs11.Attribute.EXTRACTABLE: False}
_WRONG_PIN = (
    pkcs11.PinIncorrect,
    pkcs11.PinInvalid,
    pkcs11.PinLenRange,
    pkcs11.PinExpired,
    pkcs11.PinLocked,
)
_LASTING = (pkcs11.NoSuchKey, pkcs11.MultipleObjectsReturned, pkcs11.KeyTypeInconsistent)
"""A new session changes nothing about these."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """`module` is the token's library, `token` its label."""

    module: Path
    token: str
    pin: str = field(repr=False)

    def __str__(self) -> str:
        return f"token {self.token} of {self.module}"


@cache
def _find_lock(module: Path) -> threading.Lock:
    """Give the lock of a library, which a process has once: to begin it anew ends all sessions."""
    del module
    return threading.Lock()


@lru_cache(maxsize=8)
def find_token(place: TokenPlace) -> "Token":
    """Give the token of a place, always the same one: reloading settings opens no more sessions."""
    return Token(place)


class Token:
    """One token, with one login for all of its keys. Safe for threads."""

    def __init__(self, place: TokenPlace) -> None:
        self.place = place
        self._lock = _find_lock(place.module)
        self._session: pkcs11.Session | None = None
        self._keys: dict[str, pkcs11.SignMixin] = {}
        self._pin_fault: str | None = None

    def sign(self, label: str, octets: bytes, mechanism: pkcs11.Mechanism) -> bytes:
        """Sign with the private key of a label. Raises KeyUnavailable."""

        def act(session: pkcs11.Session) -> bytes:
            key = self._keys.get(label)
            if key is None:
                found = session.get_key(pkcs11.ObjectClass.PRIVATE_KEY, label=label)
                assert isinstance(found, pkcs11.SignMixin)
                key = self._keys[label] = found
            return bytes(key.sign(octets, mechanism=mechanism))

        return self._use(act)

    def make_key(self, label: str, kind: AuthorityKeyKind) -> AuthorityKey:
        """Make a key that stays in the token, and give its public half.

        Raises KeyUnavailable, also where the token has a key of that label.
        """

        def act(session: pkcs11.Session) -> AuthorityKey:
            if any(session.get_objects({pkcs11.Attribute.LABEL: label})):
                raise KeyUnavailable(f"{self.place}: there is a key {label} already")
            return _make_key(session, label, kind)

        return self._use(act, is_writing=True)

    def close(self) -> None:
        """End the session; the next call opens one again."""
        with self._lock:
            self._forget()

    def _use(self, act: Callable[[pkcs11.Session], Result], *, is_writing: bool = False) -> Result:
        if not self._lock.acquire(timeout=PATIENCE_SECONDS):
            raise KeyUnavailable(f"{self.place}: it does not answer the call before")
        try:
            if is_writing:
                self._forget()
            return self._try(act, is_writing=is_writing)
        finally:
            if is_writing:
                self._forget()
            self._lock.release()

    def _try(self, act: Callable[[pkcs11.Session], Result], *, is_writing: bool) -> Result:
        """Act; where the session is lost in a new one, and then with the library begun anew."""
        if self._pin_fault is not None:
            raise KeyUnavailable(self._pin_fault)
        for prepare in (self._forget, self._begin_anew, None):
            try:
                return act(self._session or self._open(is_writing=is_writing))
            except _WRONG_PIN as error:
                self._pin_fault = (
                    f"{self.place}: the PIN was refused ({_describe(error)}) and is not tried "
                    "again: set the right one, and start anew"
                )
                raise KeyUnavailable(self._pin_fault) from error
            except pkcs11.PKCS11Error as error:
                if prepare is None or isinstance(error, _LASTING):
                    self._forget()
                    raise KeyUnavailable(f"{self.place}: {_describe(error)}") from error
                prepare()
        raise AssertionError("the last way ends in one of those")

    def _open(self, *, is_writing: bool) -> pkcs11.Session:
        token = pkcs11.lib(str(self.place.module)).get_token(token_label=self.place.token)
        try:
            session = token.open(rw=is_writing, user_pin=self.place.pin)
        except pkcs11.UserAlreadyLoggedIn:
            # By another session of this process: a login is the token's.
            session = token.open(rw=is_writing)
        self._session = session
        return session

    def _forget(self) -> None:
        session, self._session = self._session, None
        self._keys.clear()
        if session is not None:
            with suppress(pkcs11.PKCS11Error):  # It may be lost.
                session.close()

    def _begin_anew(self) -> None:
        """Do what some libraries need when their token was away. It ends other sessions, too."""
        self._forget()
        with suppress(pkcs11.PKCS11Error):
            pkcs11.lib(str(self.place.module)).reinitialize()


@dataclass(frozen=True, slots=True)
class TokenSigner:
    """A key in a token, as the authority's `Signer`. `public_key` is its certificate's."""

    token: Token
    label: str
    public_key: AuthorityKey

    def sign(self, octets: bytes) -> bytes:
        if isinstance(self.public_key, rsa.RSAPublicKey):
            return self.token.sign(self.label, octets, pkcs11.Mechanism.SHA256_RSA_PKCS)
        # All tokens sign a digest; few make it, too.
        digest = hashes.Hash(digest_of(self.public_key))
        digest.update(octets)
        pair = self.token.sign(self.label, digest.finalize(), pkcs11.Mechanism.ECDSA)
        half = len(pair) // 2
        return encode_dss_signature(int.from_bytes(pair[:half]), int.from_bytes(pair[half:]))


def _make_key(session: pkcs11.Session, label: str, kind: AuthorityKeyKind) -> AuthorityKey:
    number = secrets.token_bytes(_ID_OCTETS)
    if (curve := _CURVES.get(kind)) is None:
        public, _ = session.generate_keypair(
            pkcs11.KeyType.RSA,
            _RSA_BITS[kind],
            id=number,
            label=label,
            store=True,
            capabilities=_MAY_SIGN,
            private_template=_STAYS,
        )
        found = load_der_public_key(encode_rsa_public_key(public))
    else:
        named = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters(curve)}
        parameters = session.create_domain_parameters(pkcs11.KeyType.EC, named, local=True)
        public, _ = parameters.generate_keypair(
            id=number, label=label, store=True, capabilities=_MAY_SIGN, private_template=_STAYS
        )
        found = load_der_public_key(encode_ec_public_key(public))
    assert isinstance(found, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey))
    return found


def _describe(error: pkcs11.PKCS11Error) -> str:
    """Give one line: most of them have no text, and a name that says it."""
    text = make_line(str(error))
    name = type(error).__name__
    return f"{name}: {text}" if text else name
