"""What the log hides of people: addresses as pseudonyms, clients as networks.

Fields are known by their names, and their values are replaced in the text as well; addresses that
a text has besides (a server's reply quotes them) are found by their form. One address always has
the same pseudonym under one key, so that its mail can still be followed. It is an HMAC (RFC 2104):
without the key nobody can try names out.
"""

import hmac
import re
from base64 import b32encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network

from letterlock.base.config.choices import Redaction

KEY_OCTETS = 32
ADDRESS_FIELDS = ("to", "sender", "recipient", "sasl_username")
KEPT_PSEUDONYMS = 10_000
_PSEUDONYM_OCTETS = 8
IPV4_PREFIX = 24
IPV6_PREFIX = 48
HIDDEN_DOMAIN = "hidden.invalid"

# In angle brackets anything but those; bare, a word: anchored at its beginning, so that one without
# an "@" is looked at once.
_WORD = r"[^\s<>()\[\],;:\"@]"
_ADDRESS = re.compile(rf"(?<=<)[^<>]*@[^<>@]*(?=>)|(?<!{_WORD}){_WORD}+@[\w.-]*\w")


@dataclass(frozen=True, slots=True)
class _Client:
    """A client as the log names it: `name[192.0.2.1]`, or its address alone."""

    text: str
    ip: str

    @property
    def network(self) -> str:
        """Give what is shown of it: no name, and the first address of its network."""
        shown = shorten_ip(self.ip)
        return shown if self.text == self.ip else f"unknown[{shown}]"


class Redactor:
    """Hides in one event what is to be hidden. `hides_clients`: their names and addresses too."""

    def __init__(self, key: bytes, redaction: Redaction, *, hides_clients: bool) -> None:
        self._key = key
        self._redaction = redaction
        self._hides_clients = hides_clients
        self.hide_address = lru_cache(KEPT_PSEUDONYMS)(self._hide_address)

    def redact(self, text: str, fields: Mapping[str, object]) -> tuple[str, Mapping[str, object]]:
        """Give an event's text and fields as they may be written."""
        known = self._find_known(fields)
        client = _find_client(fields) if self._hides_clients else None
        places = [
            place for value, pseudonym in known.items() for place in _places(value, pseudonym)
        ]

        def hide(value: object) -> object:
            if isinstance(value, tuple):
                return tuple(map(hide, value))
            if not isinstance(value, str):
                return value
            return known[value] if value in known else self._hide_in(value, places, client)

        return self._hide_in(text, places, client), {
            name: hide(value) for name, value in fields.items()
        }

    def _find_known(self, fields: Mapping[str, object]) -> dict[str, str]:
        """Give the pseudonyms of all values that are known to be hidden."""
        known: dict[str, str] = {}
        if self._redaction is not Redaction.NONE:
            known = {each: self.hide_address(each) for each in list_addresses(fields)}
        if self._hides_clients and isinstance(helo := fields.get("helo"), str) and helo:
            known[helo] = self._make_pseudonym(helo)
        return known

    def _hide_in(self, text: str, places: Sequence[tuple[str, str]], client: _Client | None) -> str:
        if client is not None:
            text = text.replace(client.text, client.network)
            # Not within another's: 192.0.2.1 begins 192.0.2.10.
            digit = "[0-9A-Fa-f]" if ":" in client.ip else "[0-9]"
            place = f"(?<!{digit}){re.escape(client.ip)}(?!{digit})"
            text = re.sub(place, shorten_ip(client.ip), text)
        return self._replace(text, [pair for pair in places if pair[0] in text])

    def _replace(self, text: str, places: Sequence[tuple[str, str]]) -> str:
        """Replace what is known, and in what is between that all that looks like an address."""
        if places:
            (place, replacement), *others = places
            return replacement.join(self._replace(part, others) for part in text.split(place))
        if self._redaction is Redaction.NONE or "@" not in text:
            return text
        return _ADDRESS.sub(lambda found: self.hide_address(found[0]), text)

    def _hide_address(self, address: str) -> str:
        local, _, domain = address.rpartition("@")
        pseudonym = self._make_pseudonym(address.lower())
        if self._redaction is Redaction.ADDRESSES:
            return f"{pseudonym}@{HIDDEN_DOMAIN}"
        return f"{pseudonym}@{domain}" if local else pseudonym

    def _make_pseudonym(self, text: str) -> str:
        digest = hmac.digest(self._key, text.encode(errors="replace"), "sha256")
        return "x" + b32encode(digest[:_PSEUDONYM_OCTETS]).decode().rstrip("=").lower()


def shorten_ip(ip: str) -> str:
    """Give the first address of the network that an address is in: /24, or /48 of IPv6."""
    try:
        address = ip_address(ip.partition("%")[0])
    except ValueError:
        return "hidden"
    prefix = IPV4_PREFIX if isinstance(address, IPv4Address) else IPV6_PREFIX
    return str(ip_network((address, prefix), strict=False).network_address)


def list_addresses(fields: Mapping[str, object]) -> Iterator[str]:
    """Give the addresses of an event's fields, as they are."""
    for name in ADDRESS_FIELDS:
        value = fields.get(name)
        values = value if isinstance(value, tuple) else (value,)
        yield from (each for each in values if isinstance(each, str) and each)


def _find_client(fields: Mapping[str, object]) -> _Client | None:
    text = fields.get("client")
    if not isinstance(text, str):
        return None
    ip = text.rpartition("[")[2].removesuffix("]")
    # A program of this machine is no address.
    return _Client(text, ip) if _is_address(ip) else None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _places(value: str, pseudonym: str) -> list[tuple[str, str]]:
    """Give how a value stands in texts, and what stands there instead."""
    forms = ("<{}>", "sasl_username={}", "user {}")
    return [(form.format(value), form.format(pseudonym)) for form in forms]
