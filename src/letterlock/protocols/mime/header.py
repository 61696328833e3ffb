"""Header sections as they come: fields by name, and media types with their parameters.

RFC 5322 §2.2 (fields), RFC 2045 §5 (Content-Type), RFC 2231 §3, §4 (parameters in pieces and in
other characters), RFC 2047 (words in other characters). Forgiving: lines may end in LF, and what is
no field is passed over. What is written is in `protocols.smtp.header_fields`.
"""

import binascii
import re
from collections.abc import Mapping, Sequence
from itertools import islice

from msgspec import Struct

MAX_HEADER_OCTETS = 256 * 1024
"""Of one part or message; what stands behind that is not looked at."""
MAX_VALUE_CHARACTERS = 8192
"""Of one field's value that is looked at."""
MAX_PARAMETERS = 50

_BLANKS = (b" ", b"\t")
_FOLD = re.compile(r"\r?\n")
_TYPE = re.compile(r"[ \t]*([!#$%&'*+.^_`{|}~0-9A-Za-z-]+(?:/[!#$%&'*+.^_`{|}~0-9A-Za-z-]+)?)")
_PARAMETER = re.compile(
    r';\s*([^\s=;"]{1,100})\s*=\s*(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)"?|([^;"]*+))', re.DOTALL
)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_PIECE = re.compile(r"([^*]+)(?:\*(\d{1,3}))?(\*)?\Z")
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_ENCODED_WORD = re.compile(r"=\?([!-<>@-~]{1,40})\?([bBqQ])\?([!->@-~]*)\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)\s+(?==\?)")


class ParameterizedValue(Struct, frozen=True, gc=False):
    """A field such as Content-Type: its word in lower case, its parameters by lower-case name."""

    value: str
    parameters: Mapping[str, str]


class Header:
    """A header section, in which the first field of a name is looked for."""

    __slots__ = ("_lower", "_octets")

    def __init__(self, octets: bytes) -> None:
        self._octets = octets[:MAX_HEADER_OCTETS]
        # What is looked for begins a line; in what is searched the first line has one before it.
        self._lower = b"\n" + self._octets.lower()

    def find(self, name: bytes) -> str | None:
        """Give a field's value, in one line; octets that are no UTF-8 are replaced.

        `name` is in lower case. Other fields cost nearly nothing: a hostile header has 100,000.
        """
        octets, at = self._octets, -1
        while (at := self._lower.find(b"\n" + name, at + 1)) >= 0:
            start = at + len(name)
            # RFC 5322 §4.5.8: before the colon there may be space.
            while octets[start : start + 1] in _BLANKS:
                start += 1
            if octets[start : start + 1] == b":":
                return self._read_value(start + 1)
        return None

    def _read_value(self, start: int) -> str:
        octets = self._octets
        end = octets.find(b"\n", start)
        while end >= 0 and octets[end + 1 : end + 2] in _BLANKS:
            end = octets.find(b"\n", end + 1)
        value = octets[start : end if end >= 0 else len(octets)][:MAX_VALUE_CHARACTERS]
        text = value.decode("utf-8", "replace")
        return (_FOLD.sub("", text) if "\n" in text else text).strip(" \t\r")


def parse_parameterized(text: str) -> ParameterizedValue:
    """Parse a value with parameters; what cannot be understood in it is left out.

    Of a parameter that stands twice the first counts.
    """
    start = _TYPE.match(text)
    value = start[1].lower() if start else ""
    if ";" not in text:
        return ParameterizedValue(value, {})
    parameters: dict[str, str] = {}
    encoded: list[tuple[str, str]] = []
    for found in islice(_PARAMETER.finditer(text), MAX_PARAMETERS):
        name, quoted, plain = found.groups()
        text = plain.strip() if quoted is None else quoted
        if quoted is not None and "\\" in quoted:
            text = _QUOTED_PAIR.sub(r"\1", quoted)
        if "*" in name:
            encoded.append((name.lower(), text))
        else:
            parameters.setdefault(name.lower(), decode_words(text))
    if encoded:
        parameters = {**_decode_parameters(encoded), **parameters}
    return ParameterizedValue(value, parameters)


def decode_words(text: str) -> str:
    """Give a text with its encoded words as what they stand for."""
    if "=?" not in text:
        return text
    return _ENCODED_WORD.sub(_decode_word, _BETWEEN_WORDS.sub(r"\1", text))


def _decode_parameters(encoded: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Join parameters that come in pieces, or in other characters."""
    pieces: dict[str, dict[int, tuple[str, bool]]] = {}
    for name, value in encoded:
        if piece := _PIECE.match(name):
            number = int(piece[2] or 0)
            pieces.setdefault(piece[1], {}).setdefault(number, (value, bool(piece[3])))
    return {name: _join_pieces(values) for name, values in pieces.items()}


def _join_pieces(values: Mapping[int, tuple[str, bool]]) -> str:
    """Join the pieces of one parameter; only those that follow each other from 0 count."""
    octets, charset = b"", "utf-8"
    for number in range(len(values)):
        if number not in values:
            break
        value, is_encoded = values[number]
        if is_encoded and number == 0 and value.count("'") >= 2:
            charset, _, value = value.split("'", 2)
        piece = value.encode("utf-8", "replace")
        octets += _PERCENT.sub(_decode_percent, piece) if is_encoded else piece
    return _decode(octets, charset)


def _decode_percent(found: re.Match[bytes]) -> bytes:
    return bytes((int(found[1], 16),))


def _decode_word(word: re.Match[str]) -> str:
    octets = word[3].encode("ascii")
    try:
        if word[2] in "bB":
            octets = binascii.a2b_base64(octets + b"==")
        else:
            octets = binascii.a2b_qp(octets, header=True)
    except binascii.Error:
        return word[0]
    return _decode(octets, word[1].partition("*")[0])


def _decode(octets: bytes, charset: str) -> str:
    # Few names: others are looked up as modules, and some of those are no character sets.
    name = charset.lower() if charset.lower() in _CHARSETS else "utf-8"
    return octets.decode(name, "replace")


_CHARSETS = frozenset(("us-ascii", "utf-8", "iso-8859-1", "iso-8859-15", "windows-1252", "koi8-r"))
