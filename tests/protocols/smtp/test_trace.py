"""Trace fields."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from letterlock.protocols.smtp.trace import (
    Received,
    count_received,
    format_address_literal,
    format_delivered_to,
    format_received,
    format_received_here,
    format_return_path,
    protocol_name,
    registered_cipher_name,
)

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Tls:
    version: str = "TLSv1.3"
    cipher: str = "TLS_AES_256_GCM_SHA384"
    cipher_bits: int = 256
    group: str | None = "X25519"


PLAIN = Received(
    helo="mail.example.com",
    client_ip="192.0.2.1",
    by="mx1.example.org",
    queue_id="4XYZ",
    moment=NOON,
)


def test_a_received_field_has_postfixs_shape() -> None:
    """RFC 5321 §4.4, RFC 3848 §1, RFC 8314 §4.3; rule 99."""
    received = replace(PLAIN, client_name="out.example.com", tls=Tls(), recipient="bob@example.org")
    assert format_received(received) == (
        b"Received: from mail.example.com (out.example.com [192.0.2.1])\r\n"
        b"\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\r\n"
        b"\t key-exchange X25519)\r\n"
        b"\tby mx1.example.org (Letterlock) with ESMTPS id 4XYZ\r\n"
        b"\tfor <bob@example.org>\r\n"
        b"\ttls TLS_AES_256_GCM_SHA384 group x25519;\r\n"
        b"\tSun, 01 Mar 2026 12:00:00 +0000\r\n"
    )


def test_a_received_field_without_tls_has_no_word_of_it() -> None:
    """RFC 3848 §1."""
    assert format_received(PLAIN) == (
        b"Received: from mail.example.com (unknown [192.0.2.1])\r\n"
        b"\tby mx1.example.org (Letterlock) with ESMTP id 4XYZ;\r\n"
        b"\tSun, 01 Mar 2026 12:00:00 +0000\r\n"
    )


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"is_extended": False}, "SMTP"),
        ({}, "ESMTP"),
        ({"tls": Tls()}, "ESMTPS"),
        ({"is_authenticated": True}, "ESMTPA"),
        ({"tls": Tls(), "is_authenticated": True}, "ESMTPSA"),
        ({"smtputf8": True}, "UTF8SMTP"),
        ({"smtputf8": True, "tls": Tls()}, "UTF8SMTPS"),
        ({"smtputf8": True, "is_authenticated": True}, "UTF8SMTPA"),
        ({"smtputf8": True, "tls": Tls(), "is_authenticated": True}, "UTF8SMTPSA"),
        ({"is_lmtp": True}, "LMTP"),
        ({"is_lmtp": True, "tls": Tls()}, "LMTPS"),
        ({"is_lmtp": True, "is_authenticated": True}, "LMTPA"),
        ({"is_lmtp": True, "tls": Tls(), "is_authenticated": True}, "LMTPSA"),
        ({"is_lmtp": True, "smtputf8": True}, "UTF8LMTP"),
        ({"is_lmtp": True, "smtputf8": True, "tls": Tls()}, "UTF8LMTPS"),
    ],
)
def test_the_protocol_is_named_as_registered(changes: dict[str, object], name: str) -> None:
    """RFC 3848 §1, RFC 6531 §4.3: S only under TLS, A only after AUTH. Rule 111."""
    received = replace(PLAIN, **changes)
    assert protocol_name(received) == name
    assert f" with {name} id 4XYZ".encode() in format_received(received)


@pytest.mark.parametrize(
    "helo",
    [
        "x\r\nBcc: victim@example.org",
        "x) (by evil",
        "x; Mon, 1 Jan 2001 00:00:00 +0000",
        "\x1b[2J",
        "a" * 5000,
        "",
        "grün.example",
        'x"\\<>',
    ],
)
def test_a_hostile_helo_cannot_leave_its_place(helo: str) -> None:
    """RFC 5321 §4.4: the clause is a token, whatever the client said."""
    text = format_received(replace(PLAIN, helo=helo)).decode("ascii")
    assert re.fullmatch(
        r"Received: from [!-'*-:=?A-~]{1,255} \(unknown \[192\.0\.2\.1\]\)\r\n"
        r"\tby mx1\.example\.org \(Letterlock\) with ESMTP id 4XYZ;\r\n"
        r"\tSun, 01 Mar 2026 12:00:00 \+0000\r\n",
        text,
    )


def test_a_helo_may_be_utf8_only_in_an_smtputf8_transaction() -> None:
    """RFC 6531 §3.7.3."""
    received = replace(PLAIN, helo="grün.example", smtputf8=True)
    assert format_received(received).startswith("Received: from grün.example (".encode())


@given(
    st.text(max_size=400), st.text(max_size=400), st.text(max_size=400), st.booleans(), st.text()
)
def test_any_received_field_is_one_field(
    helo: str, name: str, recipient: str, smtputf8: bool, group: str
) -> None:
    """RFC 5322 §2.1.1, §2.2."""
    field = format_received(
        replace(
            PLAIN,
            helo=helo,
            client_name=name,
            recipient=recipient,
            smtputf8=smtputf8,
            tls=Tls(cipher=helo, group=group),
        )
    )
    first, *rest = field.removesuffix(b"\r\n").split(b"\r\n")
    assert first.startswith(b"Received: from ")
    assert all(line.startswith(b"\t") and len(line) <= 998 for line in rest)
    assert all(b"\n" not in line and b"\r" not in line for line in (first, *rest))
    message = message_from_bytes(field + b"\r\n", policy=policy.compat32)
    assert message.keys() == ["Received"]


def test_an_ipv6_address_is_tagged() -> None:
    """RFC 5321 §4.1.3."""
    assert format_address_literal("192.0.2.1") == "[192.0.2.1]"
    assert format_address_literal("2001:db8::1") == "[IPv6:2001:db8::1]"


@pytest.mark.parametrize(
    ("openssl", "registered"),
    [
        ("TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
        ("ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        ("ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
        ("ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
        ("DHE-RSA-AES256-GCM-SHA384", "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384"),
        ("ECDHE-RSA-AES256-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384"),
        ("ECDHE-RSA-AES128-SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"),
        ("AES128-GCM-SHA256", "TLS_RSA_WITH_AES_128_GCM_SHA256"),
        ("SOMETHING-ELSE", None),
    ],
)
def test_ciphers_have_their_registered_names(openssl: str, registered: str | None) -> None:
    """RFC 8314 §4.3; rule 99."""
    assert registered_cipher_name(openssl) == registered


@pytest.mark.parametrize(
    ("group", "clause"),
    [
        ("prime256v1", b"tls TLS_AES_256_GCM_SHA384 group secp256r1;"),
        ("X25519MLKEM768", b"tls TLS_AES_256_GCM_SHA384 group X25519MLKEM768;"),
        (None, b"tls TLS_AES_256_GCM_SHA384;"),
        ("bad group", b"tls TLS_AES_256_GCM_SHA384;"),
    ],
)
def test_groups_have_their_registered_names(group: str | None, clause: bytes) -> None:
    """RFC 8314 §4.3."""
    assert clause in format_received(replace(PLAIN, tls=Tls(group=group)))


def test_an_unknown_cipher_has_no_clause() -> None:
    """RFC 8314 §4.3: only registered names."""
    field = format_received(replace(PLAIN, tls=Tls(cipher="NEW-CIPHER")))
    assert b"with cipher NEW-CIPHER" in field
    assert b"\ttls" not in field


def test_a_message_of_our_own_comes_from_nobody() -> None:
    assert format_received_here("mx1.example.org", "4XYZ", NOON) == (
        b"Received: by mx1.example.org (Letterlock) id 4XYZ; Sun, 01 Mar 2026 12:00:00\r\n"
        b" +0000\r\n"
    )


def test_final_delivery_names_sender_and_recipient() -> None:
    """RFC 5321 §4.4."""
    assert format_return_path("alice@example.com") == b"Return-Path: <alice@example.com>\r\n"
    assert format_return_path("") == b"Return-Path: <>\r\n"
    assert format_return_path("a\r\nX: y") == b"Return-Path: <a  X: y>\r\n"
    assert format_return_path("grün@example.com") == "Return-Path: <grün@example.com>\r\n".encode()
    assert format_delivered_to("bob@example.org") == b"Delivered-To: bob@example.org\r\n"


def test_a_long_address_stays_one_word() -> None:
    """RFC 5321 §4.5.3.1.3: a path has up to 256 octets; a space within makes it another address."""
    address = "bounces+" + "a" * 228 + "@lists.example.org"
    assert len(address) == 254
    assert format_return_path(address) == f"Return-Path: <{address}>\r\n".encode()
    assert f" {address}\r\n" in format_delivered_to(address).decode()


@pytest.mark.parametrize(
    ("content", "hops"),
    [
        (b"", 0),
        (b"Received: a\r\nreceived: b\r\nRECEIVED : c\r\n\r\n", 3),
        (b"Received: a\r\n\tReceived: folded\r\nX-Received: b\r\n\r\nReceived: body\r\n", 1),
        (b"\r\nReceived: body\r\n", 0),
        (b"Received: a\nReceived: b\n\nReceived: body\n", 2),
        (b"Received: a\r\n" * 200, 200),
    ],
)
def test_hops_are_counted_in_the_header_section_only(content: bytes, hops: int) -> None:
    """RFC 5321 §6.3."""
    assert count_received(content) == hops


def test_what_we_write_counts_as_one_hop() -> None:
    """RFC 5321 §6.3."""
    assert count_received(format_received(PLAIN) + b"Subject: x\r\n\r\n") == 1


def test_a_client_that_is_hidden_leaves_no_trace() -> None:
    """RFC 5322 §3.6.7; RFC 3848 §1."""
    received = replace(PLAIN, is_authenticated=True, is_client_hidden=True)
    text = format_received(received)
    assert text.startswith(b"Received: (submitted with authentication)\r\n\t")
    assert PLAIN.client_ip.encode() not in text
    assert PLAIN.helo.encode() not in text
