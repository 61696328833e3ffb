"""Serial numbers of certificates: one form, whatever a list or a program writes.

RFC 5280 §4.1.2.2: a serial number is an integer of at most 20 octets. So leading zeros, colons and
upper case mean nothing: 35 digits are a number whose first zero was lost.
"""

import re

MAX_SERIAL_OCTETS = 20
MAX_SERIAL_CHARACTERS = 200

_TOO_LARGE = 1 << (8 * MAX_SERIAL_OCTETS)
# As openssl x509 prints them: `serial=03AB`, `03:ab`, `4660 (0x1234)`.
_SERIAL = re.compile(
    rb"(?:serial(?:[ _-]?number)?[ \t]*[=:]?[ \t]*)?"
    rb"(?:[0-9]+[ ]\(0x([0-9a-f]+)\)|(?:0x)?([0-9a-f]+|[0-9a-f]{1,2}(?:[: -][0-9a-f]{2})+))",
    re.IGNORECASE,
)
_BETWEEN = b": -"


class SerialError(ValueError):
    """A text is no serial number; the message says why."""


def parse_serial(text: bytes) -> int:
    """Parse a serial number in hexadecimal. Raises SerialError, also for no text at all."""
    text = text.strip()
    if not text:
        raise SerialError("no serial number")
    found = _SERIAL.fullmatch(text) if len(text) <= MAX_SERIAL_CHARACTERS else None
    if found is None:
        raise SerialError("not a serial number in hexadecimal")
    serial = int((found[1] or found[2]).translate(None, _BETWEEN), 16)
    if serial >= _TOO_LARGE:
        raise SerialError(f"a serial number of more than {MAX_SERIAL_OCTETS} octets")
    return serial


def format_serial(serial: int) -> str:
    """Write whole octets in lower-case hexadecimal, as the list of 2020 has them."""
    text = f"{serial:x}"
    return text if len(text) % 2 == 0 else f"0{text}"
