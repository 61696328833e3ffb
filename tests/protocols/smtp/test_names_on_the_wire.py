"""Which names go to a server that has SMTPUTF8, and to one that has not: RFC 6531 §3.2, §3.7."""

import pytest

from letterlock.protocols.smtp.capabilities import Capabilities
from letterlock.protocols.smtp.content import ContentFacts
from letterlock.protocols.smtp.envelope import Envelope, Recipient
from letterlock.protocols.smtp.paths import parse_mailbox
from letterlock.protocols.smtp.plan import Refusal, plan
from letterlock.protocols.smtp.transaction import Transaction


def planned(sender: str, recipient: str, *, has_smtputf8: bool) -> Transaction | Refusal:
    addresses = [parse_mailbox(each).format() if each else "" for each in (sender, recipient)]
    envelope = Envelope(addresses[0], (Recipient(addresses[1]),), smtputf8=True)
    return plan(
        envelope,
        ContentFacts(10, is_seven_bit=True, has_utf8_headers=False),
        Capabilities(smtputf8=has_smtputf8),
    )


def commands(of: Transaction | Refusal) -> list[str]:
    assert isinstance(of, Transaction)
    return [of._script.mail, *(each.line for each in of._script.recipients)]


@pytest.mark.parametrize("has_smtputf8", [True, False])
@pytest.mark.parametrize(
    ("sender", "recipient"),
    [
        ("jo@bücher.example", "info@zürich.example"),
        ("", "info@zürich.example"),
        ('"a b"@bücher.example', '"c d"@xn--zrich-kva.example'),
        ("jo@[IPv6:2001:db8::1]", "jo@[192.0.2.1]"),
    ],
)
def test_a_domain_alone_never_keeps_mail_back(
    sender: str, recipient: str, has_smtputf8: bool
) -> None:
    """RFC 6531 §3.2: a domain in A-labels is not internationalized, and any server takes it."""
    lines = commands(planned(sender, recipient, has_smtputf8=has_smtputf8))
    assert all(line.isascii() for line in lines)
    assert f"<{parse_mailbox(sender).format() if sender else ''}>" in lines[0]
    assert f"<{parse_mailbox(recipient).format()}>" in lines[1]


@pytest.mark.parametrize(
    ("sender", "recipient", "status"),
    [("grün@x.example", "jo@y.example", "5.6.7"), ("jo@x.example", "grün@y.example", "5.6.7")],
)
def test_a_local_part_needs_the_extension(sender: str, recipient: str, status: str) -> None:
    """RFC 6531 §3.2: such an address MUST NOT go without it."""
    assert isinstance(planned(sender, recipient, has_smtputf8=True), Transaction)
    refused = planned(sender, recipient, has_smtputf8=False)
    assert isinstance(refused, Refusal)
    assert refused.reply.status == status
