"""RFC 5280 §4.1.2.2: a serial number is an integer, however it is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.incidents.serials import (
    MAX_SERIAL_OCTETS,
    SerialError,
    format_serial,
    parse_serial,
)

SERIAL = 0x0362AABBCCDDEEFF00112233445566778899


@pytest.mark.parametrize(
    "text",
    [
        "0362aabbccddeeff00112233445566778899",
        "362aabbccddeeff00112233445566778899",  # 35 digits: a zero was lost
        "0362AABBCCDDEEFF00112233445566778899",
        "03:62:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99",
        "3:62:aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99",
        "00:03:62:aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99",
        "03 62 aa bb cc dd ee ff 00 11 22 33 44 55 66 77 88 99",
        "03-62-aa-bb-cc-dd-ee-ff-00-11-22-33-44-55-66-77-88-99",
        "serial=0362AABBCCDDEEFF00112233445566778899",
        "Serial Number: 03:62:aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99",
        " 0x0362aabbccddeeff00112233445566778899\t\r",
        "0000000000362aabbccddeeff00112233445566778899",
    ],
)
def test_all_ways_to_write_a_serial_number_are_one(text: str) -> None:
    assert parse_serial(text.encode()) == SERIAL


def test_a_decimal_one_with_its_hexadecimal_beside_it_is_read() -> None:
    assert parse_serial(b"Serial Number: 4660 (0x1234)") == 0x1234


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no serial number"),
        (" \t", "no serial number"),
        ("serial=", "not a serial number"),
        ("0x", "not a serial number"),
        (":", "not a serial number"),
        ("03:6", "not a serial number"),
        ("036:2a", "not a serial number"),
        ("03::62", "not a serial number"),
        ("-01", "not a serial number"),
        ("+1", "not a serial number"),
        ("0_1", "not a serial number"),
        ("3.62E+41", "not a serial number"),
        ("0362 (0x)", "not a serial number"),
        ("mail.example.org", "not a serial number"),
        ("ff" * 21, "more than 20 octets"),
        ("0" * 201, "not a serial number"),
    ],
)
def test_what_is_no_serial_number_is_refused(text: str, reason: str) -> None:
    with pytest.raises(SerialError, match=reason):
        parse_serial(text.encode())


@given(st.integers(0, (1 << (8 * MAX_SERIAL_OCTETS)) - 1))
def test_format_is_the_inverse_of_parse(serial: int) -> None:
    text = format_serial(serial)
    assert len(text) % 2 == 0
    assert parse_serial(text.encode()) == serial
