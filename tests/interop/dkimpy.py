"""dkimpy in an environment of its own, asked for signatures and for verdicts."""

import base64
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from letterlock.protocols.dkim.signing import SigningKey
from tests.peers import MISSING, miss_peer
from tools.side_environment import is_current, side_python

NAME = "dkimpy"
_PROGRAM = Path(__file__).with_name("dkimpy_program.py")


@dataclass(frozen=True, slots=True)
class Dkimpy:
    """A running dkimpy."""

    process: "subprocess.Popen[str]"

    def sign(
        self,
        key: SigningKey,
        message: bytes,
        names: Sequence[str],
        forms: tuple[str, str] = ("relaxed", "relaxed"),
        *,
        length: bool = False,
    ) -> bytes:
        """Give its DKIM-Signature field of a message."""
        request = describe_signing(key, message, names, forms, length=length)
        return base64.b64decode(self.ask(request)["field"])

    def verify(self, message: bytes, keys: Mapping[str, str], place: int = 0) -> bool:
        """Say whether it finds a signature of a message good."""
        return bool(self.ask(describe_verifying(message, keys, place))["is_good"])

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for anything that the program knows."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{json.dumps(request)}\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


def describe_signing(
    key: SigningKey,
    message: bytes,
    names: Sequence[str],
    forms: tuple[str, str] = ("relaxed", "relaxed"),
    *,
    length: bool = False,
) -> dict[str, Any]:
    """Make the request for a signature."""
    return {
        "do": "sign",
        "message": _text(message),
        "selector": key.selector,
        "domain": key.domain,
        "key": _text(_encode_key(key)),
        "algorithm": key.algorithm,
        "forms": forms,
        "names": list(names),
        "length": length,
    }


def describe_verifying(message: bytes, keys: Mapping[str, str], place: int = 0) -> dict[str, Any]:
    """Make the request for a verdict on one signature."""
    return {"do": "verify", "message": _text(message), "keys": dict(keys), "place": place}


def is_here() -> bool:
    """Say whether its environment is there."""
    return is_current(NAME)


@contextmanager
def running_dkimpy() -> Iterator[Dkimpy]:
    """Run it."""
    with subprocess.Popen(
        [side_python(NAME), _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Dkimpy(process)


def require_dkimpy() -> None:
    """Skip the running test without it; fail it with CI=true."""
    if not is_here():
        miss_peer(f"{MISSING}dkimpy: `make dkimpy` brings it")


def _encode_key(key: SigningKey) -> bytes:
    """Encode as dkimpy wants it: PEM for RSA, base64 of the secret for Ed25519."""
    if isinstance(key.key, Ed25519PrivateKey):
        return base64.b64encode(key.key.private_bytes_raw())
    return key.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode()
