"""Authentication-Results fields as values: read, whoever wrote them, and written.

RFC 8601 §2.2 (grammar), §2.3 (properties), §2.6 (versions); RFC 2045 §5.1 (value). Read tolerantly:
comments are dropped, and what Exchange writes (`action=none`, no type before it) is a property too.
Which fields may be believed is not decided here: see `own_results`.
"""

import re

from msgspec import Struct

MAX_VALUE_CHARACTERS = 16 * 1024
MAX_RESULTS = 100
MAX_PROPERTIES = 200
"""Of all results of a field together."""
_MAX_COMMENT_DEPTH = 20

_SPACE = re.compile(r"[ \t\r\n]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_COMMENT_PART = re.compile(r"[^()\\]+|\\.|[()]", re.DOTALL)
_KEYWORD = re.compile(r"[A-Za-z0-9_-]+")
_DIGITS = re.compile(r"[0-9]{1,9}")
# Wider than RFC 2045's token: a base64 text, an address, anything up to a space.
_VALUE = re.compile(r'[^\s;()"]+')
_IDENTIFIER = re.compile(r'[^\s;()"=]+')
_TOKEN = re.compile(r"[!#$%&'*+.0-9A-Z^_`a-z{|}~-]+\Z")
_ADDRESS = re.compile(r"(?:[!#$%&'*+./0-9A-Z^_`a-z{|}~=?-]*@)[0-9A-Za-z.-]+\Z")
_TO_QUOTE = re.compile(r'(["\\])')


class ResultsError(ValueError):
    """A text is not the value of such a field; the message says where it breaks off."""


class Property(Struct, frozen=True):
    """What a result rests on: `header.d` has the type `header` and the name `d`.

    `type` is "" where there was none.
    """

    type: str
    name: str
    value: str


class MethodResult(Struct, frozen=True):
    """What one method came to; names in lower case. `version` is the method's."""

    method: str
    result: str
    reason: str | None = None
    properties: tuple[Property, ...] = ()
    version: int = 1


class AuthenticationResults(Struct, frozen=True):
    """What one server found; no results: nothing was authenticated."""

    authserv_id: str
    results: tuple[MethodResult, ...] = ()
    version: int = 1


def parse_results(value: str) -> AuthenticationResults:
    """Parse a field's value, folded or not. Raises ResultsError."""
    if len(value) > MAX_VALUE_CHARACTERS:
        raise ResultsError(f"more than {MAX_VALUE_CHARACTERS} characters")
    scanner = _Scanner(value)
    identifier = scanner.take_value(_IDENTIFIER, "an authserv-id")
    version = int(scanner.find(_DIGITS) or 1)
    results: list[MethodResult] = []
    properties = 0
    while scanner.take_semicolon():
        result = _read_result(scanner)
        if result is None:
            continue
        results.append(result)
        properties += len(result.properties)
        if len(results) > MAX_RESULTS or properties > MAX_PROPERTIES:
            raise ResultsError("too many results")
    return AuthenticationResults(identifier, tuple(results), version)


def format_results(results: AuthenticationResults) -> str:
    """Give the value on one line, for `header_fields.format_field`; it parses to the same again.

    Texts must have been made safe (`header_fields.make_safe`); names must be keywords.
    """
    version = "" if results.version == 1 else f" {results.version}"
    parts = [f"{_format_value(results.authserv_id)}{version}"]
    parts += [_format_result(each) for each in results.results] or ["none"]
    return "; ".join(parts)


class _Scanner:
    """Reads from the left; comments and space before each part are passed over."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def find(self, pattern: re.Pattern[str]) -> str | None:
        """Take what fits; None: something else stands here."""
        self._pass_over()
        found = pattern.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        return found[0]

    def take_value(self, pattern: re.Pattern[str], what: str) -> str:
        """Take a quoted string, or what fits. Raises ResultsError."""
        self._pass_over()
        quoted = _QUOTED.match(self._text, self._at)
        if quoted is not None:
            self._at = quoted.end()
            return re.sub(r"\\(.)", r"\1", _SPACE.sub(" ", quoted[1]), flags=re.DOTALL)
        found = self.find(pattern)
        if found is None:
            raise self.fail(what)
        return found

    def take_sign(self, sign: str) -> bool:
        self._pass_over()
        if not self._text.startswith(sign, self._at):
            return False
        self._at += len(sign)
        return True

    def take_semicolon(self) -> bool:
        """Say whether more follows. Raises ResultsError for anything but that or the end."""
        if self.take_sign(";"):
            return True
        if self._at < len(self._text):
            raise self.fail("a semicolon")
        return False

    def is_at_end(self) -> bool:
        """Say whether a result ends here."""
        self._pass_over()
        return self._at >= len(self._text) or self._text[self._at] == ";"

    def fail(self, what: str) -> ResultsError:
        return ResultsError(f"{what} is missing at {self._text[self._at : self._at + 20]!r}")

    def _pass_over(self) -> None:
        while True:
            if space := _SPACE.match(self._text, self._at):
                self._at = space.end()
            elif self._text.startswith("(", self._at):
                self._at = self._end_comment()
            else:
                return

    def _end_comment(self) -> int:
        depth = 0
        for part in _COMMENT_PART.finditer(self._text, self._at):
            depth += {"(": 1, ")": -1}.get(part[0], 0)
            if depth == 0:
                return part.end()
            if depth > _MAX_COMMENT_DEPTH:
                break
        raise ResultsError("a comment has no end")


def _read_result(scanner: _Scanner) -> MethodResult | None:
    """Read what stands between semicolons; None: `none`, or nothing, which some put at the end."""
    if scanner.is_at_end():
        return None
    method = _take_keyword(scanner)
    if method == "none" and scanner.is_at_end():
        return None
    version = int(scanner.find(_DIGITS) or 1) if scanner.take_sign("/") else 1
    _take_equals(scanner)
    result = _take_keyword(scanner)
    reason: str | None = None
    properties: list[Property] = []
    while not scanner.is_at_end():
        kind, name = "", _take_keyword(scanner)
        if scanner.take_sign("."):
            kind, name = name, _take_keyword(scanner)
        _take_equals(scanner)
        value = scanner.take_value(_VALUE, "a value")
        if (kind, name) == ("", "reason"):
            reason = value
        else:
            properties.append(Property(kind, name, value))
    return MethodResult(method, result, reason, tuple(properties), version)


def _take_keyword(scanner: _Scanner) -> str:
    found = scanner.find(_KEYWORD)
    if found is None:
        raise scanner.fail("a name")
    return found.lower()


def _take_equals(scanner: _Scanner) -> None:
    if not scanner.take_sign("="):
        raise scanner.fail("an equals sign")


def _format_result(result: MethodResult) -> str:
    version = "" if result.version == 1 else f"/{result.version}"
    parts = [f"{result.method}{version}={result.result}"]
    if result.reason is not None:
        parts.append(f"reason={_format_value(result.reason)}")
    for each in result.properties:
        name = f"{each.type}.{each.name}" if each.type else each.name
        value = each.value if _ADDRESS.match(each.value) else _format_value(each.value)
        parts.append(f"{name}={value}")
    return " ".join(parts)


def _format_value(text: str) -> str:
    if _TOKEN.match(text):
        return text
    escaped = _TO_QUOTE.sub(r"\\\1", text)
    return f'"{escaped}"'
