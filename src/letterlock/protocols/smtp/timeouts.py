"""How long a client waits for each answer.

RFC 5321 §4.5.3.2: its values are the least that a client should wait. Who waits is the driver.
"""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class ClientTimeouts:
    """Waiting times of a client, one for each step."""

    greeting: timedelta = timedelta(minutes=5)
    """RFC 5321 §4.5.3.2.1."""
    helo: timedelta = timedelta(minutes=5)
    """EHLO, HELO, STARTTLS: RFC 5321 names none; as Postfix, what MAIL has."""
    mail: timedelta = timedelta(minutes=5)
    """RFC 5321 §4.5.3.2.2."""
    rcpt: timedelta = timedelta(minutes=5)
    """RFC 5321 §4.5.3.2.3."""
    data_init: timedelta = timedelta(minutes=2)
    """RFC 5321 §4.5.3.2.4."""
    data_block: timedelta = timedelta(minutes=3)
    """RFC 5321 §4.5.3.2.5: for each write of content to be taken."""
    data_end: timedelta = timedelta(minutes=10)
    """RFC 5321 §4.5.3.2.6: a shorter one makes duplicates."""
    quit: timedelta = timedelta(seconds=5)
    """Ours: the mail is delivered, nobody waits for a good-bye."""
