"""The line of a delivery says what it was held to, and if it was kept: Postfix 3.11's `tls=`."""

from pathlib import Path

import pytest

from letterlock.protocols.mail_log.reading import LogReader
from letterlock.protocols.pki.throwaway_ca import self_signed
from letterlock.protocols.policy.requirement import Level
from letterlock.protocols.smtp.envelope import TlsDemand
from tests.misbehaving import Act, Conduct, serving
from tests.network.certificates import NOW
from tests.services.deliver.outbound import HOST, leaf, only, sending

CONDUCTS = {
    "good": Conduct(leaf()),
    "clear": Conduct(has_starttls=False),
    "own": Conduct(self_signed([HOST], now=NOW)),
    "busy": Conduct(leaf(), answers={"banner": "421 4.3.2 Too busy"}),
    "leaving": Conduct(leaf(), under_tls={"EHLO": Act.CLOSE}),
}


@pytest.mark.parametrize(
    ("name", "level", "told"),
    [
        ("good", Level.NONE, "none"),
        ("good", Level.MAY, "may"),
        ("clear", Level.MAY, "may:none"),
        ("clear", Level.ENCRYPT, "!encrypt"),
        ("good", Level.VERIFY, "verify"),
        ("own", Level.VERIFY, "!verify"),
        ("busy", Level.VERIFY, "verify?"),
        ("leaving", Level.VERIFY, "verify"),
    ],
)
async def test_the_level_is_told(name: str, level: Level, told: str, tmp_path: Path) -> None:
    async with serving(CONDUCTS[name]) as (server,), sending(tmp_path, [server]) as node:
        node.level = level
        await node.send_and_settle()
    line = node.log.texts[-1]
    assert line.endswith(f") tls={told}")
    stamped = [f"Nov 22 19:00:00 mx postfix/smtp[1]: 4XYZabcdefghijk: {line}"]
    (delivery,) = LogReader().read(stamped)
    assert delivery.level == told


async def test_what_the_message_demands_is_told_too(tmp_path: Path) -> None:
    """RFC 8689 §4.2.1; the host is none that is proved to be the domain's."""
    async with serving(CONDUCTS["good"]) as (server,), sending(tmp_path, [server]) as node:
        outcome = only(await node.send(tls_demand=TlsDemand.REQUIRETLS))
    assert outcome.tls_level.endswith("/requiretls")


async def test_where_no_host_was_found_there_is_no_level(tmp_path: Path) -> None:
    async with sending(tmp_path) as node:
        await node.send_and_settle()
    assert "tls=" not in node.log.texts[-1]


def test_no_reply_passes_for_a_level() -> None:
    """What a host said stands in brackets, and what we say behind them."""
    said = "250 Ok) tls=dane"
    line = f"to=<b@x.example>, relay=mx[192.0.2.1]:25, dsn=2.0.0, status=sent ({said})"
    for more, level in (("", ""), (" tls=may", "may")):
        stamped = [f"Nov 22 19:00:00 mx postfix/smtp[1]: 4XYZabcdefghijk: {line}{more}"]
        (delivery,) = LogReader().read(stamped)
        assert (delivery.level, delivery.reason) == (level, said)
