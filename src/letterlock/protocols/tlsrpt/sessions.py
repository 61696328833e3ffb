"""What one TLS session came to, under each policy that it was held to: what is counted by day.

RFC 8460 §4.2-4.5. Our own deliveries make these values, and what a Postfix tells is read into them.
"""

from msgspec import Struct

from letterlock.protocols.tlsrpt.findings import PolicyType
from letterlock.protocols.tlsrpt.report import FailureDetails

MAX_POLICY_STRINGS = 500
"""Lines of an MTA-STS policy, or TLSA records; as many patterns."""
MAX_TEXT_CHARACTERS = 1000
"""Of a text of others that has no bound of its own; what is longer is cut."""


class AppliedPolicy(Struct, frozen=True):
    """The policy that a session was held to; `domain` is a Policy Domain (RFC 8460 §1.1)."""

    type: PolicyType
    domain: str
    strings: tuple[str, ...] = ()
    mx_hosts: tuple[str, ...] = ()


class Outcome(Struct, frozen=True):
    """How a session fared under one policy. `failures` have no counts: each is of this session.

    A session that did not fail in the end may have failures all the same.
    """

    policy: AppliedPolicy
    is_failed: bool
    failures: tuple[FailureDetails, ...] = ()


class Session(Struct, frozen=True):
    """A session's result. `record` is the TLSRPT record of `domain`, as the MTA found it.

    It is empty where nobody looked: then the one that is there when the report is made counts.
    """

    domain: str
    record: str
    outcomes: tuple[Outcome, ...]


def clean_text(text: str, most: int = MAX_TEXT_CHARACTERS) -> str:
    """Cut a text, and replace what could end a line or is no character by a blank."""
    text = text[:most]
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " for character in text)
