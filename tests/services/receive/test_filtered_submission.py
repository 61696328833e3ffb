"""Filters see what accounts submit, and who they are."""

from pathlib import Path

from letterlock.base.config.filters import FilteredMail
from letterlock.protocols.smtp.replies import reply
from letterlock.services.filter.chain import FilterChain
from letterlock.services.filter.contract import Passed, Refused
from letterlock.services.filter.link import ChainedFilter
from letterlock.services.receive.quotas import QuotaLimits
from tests.services.filter.scripted import ScriptedFilter
from tests.services.receive.submitting import Limits, submitting

MAIL = b"MAIL FROM:<alice@example.org>\r\n"
RCPT = b"RCPT TO:<bob@far.example>\r\n"
TEXT = b"From: alice@example.org\r\nSubject: x\r\n\r\nhello\r\n.\r\n"


def limits(script: ScriptedFilter, quotas: QuotaLimits | None = None) -> Limits:
    chained = ChainedFilter(script, frozenset({FilteredMail.SUBMISSION}))
    return Limits(quotas=quotas or QuotaLimits(), chain=FilterChain([chained], lambda _: None))


async def test_a_filter_is_told_who_is_logged_in(tmp_path: Path) -> None:
    script = ScriptedFilter()
    async with submitting(tmp_path, limits(script)) as desk, desk.client() as talk:
        await talk.log_in()
        assert await talk.codes(MAIL, RCPT, b"DATA\r\n", TEXT) == [250, 250, 354, 250]
    (client,) = script.clients
    assert (client.source, client.login, client.mechanism) == (
        FilteredMail.SUBMISSION,
        "alice",
        "PLAIN",
    )
    assert client.may_relay
    assert client.tls is not None
    assert client.tls.version == "TLSv1.3"
    assert script.seen is not None
    names = [line.partition(b":")[0] for line in script.seen.header.splitlines()]
    # What was missing is there before the filters look.
    assert sorted(names) == [b"Date", b"From", b"Message-ID", b"Subject"]


async def test_recipients_that_filters_refuse_count_for_nothing(tmp_path: Path) -> None:
    """RFC 6409 §4: what an account may send is what was taken of it."""
    refused = Refused(reply(550, "5.7.1", "no"))
    script = ScriptedFilter(at_rcpt=(refused, refused, Passed(), Passed()))
    quotas = QuotaLimits(100, 2)
    async with submitting(tmp_path, limits(script, quotas)) as desk, desk.client() as talk:
        await talk.log_in()
        others = [b"RCPT TO:<u%d@far.example>\r\n" % number for number in range(5)]
        assert await talk.codes(MAIL, *others) == [250, 550, 550, 250, 250, 450]
