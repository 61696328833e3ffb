"""What the log hides: stable pseudonyms for addresses, networks for clients, and no leak beside."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.base.config.choices import Redaction
from letterlock.base.redaction import KEY_OCTETS, Redactor, shorten_ip

KEY = bytes(range(KEY_OCTETS))


def redactor(
    redaction: Redaction = Redaction.LOCAL_PARTS, *, hides_clients: bool = False, key: bytes = KEY
) -> Redactor:
    return Redactor(key, redaction, hides_clients=hides_clients)


def redact(text: str, how: Redactor | None = None, **fields: object) -> tuple[str, dict[str, Any]]:
    hidden, given = (how or redactor()).redact(text, fields)
    return hidden, dict(given)


def test_a_local_part_becomes_a_pseudonym_in_text_and_fields() -> None:
    text, fields = redact(
        "to=<alice@example.org>, relay=mx", to="alice@example.org", relay="mx", size=3
    )
    assert re.fullmatch(r"to=<x[a-z2-7]{13}@example\.org>, relay=mx", text)
    assert text == f"to=<{fields['to']}>, relay=mx"
    assert (fields["relay"], fields["size"]) == ("mx", 3)


def test_one_address_has_one_pseudonym_whatever_its_case_and_place() -> None:
    text, _ = redact("<Alice@example.org> alice@EXAMPLE.ORG", to="alice@example.org")
    first, second = re.findall("x[a-z2-7]{13}", text)
    assert first == second


def test_the_same_name_elsewhere_and_another_key_give_other_pseudonyms() -> None:
    how = redactor()
    one = how.hide_address("alice@example.org")
    assert one.partition("@")[0] != how.hide_address("alice@example.net").partition("@")[0]
    assert one != redactor(key=bytes(KEY_OCTETS)).hide_address("alice@example.org")


def test_whole_addresses_can_be_hidden() -> None:
    text, _ = redact("from=<a@example.org>", redactor(Redaction.ADDRESSES), sender="a@example.org")
    assert re.fullmatch(r"from=<x[a-z2-7]{13}@hidden\.invalid>", text)


@pytest.mark.parametrize(
    "text",
    [
        "said: 550 5.1.1 <alice@example.org>: unknown",
        "said: 550 alice@example.org is unknown",
        "said: 550 mailbox:alice@example.org, unknown",
        'said: 550 <"alice smith"@example.org> unknown',
        "said: 550 <bounce+alice=example.org@list.example> unknown",
        "said: 550 user bounce+alice=x@list.example.",
    ],
)
def test_an_address_in_a_reply_is_found_by_its_form(text: str) -> None:
    assert "alice" not in redact(text)[0]


def test_a_name_without_a_domain_is_known_by_its_field() -> None:
    text, fields = redact("reject: <alice>: unknown; to=<alice>", to="alice")
    assert "alice" not in text + fields["to"]
    text, _ = redact("sasl_username=alice, helo=<alice.example>", sasl_username="alice")
    assert re.fullmatch("sasl_username=x[a-z2-7]{13}, helo=<alice.example>", text)


def test_several_recipients_are_hidden_each() -> None:
    text, fields = redact("to=<a>, <b@example.org>", to=("a", "b@example.org"))
    assert not {"<a>", "<b@example.org>"} & set(text.replace("=", " ").split())
    assert len(set(fields["to"])) == 2
    assert all(each.startswith("x") for each in fields["to"])


def test_the_null_sender_stays() -> None:
    assert redact("from=<>, size=3", sender="") == ("from=<>, size=3", {"sender": ""})


CLIENT = "mail.example.net[192.0.2.77]"
SEEN = f"connect from {CLIENT}: too many from 192.0.2.77, helo=<pc.example.net>"


def test_clients_stay_where_only_addresses_are_hidden() -> None:
    assert redact(SEEN, client=CLIENT, helo="pc.example.net")[0] == SEEN


def test_of_a_client_its_network_is_left() -> None:
    how = redactor(Redaction.NONE, hides_clients=True)
    text, fields = redact(SEEN, how, client=CLIENT, helo="pc.example.net")
    assert re.fullmatch(
        r"connect from unknown\[192\.0\.2\.0\]: too many from 192\.0\.2\.0, helo=<x[a-z2-7]{13}>",
        text,
    )
    assert fields["client"] == "unknown[192.0.2.0]"
    assert "a@example.org" in redact("to=<a@example.org>", how, to="a@example.org")[0]


def test_of_a_client_that_is_named_by_its_address_alone_its_network_is_left() -> None:
    how = redactor(Redaction.NONE, hides_clients=True)
    text, fields = redact("noted: client=[192.0.2.77], tls=none", how, client="192.0.2.77")
    assert text == "noted: client=[192.0.2.0], tls=none"
    assert fields["client"] == "192.0.2.0"


@pytest.mark.parametrize(
    ("ip", "network", "other"),
    [
        ("192.0.2.1", "192.0.2.0", "192.0.2.10"),
        ("192.0.2.1", "192.0.2.0", "2192.0.2.1"),
        ("2001:db8::1", "2001:db8::", "2001:db8::1f"),
        ("::1", "::", "2001:db8::1"),
    ],
)
def test_an_address_that_begins_as_the_client_s_is_another(
    ip: str, network: str, other: str
) -> None:
    how = redactor(Redaction.NONE, hides_clients=True)
    text = "connect from a.example[{0}] by proxy [{1}], IPv6:{0}:25 {0}"
    shown, _ = redact(text.format(ip, other), how, client=f"a.example[{ip}]")
    assert (
        shown == f"connect from unknown[{network}] by proxy [{other}], IPv6:{network}:25 {network}"
    )


def test_a_program_of_this_machine_is_no_client_to_hide() -> None:
    how = redactor(Redaction.NONE, hides_clients=True)
    client = "local[uid 1000, jo]"
    assert redact(f"client={client}", how, client=client)[0] == f"client={client}"
    assert redact("client=gone", how, client=None)[0] == "client=gone"


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("192.0.2.77", "192.0.2.0"),
        ("2001:db8:1:2:3::4", "2001:db8:1::"),
        ("fe80::1%eth0", "fe80::"),
        ("nobody", "hidden"),
    ],
)
def test_networks(ip: str, network: str) -> None:
    assert shorten_ip(ip) == network


NAMES = st.from_regex(r"[a-z0-9.+=_-]{4,20}", fullmatch=True)


@given(name=NAMES, before=st.text(max_size=30), after=st.text(max_size=30))
def test_no_local_part_is_left_in_angle_brackets(name: str, before: str, after: str) -> None:
    address = f"{name}@example.org"
    text = f"{before.replace('<', '')}<{address}>{after}"
    assert f"<{address}>" not in redact(text, to=address)[0]
    assert f"<{address}>" not in redact(text)[0]


def test_a_long_word_costs_no_more_than_its_length() -> None:
    """Quadratic, this would take minutes."""
    for text in ("a" * 1_000_000 + "@", "<" * 300_000 + "@", "a@" * 300_000):
        redact(text)
