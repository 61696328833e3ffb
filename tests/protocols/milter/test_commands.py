"""What a filter is told, octet by octet."""

import pytest

from letterlock.protocols.milter import commands
from letterlock.protocols.milter.packets import Packet, PacketReader, format_packet


def read(wire: bytes) -> Packet:
    (packet,) = PacketReader().receive(wire)
    assert isinstance(packet, Packet)
    return packet


@pytest.mark.parametrize(
    ("name", "ip", "content"),
    [
        ("mx.example", "192.0.2.1", b"mx.example\x004\x10\x00192.0.2.1\0"),
        (None, "192.0.2.1", b"[192.0.2.1]\x004\x10\x00192.0.2.1\0"),
        ("mx.example", "2001:db8::1", b"mx.example\x006\x10\x00IPv6:2001:db8::1\0"),
        (None, "2001:db8::1", b"[IPv6:2001:db8::1]\x006\x10\x00IPv6:2001:db8::1\0"),
        (None, "local", b"localhost\0U"),
    ],
)
def test_who_connects(name: str | None, ip: str, content: bytes) -> None:
    assert read(commands.format_connect(name, ip, 0x1000)) == Packet(b"C", content)


def test_sender_and_recipients_stand_in_angle_brackets() -> None:
    mail = commands.format_mail("", ("SIZE=10", "BODY=8BITMIME"))
    assert read(mail) == Packet(b"M", b"<>\0SIZE=10\0BODY=8BITMIME\0")
    rcpt = commands.format_rcpt("übel@example.org", ())
    assert read(rcpt) == Packet(b"R", "<übel@example.org>\0".encode())
    assert read(commands.format_helo("mx\0.example")) == Packet(b"H", b"mx .example\0")


def test_macros_belong_to_a_command() -> None:
    macros = commands.format_macros(b"R", {"i": "Q1", "{rcpt_addr}": "bob@example.org"})
    assert read(macros) == Packet(b"D", b"Ri\0Q1\0{rcpt_addr}\0bob@example.org\0")


@pytest.mark.parametrize(
    ("value", "has_leading_space", "content"),
    [
        (b" one\r\n\ttwo", True, b"X\0 one\n\ttwo\0"),
        (b" one\r\n\ttwo", False, b"X\0one\n\ttwo\0"),
        (b"  one", False, b"X\0 one\0"),
        (b"one", False, b"X\0one\0"),
        (b"one", True, b"X\0one\0"),
    ],
)
def test_a_field_with_and_without_its_leading_space(
    value: bytes, has_leading_space: bool, content: bytes
) -> None:
    packet = commands.format_header_field(b"X", value, has_leading_space=has_leading_space)
    assert read(packet) == Packet(b"L", content)


def test_the_body_and_its_end() -> None:
    assert commands.format_body(b"text\r\n") == format_packet(b"B", b"text\r\n")
    kinds = (commands.END_OF_HEADER, commands.END_OF_MESSAGE, commands.ABORT, commands.QUIT)
    assert [read(wire).kind for wire in (*kinds, commands.DATA)] == [b"N", b"E", b"A", b"Q", b"T"]
