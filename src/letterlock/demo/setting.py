"""Who is in the demo: names, addresses, zones; and what tests change, to see that it is noticed."""

from dataclasses import dataclass

SENDER_DOMAIN = "sender.example"
SENDER_HOST = "out.sender.example"
SENDER_IP = "127.0.0.1"
RIGHT_DOMAIN = "demo.example"
RIGHT_HOST = "mx.demo.example"
RIGHT_IP = "127.0.0.2"
WRONG_DOMAIN = "wrong.example"
WRONG_HOST = "mx.wrong.example"
WRONG_IP = "127.0.0.3"

SIGNED_DOMAIN = "signed.example"
SIGNED_HOST = "mx.signed.example"
BROKEN_DOMAIN = "broken.example"
"""Signed by another key than its own, so that nothing in it can be validated."""

WRITER = f"you@{SENDER_DOMAIN}"
ALICE = f"alice@{RIGHT_DOMAIN}"
BOB = f"bob@{WRONG_DOMAIN}"

AUTHORITY = "Letterlock demo CA"

ZONES = {
    RIGHT_DOMAIN: f"@ MX 10 {RIGHT_HOST}.\n{RIGHT_HOST}. A {RIGHT_IP}",
    WRONG_DOMAIN: f"@ MX 10 {WRONG_HOST}.\n{WRONG_HOST}. A {WRONG_IP}",
    SIGNED_DOMAIN: f"@ MX 10 {SIGNED_HOST}.\n{SIGNED_HOST}. A {RIGHT_IP}",
    BROKEN_DOMAIN: f"@ MX 10 {RIGHT_HOST}.",
}
"""As zone files have it: `@` is the domain itself."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What the demo is played with: the names in the receiver's certificate, the sender's level."""

    certificate_names: tuple[str, ...] = (RIGHT_HOST,)
    level: str = "verify"
    is_authority_trusted: bool = True
