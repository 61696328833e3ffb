"""What a proxy tells of a client with XCLIENT, and a host of a message's origin with XFORWARD.

Postfix's XCLIENT_README and XFORWARD_README. What the attributes mean is the session's business and
that of its driver. REVERSE_NAME, which the first one does not name, is not offered.
"""

import re
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address

from letterlock.protocols.smtp.replies import Reply, reply
from letterlock.protocols.smtp.xtext import decode_utf8_xtext

MAX_VALUE_CHARACTERS = 255
"""Of a value as it is sent; as in Postfix."""
MAX_PORT = 65535
_UNKNOWN = frozenset({"[UNAVAILABLE]", "[TEMPUNAVAIL]"})
_IPV6 = "IPV6:"
_NO_PAIR = reply(501, "5.5.4", "Error: attribute=value expected")
_TOO_LONG = reply(501, "5.5.4", "Error: attribute value too long")
_HOSTNAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\Z")
_PORT = re.compile(r"(?:0|[1-9][0-9]{0,4})\Z")
_WORD = re.compile(r"[A-Za-z0-9]{1,64}\Z")
_NOT_IN_NAME = re.compile(r"[^A-Z0-9_]")


class AttributesError(ValueError):
    """Attributes that cannot be taken; `reply` says why."""

    def __init__(self, answer: Reply) -> None:
        super().__init__(answer.text)
        self.reply = answer


def parse_xclient(arguments: str) -> dict[str, str]:
    """Give the attributes by their names in upper case; "": it is not known.

    Addresses are in their usual form. Raises AttributesError.
    """
    return _parse_attributes("XCLIENT", arguments, _XCLIENT)


def parse_xforward(arguments: str) -> dict[str, str]:
    """Give the attributes as `parse_xclient` does. Raises AttributesError."""
    return _parse_attributes("XFORWARD", arguments, _XFORWARD)


def _parse_attributes(
    verb: str, arguments: str, parsers: Mapping[str, Callable[[str], str]]
) -> dict[str, str]:
    words = arguments.split()
    if not words:
        raise AttributesError(reply(501, "5.5.4", f"Syntax: {verb} attribute=value..."))
    found = {}
    for word in words:
        name, _, value = word.partition("=")
        name = name.upper()
        if not value:
            raise AttributesError(_NO_PAIR)
        if len(value) > MAX_VALUE_CHARACTERS:
            raise AttributesError(_TOO_LONG)
        if name not in parsers:
            shown = _NOT_IN_NAME.sub("?", name)[:20]
            raise AttributesError(reply(501, "5.5.4", f"Bad {verb} attribute name: {shown}"))
        try:
            found[name] = "" if value.upper() in _UNKNOWN else parsers[name](_decode(value))
        except ValueError:
            raise AttributesError(reply(501, "5.5.4", f"Bad {name} syntax")) from None
    return found


def _decode(value: str) -> str:
    text = decode_utf8_xtext(value)
    if not text.isprintable():
        raise ValueError("not printable")
    return text


def _parse_address(text: str) -> str:
    if text.upper().startswith(_IPV6):
        address = IPv6Address(text[len(_IPV6) :])
        if address.scope_id is not None:
            raise ValueError("no address of any machine")
        return str(address.ipv4_mapped or address)
    return str(IPv4Address(text))


def _parse_port(text: str) -> str:
    if not _PORT.match(text) or int(text) > MAX_PORT:
        raise ValueError("no port")
    return text


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not pattern.match(text):
            raise ValueError("not of its form")
        return text

    return parse


_XCLIENT: dict[str, Callable[[str], str]] = {
    "NAME": _matching(_HOSTNAME),
    "ADDR": _parse_address,
    "PORT": _parse_port,
    "PROTO": _matching(re.compile(r"E?SMTP\Z", re.IGNORECASE)),
    "HELO": str,
    "LOGIN": str,
    "DESTADDR": _parse_address,
    "DESTPORT": _parse_port,
}
_XFORWARD: dict[str, Callable[[str], str]] = {
    "NAME": _matching(_HOSTNAME),
    "ADDR": _parse_address,
    "PORT": _parse_port,
    "PROTO": _matching(_WORD),
    "HELO": str,
    "IDENT": str,
    "SOURCE": _matching(re.compile(r"(?:LOCAL|REMOTE)\Z", re.IGNORECASE)),
}
XCLIENT_KEYWORD = f"XCLIENT {' '.join(_XCLIENT)}"
XFORWARD_KEYWORD = f"XFORWARD {' '.join(_XFORWARD)}"
"""How EHLO lists them."""
