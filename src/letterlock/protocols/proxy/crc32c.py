"""The checksum of PROXY headers: CRC32c.

RFC 4960 §B, as the PROXY protocol §2.2.3 has it.
"""

_POLYNOMIAL = 0x82F63B78  # reflected


def _make_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)  # noqa: PLW2901 - shifted out
        table.append(value)
    return tuple(table)


_TABLE = _make_table()


def crc32c(octets: bytes) -> int:
    """Give the checksum of octets."""
    checksum = 0xFFFFFFFF
    for octet in octets:
        checksum = checksum >> 8 ^ _TABLE[(checksum ^ octet) & 0xFF]
    return checksum ^ 0xFFFFFFFF
