"""How long a client waits."""

from datetime import timedelta

import pytest

from letterlock.protocols.smtp.timeouts import ClientTimeouts


@pytest.mark.parametrize(
    ("step", "minutes"),
    [
        ("greeting", 5),
        ("helo", 5),
        ("mail", 5),
        ("rcpt", 5),
        ("data_init", 2),
        ("data_block", 3),
        ("data_end", 10),
    ],
)
def test_no_wait_is_shorter_than_recommended(step: str, minutes: int) -> None:
    """RFC 5321 §4.5.3.2."""
    assert getattr(ClientTimeouts(), step) >= timedelta(minutes=minutes)
