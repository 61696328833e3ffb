"""Keys for signed DNS messages (TSIG), as the tools of name servers write them into files.

RFC 8945 §6 (algorithms; of those only SHA-2 at full length), §8 (secrets). Four forms are read:
BIND's `key` statement (`tsig-keygen`), Knot's list of keys (`keymgr -t`), one line
`ALGORITHM:NAME:SECRET` (`nsupdate -y`), and the secret by itself. Signing is dnspython's work.
"""

import re
from base64 import b64decode
from dataclasses import dataclass, field
from enum import StrEnum

from letterlock.base.domains import Domain, DomainError, parse_domain

MAX_KEY_FILE_CHARACTERS = 10_000
MAX_SECRET_OCTETS = 1024

_BIND_TOKEN = re.compile(
    r'(?:\s+|//[^\n]*|#[^\n]*|/\*.*?\*/)|(?P<quoted>"[^"\n]*")|(?P<word>[{};]|[^\s{};"]+)',
    re.DOTALL,
)
_KNOT_FIELD = re.compile(r"\s*(?:-\s+)?(id|algorithm|secret)\s*:\s*[\"']?([^\s\"']+)[\"']?\s*\Z")
_FORMS = "a key is `key NAME { algorithm ...; secret ...; };` or `ALGORITHM:NAME:SECRET`"


class TsigAlgorithm(StrEnum):
    """How messages are signed (RFC 8945 §6)."""

    HMAC_SHA256 = "hmac-sha256"
    HMAC_SHA384 = "hmac-sha384"
    HMAC_SHA512 = "hmac-sha512"


@dataclass(frozen=True, slots=True)
class TsigKey:
    """A secret that a name server shares with us, and the name by which both know it."""

    name: Domain
    algorithm: TsigAlgorithm
    secret: bytes = field(repr=False)


class TsigKeyError(ValueError):
    """A text is no key that can be used. The message says why, and has nothing of the secret."""


def parse_tsig_key(text: str, default_name: Domain | None = None) -> TsigKey:
    """Read the one key that a file has. `default_name` is for a file with the secret alone.

    Without an algorithm it is hmac-sha256, as for `nsupdate`. Raises TsigKeyError.
    """
    if len(text) > MAX_KEY_FILE_CHARACTERS:
        raise TsigKeyError(f"it has more than {MAX_KEY_FILE_CHARACTERS} characters: {_FORMS}")
    lines = [line for each in text.splitlines() if (line := _strip_comment(each))]
    if not lines:
        raise TsigKeyError(f"it is empty: {_FORMS}")
    if lines[0] == "key:":
        fields = _read_knot(lines[1:])
    elif len(lines) == 1 and len(lines[0].split()) == 1:
        fields = _read_line(lines[0])
    else:
        fields = _read_bind(text)
    name = fields.get("name", default_name)
    if name is None:
        raise TsigKeyError("it has a secret and no name of the key: write `NAME:SECRET`")
    if "secret" not in fields:
        raise TsigKeyError("the key has no secret")
    algorithm = _parse_algorithm(fields.get("algorithm", TsigAlgorithm.HMAC_SHA256))
    return TsigKey(_parse_name(name), algorithm, _parse_secret(fields["secret"]))


def _strip_comment(line: str) -> str:
    # Not `//`: a secret may begin so.
    stripped = line.strip()
    return "" if stripped.startswith("#") else stripped


def _read_line(line: str) -> dict[str, str]:
    parts = line.split(":")
    if len(parts) > 3:
        raise TsigKeyError("a key in one line is `ALGORITHM:NAME:SECRET`")
    return dict(zip(("secret", "name", "algorithm"), reversed(parts), strict=False))


def _read_knot(lines: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        found = _KNOT_FIELD.match(line)
        if found is None:
            raise TsigKeyError("a key in Knot's form has `id`, `algorithm` and `secret` only")
        name = "name" if found[1] == "id" else found[1]
        _set(fields, name, found[2])
    return fields


def _read_bind(text: str) -> dict[str, str]:
    words = _split_bind(text)
    if words[-1:] == [";"]:
        words.pop()
    if words[:1] != ["key"] or words[2:3] != ["{"] or words[-1:] != ["}"]:
        raise TsigKeyError(f"it is not one key: {_FORMS}")
    fields = {"name": words[1]}
    inside = words[3:-1]
    for at in range(0, len(inside), 3):
        statement = inside[at : at + 3]
        if len(statement) != 3 or statement[2] != ";":
            raise TsigKeyError("in a key each statement is a word, its value and `;`")
        if statement[0] not in ("algorithm", "secret"):
            raise TsigKeyError("a key has `algorithm` and `secret`, and nothing else")
        _set(fields, statement[0], statement[1])
    return fields


def _split_bind(text: str) -> list[str]:
    words = []
    position = 0
    while position < len(text):
        found = _BIND_TOKEN.match(text, position)
        if found is None:
            raise TsigKeyError("a quotation mark is not closed")
        position = found.end()
        if found["quoted"] is not None:
            words.append(found["quoted"][1:-1])
        elif found["word"] is not None:
            words.append(found["word"])
    return words


def _set(fields: dict[str, str], name: str, value: str) -> None:
    if name in fields:
        raise TsigKeyError("there is more than one key, and it is not said which to use")
    fields[name] = value


def _parse_algorithm(text: str) -> TsigAlgorithm:
    try:
        return TsigAlgorithm(text.lower().removesuffix("."))
    except ValueError:
        # What stands there may be the secret, in the wrong place.
        known = ", ".join(TsigAlgorithm)
        raise TsigKeyError(f"its algorithm is none of {known} (`tsig-keygen -a`)") from None


def _parse_name(text: str) -> Domain:
    try:
        return parse_domain(text)
    except DomainError:
        raise TsigKeyError("the name of the key is no domain name") from None


def _parse_secret(text: str) -> bytes:
    try:
        secret = b64decode(text, validate=True)
    except ValueError:
        raise TsigKeyError("the secret is not base64") from None
    if not 0 < len(secret) <= MAX_SECRET_OCTETS:
        raise TsigKeyError(f"a secret has 1 to {MAX_SECRET_OCTETS} octets")
    return secret
