"""The authority's signers, from where its keys are: a file with its passphrase, or a token.

A key is tried before it counts: one that is not its certificate's would issue what nobody trusts.
Blocks.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from letterlock.base.errors import LocalError
from letterlock.base.secret_files import load_secret
from letterlock.protocols.pki.issuance.signing import (
    AuthorityKey,
    KeyUnavailable,
    Signer,
    SigningError,
    check_signer,
)
from letterlock.services.ca.keys.files import load_key_file, load_passphrase

if TYPE_CHECKING:
    from letterlock.network.pkcs11_token import Token


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A key in a file."""

    path: Path
    passphrase_file: Path


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A key in a token; several keys share one `Token`."""

    token: "Token"
    label: str


def open_token(module: Path, token: str, pin_file: Path) -> "Token":
    """Give a token; nothing is asked of it yet. Raises LocalError."""
    try:
        from letterlock.network import pkcs11_token  # noqa: PLC0415 - only with the extra `pkcs11`
    except ModuleNotFoundError as error:
        raise LocalError(
            "the authority's key is in a token: pip install 'letterlock[pkcs11]'"
        ) from error
    pin = load_secret(pin_file).partition("\n")[0].rstrip("\r")
    if not pin:
        raise LocalError(f"{pin_file}: its first line, the PIN, is empty")
    return pkcs11_token.find_token(pkcs11_token.TokenPlace(module, token, pin))


def open_signer(place: KeyFile | TokenKey, key: AuthorityKey) -> Signer:
    """Open the key whose public half is `key`, its certificate's, and sign with it once.

    Raises LocalError.
    """
    if isinstance(place, KeyFile):
        signer: Signer = load_key_file(place.path, load_passphrase(place.passphrase_file))
        where = str(place.path)
        if signer.public_key != key:
            raise LocalError(f"{where}: it is another key than the certificate's")
        return signer
    from letterlock.network.pkcs11_token import TokenSigner  # noqa: PLC0415 - there is a token

    signer = TokenSigner(place.token, place.label, key)
    try:
        check_signer(signer)
    except KeyUnavailable as error:
        raise LocalError(str(error)) from error
    except SigningError as error:
        raise LocalError(
            f"{place.token.place}: key {place.label} is another one than the certificate's"
        ) from error
    return signer
