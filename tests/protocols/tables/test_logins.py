"""Accounts at other servers, as Postfix's smtp_sasl_password_maps has them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.sasl.client_steps import Credentials
from letterlock.protocols.tables.lines import Entry, WrongEntry
from letterlock.protocols.tables.logins import LoginTable, parse_logins
from letterlock.services.deliver.logins import normal_key

SECRET = "hunter2-secret"


def read(text: str | bytes) -> LoginTable:
    content = text if isinstance(text, bytes) else text.encode()
    return parse_logins(content, "passwords", lambda key: normal_key(key, 25))


@pytest.mark.parametrize(
    ("line", "key", "user", "password"),
    [
        ("[smtp.example.com]:587 me:secret", "[smtp.example.com]:587", "me", "secret"),
        ("[SMTP.Example.com]:submission me:secret", "[smtp.example.com]:587", "me", "secret"),
        ("[smtp.example.com] me:secret", "[smtp.example.com]:25", "me", "secret"),
        ("smtp.example.com me:se:cret", "smtp.example.com", "me", "se:cret"),
        ("example.com:2525\tme:a b # c", "example.com:2525", "me", "a b # c"),
        ("[192.0.2.1]:587 me:secret", "[192.0.2.1]:587", "me", "secret"),
        ("Alice@Example.com alice@isp.example:x", "alice@example.com", "alice@isp.example", "x"),
        ("@example.com me:pässword", "@example.com", "me", "pässword"),
        ("bücher.example me:secret", "xn--bcher-kva.example", "me", "secret"),
    ],
)
def test_a_line_is_a_next_hop_or_a_sender_and_an_account(
    line: str, key: str, user: str, password: str
) -> None:
    (entry,) = read(f"# accounts\n\n{line}\n").entries.values()
    assert isinstance(entry, Entry)
    assert entry.key == key
    assert entry.value == Credentials(user, password, "passwords:3")


@pytest.mark.parametrize(
    "line",
    [
        *(f"me:{SECRET}", f"[smtp.example.com]:587 {SECRET}", f"smtp.example.com :{SECRET}"),
        *("smtp.example.com me:", "smtp.example.com", f"me@example.com:{SECRET}"),
        *(f"a@b@c me:{SECRET}", f'"me:{SECRET}', f"smtp.example.com {'u' * 300}:{SECRET}"),
        *(f"smtp.example.com me:{SECRET * 100}", f"smtp.example.com me:{SECRET}\0"),
        f"smtp.example.com me:{SECRET}\r{SECRET}",
    ],
)
def test_a_wrong_line_is_told_without_what_stands_there(line: str) -> None:
    """Its password may stand anywhere in it."""
    table = read(f"{line}\n")
    (fault,) = table.all_faults
    assert fault.where == "passwords:1"
    for text in (str(fault), repr(table)):
        assert SECRET not in text
        assert "uuu" not in text


def test_nothing_shows_passwords() -> None:
    table = read(f"smtp.example.com me:{SECRET}\nsmtp.example.com you:{SECRET}\n")
    assert len(table.entries) == 1
    assert [str(fault) for fault in table.all_faults] == [
        "passwords:2: smtp.example.com stands in line 1 already; ignored"
    ]
    assert SECRET not in repr(table)


@given(st.binary(max_size=200))
def test_any_octets_are_a_table(octets: bytes) -> None:
    for entry in read(octets).entries.values():
        assert isinstance(entry, Entry | WrongEntry)
        assert isinstance(entry, WrongEntry) or (entry.value.user and entry.value.password)
