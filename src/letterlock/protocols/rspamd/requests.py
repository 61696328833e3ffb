"""What rspamd is told of a message beside its octets: the header fields of a request to `/checkv2`.

They are HTTP's, one fact each, and `Rcpt` comes once for each recipient.
"""

from collections.abc import Iterator

from msgspec import Struct

from letterlock.base.printable import make_printable

MAX_VALUE_CHARACTERS = 1000
MAX_RECIPIENTS = 1000
"""Of which rspamd is told: its own `max_recipients` is 1024."""


class CheckFacts(Struct, frozen=True):
    """What is known of a message. What is "" is not told.

    `sender` "" is the null reverse-path, which is told. `hostname` is the client's verified reverse
    name, `user` who is logged in, `mta_name` our name, `deliver_to` the mailbox of the only
    recipient, `settings_id` names settings of rspamd's for such mail.
    """

    queue_id: str
    sender: str
    recipients: tuple[str, ...]
    ip: str
    helo: str = ""
    hostname: str = ""
    user: str = ""
    tls_version: str = ""
    tls_cipher: str = ""
    mta_name: str = ""
    deliver_to: str = ""
    settings_id: str = ""


def format_check_headers(facts: CheckFacts) -> tuple[tuple[str, str], ...]:
    """Give the fields in UTF-8's octets, each as a character, as HTTP has them."""
    return tuple((name, _make_safe(value)) for name, value in _list_headers(facts))


def _list_headers(facts: CheckFacts) -> Iterator[tuple[str, str]]:
    yield "From", f"<{facts.sender}>"
    for recipient in facts.recipients[:MAX_RECIPIENTS]:
        yield "Rcpt", f"<{recipient}>"
    for name, value in (
        ("IP", facts.ip),
        ("Helo", facts.helo),
        ("Hostname", facts.hostname),
        ("User", facts.user),
        ("Queue-Id", facts.queue_id),
        ("TLS-Version", facts.tls_version),
        ("TLS-Cipher", facts.tls_cipher),
        ("MTA-Name", facts.mta_name),
        ("Deliver-To", facts.deliver_to),
        ("Settings-ID", facts.settings_id),
    ):
        if value:
            yield name, value


def _make_safe(value: str) -> str:
    """Make a value that can neither end its field nor be refused."""
    printable = make_printable(value[:MAX_VALUE_CHARACTERS])
    return printable.strip().encode("utf-8", "replace").decode("latin-1")
