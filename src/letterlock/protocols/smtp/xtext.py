"""The encodings of ENVID and ORCPT: xtext, and the 7-bit form of UTF-8 addresses.

RFC 3461 §4 (xtext), RFC 6533 §3 (utf-8-addr-xtext, utf-8-addr-unitext). Which parameter may hold
what is decided where commands are read or made.
"""

import re

ADDRESS_TYPE = r"[A-Za-z0-9!#$%&'*/?^_`{|}~-]+"
"""What stands before the semicolon of ORCPT, as a regex: RFC 3461 §4.2 (atom), RFC 5321 §4.1.2
(esmtp-value), and no "+", which begins a hexchar."""


class XtextError(ValueError):
    """A text is not xtext."""


# RFC 3461 §4: xchar is any ASCII CHAR between "!" and "~" except "+" and "=".
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*\Z")
_HEXCHAR = re.compile(r"\+([0-9A-F]{2})")
_TO_ENCODE = re.compile(r"[^!-*,-<>-~]")
# RFC 6533 §3: EmbeddedUnicodeChar = "\x{" HEXPOINT "}", two to six digits.
_EMBEDDED = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
# RFC 6533 §3: QCHAR leaves out CTLs, SP, "\", "+" and "=".
_NOT_QCHAR = re.compile(r"[^!-*,-<>-\[\]-~]")
_MAX_CODE_POINT = 0x10FFFF


def encode_xtext(text: str) -> str:
    """Encode ASCII text as xtext. Raises XtextError for anything else."""
    if not text.isascii():
        raise XtextError("xtext encodes ASCII only")
    return _TO_ENCODE.sub(lambda match: f"+{ord(match[0]):02X}", text)


def decode_xtext(text: str) -> str:
    """Decode xtext; octets over 127 become U+FFFD. Raises XtextError when it is none."""
    if _XTEXT.match(text) is None:
        raise XtextError(f"{text[:80]!r} is not xtext")
    decoded = _HEXCHAR.sub(lambda match: chr(int(match[1], 16)), text)
    return "".join(character if character.isascii() else "\ufffd" for character in decoded)


def decode_utf8_xtext(text: str) -> str:
    """Decode xtext whose octets are UTF-8. Raises XtextError when it is not that."""
    if _XTEXT.match(text) is None:
        raise XtextError(f"{text[:80]!r} is not xtext")
    octets = _HEXCHAR.sub(lambda match: chr(int(match[1], 16)), text).encode("latin-1")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as error:
        raise XtextError(f"{text[:80]!r} is not UTF-8 in xtext") from error


def encode_utf8_address(address: str) -> str:
    """Give the utf-8-addr-xtext form: ASCII, fit for any ORCPT and any DSN field."""
    return _NOT_QCHAR.sub(lambda match: f"\\x{{{ord(match[0]):02X}}}", address)


def decode_utf8_address(text: str) -> str:
    r"""Give the utf-8-address form, by undoing the `\x{...}` of either other form.

    What is no Unicode scalar value stays as it was (RFC 6533 §3: copied without alteration).
    """
    return _EMBEDDED.sub(_decode_embedded, text)


def _decode_embedded(match: re.Match[str]) -> str:
    point = int(match[1], 16)
    if point > _MAX_CODE_POINT or 0xD800 <= point <= 0xDFFF:
        return match[0]
    return chr(point)
